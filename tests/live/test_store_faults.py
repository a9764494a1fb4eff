"""The block store fails in mid-feed: the listings do not wait for it, and it has all in the end."""

import asyncio
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests.live.probes import all_closed, all_stored, listings, peak_bytes, watched
from tests.live.site import Site, traffic
from tests.live.test_faults import SOAK
from tests.services.ports import free_ports
from tests.services.redis_server import RunningRedis

RECONCILED_S = 30.0
CLOSED_S = 20.0
"""The detector's own time for the rest, whatever the store does."""
GROWTH_BYTES = 64 << 20
AWAY_S = 60.0 if SOAK else 6.0
Step = Callable[[], object]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningRedis]:
    """A server of our own, at a port that is free again after a restart."""
    running = RunningRedis(tmp_path)
    (running.port,) = free_ports(1)
    running.start()
    try:
        yield running
    finally:
        running.kill()


def ask(server: RunningRedis, *commands: tuple[object, ...]) -> Step:
    def act() -> None:
        with closing(server.client()) as client:
            for command in commands:
                client.execute_command(*command)

    return act


def redis_fault(server: RunningRedis, name: str) -> tuple[Step, Step]:
    """Give what harms a server and what heals it; `flushed` harms twice, the second time late."""
    match name:
        case "asleep":
            return lambda: server.signal(signal.SIGSTOP), lambda: server.signal(signal.SIGCONT)
        case "killed":
            return server.kill, server.start
        case "read-only":
            (nobody,) = free_ports(1)
            return (
                ask(server, ("REPLICAOF", "127.0.0.1", nobody)),
                ask(server, ("REPLICAOF", "NO", "ONE")),
            )
        case "out of memory":
            return (
                ask(
                    server, ("CONFIG", "SET", "maxmemory-policy", "noeviction"),
                    ("CONFIG", "SET", "maxmemory", "1"),
                ),
                ask(server, ("CONFIG", "SET", "maxmemory", "0")),
            )  # fmt: skip
        case _:
            return ask(server, ("FLUSHALL",)), ask(server, ("FLUSHALL",))


async def outlive(
    site: Site, rng: Random, harm: Step, heal: Step, says: str,
    record: Callable[[str, object], None],
) -> None:  # fmt: skip
    """Harm the store in mid-feed, heal it when all else is over, and see that it has all."""
    (port,) = free_ports(1)
    await site.prepare()
    site.run("ingest", "detect")
    publisher = site.run("publish", FLOODWATCH__WEB__PORT=str(port))
    async with watched(port) as looks:
        events = traffic(rng, site.partitions, minutes=40, floods=8)
        half = len(events) // 2
        await site.feed(events[:half], over_s=AWAY_S / 2)
        await all_stored(site, 60)
        before, known = peak_bytes(publisher), len(await listings(site))
        await asyncio.to_thread(harm)
        await site.feed(events[half:], over_s=AWAY_S)
        await site.end()
        record("closed_s", await all_closed(site, CLOSED_S))
        assert len(await listings(site)) > known
        await asyncio.to_thread(publisher.wait_until_it_says, says)
        await asyncio.to_thread(heal)
        record("reconciled_s", await all_stored(site, RECONCILED_S))
        grown = peak_bytes(publisher) - before
    record("grown_bytes", grown)
    record("slowest_livez_s", looks.slowest_s)
    assert looks.alive
    assert not looks.other
    assert not looks.late_wakes
    assert grown < GROWTH_BYTES
    assert (await site.verify())["list"]
    assert await asyncio.to_thread(publisher.stop) == 0


@pytest.mark.needs("redis-server")
@pytest.mark.parametrize("name", ["asleep", "killed", "read-only", "out of memory", "flushed"])
async def test_redis_fails_in_mid_feed(
    kafka: str, tmp_path: Path, server: RunningRedis, name: str,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """Killed it comes back empty, and so it is after FLUSHALL; no change follows its return."""
    with Site.of_seed(tmp_path / "site", kafka, 31, store_url=server.url) as site:
        harm, heal = redis_fault(server, name)
        says = "refilling it from the listings" if name == "flushed" else "store unavailable"
        await outlive(site, Random(31), harm, heal, says, record_property)


async def test_another_process_holds_the_lock_of_the_sqlite_file(
    kafka: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A backup or an editor of the file, which lets go after a while."""
    with Site.of_seed(tmp_path / "site", kafka, 33) as site:
        path = site.store_url.removeprefix("sqlite:///")
        with closing(
            sqlite3.connect(path, isolation_level=None, timeout=20, check_same_thread=False)
        ) as other:
            await outlive(
                site, Random(33), lambda: other.execute("BEGIN IMMEDIATE"),
                lambda: other.execute("ROLLBACK"), "store unavailable", record_property,
            )  # fmt: skip
