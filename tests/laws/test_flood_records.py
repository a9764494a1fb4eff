"""Flood records are the same bytes in any batches and behind any snapshot, and count what came."""

from collections import Counter, defaultdict
from itertools import pairwise
from random import Random
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.engine import Engine
from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from detector.judge.flood_records import GOING_ON, OPEN, OVER
from detector.live_keys import release_keys
from detector.log.records import (
    End,
    LogRecord,
    OperatorAction,
    Partitions,
    decode_record,
    encode_record,
)
from detector.policy.settings import Policy
from detector.snapshot import restore, snapshot
from detector.tally.tally import PartitionTally
from tests.builders import (
    START_MS,
    event_line,
    fresh_engine,
    interleaved,
    quick_policy,
    story,
)

GROWING = ("messages", "sources", "asns", "peak_per_min", "stopped", "listed", "last")
MINUTES = 26
PARTITIONS = 2


def a_log(seed: int, order: int) -> tuple[Policy, list[bytes]]:
    """Make a policy and the log of one story; `order` draws how its partitions interleave."""
    rng = Random(seed)
    policy = quick_policy(rng)
    lateness_ms = policy.clock.lateness_s * 1_000
    events = story(rng, PARTITIONS, minutes=MINUTES, floods=4, lateness_ms=lateness_ms)
    subjects = sorted({str(one.fields["client_ip"]) for one in events})
    controls: list[LogRecord] = [
        OperatorAction(
            START_MS + rng.randrange(MINUTES * 60_000), rng.choice(("remove", "release")),
            rng.choice(subjects), f"o{number}",
        )
        for number in range(40)
    ]  # fmt: skip
    tables = KeyTables()
    waiting: list[list[LogRecord]] = []
    for number in range(PARTITIONS):
        reader = EventReader(tables)
        part = PartitionTally(number, policy.clock.lateness_s, policy.clock.future_s)
        lines = [event_line(one.fields) for one in events if one.partition == number]
        read, _, count = reader.read_json(b"\n".join(lines), 0)
        tallies, _ = part.feed(read, count, final=True)
        waiting.append([*tallies, *part.finish(), End(number)])
    log = [Partitions(PARTITIONS), *controls, *interleaved(waiting, Random(order))]
    return policy, [encode_record(record, tables) for record in log]


def follow(engine: Engine, log: list[bytes], first: int, stop: int) -> list[bytes]:
    """Follow a part of the log in one go; give the records that follow."""
    engine.accept([(at, decode_record(log[at], engine.tables)) for at in range(first, stop)])
    return [orjson.dumps(record) for record in engine.flood_records]


@settings(max_examples=25)
@given(
    st.integers(0, 2**32), st.integers(0, 2**32),
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=6),
)  # fmt: skip
def test_batches_interleaving_snapshots_and_slots_change_no_byte(
    seed: int, order: int, cuts: list[tuple[float, bool]]
) -> None:
    """Whoever follows the log writes the same records, in the same order."""
    policy, log = a_log(seed, 0)
    whole = follow(fresh_engine(policy), log, 0, len(log))
    policy, log = a_log(seed, order)
    engine, out = fresh_engine(policy, "10.0.0.9", "10.0.0.8"), []
    stops = sorted((round(point * len(log)), snap) for point, snap in cuts)
    for (first, snap), (stop, _) in pairwise([(0, False), *stops, (len(log), False)]):
        if snap:
            blob = snapshot(engine, first)
            engine = fresh_engine(policy, "192.0.2.20", "10.0.0.1", "10.0.0.2")
            assert restore(engine, blob) == first
        else:
            release_keys(engine, [], [])
        out += follow(engine, log, first, stop)
    assert out == whole


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_records_of_a_flood_have_one_key_each_and_only_grow(seed: int) -> None:
    """It opens once, moves at most once a minute, and nothing follows its end."""
    policy, log = a_log(seed, 0)
    records = [orjson.loads(line) for line in follow(fresh_engine(policy), log, 0, len(log))]
    keys = Counter((one["id"], one["tick"]) for one in records)
    assert set(keys.values()) <= {1}
    floods: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in records:
        floods[one["id"]].append(one)
    for life in floods.values():
        states = [one["state"] for one in life]
        assert states in ([OVER], [OPEN, *[GOING_ON] * (len(life) - 2), states[-1]], [OPEN])
        assert [one["tick"] for one in life] == sorted(one["tick"] for one in life)
        assert life[0]["tick"] == life[0]["found"] // 1_000
        for one in life[1:-1]:
            assert one["tick"] % 60 == 59
        for before, after in pairwise(life):
            for name in GROWING:
                assert before[name] <= after[name]
            fixed = ("id", "scope", "victim", "found")
            assert [before[name] for name in fixed] == [after[name] for name in fixed]
        for one in life:
            assert one["sources"] <= one["messages"] or not one["messages"]
            assert one["peak_per_min"] <= one["messages"]
            assert one["stopped"] <= one["messages"]
            assert one["start"] <= one["last"]


def test_such_stories_have_floods_in_every_state() -> None:
    """The laws above would mean little if nothing happened in their stories."""
    seen: Counter[str] = Counter()
    for seed in range(12):
        policy, log = a_log(seed, 0)
        records = [orjson.loads(line) for line in follow(fresh_engine(policy), log, 0, len(log))]
        seen.update(one["state"] for one in records)
        seen["stopped"] += sum(one["stopped"] > 0 for one in records)
    assert min(seen[what] for what in (OPEN, GOING_ON, OVER, "stopped")) > 0, seen
