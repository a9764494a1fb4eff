"""Evidence: the rows of the latest closes, whole, and where they begin."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.memory.evidence import EvidenceLog
from detector.tally.rows import Rows
from tests.days import DAY0_MS, FLOODED, HOUR, V4, Days, ordinary

END = 2**62


def rows(ticks: list[int]) -> Rows:
    """Make a row a tick; its count is its tick, to be known again."""
    n = len(ticks)
    return Rows(
        np.array(ticks, np.int64), np.arange(n, dtype=np.int32), np.arange(n, dtype=np.int32),
        np.zeros(n, np.uint8), np.array(ticks, np.uint32), np.zeros(n, np.uint32),
        np.zeros(n, np.uint64), np.full(n, -1, np.int64),
    )  # fmt: skip


def keep(log: EvidenceLog, ats: list[int]) -> None:
    """Append a row at each close; its ASN group and its messages are its close, too."""
    at = np.array(ats, np.int64)
    log.append(rows(ats), at, at, at.astype(np.uint32))


CLOSES = st.lists(st.lists(st.integers(0, 3), max_size=6).map(sorted), min_size=1, max_size=30)
"""Batches of advances of the close."""


@given(CLOSES, st.integers(0, 130), st.integers(0, 130), st.integers(1, 40), st.data())
def test_between_gives_what_a_plain_list_holds(
    batches: list[list[int]], first: int, stop: int, capacity: int, data: st.DataObject
) -> None:
    """In `[first, stop)`, from `covers_from` on; whole closes go, the oldest first."""
    log, model, now, needed = EvidenceLog(capacity), [], 0, 0
    for steps in batches:
        ats = []
        for step in steps:
            now += step
            ats.append(now)
        keep(log, ats)
        model += ats
        if data.draw(st.booleans()):
            needed = max(needed, now - data.draw(st.integers(0, 40)))
            log.trim(needed)
            assert len(log) <= max(capacity + capacity // 8, 0) or model.count(model[-1]) > 0
    covered = log.covers_from
    assert (covered is None) == (not model)
    if covered is None:
        return
    low = max(first, covered)
    found, at = log.between(first, stop)
    assert all(low <= one < stop for one in at.tolist())
    want = [one for one in model if low <= one < stop]
    kept = at.tolist()
    assert found.tick.tolist() == found.asn.tolist() == log.messages(low, stop).tolist() == kept
    assert log.total(low, stop) == sum(kept)
    assert [one for one in kept if one >= needed] == [one for one in want if one >= needed]
    assert (
        log.between(covered, END)[1].tolist()[-1:] == [one for one in model if one >= covered][-1:]
    )


WIDE = st.integers(0, 2**31) | st.sampled_from([0, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1])


@given(st.lists(st.lists(WIDE, max_size=4).map(sorted), max_size=5))
def test_no_value_is_too_large_for_its_column(batches: list[list[int]]) -> None:
    """Columns are narrow until a value needs more; then what they held is still the same."""
    log = EvidenceLog(1_000)
    model: list[int] = []
    for batch in batches:
        ats = [max(at, *model[-1:], 0) for at in batch]
        keep(log, ats)
        model += ats
    found, at = log.between(0, END)
    messages = log.messages(0, 2**62).tolist()
    assert at.tolist() == found.tick.tolist() == found.count.tolist() == model
    assert found.asn.tolist() == messages == model
    assert [len(log.between(one, END)[1]) for one in model] == [
        sum(other >= one for other in model) for one in model
    ]


def test_what_capacity_drops_is_counted_and_closes_stay_whole() -> None:
    """Of ten rows in closes of two, with room for five, four stay and six are counted."""
    log = EvidenceLog(5)
    ats = [at for at in range(5) for _ in range(2)]
    keep(log, ats)
    assert log.covers_from == 0
    log.trim(0)
    assert log.covers_from == 3
    assert log.between(0, END)[1].tolist() == [3, 3, 4, 4]
    assert log.dropped == 6


def test_what_nobody_needs_any_more_is_no_loss() -> None:
    """Old rows go without being counted, and the log stays whole for those who ask."""
    log = EvidenceLog(1_000)
    ats = list(range(100))
    keep(log, ats)
    log.trim(60)
    assert (log.dropped, log.covers_from) == (0, 0)
    assert log.between(60, 100)[1].tolist() == ats[60:]
    assert len(log) == 40


def test_the_evidence_of_a_decision_is_enough_to_recompute_it() -> None:
    """Counts, limit, window, first and last: all follow from the events up to the close."""
    days = Days()
    start = 2 * HOUR
    ordinary(days, start)
    days.flood(start, V4, "2001:db8:5:1::25", to=FLOODED, count=80, span_s=60)
    out = days.run(start + HOUR)
    sent = [start + i * 60 / 80 for i in range(80)]
    for one in out:
        evidence = one["evidence"]
        last = one["time"] // 1_000 - 3 - DAY0_MS // 1_000
        seen = [at for at in sent if at < last + 1]
        window = [at for at in seen if at >= last + 1 - evidence["window_s"]]
        assert evidence["count"] <= len(window)
        assert evidence["count"] >= evidence["limit"]
        assert evidence["flood_messages"] == len(seen)
        assert sum(evidence["timeline_per_min"]) == len(seen)
        assert evidence["flood_sources"] == 2
        assert evidence["covers_from_ms"] <= one["first_seen"]
        assert one["first_seen"] == DAY0_MS + int(min(seen)) * 1_000 + (
            0 if one["subject"] == V4 else int(60 / 80) * 1_000
        )
    assert {one["subject"] for one in out} == {V4, "2001:db8:5:1::/64"}
