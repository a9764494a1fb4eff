"""Every call of a block store, and servers of Redis that a test may harm."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.clock import elapsed_s
from pipelines.ports import BlockStore
from pipelines.stores import open_store
from tests.services.redis_server import (
    RunningRedis,
    redis_server,
)
from tests.stored_changes import change

__all__ = ["CALLS", "SOURCE", "WRITES", "server", "soon", "state", "store"]

SOURCE = "192.0.2.7"
BOUND_S = 2.5
"""2 s are promised; the machine of a test is busy."""
CALLS: dict[str, Callable[[BlockStore], object]] = {
    "apply": lambda store: store.apply([change(1)], {"a": "b"}),
    "last_seq": lambda store: store.last_seq(),
    "start_behind": lambda store: store.start_behind(3),
    "get": lambda store: store.get(SOURCE, 0),
    "listings": lambda store: store.listings(0),
    "held": lambda store: store.held(0),
    "audit": lambda store: store.audit(SOURCE),
    "add_request": lambda store: store.add_request("removal", SOURCE, 1, ""),
    "requests": lambda store: store.requests(pending_only=False),
    "set_fact": lambda store: store.set_fact("a", "b"),
    "fact": lambda store: store.fact("a"),
}
WRITES = ("apply", "start_behind", "add_request", "set_fact")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningRedis]:
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
def store(server: RunningRedis) -> Iterator[BlockStore]:
    with closing(open_store(server.url)) as opened:
        yield opened


@contextmanager
def soon() -> Iterator[None]:
    begin = elapsed_s()
    yield
    assert elapsed_s() - begin < BOUND_S


def state(server: RunningRedis) -> dict[str, Any]:
    """Everything that a server holds, byte by byte."""
    with closing(server.client(encoding="latin-1")) as client:
        return {key: client.dump(key) for key in sorted(client.keys())}
