"""A detector that stands still is not run away from, and goes on where it stood."""

import asyncio
import signal
from pathlib import Path
from random import Random

from detector.tally.tally import Tally
from tests.builders import Event
from tests.live.probes import closed, furthest, log_records
from tests.live.site import Site, traffic
from tests.services.kafka_topics import dump

AHEAD_S = 10
BATCH_S = 5
"""What one batch of records may span: the input is looked at between two of them."""
STILL_S = 3.0


def dense(site: Site, seed: int) -> list[Event]:
    """Give a story in which a batch of records spans a few seconds only."""
    story = traffic(Random(seed), site.partitions, minutes=4, floods=4)
    more = [
        Event(at, n % site.partitions, {
            "time": at, "client_ip": f"192.0.2.{n % 4 + 10}", "action": "accept",
            "sender": "a@a.example", "recipient": f"user{n % 3}@example.org",
        })
        for n, at in enumerate(range(story[0].arrives_ms, story[-1].arrives_ms, 100))
    ]  # fmt: skip
    return sorted([*story, *more], key=lambda event: event.arrives_ms)


async def stands_still(site: Site) -> dict[int, int]:
    """Wait until the log grows no more; give how far each partition is."""
    async with asyncio.timeout(60):
        before: dict[int, int] = {}
        while len(now := await furthest(site)) < site.partitions or now != before:
            before = now
            await asyncio.sleep(STILL_S)
    return now


async def test_ingest_waits_for_a_detector_that_sleeps(kafka: str, tmp_path: Path) -> None:
    """Neither before its first word nor behind its last does the log run further than allowed."""
    ahead = {
        "FLOODWATCH__INGEST__AHEAD_S": str(AHEAD_S),
        "FLOODWATCH__INGEST__MAX_RECORDS": "10",
    }
    with Site.of_seed(tmp_path / "site", kafka, 61) as site:
        await site.prepare()
        events = dense(site, 61)
        site.run("ingest", **ahead)
        await site.feed(events)
        begun = await stands_still(site)
        for partition, passed in begun.items():
            first = min(e.fields["time"] for e in events if e.partition == partition) // 1000
            assert passed - first <= AHEAD_S + 2 * BATCH_S
        detector = site.run("detect", "publish")
        async with asyncio.timeout(60):
            while (await closed(site) or 0) < min(begun.values()) + 30:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        detector.signal(signal.SIGSTOP)
        halted = await stands_still(site)
        last = await closed(site)
        assert last is not None
        assert max(halted.values()) - last <= AHEAD_S + BATCH_S
        assert max(halted.values()) * 1000 < events[-1].arrives_ms - 60_000
        assert await unread(site)
        detector.signal(signal.SIGCONT)
        await site.end()
        await site.settled(120)
        assert (await site.verify())["list"]


async def unread(site: Site) -> bool:
    """Whether there are records of the input that no tally was made of."""
    made = [r.made_at for _, r in await log_records(site) if isinstance(r, Tally)]
    records = await dump(site.bootstrap, site.clients.input_topic)
    return max(made) < max(int(record.offset) for record in records)
