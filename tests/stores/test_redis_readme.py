"""What the README of the stores says of Redis is what a server answers."""

import re
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipelines.clock import now_ms
from pipelines.stores import open_store
from pipelines.stores.redis_scripts import KEYS, PUBLISHED
from tests.services.redis_server import RunningRedis, shared_redis
from tests.stored_changes import change

__all__ = ["shared_redis"]

README = Path(__file__).parents[2] / "pipelines" / "stores" / "README.md"


def test_every_key_is_in_the_table() -> None:
    named = re.findall(r"^\| `(floodwatch:[a-z:]*)", README.read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted([PUBLISHED, *KEYS])


@pytest.mark.needs("redis-server")
@pytest.mark.needs("redis-cli")
def test_the_examples_are_true_up_to_their_times(shared_redis: RunningRedis) -> None:
    now = now_ms()
    with closing(shared_redis.client()) as client, closing(open_store(shared_redis.url)) as store:
        client.flushall()
        fields: dict[str, Any] = {"time": now, "hard_until": now + 10**8, "policy": "1e23bb17c171"}
        fields |= dict.fromkeys(("first_seen", "last_seen", "until"), now)
        store.apply([change(1, **fields), change(2, "list", "2001:db8:1:2::/64", **fields)])
    (example,) = re.findall(r"```console\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    for step in example.split("$ ")[1:]:
        command, _, shown = step.partition("\n")
        program, *words = command.split()
        told = subprocess.run(
            [program, "-p", str(shared_redis.port), *words],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        assert re.sub(r"\d{13}", "TIME", told) == re.sub(r"\d{13}", "TIME", shown)
