"""Ingest: the events of one input partition become tallies, a pure function of its records.

A tally counts one closed tick by (ip, recipient, outcome). It is the same whoever computes it, in
whatever batches: a repeated one is recognised by its number and dropped, a missing one is a gap.
Late events ride in the next tally and keep their tick.

    record      r0   r1   r2        r3            r4
    tick        10   11   10 late?  13 closes 10  17 closes 11, 13 (and the empty 12, 14)
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.decode import HEARTBEAT, NULL_SENDER, EventColumns
from detector.events import ABSENT, Reject
from detector.partition_clock import LOOKAHEAD, TICK_MS, UNSET_MS, first_jump, running_clock
from detector.partition_clock import through_tick as through

__all__ = ["PART_ROWS", "PartitionTally", "ResumePoint", "Rows", "Tally", "join_rows", "take_rows"]

PART_ROWS: Final = 8_192
"""A part holds at most this many events, hence at most this many rows; cut at a record."""

_ROW: Final = np.dtype(
    [
        ("tick", np.int64),
        ("ip", np.int32),
        ("rcpt", np.int32),
        ("count", np.uint32),
        ("nulls", np.uint32),
        ("senders", np.uint64),
        ("asn", np.int64),
        ("outcome", np.uint8),
    ]
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Counts of events, one row a (tick, ip, rcpt, outcome), as arrays of one length.

    tick i64 · ip, rcpt i32 slots · outcome u8 · count, nulls u32 (nulls: null senders among
    count) · senders u64 (bitmap of sender domains) · asn i64 (what the event said, or ABSENT).
    """

    tick: NDArray[np.int64]
    ip: NDArray[np.int32]
    rcpt: NDArray[np.int32]
    outcome: NDArray[np.uint8]
    count: NDArray[np.uint32]
    nulls: NDArray[np.uint32]
    senders: NDArray[np.uint64]
    asn: NDArray[np.int64]

    def __len__(self) -> int:
        """Count the rows."""
        return self.tick.size

    def columns(self) -> tuple[NDArray[np.generic], ...]:
        """Give the columns in their fixed order."""
        return (
            self.tick, self.ip, self.rcpt, self.outcome,
            self.count, self.nulls, self.senders, self.asn,
        )  # fmt: skip


NO_ROWS: Final = Rows(*(np.zeros(0, _ROW[name]) for name in (
    "tick", "ip", "rcpt", "outcome", "count", "nulls", "senders", "asn"
)))  # fmt: skip


def take_rows(rows: Rows, index: NDArray[np.generic] | slice) -> Rows:
    """Select rows by a mask, indexes or a slice."""
    return Rows(*(column[index] for column in rows.columns()))  # type: ignore[arg-type]


def join_rows(parts: list[Rows]) -> Rows:
    """Put rows behind each other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return NO_ROWS
    columns = zip(*(part.columns() for part in parts), strict=True)
    return Rows(*(np.concatenate(column) for column in columns))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Tally:
    """What one record of the input closed, or one part of it.

    `number` counts the partition's tallies from 1. `tick` is the tick that the on-time rows
    belong to; a tally without them (late rows only, or empty ticks) has the tick behind
    `through`, which is when its late rows count. `through` is the last tick the partition has
    passed. `made_at` is the position of the record that closed it, `last_record` that of the last
    record with on-time rows in it (ABSENT: none).
    """

    partition: int
    number: int
    tick: int
    through: int
    made_at: int
    last_record: int
    rows: Rows


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where the next owner of a partition reads on, written with the committed offset.

    `offset` is the first record to read, `clock_ms` the clock before it. The rest describes the
    last tally that the log acknowledged (`number` 0: none).
    """

    offset: int
    clock_ms: int
    number: int = 0
    tick: int = ABSENT
    through: int = ABSENT
    made_at: int = ABSENT
    last_record: int = ABSENT


@dataclass(frozen=True, slots=True)
class _Timed:
    """Accepted events in record order, with the clock before each one's record (i64)."""

    events: EventColumns
    before: NDArray[np.int64]

    def take(self, rows: NDArray[np.generic] | slice) -> "_Timed":
        return _Timed(self.events.take(rows), self.before[rows])


@dataclass(frozen=True, slots=True)
class _Piece:
    """The summed on-time rows of one closed tick, or of one part of it."""

    tick: int
    completes: bool
    rows: Rows
    first_record: int
    clock_ms: int
    last_record: int


class PartitionTally:
    """The state of one input partition: clock, open rows, late rows, what the log has not got yet."""

    def __init__(self, partition: int, lateness_s: int, future_s: int) -> None:
        self.partition = partition
        self._lateness_s = lateness_s
        self._future_ms = future_s * 1_000
        self._clock_ms = UNSET_MS
        self._number = 0
        self._open: list[_Timed] = []
        self._late: list[_Timed] = []
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
        """Continue where another owner stopped: what the log has is computed but not given again."""
        self._base = point
        self._clock_ms = point.clock_ms
        self._next_record = point.offset
        self._number = point.number
        self._rereading = point.made_at >= point.offset

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
            events = _joined([self._held, events])
            self._held = None
        self._next_record = next_record
        tallies: list[Tally] = []
        rejects: list[Reject] = []
        events = self._without_future(events, rejects)
        while len(events):
            jump = first_jump(events, self._clock_ms, self._future_ms)
            if jump is None:
                tallies += self._count(events)
                break
            tallies += self._count(events.take(slice(0, jump)))
            events = events.take(slice(jump, None))
            verdict = _confirmed(events, self._future_ms, final=final)
            if verdict is None:
                self._held = events
                break
            same = events.record == events.record[0]
            if verdict:
                stop = int(np.flatnonzero(same)[-1]) + 1
                tallies += self._count(events.take(slice(0, stop)))
                events = events.take(slice(stop, None))
            else:
                rejects.append(_future(events, 0))
                events = events.take(~same)
        return tallies, rejects

    def finish(self) -> list[Tally]:
        """Close every open tick of a finite input; the last tally has the rest of the late rows."""
        events = [part.events.time_ms for part in self._open]
        if not events and not self._late:
            return []
        last = max([int(times.max()) // TICK_MS for times in events], default=self.through)
        before, self._clock_ms = self.through, max(
            self._clock_ms, (last + 1 + self._lateness_s) * TICK_MS
        )
        return self._close(before, max(last, before), self._next_record, self._pieces(last))

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
        timed = _Timed(events, before)
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
            records = events.record[closing]
            closing = closing[np.r_[True, records[1:] != records[:-1]]]
        late_rows = np.flatnonzero(late)
        pieces = self._pieces(int(passed_after[-1])) if closing.size else deque()
        tallies: list[Tally] = []
        start = 0
        for index in closing.tolist():
            if late_rows.size:
                stop = int(np.searchsorted(late_rows, index))
                tallies += self._keep_late(timed, late_rows[start:stop])
                start = stop
            tallies += self._close(
                int(passed_before[index]), int(passed_after[index]),
                int(events.record[index]), pieces,
            )  # fmt: skip
        if late_rows.size:
            tallies += self._keep_late(timed, late_rows[start:])
        self._clock_ms = int(after[-1])
        return tallies

    def _pieces(self, upto: int) -> deque[_Piece]:
        """Take the open events of all ticks up to `upto` and sum them, tick by tick."""
        if not self._open:
            return deque()
        opened = _joined_timed(self._open)
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
        starts = np.flatnonzero(np.r_[True, tick[1:] != tick[:-1]]).tolist()
        cuts: list[int] = []
        for start, stop in pairwise([*starts, tick.size]):
            cuts += _part_starts(opened.events.record, start, stop)
        cuts.append(tick.size)
        rows, row_cuts = _summed(opened.events, tick, cuts)
        record, clock = opened.events.record, opened.before
        return deque(
            _Piece(
                int(tick[a]),
                b == tick.size or bool(tick[b] != tick[a]),
                take_rows(rows, slice(row_cuts[i], row_cuts[i + 1])),
                int(record[a]), int(clock[a]), int(record[b - 1]),
            )
            for i, (a, b) in enumerate(pairwise(cuts))
        )  # fmt: skip

    def _close(
        self, passed_before: int, passed_after: int, record: int, pieces: deque[_Piece]
    ) -> list[Tally]:
        """Make the tallies that one record closes; the last of them passes all of its ticks."""
        out: list[Tally] = []
        while pieces and pieces[0].tick <= passed_after:
            piece = pieces.popleft()
            if not pieces or pieces[0].tick > passed_after:
                passed = passed_after
            else:
                passed = piece.tick if piece.completes else piece.tick - 1
            out.append(self._make(piece.tick, passed, record, piece, self._take_late()))
        if not out and (passed_after > passed_before or self._late):
            out.append(self._make(passed_after + 1, passed_after, record, None, self._take_late()))
        return out

    def _keep_late(self, timed: _Timed, rows: NDArray[np.int64]) -> list[Tally]:
        """Keep late events for the next tally; those that fill a part go at once."""
        if not rows.size:
            return []
        self._late.append(timed.take(rows))
        if sum(len(part.events) for part in self._late) <= PART_ROWS:
            return []
        kept = _joined_timed(self._late)
        cuts = _part_starts(kept.events.record, 0, len(kept.events))
        out = []
        for start, stop in pairwise(cuts):
            part = kept.take(slice(start, stop))
            clock = np.maximum(part.before[-1:], part.events.time_ms[-1:])
            passed = int(through(clock, self._lateness_s)[0])
            out.append(self._make(passed + 1, passed, int(part.events.record[-1]), None, part))
        self._late = [kept.take(slice(cuts[-1], None))]
        return out

    def _take_late(self) -> _Timed | None:
        late = _joined_timed(self._late) if self._late else None
        self._late = []
        return late

    def _make(
        self, tick: int, passed: int, record: int, piece: _Piece | None, late: _Timed | None
    ) -> Tally:
        """Number a tally and note from where it would have to be read again."""
        self._number += 1
        parts: list[Rows] = []
        firsts: list[tuple[int, int]] = []
        if piece is not None:
            parts.append(piece.rows)
            firsts.append((piece.first_record, piece.clock_ms))
        if late is not None:
            order = np.argsort(late.events.time_ms // TICK_MS, kind="stable")
            events = late.events.take(order)
            parts.append(_summed(events, events.time_ms // TICK_MS, [0, len(events)])[0])
            firsts.append((int(late.events.record[0]), int(late.before[0])))
        last = piece.last_record if piece is not None else ABSENT
        rows = join_rows(parts)
        tally = Tally(self.partition, self._number, tick, passed, record, last, rows)
        first, clock_ms = min(firsts, default=(record + 1, self._clock_ms))
        self._pending.append((tally, first, clock_ms))
        return tally


def _part_starts(record: NDArray[np.int64], start: int, stop: int) -> list[int]:
    """Cut `[start, stop)` into parts of at most PART_ROWS events, at a record."""
    starts = [start]
    while stop - starts[-1] > PART_ROWS:
        cut = starts[-1] + PART_ROWS
        while record[cut - 1] == record[cut]:
            cut -= 1
        starts.append(cut)
    return starts


def _summed(
    events: EventColumns, tick: NDArray[np.int64], cuts: list[int]
) -> tuple[Rows, list[int]]:
    """Sum events by (piece, tick, ip, rcpt, outcome); pieces are the slices between `cuts`.

    Returns the rows and, for each cut, where the rows of its piece begin.
    """
    size = tick.size
    piece = np.repeat(np.arange(len(cuts) - 1), np.diff(cuts))
    base = piece if len(cuts) > 2 else tick - tick[:1]  # noqa: PLR2004 - a piece has one tick
    ip, rcpt = events.ip.astype(np.int64), events.rcpt.astype(np.int64) + 1
    widths = [int(column.max(initial=0)).bit_length() for column in (base, ip, rcpt)]
    if sum(widths) + 5 < 63:  # noqa: PLR2004 - the packed key is one int64
        key = (((base << widths[1] | ip) << widths[2] | rcpt) << 5) | events.outcome
        order = np.argsort(key)
        key = key[order]
        first = np.r_[True, key[1:] != key[:-1]]
    else:
        order = np.lexsort((events.outcome, rcpt, ip, base))
        keys = [column[order] for column in (base, ip, rcpt, events.outcome)]
        first = np.r_[True, np.logical_or.reduce([k[1:] != k[:-1] for k in keys])]
    sender = events.sender[order]
    is_null = sender == NULL_SENDER
    known = sender < NULL_SENDER
    bits = np.where(known, np.uint64(1) << (sender & 63).astype(np.uint64), np.uint64(0))
    starts = np.flatnonzero(first)
    head = order[starts]
    if starts.size == size:
        count, nulls = np.ones(size, np.uint32), is_null.astype(np.uint32)
        asn = np.full(size, ABSENT, np.int64) if events.asn is None else events.asn[order]
    else:
        count = np.diff(np.r_[starts, size]).astype(np.uint32)
        nulls = np.add.reduceat(is_null, starts, dtype=np.uint32)
        bits = np.bitwise_or.reduceat(bits, starts)
        asn = (
            np.full(starts.size, ABSENT, np.int64)
            if events.asn is None
            else np.maximum.reduceat(events.asn[order], starts)
        )
    rows = Rows(
        tick[head], events.ip[head], events.rcpt[head], events.outcome[head],
        count, nulls, bits, asn,
    )  # fmt: skip
    return rows, np.searchsorted(piece[head], np.arange(len(cuts))).tolist()


def _confirmed(events: EventColumns, future_ms: int, *, final: bool) -> bool | None:
    """Say whether the records behind a jump (the first event) confirm it; None: too few yet."""
    records, first = np.unique(events.record, return_index=True)
    followers = events.time_ms[first[1 : LOOKAHEAD + 1]]
    if followers.size < LOOKAHEAD and not final:
        return None
    before = followers < events.time_ms[0] - future_ms
    return 2 * int(before.sum()) <= followers.size


def _joined(parts: list[EventColumns]) -> EventColumns:
    """Put columns behind each other; an optional column is filled where only some have it."""

    def optional(name: str) -> NDArray[np.int64] | None:
        columns = [getattr(part, name) for part in parts]
        if all(column is None for column in columns):
            return None
        return np.concatenate(
            [
                np.full(len(part), ABSENT, np.int64) if column is None else column
                for part, column in zip(parts, columns, strict=True)
            ]
        )

    if len(parts) == 1:
        return parts[0]
    return EventColumns(
        np.concatenate([part.record for part in parts]),
        np.concatenate([part.time_ms for part in parts]),
        optional("received_ms"),
        np.concatenate([part.ip for part in parts]),
        np.concatenate([part.rcpt for part in parts]),
        np.concatenate([part.outcome for part in parts]),
        np.concatenate([part.sender for part in parts]),
        optional("asn"),
    )


def _joined_timed(parts: list[_Timed]) -> _Timed:
    if len(parts) == 1:
        return parts[0]
    return _Timed(
        _joined([part.events for part in parts]), np.concatenate([part.before for part in parts])
    )


def _future(events: EventColumns, row: int) -> Reject:
    detail = f"time: {int(events.time_ms[row])} lies more than the limit ahead of its receipt or clock"
    return Reject(int(events.record[row]), "future", detail, b"")
