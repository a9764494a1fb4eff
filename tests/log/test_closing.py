"""When ticks close, what counts there, and what was not observed."""

import numpy as np
import pytest

from detector.errors import TallyGapError
from detector.events.interning import KeyTable
from detector.events.numbering import Numbering
from detector.log.closing import Close, LogCloser
from detector.log.records import Dead, End, Gap, Idle, LogRecord, Partitions
from detector.tally.tally import Rows, Tally


def tally(partition: int, number: int, through: int, *ticks: int) -> Tally:
    """Make a tally that passes `through`; the last of `ticks` is its own, earlier ones are late."""
    count = len(ticks)
    rows = Rows(
        np.array(ticks, np.int64), np.zeros(count, np.int32), np.zeros(count, np.int32),
        np.zeros(count, np.uint8), np.ones(count, np.uint32), np.zeros(count, np.uint32),
        np.zeros(count, np.uint64), np.full(count, -1, np.int64),
    )  # fmt: skip
    own = ticks[-1] if ticks else through + 1
    return Tally(partition, number, own, through, 0, -1, rows)


def closes(*records: LogRecord) -> list[Close]:
    """Take records one by one, and close after each."""
    closer, out = LogCloser(), []
    for offset, record in enumerate(records):
        closer.take(record, offset)
        while (close := closer.close()) is not None:
            out.append(close)
    return out


def spans(*records: LogRecord) -> list[tuple[int, int, int]]:
    """Give (first, last, unobserved) of each close."""
    return [(close.first, close.last, close.unobserved) for close in closes(*records)]


def test_a_tick_closes_when_every_awaited_partition_has_passed_it() -> None:
    """The slowest one sets the pace; the log begins with its first row."""
    records = (Partitions(2), tally(0, 1, 12, 12), tally(1, 1, 8), tally(1, 2, 10), tally(1, 3, 13))
    assert spans(*records) == [(12, 12, 0)]


def test_late_rows_count_at_the_close_of_the_tally_they_ride_in() -> None:
    """They keep their tick; where that close has gone by, the next one takes them."""
    (first, second) = closes(Partitions(1), tally(0, 1, 10, 10), tally(0, 2, 11, 4, 11))
    assert (first.rows.tick.tolist(), first.at.tolist()) == ([10], [10])
    assert (second.rows.tick.tolist(), second.at.tolist()) == ([4, 11], [11, 11])
    behind = closes(
        Partitions(2), tally(0, 1, 10, 10), tally(1, 1, 10), Dead(1), tally(0, 2, 20, 20),
        tally(1, 2, 15, 15), tally(0, 3, 21), tally(1, 3, 22),
    )  # fmt: skip
    assert [(c.rows.tick.tolist(), c.at.tolist()) for c in behind[2:]] == [([15], [21])]


def test_what_a_dead_partition_left_out_is_not_observed() -> None:
    """The others go on without it; it is awaited again from its first tally past the last close."""
    records = (
        Partitions(2), tally(0, 1, 10, 10), tally(1, 1, 10, 10), Dead(1), tally(0, 2, 20, 20),
        tally(1, 2, 18, 18), tally(0, 3, 25, 25), tally(1, 3, 30, 30), tally(0, 4, 28, 28),
    )  # fmt: skip
    assert spans(*records) == [(10, 10, 0), (11, 20, 10), (21, 25, 5), (26, 28, 0)]


def test_an_idle_partition_holds_nobody_up_and_hides_nothing() -> None:
    """Its owner was at its end, so that the silence was observed."""
    records = (Partitions(2), tally(0, 1, 10, 10), tally(1, 1, 10), Idle(1), tally(0, 2, 20, 20))
    assert spans(*records) == [(10, 10, 0), (11, 20, 0)]


GAP = r"tallies 2 to 3 of partition 0 .* gap\(0, 2, 3\)"


def test_a_missing_tally_holds_up_what_follows_until_a_gap_is_declared() -> None:
    """What the gap may have taken with it closes unobserved, wherever in the log it is declared."""
    before = (Partitions(1), tally(0, 1, 10, 10))
    behind = (tally(0, 4, 20, 18), tally(0, 5, 22, 22))
    assert spans(*before, *behind) == [(10, 10, 0)]
    wanted = [(10, 10, 0), (11, 17, 7), (18, 20, 0), (21, 22, 0)]
    assert spans(*before, Gap(0, 2, 3), *behind) == wanted
    assert spans(*before, behind[0], Gap(0, 2, 3), behind[1]) == wanted
    late = closes(*before, *behind, tally(0, 4, 20, 18), Gap(0, 2, 3), tally(0, 6, 23, 23))
    assert [(c.first, c.last, c.unobserved) for c in late] == [
        (10, 10, 0), (11, 17, 7), (18, 22, 0), (23, 23, 0)
    ]  # fmt: skip
    assert [c.rows.tick.tolist() for c in late] == [[10], [], [18, 22], [23]]


def test_a_missing_tally_that_comes_after_all_is_counted_with_those_held_for_it() -> None:
    """Each once, whoever repeats it."""
    held = (tally(0, 3, 12, 12), tally(0, 4, 13, 13))
    found = closes(Partitions(1), tally(0, 1, 10, 10), *held, *held, tally(0, 2, 11, 11), *held)
    assert [c.rows.tick.tolist() for c in found] == [[10], [11, 12, 13]]
    assert [(c.first, c.last, c.unobserved) for c in found] == [(10, 10, 0), (11, 13, 0)]


def test_the_error_names_the_gap_and_no_snapshot_leaves_held_tallies_out() -> None:
    """A gap too short does not help; others that wait are named in their turn."""
    closer = LogCloser()
    records: tuple[LogRecord, ...] = (
        Partitions(2), tally(0, 1, 10, 10), tally(1, 1, 10, 10), tally(0, 4, 20, 18),
        tally(1, 3, 20, 18), Gap(0, 2, 2),
    )  # fmt: skip
    for offset, record in enumerate(records[:-1]):
        closer.take(record, offset)
    with pytest.raises(TallyGapError, match=GAP):
        raise closer.missing() or AssertionError
    numbering = Numbering.of(KeyTable("ip"), np.zeros(0, np.bool_))
    with pytest.raises(TallyGapError, match=GAP):
        closer.state(numbering, numbering)
    closer.take(records[-1], 9)
    assert "tallies 3 to 3 of partition 0" in str(closer.missing())
    closer.take(Gap(0, 3, 3), 10)
    assert "tallies 2 to 2 of partition 1" in str(closer.missing())
    closer.take(Gap(1, 2, 2), 11)
    assert closer.missing() is None


def test_the_last_close_of_finite_inputs_is_the_last_tick_with_rows() -> None:
    """Quiet behind it is not counted as observed."""
    records = (Partitions(2), tally(0, 1, 10, 10), End(0), tally(1, 1, 30), tally(1, 2, 31), End(1))
    assert spans(*records) == [(10, 30, 0), (31, 31, 0)]
    short = (Partitions(2), tally(0, 1, 10, 10), End(0), End(1))
    assert spans(*short) == [(10, 10, 0)]


def test_a_repeated_tally_is_dropped() -> None:
    """A zombie or a redelivery writes the same bytes again."""
    one = tally(0, 1, 10, 10)
    (close,) = closes(Partitions(1), one, one, one)
    assert close.rows.count.tolist() == [1]


def test_a_silence_of_over_an_hour_is_not_observed() -> None:
    """A file has no heartbeats: nobody knows whether nothing was sent, or nothing was kept."""
    one = (Partitions(1), tally(0, 1, 10, 10), tally(0, 2, 9_000, 20), tally(0, 3, 9_001, 9_001))
    assert spans(*one) == [(10, 10, 0), (11, 3_620, 0), (3_621, 9_000, 5_380), (9_001, 9_001, 0)]
    hour = (Partitions(1), tally(0, 1, 10, 10), tally(0, 2, 3_620, 20), tally(0, 3, 3_621, 3_621))
    assert sum(unobserved for _, _, unobserved in spans(*hour)) == 0


def test_the_silence_of_one_input_is_observed_while_another_speaks() -> None:
    first = (Partitions(2), tally(0, 1, 10, 10), tally(1, 1, 10, 10), tally(0, 2, 9_000, 20))
    talks = [tally(1, 2 + n, 500 * n + 30, 500 * n + 30) for n in range(19)]
    assert sum(one for _, _, one in spans(*first, *talks)) == 0
    both = spans(*first, tally(1, 2, 8_000, 40), tally(1, 3, 9_000, 8_500))
    assert (3_641, 8_000, 4_360) in both
    assert sum(one for _, _, one in both) == 4_360


def test_two_silences_in_one_run_of_records_are_both_found() -> None:
    records: tuple[LogRecord, ...] = (
        Partitions(1), tally(0, 1, 10, 10), tally(0, 2, 9_000, 20), tally(0, 3, 20_000, 9_001)
    )  # fmt: skip
    closer = LogCloser()
    for offset, record in enumerate(records):
        closer.take(record, offset)
    got = []
    while (close := closer.close()) is not None:
        got.append((close.first, close.last, close.unobserved))
    assert got == [
        (10, 3_620, 0), (3_621, 9_000, 5_380), (9_001, 12_601, 0), (12_602, 20_000, 7_399)
    ]  # fmt: skip
