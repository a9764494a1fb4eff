"""The law of one log: whatever happens to its readers and writers, the decisions are the same.

A seed is a whole story: traffic, policy, who crashes when. `FLOODWATCH_SEEDS=5000` runs more of
them, `FLOODWATCH_SEED=17` one; a failure prints the command that runs its seed again.
"""

import os
import sys
from collections import Counter
from random import Random

import orjson
import pytest

from detector.events.interning import KeyTables
from detector.log.records import End, LogRecord, Partitions
from detector.tally import tally
from detector.tally.tally import Tally
from tests.cluster.cluster import Cluster
from tests.naive import Key, NaivePartition, naive_events

FIRST = int(os.environ.get("FLOODWATCH_SEED", "0"))
SEEDS = 1 if "FLOODWATCH_SEED" in os.environ else int(os.environ.get("FLOODWATCH_SEEDS", "200"))
COMMAND = "pytest -q tests/laws/test_one_log.py"
CHANGES = {"list", "extend", "remove", "expire", "refuse", "hold", "release"}
ALL_KINDS = 100
"""From so many seeds on every kind of change, and every step of the scheduler, has to occur."""


def test_every_reader_of_one_log_makes_the_same_decisions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Detectors, a replay of the log and one of the inputs agree; every event counts once."""
    changes: Counter[str] = Counter()
    did: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + SEEDS):
        monkeypatch.setattr(tally, "PART_ROWS", Random(seed).choice((6, 40, 8_192)))
        try:
            one_story(seed, changes, did)
        except Exception as error:
            error.add_note(f"seed {seed}; run it again: FLOODWATCH_SEED={seed} {COMMAND}")
            raise
    with capsys.disabled():
        sys.stdout.write(f"\n{SEEDS} seeds from {FIRST}: changes {dict(changes)}\n")
        sys.stdout.write(f"what happened: {dict(did)}\n")
    if SEEDS >= ALL_KINDS:
        assert set(changes) == CHANGES
        assert not [step for step in STEPS if not did[step]]


STEPS = (
    "produce", "poll", "send", "acknowledge", "commit", "read", "finish", "heartbeat",
    "crash_ingest", "move", "zombie", "snapshot", "crash_detector", "release", "ask", "operate",
    "allow", "rule", "enrich", "grow", "say_idle",
    "inputs replayed", "repeated", "rejects", "late", "parts",
    "Partitions", "Idle", "Dead", "End", "RemovalRequest", "AllowlistChange", "OperatorAction",
    "PolicyChange", "AsnTableChange",
)  # fmt: skip


def one_story(seed: int, changes: Counter[str], did: Counter[str]) -> None:
    """Run one seed and compare everybody with everybody."""
    cluster = Cluster(seed)
    cluster.run()
    listings = cluster.world.listings
    for detector in cluster.detectors:
        assert detector.engine.listings.seq == len(listings), f"{detector.name} has other changes"
    replayed, records, tables = cluster.replay_log()
    same([orjson.dumps(change) for change in replayed], listings, "a replay of the log")
    kinds = cluster.world.kinds
    if not kinds.keys() - {Tally.__name__, Partitions.__name__, End.__name__}:
        did["inputs replayed"] += 1
        of_inputs, last = cluster.replay_inputs()
        last = min(last, cluster.detectors[0].engine.closer.closed)
        until_ms = (last + 1 + cluster.policy.clock.lateness_s) * 1_000
        got = [orjson.dumps(change) for change in of_inputs if change["time"] <= until_ms]
        want = [line for line in listings if orjson.loads(line)["time"] <= until_ms]
        same(got, want, "a replay of the inputs")
    counted_once(cluster, records, tables, did)
    changes.update(orjson.loads(line)["change"] for line in listings)
    did.update(cluster.did)
    did.update(kinds)
    did["repeated"] += cluster.detectors[0].engine.closer.repeated


def same(got: list[bytes], want: list[bytes], what: str) -> None:
    """Compare two lists of changes and show the first difference."""
    for index, (one, other) in enumerate(zip(got, want, strict=False)):
        assert one == other, f"{what}: change {index + 1} is\n{one!r}\nwhere stands\n{other!r}"
    assert len(got) == len(want), f"{what} has {len(got)} changes, the listings {len(want)}"


def counted_once(
    cluster: Cluster, records: list[LogRecord], tables: KeyTables, did: Counter[str]
) -> None:
    """Every event is in exactly one row, or a dead letter with a reason."""
    world, clock = cluster.world, cluster.policy.clock
    got: list[Counter[Key]] = [Counter() for _ in range(world.partitions)]
    last = [0] * world.partitions
    for one in records:
        if not isinstance(one, Tally) or one.number <= last[one.partition]:
            continue
        last[one.partition] = one.number
        rows = one.rows
        did["late"] += int(rows.count[rows.tick < one.tick].sum())
        did["parts"] += one.through < one.tick and len(rows) > 0
        for tick, ip, rcpt, outcome, count in zip(
            rows.tick.tolist(), rows.ip.tolist(), rows.rcpt.tolist(), rows.outcome.tolist(),
            rows.count.tolist(), strict=True,
        ):  # fmt: skip
            box = None if rcpt < 0 else tables.mailboxes.names[rcpt]
            got[one.partition][tick, tables.ips.names[ip], box, outcome] += count
    for partition, lines in enumerate(world.inputs):
        naive = NaivePartition(clock.lateness_s, clock.future_s)
        naive.read(naive_events(lines))
        assert got[partition] == naive.counts, f"partition {partition}"
        rejected = {position for number, position in world.dead_letters if number == partition}
        assert rejected == naive.rejected, f"dead letters of partition {partition}"
        did["rejects"] += len(rejected)
    assert len(world.events) + world.heartbeats == sum(map(len, world.inputs))
