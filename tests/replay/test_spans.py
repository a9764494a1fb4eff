"""Spans of time by slot."""

import numpy as np

from pipelines.replay.spans import NONE, Spans


def at(spans: Spans, slot: int, *times_ms: int) -> list[bool]:
    slots = np.full(len(times_ms), slot, np.int32)
    return [bool(one) for one in spans.at(slots, np.array(times_ms, np.int64)) != NONE]


def test_a_span_holds_its_first_millisecond_and_not_its_end() -> None:
    spans = Spans()
    spans.begin(3, 1_000)
    spans.end(3, 2_000)
    assert at(spans, 3, 999, 1_000, 1_999, 2_000) == [False, True, True, False]
    assert at(spans, 2, 1_500) == at(spans, 90, 1_500) == [False]


def test_earlier_spans_of_a_slot_still_count() -> None:
    spans = Spans()
    for since in (1_000, 3_000, 5_000):
        spans.begin(0, since)
        spans.end(0, since + 1_000)
    assert at(spans, 0, 500, 1_500, 2_500, 3_500, 4_500, 5_500, 6_500) == [
        False, True, False, True, False, True, False,
    ]  # fmt: skip


def test_a_span_without_a_victim_has_that_of_the_span_before() -> None:
    spans = Spans()
    spans.begin(0, 1_000, ("domain", 7))
    spans.end(0, 1_000)
    spans.begin(0, 2_000)
    found = spans.at(np.zeros(2, np.int32), np.array([2_500, 2_500]))
    assert spans.is_for(found, np.array([7, 1]), np.array([2, 7])).tolist() == [False, True]
    spans.forget_victims("domain", [7])
    assert spans.is_for(found, np.array([7, 1]), np.array([2, 7])).tolist() == [False, False]
    spans.forget([0])
    assert at(spans, 0, 2_500) == [False]
