"""The stores that a contract holds for, empty ones of them, and changes to put into them."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import stored_changes
from tests.services.redis_server import RunningRedis

__all__ = ["FAR", "STORES", "change", "empty_store"]

FAR = 10_000_000


def change(seq: int, kind: str, subject: str = "192.0.2.7", **fields: Any) -> dict[str, Any]:
    own = {
        "v": 1,
        "id": f"id-{seq}",
        "time": 1000 * seq,
        "provider": "Example",
        "first_seen": 900,
        "last_seen": 1000 * seq,
        "until": 5000,
        "hard_until": FAR,
        "evidence": {"messages": 40 + seq, "windows": [{"span_s": 60, "count": 31}]},
    }
    return stored_changes.change(seq, kind, subject, **own | fields)


STORES = ["memory", "sqlite", pytest.param("redis", marks=pytest.mark.needs("redis-server"))]


def empty_store(request: pytest.FixtureRequest, kind: str, folder: Path) -> str:
    """Give the address of a store without anything in it."""
    if kind != "redis":
        return "memory:" if kind == "memory" else f"sqlite:///{folder / 'blocks.db'}"
    server: RunningRedis = request.getfixturevalue("shared_redis")
    with closing(server.client()) as client:
        client.flushall()
    return server.url
