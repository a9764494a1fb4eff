"""A snapshot holds all that decides, fits no other policy, and survives torn files."""

import os
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detector.engine import Engine
from detector.errors import SnapshotError
from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from detector.judge.cases import Case
from detector.judge.floods import Flood, Part
from detector.judge.rows import CaseRow
from detector.listing.lifecycle import Listing
from detector.live_keys import live_keys, release_due, release_keys
from detector.log.records import End, LogRecord, Partitions, decode_record, encode_record
from detector.models.baseline import Baseline
from detector.policy.settings import Policy
from detector.snapshot import restore, snapshot
from detector.tally.tally import PartitionTally
from pipelines.snapshot_file import load_snapshot, previous_path, save_snapshot
from tests.builders import event_line, fresh_engine, quick_policy, story


def wire_log(seed: int) -> tuple[Policy, list[bytes]]:
    """Make a policy and the log of one story, as bytes."""
    rng = Random(seed)
    policy = quick_policy(rng)
    lateness_ms = policy.clock.lateness_s * 1_000
    tables = KeyTables()
    reader = EventReader(tables)
    part = PartitionTally(0, policy.clock.lateness_s, policy.clock.future_s)
    minutes = rng.choice((8, 8, 8, 48))
    made = story(rng, 1, minutes=minutes, floods=minutes // 3, lateness_ms=lateness_ms)
    lines = [event_line(one.fields) for one in made]
    events, _, count = reader.read_json(b"\n".join(lines), 0)
    tallies, _ = part.feed(events, count, final=True)
    log: list[LogRecord] = [Partitions(1), *tallies, *part.finish(), End(0)]
    return policy, [encode_record(record, tables) for record in log]


def follow(engine: Engine, log: list[bytes], first: int, stop: int) -> bytes:
    """Follow a part of the log in one go."""
    records = [(at, decode_record(log[at], engine.tables)) for at in range(first, stop)]
    return b"".join(orjson.dumps(change) + b"\n" for change in engine.accept(records))


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_after_a_restore_at_any_point_the_rest_is_the_same(seed: int, points: list[float]) -> None:
    """Other slots, another process, the same bytes; and the snapshot of the copy is the same."""
    policy, log = wire_log(seed)
    whole = follow(fresh_engine(policy), log, 0, len(log))
    engine, at, out = fresh_engine(policy, "10.0.0.9"), 0, b""
    for point in sorted(points):
        stop = round(point * len(log))
        out += follow(engine, log, at, stop)
        at = stop
        blob = snapshot(engine, at)
        engine = fresh_engine(policy, "10.0.0.1", "192.0.2.20", "10.0.0.3")
        assert restore(engine, blob) == at
        assert snapshot(engine, at) == blob
    assert out + follow(engine, log, at, len(log)) == whole


@settings(max_examples=40)
@example(46_899_556, [0.5625])  # a flooded mailbox is evicted in mid-flood
@given(st.integers(0, 2**32), st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_letting_go_of_keys_is_only_a_caches_business(seed: int, points: list[float]) -> None:
    """Whenever keys are released, state and decisions stay, and only live keys are remembered.

    Few keys are tracked here, so that rows and cases refer to many that were evicted.
    """
    policy, log = wire_log(seed)
    policy = replace(policy, memory=replace(policy.memory, keys=8))
    whole = follow(fresh_engine(policy), log, 0, len(log))
    engine, at, out = fresh_engine(policy, "10.0.0.1", "10.0.0.2"), 0, b""
    for point in sorted(points):
        stop = round(point * len(log))
        out += follow(engine, log, at, stop)
        at = stop
        before = snapshot(engine, at)
        release_keys(engine, [], [])
        live = live_keys(engine)
        assert engine.tables.ips.texts == 1 + np.count_nonzero(live.ips)
        assert engine.tables.mailboxes.texts == 1 + np.count_nonzero(live.mailboxes)
        others = [f"10.7.{len(out) % 250}.{number}" for number in range(50)]
        engine.tables.ips.slots(others, len(others))
        engine.tables.mailboxes.slots([f"{one}@y" for one in others], len(others))
        assert snapshot(engine, at) == before
    assert out + follow(engine, log, at, len(log)) == whole


def test_keys_in_use_elsewhere_are_kept() -> None:
    """Open, late and held rows of a partition refer to slots that must not be let go."""
    engine = fresh_engine(Policy(), "10.0.0.1")
    reader, part = EventReader(engine.tables), PartitionTally(0, 2, 300)
    line = event_line(
        {"time": 1_767_225_600_000, "client_ip": "192.0.2.1", "action": "accept",
         "recipient": "ann@example.org"}
    )  # fmt: skip
    events, _, _ = reader.read_json(line, 0)
    part.feed(events, 1)
    ips, mailboxes = part.slots_in_use()
    assert not release_due(engine)
    release_keys(engine, ips, mailboxes)
    assert engine.tables.ips.find("192.0.2.1") == ips[0][0]
    assert engine.tables.mailboxes.find("ann@example.org") == mailboxes[0][0]
    assert engine.tables.ips.find("10.0.0.1") < 0
    tallies = part.feed(events.take(slice(0, 0)), 1, final=True)[0] + part.finish()
    (tally,) = (one for one in tallies if len(one.rows))
    assert engine.tables.ips.names[tally.rows.ip[0]] == "192.0.2.1"


def test_memory_is_bounded_by_the_policy_not_by_the_input() -> None:
    """Thousands of addresses and removals leave no more keys behind than the policy allows."""
    policy, log = wire_log(5)
    engine = fresh_engine(policy)
    follow(engine, log, 0, len(log))
    tables = engine.tables
    for block in range(20):
        texts = [f"10.{block}.{i // 250}.{i % 250}" for i in range(1_000)]
        tables.ips.slots(texts, len(texts))
    assert release_due(engine)
    release_keys(engine, [], [])
    assert not release_due(engine)
    assert len(tables.ips) - len(tables.ips.free) == tables.ips.texts - 1


STATE: dict[str, set[str]] = {
    "Engine": {
        "policy", "tables", "lookup", "closer", "sources", "mailboxes", "domain_table", "domains",
        "learner", "evidence", "collateral", "listings", "cases", "observed", "log_start",
        "last_rows_at", "outbound",
        "_base",  # set at the begin of each close
        "offered",  # by the runner
        "floods_found",
        "flood_records", "flood_victims", "_records",  # of one `accept`
        "_examiner",  # answers of one tick
        "_gates",  # set again in the next minute
        "flooded",  # follows from the cases
    },
    "LogCloser": {
        "partitions", "closed", "repeated", "started", "_rows", "_fresh", "_controls",
        "_held",  # no snapshot is taken while it holds anything
    },
    "Sources": {
        "table", "known", "last_at", "evicted", "group", "hash", "group_hash", "normal",
        "place", "places", "volume", "volume_h", "lately", "before",
    },
    "Victims": {
        "table", "known", "last_at", "since", "evicted", "hash", "domain", "gate_all", "gate_new",
        "hot", "new", "all", "missed_s", "got", "came", "crowd", "crowd_squares", "firsts",
    },
    "Ring": {"steps", "step_s", "step", "counts", "total"},
    "Learner": {
        "_policy", "_sources", "_mailboxes", "_domains", "relations", "groups", "volume", "total",
        "newcomers", "_tainted",
        "edition", "_day",  # say when to read again what was learned
    },
    "Relations": {
        "_mask", "_cells", "_squares", "_keep_of_1024", "_day", "learned_s", "refused",
        "_empty", "_moved",  # follow from the cells
    },
    "EvidenceLog": {
        "capacity", "_columns", "_size", "covers_from", "dropped",
        "_before", "_summed",  # summed from the rows
    },
    "Collateral": {"limits", "total", "observed_s", "seen"},
    "Listings": {
        "policy", "digest", "sources", "collateral", "providers", "never", "allowed", "lifecycle",
        "listed", "forgiven", "seq",
        "whole_since", "breaker", "_by_slot", "costs",  # summed from the listings
        "listed_for", "changes", "complaints", "_tick", "_observed",
        "_time_ms", "_published",  # of one close
    },
    "Lifecycle": {"terms", "listings", "history", "_due", "_due_at", "_now"},
    "Case": {
        "scope", "slot", "flood", "_patience", "_since", "now", "_ticks", "_steps",
        "_sums", "_line", "_line_at", "_short", "_long", "_hour", "_asked", "all_short", "all_long",
        "first_long", "all_hour",
        "tried_long",  # all of them follow from the rows and steps
        "wake",  # of one minute
    },
}  # fmt: skip


def attributes(thing: object) -> set[str]:
    """Give the names of what an object holds."""
    slots = getattr(type(thing), "__slots__", ())
    return set(vars(thing)) if hasattr(thing, "__dict__") else set(slots)


def test_nothing_that_decides_is_missing_from_a_snapshot() -> None:
    """Whoever adds state to the detector has to say here, and in `state`, what becomes of it."""
    policy, log = wire_log(3)
    engine = fresh_engine(policy)
    follow(engine, log, 0, len(log) // 2)
    case = Case("mailbox", 0)
    parts: list[Any] = [
        engine, engine.closer, engine.sources, engine.mailboxes, engine.mailboxes.all,
        engine.learner, engine.learner.relations, engine.evidence,
        engine.collateral, engine.listings, engine.listings.lifecycle, case,
    ]  # fmt: skip
    for part in parts:
        name = type(part).__name__
        assert attributes(part) == STATE[name], f"{name}: see detector/snapshot.py"
    assert set(Baseline.__slots__) == {"_fading", "_mean", "_square", "samples"}
    assert {field for kind in (Flood, Part, Listing) for field in kind.__slots__}
    assert CaseRow._fields


# -- what cannot be used -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def taken() -> tuple[Policy, bytes]:
    """Take a snapshot in the middle of a story."""
    policy, log = wire_log(7)
    engine = fresh_engine(policy)
    follow(engine, log, 0, len(log) * 2 // 3)
    return policy, snapshot(engine, 42)


@settings(max_examples=300)
@given(st.data())
def test_a_torn_or_damaged_snapshot_is_refused_in_words(
    taken: tuple[Policy, bytes], data: st.DataObject
) -> None:
    """Cut anywhere, or changed in any byte, it is an error and never another state."""
    policy, blob = taken
    if data.draw(st.booleans()):
        bad = blob[: data.draw(st.integers(0, len(blob) - 1))]
    else:
        at = data.draw(st.integers(0, len(blob) - 1))
        bad = blob[:at] + bytes([blob[at] ^ data.draw(st.integers(1, 255))]) + blob[at + 1 :]
    with pytest.raises(SnapshotError, match=r"^snapshot: "):
        restore(fresh_engine(policy), bad)


def test_a_snapshot_of_another_version_policy_or_table_says_so(
    taken: tuple[Policy, bytes],
) -> None:
    """The message names what was found, what is loaded, and what to do."""
    policy, blob = taken
    newer = blob[:20] + (9).to_bytes(4, "little") + blob[24:]
    with pytest.raises(SnapshotError, match=r"got version 9, want version 3"):
        restore(fresh_engine(policy), newer)
    with pytest.raises(SnapshotError, match=r"made with policy .* start with the one it was made"):
        restore(fresh_engine(Policy()), blob)
    with pytest.raises(SnapshotError, match=r"made with ASN table .* None is loaded"):
        restore(Engine(policy, KeyTables()), blob)
    with pytest.raises(SnapshotError, match=r"it is something else"):
        restore(fresh_engine(policy), b"SQLite format 3\0")


def whole(blob: bytes) -> bytes:
    """Read a snapshot as the runner would."""
    if not blob.startswith(b"whole"):
        raise SnapshotError("torn")
    return blob


def test_a_torn_file_falls_back_to_the_one_before(tmp_path: Path) -> None:
    """The newest whole snapshot is loaded, and what was passed over is told."""
    path = tmp_path / "detector.snapshot"
    assert load_snapshot(path, whole) is None
    save_snapshot(path, b"whole 1")
    save_snapshot(path, b"whole 2")
    assert load_snapshot(path, whole) == (b"whole 2", [])
    path.write_bytes(b"who")
    loaded = load_snapshot(path, whole)
    assert loaded is not None
    assert loaded[0] == b"whole 1"
    assert str(path) in str(loaded[1][0])
    previous_path(path).write_bytes(b"")
    with pytest.raises(SnapshotError, match=r"detector\.snapshot: torn; .*previous: torn"):
        load_snapshot(path, whole)


@pytest.mark.parametrize("step", range(5))
def test_a_crash_or_a_full_disk_at_any_step_leaves_a_whole_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Writing, syncing and both renames may each be the last thing that happens."""
    path = tmp_path / "detector.snapshot"
    save_snapshot(path, b"whole 1")
    save_snapshot(path, b"whole 2")
    left = step
    real_sync, real_replace = os.fsync, Path.replace

    def count() -> None:
        nonlocal left
        if left == 0:
            raise OSError(28, "No space left on device")
        left -= 1

    def sync(number: int) -> None:
        count()
        real_sync(number)

    def replace(here: Path, there: Path) -> Path:
        count()
        return real_replace(here, there)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    if step < 4:
        with pytest.raises(SnapshotError, match=r"cannot write .*: No space left on device"):
            save_snapshot(path, b"whole 3")
    else:
        save_snapshot(path, b"whole 3")
    loaded = load_snapshot(path, whole)
    assert loaded is not None
    assert loaded[0] == (b"whole 3" if step > 2 else b"whole 2")
