"""Tallies: what closes when, what is late, what lies in the future. The laws are in tests/laws."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.events.contract import Reject
from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from detector.tally.tally import (
    PART_ROWS,
    PartitionTally,
    ResumePoint,
    Rows,
    Tally,
    join_rows,
    tally_rows,
)

SECOND = 1_000
START = 1_700_000_000 * SECOND
YEAR = 365 * 86_400 * SECOND


def mail(at_s: float, to: Any = "ann@example.org", **fields: Any) -> dict[str, Any]:
    event = {"time": START + int(at_s * SECOND), "client_ip": "192.0.2.7", "action": "accept"}
    return event | {"recipient": to, "sender": "b@example.net"} | fields


def beat(at_s: float) -> dict[str, Any]:
    return {"heartbeat": START + int(at_s * SECOND)}


class Partition:
    """A reader and its tallies, the clock at three seconds before the start, or not set."""

    def __init__(self, *, fresh: bool = False) -> None:
        self.tables = KeyTables()
        self.reader = EventReader(self.tables)
        self.tally = PartitionTally(0, 2, 300)
        if not fresh:
            self.tally.resume(ResumePoint(0, START - 3 * SECOND))
        self.next = 0
        self.rejects: list[Reject] = []
        self.made: list[Tally] = []

    def feed(self, records: list[Any], *, final: bool = False) -> list[Tally]:
        lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in records]
        block = b"".join(line + b"\n" for line in lines)
        events, rejects, count = self.reader.read_json(block, self.next)
        self.next += count
        tallies, future = self.tally.feed(events, self.next, final=final)
        if final:
            tallies += self.tally.finish()
        self.rejects += rejects + future
        self.made += tallies
        return tallies

    def end(self) -> list[Tally]:
        return self.feed([], final=True)


def shape(tallies: list[Tally]) -> list[tuple[int, int, list[int]]]:
    """(tick, through, ticks of the rows), in seconds from the start."""
    start = START // SECOND
    return [
        (one.tick - start, one.through - start, (one.rows.tick - start).tolist()) for one in tallies
    ]


def with_rows(tallies: list[Tally]) -> list[Tally]:
    return [one for one in tallies if len(one)]


def total(tallies: list[Tally]) -> int:
    return sum(int(one.rows.count.sum()) for one in tallies)


# -- closing -----------------------------------------------------------------------------------


def test_a_tick_closes_when_the_clock_has_passed_its_end_and_the_lateness() -> None:
    part = Partition()
    assert with_rows(part.feed([mail(0.1), mail(0.9), mail(2.999)])) == []
    assert shape(part.feed([mail(3.0)])) == [(0, 0, [0])]
    assert shape(part.feed([mail(3.5), mail(9.0)])) == [(2, 2, [2]), (3, 6, [3])]
    assert shape(part.end()) == [(9, 9, [9])]


def test_equal_events_are_one_row() -> None:
    part = Partition()
    part.feed([mail(0.1), mail(0.2), mail(0.3, sender=""), mail(0.4, "bob@example.org")])
    (tally,) = part.end()
    assert tally.rows.count.tolist() == [3, 1]
    assert tally.rows.nulls.tolist() == [1, 0]
    assert [bits.bit_count() for bits in tally.rows.senders.tolist()] == [1, 1]


def test_outbound_is_counted_apart() -> None:
    part = Partition()
    part.feed([mail(0.1), mail(0.2, direction="outbound"), mail(0.3, direction="inbound")])
    (tally,) = part.end()
    assert sorted(zip(tally.rows.outcome.tolist(), tally.rows.count.tolist(), strict=True)) == [
        (0, 2),
        (16, 1),
    ]


def test_a_list_of_recipients_is_one_event_each_in_one_tally() -> None:
    part = Partition()
    part.feed([mail(0, ["a@x.org", "b@x.org", "A@x.org"]), mail(5, ["a@x.org", "b@x.org"])])
    first, second = with_rows([*part.made, *part.end()])
    assert (total([first]), total([second]), len(first.rows)) == (3, 2, 2)


def test_heartbeats_move_the_clock_and_count_nothing() -> None:
    part = Partition()
    assert with_rows(part.feed([mail(0), beat(2.9)])) == []
    assert shape(part.feed([beat(3)])) == [(0, 0, [0])]
    assert shape(part.feed([beat(60)])) == [(58, 57, [])]
    assert shape(part.feed([beat(60.2), beat(59)])) == []
    assert part.end() == []


def test_ticks_without_rows_make_one_tally() -> None:
    part = Partition()
    assert shape(part.feed([mail(0), mail(250)])) == [(-2, -3, []), (0, 247, [0])]
    assert shape(part.feed([beat(500)])) == [(250, 497, [250])]


# -- late --------------------------------------------------------------------------------------


def test_late_rows_keep_their_tick_and_ride_in_the_next_tally() -> None:
    part = Partition()
    part.feed([mail(0), mail(10)])
    assert part.feed([mail(1), mail(3), mail(1.5)]) == []
    assert shape(part.feed([mail(13)])) == [(10, 10, [10, 1, 3])]
    assert part.made[-1].rows.count.tolist() == [1, 2, 1]


def test_late_rows_at_the_end_go_in_the_last_tally() -> None:
    part = Partition()
    part.feed([mail(0), mail(10), mail(2)])
    assert shape(part.end()) == [(10, 10, [10, 2])]
    only_late = Partition()
    only_late.feed([mail(0), beat(50), mail(7)])
    assert shape(only_late.end()) == [(48, 47, [7])]


def test_a_lump_of_late_logs_goes_in_parts_behind_the_last_tick() -> None:
    part = Partition()
    part.feed([mail(0), mail(290)])
    lump = [mail(10 + n % 7, f"user{n}@example.org") for n in range(2 * PART_ROWS + 10)]
    tallies = part.feed(lump)
    assert [len(one.rows) for one in tallies] == [PART_ROWS, PART_ROWS]
    assert {(one.tick, one.through) for one in tallies} == {
        (START // SECOND + 288, START // SECOND + 287)
    }
    assert total([*tallies, *part.end()]) == len(lump) + 1


# -- parts -------------------------------------------------------------------------------------


def test_a_busy_tick_goes_in_parts_cut_at_a_record() -> None:
    part = Partition()
    names = [[f"u{n}.{k}@example.org" for k in range(3)] for n in range(PART_ROWS)]
    part.feed([mail(0.5, to) for to in names])
    tallies = part.end()
    sizes = [len(one.rows) for one in tallies]
    assert sum(sizes) == 3 * PART_ROWS
    assert max(sizes) <= PART_ROWS
    assert all(size % 3 == 0 for size in sizes)
    assert [one.through - START // SECOND for one in tallies] == [-1, -1, -1, 0]
    assert [one.last_record for one in tallies] == sorted(one.last_record for one in tallies)


# -- the future --------------------------------------------------------------------------------


def test_more_than_five_minutes_ahead_of_its_receipt_is_a_reject() -> None:
    part = Partition()
    part.feed([mail(0, received=START), mail(300, received=START), mail(300.001, received=START)])
    part.feed(
        [mail(1e6, ["a@x.org", "b@x.org"], received=START), mail(1e6, received=START + 10**9)]
    )
    assert [(one.position, one.reason) for one in part.rejects] == [(2, "future"), (3, "future")]
    assert total([*part.made, *part.end()]) == 3


def test_a_host_whose_clock_is_a_year_ahead_moves_nothing() -> None:
    part = Partition()
    ahead = mail(0) | {"time": START + YEAR}
    part.feed([mail(0), mail(1), ahead, *[mail(1 + n / 10) for n in range(20)]])
    assert [(one.position, one.reason) for one in part.rejects] == [(2, "future")]
    assert part.tally.clock_ms < START + 10 * SECOND
    assert total([*part.made, *part.end()]) == 22


def test_it_moves_nothing_when_it_speaks_first() -> None:
    part = Partition(fresh=True)
    part.feed([mail(0) | {"time": START + YEAR}, *[mail(n) for n in range(40)]])
    assert [one.position for one in part.rejects] == [0]
    assert total([*part.made, *part.end()]) == 40


def test_nor_when_it_speaks_first_and_often() -> None:
    """Seven of sixteen are a year ahead: each of them is a jump that most of the rest denies."""
    part = Partition(fresh=True)
    records = [
        mail(n) | ({"time": START + YEAR + n} if n % 7 in {0, 2, 4} else {}) for n in range(70)
    ]
    part.feed(records)
    part.end()
    assert {one.position for one in part.rejects} == {n for n in range(70) if n % 7 in {0, 2, 4}}


def test_the_first_record_makes_an_empty_tally_that_says_where_the_partition_begins() -> None:
    part = Partition(fresh=True)
    part.feed([mail(n / 100) for n in range(20)])
    assert shape(part.made) == [(-2, -3, [])]


def test_a_lull_loses_nothing() -> None:
    part = Partition()
    part.feed([mail(0), *[mail(86_400 + n) for n in range(17)]])
    assert part.rejects == []
    assert total([*part.made, *part.end()]) == 18


def test_a_sparse_log_loses_nothing() -> None:
    part = Partition()
    part.feed([mail(n * 1_000) for n in range(3_000)])
    assert total([*part.made, *part.end()]) == 3_000
    assert part.rejects == []


@pytest.mark.parametrize("records", [1, 2, 9, 16, 17])
def test_a_jump_at_the_end_of_the_input_is_judged_by_what_is_left(records: int) -> None:
    part = Partition()
    part.feed([mail(0) for _ in range(20)] + [mail(10_000 + n) for n in range(records)])
    part.end()
    assert (part.rejects, total(part.made)) == ([], 20 + records)
    lonely = Partition()
    lonely.feed([mail(0) for _ in range(20)])
    lonely.feed([mail(10_000), *[mail(1) for _ in range(records)]])
    lonely.end()
    assert [one.position for one in lonely.rejects] == [20]


def test_a_jump_is_held_until_sixteen_records_vouch_for_it() -> None:
    part = Partition()
    part.feed([mail(0) for _ in range(5)])
    for n in range(16):
        part.feed([mail(10_000 + n / 100)])
        assert part.tally.clock_ms == START
    part.feed([mail(10_001)])
    assert part.tally.clock_ms == START + 10_001 * SECOND


def test_a_held_jump_is_read_again_after_a_restart() -> None:
    part = Partition()
    part.feed([mail(0), mail(1), mail(10_000)])
    assert part.tally.resume_point().offset == 0
    tallies = part.feed([mail(10_000 + n) for n in range(1, 20)])
    part.tally.acknowledge(tallies[-1].number)
    point = part.tally.resume_point()
    assert point.offset >= 3
    assert point.clock_ms <= part.tally.clock_ms


# -- conservation ------------------------------------------------------------------------------

ANY_RECORD = st.one_of(
    st.builds(mail, st.integers(0, 30) | st.integers(0, 2_000) | st.just(1e7)),
    st.builds(
        mail, st.integers(0, 900), st.lists(st.sampled_from(["a@x.org", "b@x.org"]), min_size=1)
    ),
    st.builds(mail, st.integers(0, 900), received=st.just(START)),
    st.builds(mail, st.integers(0, 900), client_ip=st.just("rubbish")),
    st.sampled_from([b"", b"{", b"\xff\x00", b"[1]", b'{"heartbeat":1}', b"NaN"]),
)


@given(st.lists(ANY_RECORD, max_size=40), st.data())
def test_every_record_is_an_event_a_late_event_or_a_reject(
    records: list[Any], data: st.DataObject
) -> None:
    """I1: what goes in comes out once."""
    part = Partition(fresh=data.draw(st.booleans()))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(records)))) | {0, len(records)})
    for start, stop in pairwise(cuts):
        part.feed(records[start:stop])
    part.end()
    rejected = {one.position for one in part.rejects}
    assert len(rejected) == len(part.rejects)
    events = 0
    for at, record in enumerate(records):
        if isinstance(record, dict) and at not in rejected:
            to = record["recipient"]
            events += len(to) if isinstance(to, list) else 1
        elif at not in rejected:
            assert record in {b"", b'{"heartbeat":1}'}
    assert total(part.made) == events
    assert [one.number for one in part.made] == list(range(1, len(part.made) + 1))
    assert all(a.through <= b.through for a, b in pairwise(part.made))


# -- rows --------------------------------------------------------------------------------------


def same(a: Rows, b: Rows) -> bool:
    return all(
        x.dtype == y.dtype and np.array_equal(x, y)
        for x, y in zip(a.columns(), b.columns(), strict=True)
    )


@given(st.lists(st.integers(0, 40), max_size=30), st.data())
def test_tallies_joined_are_their_rows_joined(times: list[int], data: st.DataObject) -> None:
    part = Partition()
    for at in times:
        part.feed([mail(at, f"user{at % 3}@example.org")])
    part.end()
    start = data.draw(st.integers(0, len(part.made)))
    for chosen in (part.made[start:], part.made[::-1], part.made[start:] + part.made[:start]):
        assert same(tally_rows(chosen), join_rows([one.rows for one in chosen]))
        assert [len(one) for one in chosen] == [len(one.rows) for one in chosen]
