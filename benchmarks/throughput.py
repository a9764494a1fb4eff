"""Speed of the product beside a loop that only decodes, in one run on one pinned core.

    .venv/dev/bin/python -m benchmarks.throughput [--events N] [--core N] [--part NAME ...]

Five speeds over the traffic of `benchmarks.traffic`, each in a process of its own so that none
starts with the memory of another: the loop (orjson, one line after the other, nothing kept), a
replay of the same file (`floodwatch replay` without its screen: SQLite store, decision file, ASN
table), the detector alone (the tallies of the whole file in, decisions out), a replay of the raw
Postfix log, and `flooded`, a replay of traffic of which a quarter is floods, beside a loop over
that traffic. Seconds are those of the processor; the wall clock stands beside them.

`--part crowd` (not run unless named) floods 100,000 mailboxes at once and one mailbox from a
million /64: see `benchmarks.crowd`.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.traffic import FOLDER, Traffic, ensure

__all__ = ["blocks", "main", "resident_bytes"]

BLOCK_BYTES = 1 << 20
CHUNK_TALLIES = 300
TARGETS = {"replay": 0.24, "detector": 0.60, "postfix": 0.35, "flooded": 0.17}
SHORT_EVENTS, SHORT_REPLAY = 1_000_000, 0.22
"""Starting up weighs more in a replay of a million events."""
MOST_BYTES_PER_KEY = 600
LEAST_LISTINGS = 1_000
Figures = dict[str, Any]


def blocks(path: Path) -> Iterator[bytes]:
    """Read a file in blocks of whole lines."""
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(BLOCK_BYTES):
            lines, _, rest = (rest + chunk).rpartition(b"\n")
            yield lines + b"\n"
    if rest:
        yield rest


def resident_bytes() -> int:
    """Give the memory this process has resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def array_bytes(owner: object) -> int:
    """Give the bytes of all arrays that an object has, in lists too."""
    if isinstance(owner, np.ndarray):
        return owner.nbytes
    if isinstance(owner, (list, tuple)):
        return sum(map(array_bytes, owner))
    return sum(map(array_bytes, getattr(owner, "__dict__", {}).values()))


class Watch:
    """Processor and wall seconds from here to `stop`."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def stop(self, count: int, **more: Any) -> Figures:
        """Give the figures of `count` things done."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return {"count": count, "cpu_s": cpu, "wall_s": wall, **more}


def loop(traffic: Traffic) -> Figures:
    """Decode every line with orjson and keep nothing."""
    import orjson

    loads, count, watch = orjson.loads, 0, Watch()
    with traffic.events_path.open("rb") as lines:
        for line in lines:
            loads(line)
            count += 1
    return watch.stop(count)


def _replayed(path: Path, traffic: Traffic) -> Figures:
    from pipelines.replay.run import Replay, replay
    from pipelines.stores.open_store import open_store

    with TemporaryDirectory(dir=traffic.events_path.parent) as folder:
        url = f"sqlite:///{folder}/store.db"
        decisions = Path(folder) / "decisions.ndjson"
        spec = Replay((str(path),), url, asn_tables=(traffic.asn_path,), decisions=decisions)
        store = open_store(url)
        watch = Watch()
        summary = replay(spec, store)
        store.close()
        found = watch.stop(
            summary.lines, changes=dict(summary.changes), rejects=dict(summary.rejects)
        )
        if summary.failures:
            raise SystemExit("; ".join(summary.failures))
        listed = set()
        for line in decisions.read_bytes().split(b"\n")[:-1]:
            change = json.loads(line)
            if change["change"] == "list":
                listed.add(change["subject"])
        return found | {"sources_listed": len(listed)}


def replay_events(traffic: Traffic) -> Figures:
    """Replay the NDJSON file through the whole product."""
    return _replayed(traffic.events_path, traffic)


def replay_postfix(traffic: Traffic) -> Figures:
    """Replay the raw log through the whole product."""
    return _replayed(traffic.log_path, traffic)


def replay_flooded(traffic: Traffic) -> Figures:
    """Replay the flood-heavy traffic through the whole product, after a loop over it."""
    heavy = ensure(FOLDER / "flooded", traffic.events, flooded=True)
    return {"loop": loop(heavy)} | _replayed(heavy.events_path, heavy)


def detector(traffic: Traffic) -> Figures:
    """Make all tallies first, then time the detector over them."""
    from detector.engine import Engine
    from detector.events.decode import EventReader
    from detector.events.interning import KeyTables
    from detector.log.records import End, Partitions
    from detector.policy.settings import Policy
    from detector.tally.tally import PartitionTally, Tally
    from pipelines.console.resident import keep_freed
    from pipelines.stages.detect import Detection
    from pipelines.tables.asn_file import load_asn_files
    from pipelines.tables.provider_file import load_providers

    gc.set_threshold(200_000, 50, 50)
    keep_freed()
    policy, tables = Policy(), KeyTables()
    reader = EventReader(tables)
    part = PartitionTally(0, policy.clock.lateness_s, policy.clock.future_s)
    tallies: list[Tally] = []
    position = 0
    for block in blocks(traffic.events_path):
        events, _, count = reader.read_json(block, position)
        position += count
        made, _ = part.feed(events, position)
        tallies += made
        if made:
            part.acknowledge(made[-1].number)
    tallies += part.finish()
    rows = sum(map(len, tallies))
    asns = load_asn_files((traffic.asn_path,))
    engine = Engine(policy, tables, lookup=asns, providers=load_providers(None))
    detection = Detection(engine)
    changes = 0
    gc.freeze()
    watch = Watch()
    changes += sum(len(made) for _, made in detection.take([Partitions(1)]))
    for start in range(0, len(tallies), CHUNK_TALLIES):
        for _, made_changes in detection.take(tallies[start : start + CHUNK_TALLIES]):
            changes += len(made_changes)
    changes += sum(len(made) for _, made in detection.take([End(0)]))
    return watch.stop(rows, tallies=len(tallies), changes=changes)


def keys(traffic: Traffic) -> Figures:
    """Follow the whole file and weigh what is kept of each key."""
    from detector.engine import Engine
    from detector.events.decode import EventReader
    from detector.events.interning import KeyTables
    from detector.log.records import Partitions
    from detector.policy.settings import Policy
    from detector.tally.tally import PartitionTally
    from pipelines.console.resident import give_back
    from pipelines.stages.detect import Detection
    from pipelines.tables.asn_file import load_asn_files
    from pipelines.tables.provider_file import load_providers

    policy = Policy()
    asns, providers = load_asn_files((traffic.asn_path,)), load_providers(None)
    gc.collect()
    before = resident_bytes()
    watch = Watch()
    tables = KeyTables()
    detection = Detection(Engine(policy, tables, lookup=asns, providers=providers))
    reader = EventReader(tables)
    part = PartitionTally(0, policy.clock.lateness_s, policy.clock.future_s)
    list(detection.take([Partitions(1)]))
    position = 0
    for block in blocks(traffic.events_path):
        events, _, count = reader.read_json(block, position)
        position += count
        made, _ = part.feed(events, position)
        list(detection.take(made))
        if made:
            part.acknowledge(made[-1].number)
    gc.collect()
    give_back()  # what was freed is kept of no key
    after = resident_bytes()
    tracked = len(tables.ips) + len(tables.mailboxes) + len(detection.engine.domain_table)
    engine = detection.engine
    apart = sum(map(array_bytes, (engine.evidence, engine.learner.relations)))
    return watch.stop(tracked, grown=after - before, apart=apart)


PARTS: dict[str, Callable[[Traffic], Figures]] = {
    "loop": loop,
    "replay": replay_events,
    "detector": detector,
    "postfix": replay_postfix,
    "flooded": replay_flooded,
    "keys": keys,
}
CROWD = ("victims", "networks")
"""The parts of `crowd`, which has traffic of its own."""


def crowd(part: str, options: argparse.Namespace) -> Figures:
    """Flood very many mailboxes at once, or one from very many networks."""
    from benchmarks.crowd import many_networks, many_victims

    if part == "victims":
        return many_victims(options.victims)
    return many_networks(options.networks)


def measured(part: str, options: argparse.Namespace) -> Figures:
    """Run one part in a process of its own on the pinned core."""
    command = [sys.executable, "-m", "benchmarks.throughput", "--child", part]
    for name in ("events", "core", *CROWD):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def shown(part: str, found: Figures, reference: Figures | None) -> str:
    """One line of the table."""
    speed = found["count"] / found["cpu_s"]
    reference = found.get("loop", reference)
    line = f"{part:<10}{found['count']:>11,}{found['cpu_s']:>9.1f}{found['wall_s']:>9.1f}"
    line += f"{speed / 1000:>9,.0f}"
    if reference is not None and part in TARGETS:
        ratio = speed / (reference["count"] / reference["cpu_s"])
        short = part == "replay" and found["count"] <= SHORT_EVENTS
        target = SHORT_REPLAY if short else TARGETS[part]
        verdict = "met" if ratio >= target else "MISSED"
        line += f"{ratio:>8.2f}{target:>8.2f}  {verdict}"
    return line


def show_crowd(options: argparse.Namespace) -> None:
    """Measure and print the parts of the crowd."""
    from benchmarks.crowd import networks_line, victims_line

    print(victims_line(measured("victims", options)), flush=True)
    print(networks_line(measured("networks", options)), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--part", nargs="*", choices=(*PARTS, "crowd"), default=list(PARTS))
    parser.add_argument("--victims", type=int, default=100_000, help="of the crowd")
    parser.add_argument("--networks", type=int, default=1_000_000, help="of the crowd")
    parser.add_argument("--child", choices=(*PARTS, *CROWD), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.core})
    if options.child in CROWD:
        print(json.dumps(crowd(options.child, options)))
        return
    if options.part == ["crowd"]:
        show_crowd(options)
        return
    traffic = ensure(FOLDER, options.events)
    if options.child:
        print(json.dumps(PARTS[options.child](traffic)))
        return
    print(f"{traffic.events:,} events, {traffic.log_lines:,} raw lines, core {options.core}")
    print(f"{'':<10}{'count':>11}{'cpu s':>9}{'wall s':>9}{'k/s':>9}{'ratio':>8}{'target':>8}")
    reference = None
    for part in options.part:
        if part == "crowd":
            show_crowd(options)
            continue
        found = measured(part, options)
        if part == "keys":
            each, less = (found[name] / found["count"] for name in ("grown", "apart"))
            verdict = "met" if each <= MOST_BYTES_PER_KEY else "MISSED"
            print(
                f"memory: {each:,.0f} B a tracked key all in, {found['count']:,} keys;"
                f" at most {MOST_BYTES_PER_KEY}: {verdict}\n"
                f"        {each - less:,.0f} B without the evidence log and the relation table,"
                f" whose bounds are their own ({found['apart'] / 2**20:,.0f} MiB here)"
            )
            continue
        print(shown(part, found, reference), flush=True)
        if part == "loop":
            reference = found
        if "changes" in found:
            print(f"{'':<10}changes: {found['changes']}", end="")
            few = found.get("sources_listed", LEAST_LISTINGS) < LEAST_LISTINGS
            named = found.get("sources_listed")
            print("" if named is None else f", {named:,} sources listed{' (too few)' * few}")


if __name__ == "__main__":
    main()
