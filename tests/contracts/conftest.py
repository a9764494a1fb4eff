"""Each store in turn, empty."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.ports import BlockStore
from pipelines.stores import open_store
from tests.every_store import STORES, empty_store
from tests.services.redis_server import shared_redis

__all__ = ["shared_redis"]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockStore]:
    with closing(open_store(empty_store(request, request.param, tmp_path))) as opened:
        yield opened
