"""Silence is observed or declared, and never holds up those who are not silent."""

import asyncio
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import orjson

from detector.events.interning import KeyTables
from detector.log.closing import LogCloser
from detector.log.records import Dead, Idle, decode_record
from detector.policy.settings import ClockSpec, Policy
from detector.tally.tally import Tally
from pipelines.clock import now_ms
from pipelines.replay.formats import LOG_MAGIC
from pipelines.replay.run import Replay, replay
from pipelines.stores.memory import MemoryStore
from tests.builders import START_MS, Event, event_line, quick_policy
from tests.live.probes import all_closed, closed, feed_now, listings, log_records
from tests.live.site import Member, Site, eager, traffic
from tests.live.test_faults import SOAK
from tests.services.kafka_topics import dump

FEW_S = 4.0
"""For the broker, the detector's thread, and a machine that is busy."""
BEAT_S = 1.0
FLOOD_S = 20 if SOAK else 10
YEAR_MS = 365 * 86_400_000


def policy() -> Policy:
    quick = eager(quick_policy(Random(51), tight=0))
    return replace(quick, clock=ClockSpec(lateness_s=2, future_s=30))


def mail(start_s: int, stop_s: int, partition: int, *, every_ms: int = 400) -> list[Event]:
    """Acquaintances write to a few mailboxes, all the time."""
    return [
        Event(at, partition, {
            "time": at, "client_ip": f"192.0.2.{10 + at // every_ms % 4}", "action": "accept",
            "sender": "a@a.example", "recipient": f"user{at // every_ms % 3}@example.org",
        })
        for at in range(start_s * 1000, stop_s * 1000, every_ms)
    ]  # fmt: skip


def flood(
    start_s: int, span_s: int, partition: int, *, victim: str = "victim", first: int = 16
) -> list[Event]:
    """60 messages from 30 addresses, of as many networks from `first` on, to one mailbox."""
    return [
        Event(at, partition, {
            "time": at, "client_ip": f"2001:db8:{index % 30 + first:x}::9", "action": "accept",
            "sender": f"x@{index % 7}.example", "recipient": f"{victim}@example.net",
        })
        for index in range(60)
        for at in (start_s * 1000 + index * span_s * 1000 // 60,)
    ]  # fmt: skip


def in_order(*parts: Sequence[Event], from_ms: int = 0) -> list[Event]:
    """Join traffic in the order of its arrival, its times counted from `from_ms`."""
    events = sorted((event for part in parts for event in part), key=lambda one: one.arrives_ms)
    return [
        Event(from_ms + e.arrives_ms, e.partition, {**e.fields, "time": from_ms + e.fields["time"]})
        for e in events
    ]


async def most_delay_s(site: Site) -> float:
    """Give the longest time from when a change was knowable to when it stood in the listings."""
    changes = await listings(site)
    assert any(change["change"] == "list" for _, change in changes)
    return float(max(at - change["time"] for at, change in changes)) / 1000


async def stop_all(site: Site) -> None:
    """Stop in order; all that was decided by then is what a replay has to find."""
    for member in site.members:
        assert await asyncio.to_thread(member.stop) == 0
    last = await closed(site)
    assert last is not None
    site.end_ms = (last + 1 + site.policy.clock.lateness_s) * 1000


async def test_a_partition_without_events_holds_nothing_up(
    kafka: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Partition 2 never gets one; its owner's heartbeats say so, within it and in order."""
    with Site(tmp_path / "site", kafka, policy()) as site:
        await site.prepare()
        site.run(FLOODWATCH__INGEST__HEARTBEAT="write")
        await asyncio.to_thread(site.members[0].wait_until_it_says, '"reads"')
        stop_s = FLOOD_S + 5
        await feed_now(site, in_order(mail(0, stop_s, 0), mail(0, stop_s, 1), flood(3, FLOOD_S, 0)))
        await asyncio.sleep(2 + BEAT_S + FEW_S)
        delay_s = await most_delay_s(site)
        record_property("most_delay_s", delay_s)
        assert delay_s <= BEAT_S + FEW_S
        await stop_all(site)
        lines = await dump(kafka, site.clients.input_topic)
        assert {b'{"heartbeat"' in one.value for one in lines if one.partition == 2} == {True}
        assert (await site.verify())["list"]


async def test_an_input_that_we_may_not_write_to_is_said_to_be_idle(
    kafka: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Partition 1 falls silent before the flood, partition 2 is silent from the first."""
    with Site(tmp_path / "site", kafka, policy()) as site:
        await site.prepare()
        site.run(FLOODWATCH__INGEST__HEARTBEAT="idle")
        await asyncio.to_thread(site.members[0].wait_until_it_says, '"reads"')
        stop_s = FLOOD_S + 8
        await feed_now(site, in_order(mail(0, stop_s, 0), mail(0, 3, 1), flood(3, FLOOD_S, 0)))
        await asyncio.sleep(2 + BEAT_S + FEW_S)
        delay_s = await most_delay_s(site)
        record_property("most_delay_s", delay_s)
        assert delay_s <= BEAT_S + FEW_S
        await stop_all(site)
        idle = {r.partition for _, r in await log_records(site) if isinstance(r, Idle)}
        assert idle >= {1, 2}
        lines = await dump(kafka, site.clients.input_topic)
        assert not any(b"heartbeat" in one.value for one in lines)
        assert (await site.verify())["list"]


async def test_a_dead_partition_is_waited_for_no_more_and_ends_no_listing(
    kafka: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The owner of partition 1 sleeps within its session; its mail lies there unread.

    A listing needs its whole quiet time from ticks that were watched, and so it ends later.
    """
    dead_after_s = 60 if SOAK else 8
    environ = {
        "FLOODWATCH__KAFKA__SESSION_S": str(3 * dead_after_s + 30),
        "FLOODWATCH__DETECT__DEAD_AFTER_S": str(dead_after_s),
    }
    with Site(tmp_path / "site", kafka, policy(), partitions=2) as site:
        await site.prepare()
        ingests = [site.run("ingest", **environ) for _ in range(2)]
        sleeper = await owner_of(ingests, 1)
        quiet = in_order(mail(0, 400, 0), mail(0, 400, 1), flood(340, 10, 0), from_ms=START_MS)
        await site.feed(quiet, over_s=1)
        detector = site.run("detect", "publish", **environ)
        await all_closed(site, 30)
        sleeper.signal(signal.SIGSTOP)
        asleep_ms = now_ms()
        late_ms = START_MS + 400_000
        other = flood(3, 10, 0, victim="other", first=256)
        watched = in_order(mail(0, 50, 0), mail(0, 50, 1), other, from_ms=late_ms)
        await site.feed(watched, over_s=dead_after_s + FEW_S)
        await all_closed(site, FEW_S)
        listed = {c["subject"] for _, c in await listings(site) if c["change"] == "list"}
        assert any(subject.startswith("2001:db8:1") for subject in listed)
        sleeper.signal(signal.SIGCONT)
        await passed(site, 1, late_ms // 1000 + 45)
        rest = in_order(mail(0, 240, 0), mail(0, 240, 1), from_ms=late_ms + 50_000)
        await site.feed(rest, over_s=8)
        await site.end()
        await site.settled(60)
        assert "is silent: the others no longer wait for it" in detector.said
        heard_ms, dead_ms = await heard_and_dead(site, 1, asleep_ms)
        record_property("dead_after_s", (dead_ms - asleep_ms) / 1000)
        assert dead_ms - heard_ms >= dead_after_s * 1000
        assert dead_ms - asleep_ms <= (dead_after_s + FEW_S) * 1000
        unobserved, watched_again = await observed(site)
        record_property("unobserved_s", len(unobserved))
        assert len(unobserved) >= 30
        assert watched_again
        changes = await site.verify()
        assert changes["list"]
        assert changes["expire"]
        ended = ends([orjson.loads(line) for line in await site.decisions()], late_ms)
        without = ends(await decided_if_nobody_had_died(site), late_ms)
        assert ended
        for subject, (last_seen_s, end_s) in ended.items():
            seen = set(range(last_seen_s, end_s)).difference(unobserved)
            assert len(seen) >= site.policy.listing.temporary_quiet_s
            assert end_s > without[subject][1]


async def owner_of(ingests: Sequence[Member], partition: int) -> Member:
    """Wait until each has one partition; give the one that has this.

    The first of them hears of the other at a heartbeat, a third of the session apart.
    """
    async with asyncio.timeout(300 if SOAK else 60):
        while True:
            last = [re.findall(r'"partitions": (\[[\d, ]*\])', member.said) for member in ingests]
            owned = [orjson.loads(found[-1]) if found else [] for found in last]
            if sorted(owned) == [[0], [1]]:
                return ingests[owned.index([partition])]
            await asyncio.sleep(0.2)


async def heard_and_dead(site: Site, partition: int, asleep_ms: int) -> tuple[int, int]:
    """Give when the log had the last sign of a sleeping partition, and when that it is dead."""
    heard_ms = 0
    for at, record in await log_records(site):
        match record:
            case Tally(partition=number) if number == partition:
                heard_ms = at
            case Dead(number) if number == partition and at > asleep_ms:
                return heard_ms, at
            case _:
                pass
    raise AssertionError("the log says nothing of it")


async def passed(site: Site, partition: int, tick: int) -> None:
    """Wait until the log has what a partition held up to a tick."""
    async with asyncio.timeout(30):
        while True:
            tallies = [r for _, r in await log_records(site) if isinstance(r, Tally)]
            if any(one.partition == partition and one.through >= tick for one in tallies):
                return
            await asyncio.sleep(0.2)


async def observed(site: Site) -> tuple[list[int], bool]:
    """Give the ticks of the log that nobody watched, and whether some were watched after them."""
    closer, unobserved, again = LogCloser(), list[int](), False
    for offset, (_, record) in enumerate(await log_records(site)):
        closer.take(record, offset)
        while (close := closer.close()) is not None:
            assert close.unobserved in {0, close.last + 1 - close.first}
            unobserved += range(close.first, close.first + close.unobserved)
            again = not close.unobserved
    return unobserved, again


def ends(changes: Sequence[dict[str, Any]], before_ms: int) -> dict[str, tuple[int, int]]:
    """Give last attempt and end of the listings that nobody renewed behind a time, by subject."""
    return {
        c["subject"]: (c["last_seen"] // 1000, c["time"] // 1000)
        for c in changes
        if c["change"] == "expire" and c["last_seen"] < before_ms
    }


async def decided_if_nobody_had_died(site: Site) -> list[dict[str, Any]]:
    """Replay the log without its controls, which then waits for every tally."""
    records = await dump(site.bootstrap, site.clients.log_topic)
    kept = [r.value for r in records if not isinstance(decode_record(r.value, KeyTables()), Dead)]
    log, out = site.folder / "alive.log", site.folder / "alive.ndjson"
    log.write_bytes(LOG_MAGIC + b"".join(len(v).to_bytes(4, "little") + v for v in kept))
    spec = Replay((str(log),), "memory:", site.policy, "log", decisions=out)
    await asyncio.to_thread(replay, spec, MemoryStore())
    return [orjson.loads(line) for line in out.read_bytes().splitlines()]


async def test_a_host_whose_clock_is_a_year_ahead_moves_nothing(kafka: str, tmp_path: Path) -> None:
    """All that it says is kept as dead letters."""
    with Site.of_seed(tmp_path / "site", kafka, 53) as site:
        await site.prepare()
        site.run()
        rng = Random(53)
        events = [
            e for e in traffic(rng, site.partitions) if e.fields["time"] <= e.arrives_ms + 1_000
        ]
        ahead = [
            event_line({**event.fields, "time": event.arrives_ms + YEAR_MS})
            for event in events[: len(events) // 2]
        ]
        await site.feed(events, over_s=2, more=ahead)
        await site.end()
        await site.settled()
        last = await closed(site)
        assert last is not None
        assert last * 1000 <= site.end_ms
        letters = await dump(kafka, site.clients.dead_letters_topic)
        reasons = [orjson.loads(letter.value)["reason"] for letter in letters]
        assert reasons == ["future"] * len(ahead)
        assert (await site.verify())["list"]
