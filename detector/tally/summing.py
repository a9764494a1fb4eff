"""Events with their clock, put together, cut into parts, and summed into rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.events.contract import ABSENT
from detector.events.decode import NULL_SENDER, EventColumns
from detector.tally.rows import Rows

__all__ = [
    "TimedEvents",
    "begins",
    "joined",
    "joined_timed",
    "part_starts",
    "record_end",
    "summed",
]


@dataclass(frozen=True, slots=True)
class TimedEvents:
    """Accepted events in record order, with the clock before each one's record (i64)."""

    events: EventColumns
    before: NDArray[np.int64]

    def take(self, rows: NDArray[np.generic] | slice) -> "TimedEvents":
        """Select events by a mask, indexes or a slice."""
        return TimedEvents(self.events.take(rows), self.before[rows])


def begins(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Say of each value whether it differs from the one before it (the first one does)."""
    out = np.ones(values.size, np.bool_)
    np.not_equal(values[1:], values[:-1], out=out[1:])
    return out


def record_end(record: NDArray[np.int64], at: int) -> int:
    """Give the first index from `at` on where a record begins, or the length (0 < at)."""
    while at < record.size and record[at] == record[at - 1]:
        at += 1
    return min(at, record.size)


def part_starts(record: NDArray[np.int64], start: int, stop: int, most: int) -> list[int]:
    """Cut `[start, stop)` into parts of at most `most` events, at a record; give their starts."""
    starts = [start]
    while stop - starts[-1] > most:
        cut = starts[-1] + most
        while record[cut - 1] == record[cut]:
            cut -= 1
        starts.append(cut)
    return starts


def summed(
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
        first = begins(key)
    else:
        order = np.lexsort((events.outcome, rcpt, ip, base))
        keys = [column[order] for column in (base, ip, rcpt, events.outcome)]
        first = np.logical_or.reduce([begins(key) for key in keys])
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
        count = np.diff(starts, append=size).astype(np.uint32)
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


def joined(parts: list[EventColumns]) -> EventColumns:
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


def joined_timed(parts: list[TimedEvents]) -> TimedEvents:
    """Put events with their clocks behind each other."""
    if len(parts) == 1:
        return parts[0]
    return TimedEvents(
        joined([part.events for part in parts]), np.concatenate([part.before for part in parts])
    )
