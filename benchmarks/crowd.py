"""The extremes of a flood: very many victims at once, and one victim of very many networks.

    .venv/dev/bin/python -m benchmarks.throughput --part crowd [--victims N] [--networks N]

`many_victims` sends each of 100,000 mailboxes 5 messages a minute for 12 minutes, 8,333 events a
second in all, after an hour of ordinary mail; `many_networks` sends one mailbox a message from each
of a million /64 within an hour. Making the events is not part of the seconds.
"""

import gc
import resource
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.memory import rotating
from benchmarks.traffic import START_MS, Columns, World, in_log_order, json_lines, ordinary
from detector.engine import Engine
from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from detector.live_keys import release_due, release_keys
from detector.log.records import End, LogRecord, Partitions
from detector.policy.settings import Policy
from detector.tally.tally import PartitionTally
from pipelines.stages.detect import Detection
from pipelines.tables.asn_file import load_asn_files

__all__ = ["many_networks", "many_victims", "networks_line", "victims_line"]

HOUR_MS = 3_600_000
SLICE_S, FLOOD_S = 10, 720
PER_MINUTE = 5
MOST_BYTES = 1 << 30
ORDINARY = 100_000


class Followed:
    """The detector fed with blocks of JSON lines; `cpu_s` is what that took."""

    def __init__(self, world: World) -> None:
        gc.set_threshold(200_000, 50, 50)
        self._policy, self._tables = Policy(), KeyTables()
        with TemporaryDirectory() as folder:
            path = Path(folder) / "asn.tsv"
            path.write_text(world.asn_table())
            self.engine = Engine(self._policy, self._tables, lookup=load_asn_files((path,)))
        self._detection = Detection(self.engine)
        self._reader = EventReader(self._tables)
        clock = self._policy.clock
        self._part = PartitionTally(0, clock.lateness_s, clock.future_s)
        self._position = 0
        self.cpu_s = 0.0
        self.changes: Counter[str] = Counter()
        self._take([Partitions(1)])

    def _take(self, log: list[LogRecord]) -> None:
        for _, changes in self._detection.take(log):
            self.changes.update(one["change"] for one in changes)

    def feed(self, block: bytes) -> float:
        """Take a block of lines; give the processor seconds."""
        begun = time.process_time()
        found, _, count = self._reader.read_json(block, self._position)
        self._position += count
        tallies, _ = self._part.feed(found, self._position)
        self._take([*tallies])
        if tallies:
            self._part.acknowledge(tallies[-1].number)
        if release_due(self.engine):
            release_keys(self.engine, *self._part.slots_in_use())
        spent = time.process_time() - begun
        self.cpu_s += spent
        return spent

    def end(self) -> None:
        """Take the end of the log."""
        begun = time.process_time()
        self._take([*self._part.finish(), End(0)])
        self.cpu_s += time.process_time() - begun


def _slices(world: World, events: Columns, end_ms: int) -> Iterator[bytes]:
    """Give events in blocks of ten seconds of event time."""
    edges = np.arange(START_MS, end_ms + 1, SLICE_S * 1_000)
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows = np.flatnonzero((events.time_ms >= begin) & (events.time_ms < end))
        yield "".join(json_lines(world, events.take(rows))).encode()


def _crowded(world: World, rng: np.random.Generator, begin_ms: int, sources: list[int]) -> bytes:
    """Give ten seconds in which every mailbox gets its share from a random source."""
    count = len(world.mailboxes) * PER_MINUTE * SLICE_S // 60
    events = Columns(
        np.sort(begin_ms + rng.integers(0, SLICE_S * 1_000, count)),
        rng.choice(np.array(sources), count),
        rng.integers(0, len(world.mailboxes), count),
        rng.integers(0, len(world.senders), count),
        np.zeros(count, np.int64),
        np.ones(count, np.bool_),
    )
    return "".join(json_lines(world, events)).encode()


def many_victims(victims: int) -> dict[str, Any]:
    """Flood all mailboxes of a site at once, from twice as many addresses."""
    rng = np.random.default_rng(3)
    world = World(rng, addresses=50_000, asns=5_000, mailboxes=victims)
    mail = in_log_order(ordinary(world, rng, ORDINARY), rng)
    followed = Followed(world)
    flood_ms = START_MS + HOUR_MS
    for block in _slices(world, mail, flood_ms):
        followed.feed(block)
    sources = world.add_addresses(2 * victims, v6_share=0.3)
    followed.cpu_s, slowest_s, lines = 0.0, 0.0, 0
    for begin_ms in range(flood_ms, flood_ms + FLOOD_S * 1_000, SLICE_S * 1_000):
        block = _crowded(world, rng, begin_ms, sources)
        lines += block.count(b"\n")
        slowest_s = max(slowest_s, followed.feed(block))
    followed.end()
    return {
        "victims": victims,
        "events": lines,
        "cpu_s": followed.cpu_s,
        "real_time": FLOOD_S / followed.cpu_s,
        "slowest_slice_s": slowest_s,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "changes": dict(followed.changes),
    }


def many_networks(networks: int) -> dict[str, Any]:
    """Flood one mailbox with a message from each of many /64."""
    rng = np.random.default_rng(4)
    world = World(rng, addresses=20_000, asns=2_000, mailboxes=20_000)
    mail = in_log_order(ordinary(world, rng, ORDINARY), rng)
    followed = Followed(world)
    for block in _slices(world, mail, START_MS + HOUR_MS):
        followed.feed(block)
    followed.cpu_s, step = 0.0, max(networks * SLICE_S // 3_600, 1)
    for first in range(0, networks, step):
        begin_ms = START_MS + HOUR_MS + first * HOUR_MS // networks
        count = min(step, networks - first)
        lines = rotating(first, count, SLICE_S * 1_000, begin_ms, world.mailboxes[:1])
        followed.feed("".join(lines).encode())
    followed.end()
    return {
        "networks": networks,
        "cpu_s": followed.cpu_s,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "changes": dict(followed.changes),
    }


def victims_line(found: dict[str, Any]) -> str:
    """Give the line of the many victims."""
    speed = found["real_time"]
    return (
        f"crowd: {found['victims']:,} victims at once, {found['events'] / FLOOD_S:,.0f} events/s:"
        f" {speed:.2f} x real time, at least 1: {'met' if speed >= 1 else 'MISSED'}\n"
        f"       {found['slowest_slice_s']:.1f} s for the slowest {SLICE_S} s,"
        f" peak {found['peak_bytes'] / 2**20:,.0f} MiB, changes: {found['changes']}"
    )


def networks_line(found: dict[str, Any]) -> str:
    """Give the line of the many networks."""
    met = found["peak_bytes"] <= MOST_BYTES
    return (
        f"crowd: {found['networks']:,} /64 at one mailbox in an hour: peak"
        f" {found['peak_bytes'] / 2**20:,.0f} MiB, at most {MOST_BYTES >> 20:,}:"
        f" {'met' if met else 'MISSED'}\n"
        f"       {found['cpu_s']:.1f} CPU s, changes: {found['changes']}"
    )
