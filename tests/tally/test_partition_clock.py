"""The clock of a partition, against a loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector.events.contract import ABSENT
from detector.events.decode import EventColumns
from detector.tally.partition_clock import (
    LOOKAHEAD,
    UNSET_MS,
    confirmed,
    first_jump,
    running_clock,
    through_tick,
)


def columns(times: list[int], records: list[int], received: list[int] | None) -> EventColumns:
    def same(kind: type[np.generic]) -> NDArray[np.generic]:
        return np.zeros(len(times), kind)

    return EventColumns(
        np.array(records, np.int64), np.array(times, np.int64),
        None if received is None else np.array(received, np.int64),
        same(np.int32), same(np.int32), same(np.uint8), same(np.uint8), None,  # type: ignore[arg-type]
    )  # fmt: skip


@st.composite
def records(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Times and records: several events may share a record, and then its time."""
    times: list[int] = []
    owners: list[int] = []
    for record in range(draw(st.integers(0, 12))):
        time = draw(st.integers(0, 20_000))
        for _ in range(draw(st.integers(1, 3))):
            times.append(time)
            owners.append(record)
    return times, owners


@given(records(), st.integers(0, 20_000) | st.just(UNSET_MS))
def test_the_clock_is_the_running_maximum_record_by_record(
    stream: tuple[list[int], list[int]], start_ms: int
) -> None:
    times, owners = stream
    before, after = running_clock(np.array(times, np.int64), np.array(owners, np.int64), start_ms)
    clock, want = start_ms, []
    for index, (time, owner) in enumerate(zip(times, owners, strict=True)):
        if index == 0 or owner != owners[index - 1]:
            own = clock
        clock = max(clock, time)
        want.append((own, clock))
    assert list(zip(before.tolist(), after.tolist(), strict=True)) == want


@given(st.integers(0, 10**9), st.integers(0, 10))
def test_a_tick_is_closed_when_the_clock_reaches_its_end_and_the_lateness(
    clock_ms: int, lateness_s: int
) -> None:
    last = int(through_tick(np.array([clock_ms]), lateness_s)[0])
    assert (last + 1 + lateness_s) * 1_000 <= clock_ms < (last + 2 + lateness_s) * 1_000


@given(records(), st.data())
def test_a_jump_is_what_nothing_vouches_for(
    stream: tuple[list[int], list[int]], data: st.DataObject
) -> None:
    times, owners = stream
    start_ms = data.draw(st.integers(0, 20_000) | st.just(UNSET_MS))
    by_record = data.draw(st.none() | st.tuples(*[st.sampled_from([ABSENT, 5])] * 12))
    received = None if by_record is None else [by_record[owner] for owner in owners]
    found = first_jump(columns(times, owners, received), start_ms, 3_000)
    clock, want = start_ms, None
    for index, time in enumerate(times):
        own = received is None or received[index] == ABSENT
        if own and time - clock > 3_000 and want is None:
            want = index
        clock = max(clock, time)
    assert found == want


def test_a_jump_needs_sixteen_records_behind_it_or_the_end() -> None:
    for followers in range(LOOKAHEAD + 2):
        events = columns([9_000] * (followers + 1), list(range(followers + 1)), None)
        enough = followers >= LOOKAHEAD
        assert confirmed(events, 1_000, final=False) == (True if enough else None)
        assert confirmed(events, 1_000, final=True) is True


def test_recipients_of_one_record_are_one_voice() -> None:
    times = [99_000] * 3 + [1_000] * 200 + [99_000] * 15
    owners = [0] * 3 + [1] * 200 + list(range(2, 17))
    assert confirmed(columns(times, owners, None), 1_000, final=False) is True


def test_half_of_the_records_behind_a_jump_confirm_it() -> None:
    for old in range(LOOKAHEAD + 1):
        times = [99_000] + [1_000] * old + [99_000] * (LOOKAHEAD - old)
        events = columns(times, list(range(len(times))), None)
        assert confirmed(events, 1_000, final=False) is (old <= LOOKAHEAD // 2)
