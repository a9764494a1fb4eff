"""Rows and tallies: what ingest hands on, as arrays of one length."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.events.contract import ABSENT

__all__ = ["NO_ROWS", "ResumePoint", "Rows", "Tally", "join_rows", "take_rows", "tally_rows"]

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

    def columns(self) -> tuple[Any, ...]:
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
    return Rows(*(column[index] for column in rows.columns()))


def join_rows(parts: list[Rows]) -> Rows:
    """Put rows behind each other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return NO_ROWS
    columns = zip(*(part.columns() for part in parts), strict=True)
    return Rows(*(np.concatenate(column) for column in columns))


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
    block: Rows
    start: int = field(default=0, kw_only=True)
    stop: int | None = field(default=None, kw_only=True)

    @property
    def rows(self) -> Rows:
        """The rows: `[start, stop)` of `block`, which tallies made together share.

        Cutting costs a microsecond; `tally_rows` joins many tallies without it.
        """
        if self.stop is None:
            return self.block
        return take_rows(self.block, slice(self.start, self.stop))

    def __len__(self) -> int:
        """Count the rows."""
        return (len(self.block) if self.stop is None else self.stop) - self.start


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


def tally_rows(tallies: Sequence[Tally]) -> Rows:
    """Put the rows of tallies behind each other; neighbours in one block are one cut."""
    parts: list[Rows] = []
    block, start, stop = NO_ROWS, 0, 0
    for tally in tallies:
        if tally.block is block and tally.start == stop and tally.stop is not None:
            stop = tally.stop
            continue
        if stop > start:
            parts.append(take_rows(block, slice(start, stop)))
        block, start, stop = tally.block, tally.start, tally.start + len(tally)
    if stop > start:
        parts.append(take_rows(block, slice(start, stop)))
    return join_rows(parts)
