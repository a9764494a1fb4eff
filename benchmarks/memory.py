"""Memory under a rotation flood: millions of distinct IPv6 /64, one event each, beside real floods.

    .venv/dev/bin/python -m benchmarks.memory [--keys N]

An hour of 300 k ordinary events with ten floods in it, and between them 5 M addresses of 5 M
networks, each of which writes once to somebody. Prints the peak of resident memory, how many keys
were let go, and which of the floods were found.
"""

import argparse
import gc
import json
import resource
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.throughput import resident_bytes
from benchmarks.traffic import START_MS, Columns, World, floods, in_log_order, json_lines, ordinary
from detector.engine import Engine
from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from detector.live_keys import release_due, release_keys
from detector.log.records import End, LogRecord, Partitions
from detector.policy.settings import Policy
from detector.tally.tally import PartitionTally
from pipelines.stages.detect import Detection

__all__ = ["main"]

HOUR_MS = 3_600_000
ORDINARY = 300_000
SLICE_S = 20


def rotating(
    first: int, count: int, span_ms: int, begin_ms: int, mailboxes: list[str]
) -> list[str]:
    """Events of fresh networks, one each: number n is the nth /64 of a /24."""
    lines = []
    for n in range(first, first + count):
        time_ms = begin_ms + (n - first) * span_ms // count
        address = f"2a0e:{n >> 24:x}:{n >> 8 & 0xFFFF:x}:{n & 0xFF:x}::{n & 7:x}"
        to = mailboxes[n * 7_919 % len(mailboxes)]
        lines.append(
            f'{{"time":{time_ms},"client_ip":"{address}","action":"accept","recipient":"{to}",'
            f'"sender":"n{n}@{n % 9973}.example"}}\n'
        )
    return lines


def slices(world: World, events: Columns, keys: int) -> Iterator[bytes]:
    """The hour in slices of event time; within a slice the two kinds lie in each other's way."""
    made = 0
    order = np.random.default_rng(5)
    for begin in range(START_MS, START_MS + HOUR_MS, SLICE_S * 1_000):
        end = begin + SLICE_S * 1_000
        rows = np.flatnonzero((events.time_ms >= begin) & (events.time_ms < end))
        share = keys * (end - START_MS) // HOUR_MS - made
        lines = json_lines(world, events.take(rows))
        times = events.time_ms[rows]
        lines += rotating(made, share, SLICE_S * 1_000, begin, world.mailboxes)
        times = np.append(times, begin + np.arange(share) * SLICE_S * 1_000 // max(share, 1))
        made += share
        jitter = order.integers(0, 900, times.size)
        yield "".join([lines[at] for at in np.argsort(times + jitter).tolist()]).encode()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--keys", type=int, default=5_000_000)
    options = parser.parse_args()
    rng = np.random.default_rng(2)
    world = World(rng, addresses=50_000, asns=2_000, mailboxes=50_000)
    flood = floods(world, rng)
    events = in_log_order(flood.columns.behind(ordinary(world, rng, ORDINARY)), rng)
    gc.set_threshold(200_000, 50, 50)
    begun, before = time.process_time(), resident_bytes()

    policy, tables = Policy(), KeyTables()
    engine = Engine(policy, tables)
    detection = Detection(engine)
    reader = EventReader(tables)
    part = PartitionTally(0, policy.clock.lateness_s, policy.clock.future_s)
    listed: set[str] = set()
    position = released = records = 0

    def take(log: list[LogRecord]) -> None:
        for _, changes in detection.take(log):
            listed.update(one["subject"] for one in changes if one["change"] == "list")

    take([Partitions(1)])
    for block in slices(world, events, options.keys):
        found, rejects, count = reader.read_json(block, position)
        position += count
        records += count - len(rejects)
        tallies, _ = part.feed(found, position)
        take([*tallies])
        if tallies:
            part.acknowledge(tallies[-1].number)
        if release_due(engine):
            released += release_keys(engine, *part.slots_in_use())
    take([*part.finish(), End(0)])

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sources = {tables.ips.canonical(world.ips[at]) for at in flood.sources}
    senders = flood.columns.ip.reshape(len(flood.victims), -1)
    names = [{tables.ips.canonical(world.ips[at]) for at in set(row.tolist())} for row in senders]
    hit = [len(own & listed) for own in names]
    print(
        json.dumps(
            {
                "events": records,
                "networks": options.keys,
                "cpu_s": round(time.process_time() - begun, 1),
                "peak_mib": round(peak / 2**20),
                "before_mib": round(before / 2**20),
                "bound_keys": policy.memory.keys,
                "sources_evicted": engine.sources.evicted,
                "mailboxes_evicted": engine.mailboxes.evicted,
                "slots_released": released,
                "floods": len(names),
                "floods_found": sum(count > 0 for count in hit),
                "flood_sources": len(sources),
                "flood_sources_listed": len(sources & listed),
                "others_listed": len(listed - sources),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
