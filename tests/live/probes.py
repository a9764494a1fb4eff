"""What a test sees of a running installation from outside: its topics, its health, its memory."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from detector.events.interning import KeyTables
from detector.log.records import LogRecord, decode_record
from detector.tally.tally import Tally
from pipelines.clock import elapsed_s, now_ms
from tests.builders import Event, event_line
from tests.live.site import Member, Site
from tests.services.kafka_topics import dump

__all__ = [
    "Looks",
    "all_closed",
    "all_stored",
    "closed",
    "feed_now",
    "furthest",
    "listings",
    "log_records",
    "peak_bytes",
    "told",
    "watched",
]

_LOOK_S: Final = 0.25
_SLOW: Final = re.compile(r'^floodwatch_loop_lag_seconds_bucket\{le="2\.5"\} (\S+)$', re.MULTILINE)
_ALL: Final = re.compile(r"^floodwatch_loop_lag_seconds_count (\S+)$", re.MULTILINE)


async def told(site: Site) -> list[tuple[int, dict[str, Any]]]:
    """Give the messages of the listings, each with the time at which the broker took it."""
    records = await dump(site.bootstrap, site.clients.listings_topic)
    return [(record.timestamp, orjson.loads(record.value)) for record in records]


async def listings(site: Site) -> list[tuple[int, dict[str, Any]]]:
    """Give the changes among the messages of the listings."""
    return [(at, message) for at, message in await told(site) if "change" in message]


async def closed(site: Site) -> int | None:
    """Give the last close that a detector has told, None where there is none."""
    found = [m["progress"]["closed"] for _, m in await told(site) if "progress" in m]
    return max((tick for tick in found if tick is not None), default=None)


async def log_records(site: Site) -> list[tuple[int, LogRecord]]:
    """Give the records of the log, each with the time at which the broker took it."""
    tables = KeyTables()
    records = await dump(site.bootstrap, site.clients.log_topic)
    return [(record.timestamp, decode_record(record.value, tables)) for record in records]


async def all_closed(site: Site, within_s: float) -> float:
    """Wait until the detector has closed all that was fed; give the seconds that it took.

    Unlike `Site.settled` it asks no store.
    """
    last, begin = site.end_ms // 1000 - site.policy.clock.lateness_s - 1, elapsed_s()
    async with asyncio.timeout(within_s):
        while (await closed(site) or 0) < last:  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(0.2)
    return elapsed_s() - begin


async def all_stored(site: Site, within_s: float, *, least: int = 1) -> float:
    """Wait until the store has every change of the listings, `least` in all; give the seconds."""

    def stored() -> int:
        with site.opened_store() as store:
            return store.last_seq()

    begin = elapsed_s()
    last = max((change["seq"] for _, change in await listings(site)), default=least)
    async with asyncio.timeout(within_s):
        while await asyncio.to_thread(stored) < last:  # noqa: ASYNC110 - a store tells nobody
            await asyncio.sleep(0.2)
    return elapsed_s() - begin


async def feed_now(site: Site, events: list[Event]) -> None:
    """Send each event when its time has come; the times are offsets from now, and become real.

    Nothing but events is sent: who is silent is for others to say.
    """
    begin_ms = now_ms()
    async with site.clients.started(site.clients.producer()) as producer:
        for event in events:
            due_ms = begin_ms + event.arrives_ms
            if (wait_ms := due_ms - now_ms()) > 0:
                await asyncio.sleep(wait_ms / 1000)
            line = event_line({**event.fields, "time": begin_ms + event.fields["time"]})
            await producer.send(
                site.clients.input_topic, line, partition=event.partition, timestamp_ms=due_ms
            )
    site.events += len(events)


@dataclass(slots=True)
class Looks:
    """What `/livez` said while somebody looked, and how long it took at most."""

    alive: int = 0
    other: int = 0
    slowest_s: float = 0.0
    late_wakes: float = 0.0
    """How often the loop woke up more than 2.5 s late, where 2 s are promised."""


@contextlib.asynccontextmanager
async def watched(port: int) -> AsyncIterator[Looks]:
    """Look at the health of a process as long as the block lasts; it must be up at its end."""
    looks, over = Looks(), asyncio.Event()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False
    ) as client:

        async def look() -> None:
            while not over.is_set():
                begin = elapsed_s()
                with contextlib.suppress(httpx.ConnectError):  # not up yet
                    answer = await client.get("/livez")
                    looks.slowest_s = max(looks.slowest_s, elapsed_s() - begin)
                    if answer.status_code == httpx.codes.OK:
                        looks.alive += 1
                    else:
                        looks.other += 1
                await asyncio.sleep(_LOOK_S)

        async with asyncio.TaskGroup() as group:
            group.create_task(look())
            yield looks
            over.set()
        text = (await client.get("/metrics")).text
    every, quick = _ALL.search(text), _SLOW.search(text)
    assert every is not None
    assert quick is not None
    looks.late_wakes = float(every[1]) - float(quick[1])


def peak_bytes(member: Member) -> int:
    """Give the most memory that a process has had so far."""
    status = Path(f"/proc/{member.process.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


async def furthest(site: Site) -> dict[int, int]:
    """Give the last tick that each partition has passed, by the log."""
    found: dict[int, int] = {}
    for _, record in await log_records(site):
        if isinstance(record, Tally):
            found[record.partition] = max(found.get(record.partition, 0), record.through)
    return found
