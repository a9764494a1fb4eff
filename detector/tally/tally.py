"""Ingest: the events of one input partition become tallies, a pure function of its records.

A tally counts one closed tick by (ip, recipient, outcome). It is the same whoever computes it, in
whatever batches: a repeated one is recognised by its number and dropped, a missing one is a gap.
Late events ride in the next tally and keep their tick.

    record      r0   r1   r2        r3            r4
    tick        10   11   10 late?  13 closes 10  17 closes 11, 13 (and the empty 12, 14)
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.events.contract import ABSENT, Reject
from detector.events.decode import HEARTBEAT, EventColumns
from detector.tally.partition_clock import TICK_MS, UNSET_MS, confirmed, first_jump, running_clock
from detector.tally.partition_clock import through_tick as through
from detector.tally.rows import ResumePoint, Rows, Tally, join_rows, take_rows, tally_rows
from detector.tally.summing import (
    TimedEvents,
    begins,
    joined,
    joined_timed,
    part_starts,
    record_end,
    summed,
)

__all__ = [
    "PART_ROWS",
    "PartitionTally",
    "ResumePoint",
    "Rows",
    "Tally",
    "join_rows",
    "take_rows",
    "tally_rows",
]

PART_ROWS: Final = 8_192
"""A part holds at most this many events, hence at most this many rows; cut at a record."""
_LOOK_AFTER_JUMP: Final = 64
"""Events to look at behind a jump: a sparse log is all jumps, and each look costs what it sees."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """The summed on-time rows of one closed tick or of a part of it: `[start, stop)` of a block."""

    tick: int
    completes: bool
    block: Rows
    start: int
    stop: int
    first_record: int
    clock_ms: int
    last_record: int


class PartitionTally:
    """The state of one input partition: clock, open rows, late rows, what the log lacks yet."""

    def __init__(self, partition: int, lateness_s: int, future_s: int) -> None:
        self.partition = partition
        self._lateness_s = lateness_s
        self._future_ms = future_s * 1_000
        self._clock_ms = UNSET_MS
        self._number = 0
        self._open: list[TimedEvents] = []
        self._late: list[TimedEvents] = []
        self._held: EventColumns | None = None
        self._next_record = 0
        self._pending: deque[tuple[Tally, int, int]] = deque()
        """Tallies that the log has not acknowledged, each with its first record and its clock."""
        self._base = ResumePoint(0, UNSET_MS)
        self._acknowledged: Tally | None = None
        self._rereading = False

    @property
    def clock_ms(self) -> int:
        """The running maximum of event times (UNSET_MS before the first)."""
        return self._clock_ms

    @property
    def through(self) -> int:
        """The last tick this partition has passed."""
        return int(through(np.array([self._clock_ms]), self._lateness_s)[0])

    def resume(self, point: ResumePoint) -> None:
        """Continue where another owner stopped: what the log has is computed, not given again."""
        self._base = point
        self._clock_ms = point.clock_ms
        self._next_record = point.offset
        self._number = point.number
        self._rereading = point.made_at >= point.offset

    def slots_in_use(self) -> tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]:
        """Give the ip and mailbox slots that this partition still refers to."""
        parts: list[EventColumns | Rows] = [part.events for part in (*self._open, *self._late)]
        if self._held is not None:
            parts.append(self._held)
        parts += [tally.rows for tally, _, _ in self._pending]
        return [part.ip for part in parts], [part.rcpt for part in parts]

    def acknowledge(self, number: int) -> None:
        """Note that the log holds every tally up to `number`."""
        while self._pending and self._pending[0][0].number <= number:
            self._acknowledged = self._pending.popleft()[0]

    def resume_point(self) -> ResumePoint:
        """Give the lowest offset whose rows the log may lack, with what the next owner needs."""
        last = self._acknowledged
        if last is None and (self._base.number or self._rereading):
            return self._base
        candidates = [(self._next_record, self._clock_ms)]
        if self._held is not None and len(self._held):
            candidates.append((int(self._held.record[0]), self._clock_ms))
        for part in (*self._open, *self._late):
            first = int(part.events.record.argmin())
            candidates.append((int(part.events.record[first]), int(part.before[first])))
        candidates += [(first, clock_ms) for _, first, clock_ms in self._pending]
        offset, clock_ms = min(candidates)
        if last is None:
            return ResumePoint(offset, clock_ms)
        return ResumePoint(
            offset, clock_ms, last.number, last.tick, last.through, last.made_at, last.last_record
        )

    def feed(
        self, events: EventColumns, next_record: int, *, final: bool = False
    ) -> tuple[list[Tally], list[Reject]]:
        """Take the next events; give the tallies they close and the rejects that lie in the future.

        `next_record` is the position behind the last record read (also where a record gave no
        event). `final` says that the input ends here: a jump waits for no more look-ahead, but
        open ticks stay open (`finish` closes them).
        """
        if self._held is not None:
            events = joined([self._held, events])
            self._held = None
        self._next_record = next_record
        tallies: list[Tally] = []
        rejects: list[Reject] = []
        events = self._without_future(events, rejects)
        look = len(events)
        while len(events):
            head = events.take(slice(0, record_end(events.record, look)))
            jump = first_jump(head, self._clock_ms, self._future_ms)
            if jump is None:
                tallies += self._count(head)
                events = events.take(slice(len(head), None))
                look *= 4
                continue
            look = _LOOK_AFTER_JUMP
            tallies += self._count(events.take(slice(0, jump)))
            events = events.take(slice(jump, None))
            verdict = confirmed(events, self._future_ms, final=final)
            if verdict is None:
                self._held = events
                break
            stop = record_end(events.record, 1)
            if verdict:
                tallies += self._count(events.take(slice(0, stop)))
            else:
                rejects.append(_future(events, 0))
            events = events.take(slice(stop, None))
        return tallies, rejects

    def finish(self) -> list[Tally]:
        """Close every open tick of a finite input; the last tally has the rest of the late rows."""
        if self._rereading:
            # The log's last tally was made here, by the end of the input.
            self._forget_known(clear_late=True)
            self._rereading = False
        events = [part.events.time_ms for part in self._open]
        if not events and not self._late:
            return []
        last = max([int(times.max()) // TICK_MS for times in events], default=self.through)
        before, self._clock_ms = (
            self.through,
            max(self._clock_ms, (last + 1 + self._lateness_s) * TICK_MS),
        )
        return self._close(
            before, max(last, before), self._next_record, self._clock_ms, self._pieces(last)
        )

    def _without_future(self, events: EventColumns, rejects: list[Reject]) -> EventColumns:
        """Drop what lies too far ahead of its own receipt."""
        if events.received_ms is None:
            return events
        limit = events.received_ms + self._future_ms
        future = (events.received_ms != ABSENT) & (events.time_ms > limit)
        if not future.any():
            return events
        rows = np.flatnonzero(future)
        _, first = np.unique(events.record[rows], return_index=True)
        rejects += [_future(events, row) for row in rows[first].tolist()]
        return events.take(~future)

    def _count(self, events: EventColumns) -> list[Tally]:
        """Count accepted events, leaving out what the log already has after a resume."""
        if not self._rereading:
            return self._advance(events)
        made_at = self._base.made_at
        known = int(np.searchsorted(events.record, made_at, side="left"))
        maker = int(np.searchsorted(events.record, made_at, side="right"))
        if known:
            self._advance(events.take(slice(0, known)))
        if maker == known and known == len(events):
            self._forget_known(clear_late=False)
            return []
        self._forget_known(clear_late=True)
        tallies = self._advance(events.take(slice(known, maker)))
        if tallies and self._base.through >= tallies[-1].through:
            tallies = []
            self._forget_known(clear_late=True)
        self._late = []
        self._rereading = False
        return tallies + self._advance(events.take(slice(maker, None)))

    def _forget_known(self, *, clear_late: bool) -> None:
        """Drop what the acknowledged tallies hold, as known from the resume point."""
        self._pending.clear()
        self._number = self._base.number
        if not clear_late:
            return
        self._late = []
        kept = []
        for part in self._open:
            tick = part.events.time_ms // TICK_MS
            known = (tick < self._base.tick) | (
                (tick == self._base.tick) & (part.events.record <= self._base.last_record)
            )
            if not known.all():
                kept.append(part.take(~known))
        self._open = kept

    def _advance(self, events: EventColumns) -> list[Tally]:
        """Advance the clock over events and give the tallies that this closes."""
        if not len(events):
            return []
        before, after = running_clock(events.time_ms, events.record, self._clock_ms)
        timed = TimedEvents(events, before)
        is_event = events.ip != HEARTBEAT
        passed_before = through(before, self._lateness_s)
        passed_after = through(after, self._lateness_s)
        late = (events.time_ms // TICK_MS <= passed_before) & is_event
        on_time = is_event & ~late
        if on_time.all():
            self._open.append(timed)
        elif on_time.any():
            self._open.append(timed.take(on_time))
        closing = np.flatnonzero(passed_after > passed_before)
        if closing.size:
            closing = closing[begins(events.record[closing])]
        late_rows = np.flatnonzero(late)
        pieces = self._pieces(int(passed_after[-1])) if closing.size else deque()
        tallies: list[Tally] = []
        start = 0
        closes = zip(
            np.searchsorted(late_rows, closing).tolist(),
            passed_before[closing].tolist(), passed_after[closing].tolist(),
            events.record[closing].tolist(), before[closing].tolist(), strict=True,
        )  # fmt: skip
        for stop, passed, passes, record, clock_ms in closes:
            if stop > start:
                tallies += self._keep_late(timed, late_rows[start:stop])
                start = stop
            tallies += self._close(passed, passes, record, clock_ms, pieces)
        if late_rows.size:
            tallies += self._keep_late(timed, late_rows[start:])
        self._clock_ms = int(after[-1])
        return tallies

    def _pieces(self, upto: int) -> deque[_Piece]:
        """Take the open events of all ticks up to `upto` and sum them, tick by tick."""
        if not self._open:
            return deque()
        opened = joined_timed(self._open)
        tick = opened.events.time_ms // TICK_MS
        due = tick <= upto
        self._open = []
        if not due.all():
            self._open.append(opened.take(~due))
            if not due.any():
                return deque()
            opened, tick = opened.take(due), tick[due]
        if (tick[1:] < tick[:-1]).any():
            order = np.argsort(tick, kind="stable")
            opened, tick = opened.take(order), tick[order]
        starts = np.flatnonzero(begins(tick)).tolist()
        cuts: list[int] = []
        for start, stop in pairwise([*starts, tick.size]):
            cuts += part_starts(opened.events.record, start, stop, PART_ROWS)
        cuts.append(tick.size)
        rows, row_cuts = summed(opened.events, tick, cuts)
        firsts, lasts = np.array(cuts[:-1]), np.array(cuts[1:])
        following = np.append(tick, UNSET_MS)
        record, clock = opened.events.record, opened.before
        return deque(
            _Piece(*values)
            for values in zip(
                tick[firsts].tolist(), (following[lasts] != tick[firsts]).tolist(), repeat(rows),
                row_cuts[:-1], row_cuts[1:],
                record[firsts].tolist(), clock[firsts].tolist(), record[lasts - 1].tolist(),
                strict=False,
            )
        )  # fmt: skip

    def _close(
        self, passed_before: int, passed_after: int, record: int, clock_ms: int,
        pieces: deque[_Piece],
    ) -> list[Tally]:  # fmt: skip
        """Make the tallies that one record closes; the last of them passes all of its ticks.

        `clock_ms` is the clock before the record.
        """
        out: list[Tally] = []
        while pieces and pieces[0].tick <= passed_after:
            piece = pieces.popleft()
            if not pieces or pieces[0].tick > passed_after:
                passed = passed_after
            else:
                passed = piece.tick if piece.completes else piece.tick - 1
            out.append(self._make(piece.tick, passed, record, clock_ms, piece, self._take_late()))
        if not out and (passed_after > passed_before or self._late):
            late = self._take_late()
            out.append(self._make(passed_after + 1, passed_after, record, clock_ms, None, late))
        return out

    def _keep_late(self, timed: TimedEvents, rows: NDArray[np.int64]) -> list[Tally]:
        """Keep late events for the next tally; those that fill a part go at once."""
        if not rows.size:
            return []
        self._late.append(timed.take(rows))
        if sum(len(part.events) for part in self._late) <= PART_ROWS:
            return []
        kept = joined_timed(self._late)
        cuts = part_starts(kept.events.record, 0, len(kept.events), PART_ROWS)
        out = []
        for start, stop in pairwise(cuts):
            part = kept.take(slice(start, stop))
            clock = np.maximum(part.before[-1:], part.events.time_ms[-1:])
            passed = int(through(clock, self._lateness_s)[0])
            record, before = int(part.events.record[-1]), int(part.before[-1])
            out.append(self._make(passed + 1, passed, record, before, None, part))
        self._late = [kept.take(slice(cuts[-1], None))]
        return out

    def _take_late(self) -> TimedEvents | None:
        late = joined_timed(self._late) if self._late else None
        self._late = []
        return late

    def _make(
        self, tick: int, passed: int, record: int, clock_ms: int,
        piece: _Piece | None, late: TimedEvents | None,
    ) -> Tally:  # fmt: skip
        """Number a tally and note from where it would have to be read again."""
        self._number += 1
        head = (self.partition, self._number, tick, passed, record)
        if piece is not None and late is None:
            tally = Tally(*head, piece.last_record, piece.block, start=piece.start, stop=piece.stop)
            self._pending.append((tally, piece.first_record, piece.clock_ms))
            return tally
        parts: list[Rows] = []
        firsts: list[tuple[int, int]] = []
        if piece is not None:
            parts.append(take_rows(piece.block, slice(piece.start, piece.stop)))
            firsts.append((piece.first_record, piece.clock_ms))
        if late is not None:
            order = np.argsort(late.events.time_ms // TICK_MS, kind="stable")
            events = late.events.take(order)
            parts.append(summed(events, events.time_ms // TICK_MS, [0, len(events)])[0])
            firsts.append((int(late.events.record[0]), int(late.before[0])))
        last = piece.last_record if piece is not None else ABSENT
        tally = Tally(*head, last, join_rows(parts))
        self._pending.append((tally, *min(firsts, default=(record, clock_ms))))
        return tally


def _future(events: EventColumns, row: int) -> Reject:
    detail = (
        f"time: {int(events.time_ms[row])} lies more than the limit ahead of its receipt or clock"
    )
    return Reject(int(events.record[row]), "future", detail, b"")
