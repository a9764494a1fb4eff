"""Reads the log and closes ticks: a tick closes when all awaited partitions have passed it.

    partition 0   through 12 ────┐
    partition 1   through 10 ────┼─► closed through 10
    partition 2   dead, not awaited

On-time rows count at the close of their own tick. Late rows count at the close of the tally they
ride in, keeping their tick; both follow from the tally alone, so that interleaving never matters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import TallyGapError
from detector.log import Control, Dead, End, Gap, Idle, LogRecord, Partitions, Timed
from detector.partition_clock import TICK_MS
from detector.tally import Rows, Tally, join_rows, take_rows

__all__ = ["BEFORE_ALL", "Close", "LogCloser", "PendingControl"]

BEFORE_ALL: Final = -(2**40)
"""The close before the first tick."""

_AWAITED: Final = "awaited"
_IDLE: Final = "idle"
_DEAD: Final = "dead"
_ENDED: Final = "ended"


@dataclass(frozen=True, slots=True)
class PendingControl:
    """A control with a time, waiting for the first close at or after it; `offset` in the log."""

    offset: int
    control: Timed


@dataclass(frozen=True, slots=True)
class Close:
    """Ticks `first..last` close together. `at` (i64) is the close at which each row counts.

    `unobserved` are the ticks in the range during which a partition was dead or lost.
    """

    first: int
    last: int
    rows: Rows
    at: NDArray[np.int64]
    controls: tuple[PendingControl, ...]
    unobserved: int


@dataclass(slots=True)
class _Partition:
    state: str = _AWAITED
    number: int = 0
    through: int = BEFORE_ALL
    last_rows_tick: int = BEFORE_ALL


@dataclass(slots=True)
class LogCloser:
    """Follows the log, record by record; `accept` gives what closes."""

    partitions: dict[int, _Partition] = field(default_factory=dict)
    closed: int = BEFORE_ALL
    repeated: int = 0
    _rows: list[tuple[Rows, NDArray[np.int64]]] = field(default_factory=list)
    _controls: list[PendingControl] = field(default_factory=list)

    def accept(self, record: LogRecord, offset: int) -> Close | None:
        """Take the record at `offset` of the log; give what it closes, if anything.

        Raises:
            TallyGapError: a tally is missing and no gap was declared for it.
        """
        match record:
            case Tally():
                if not self._tally(record):
                    return None
            case Partitions(count):
                for number in range(count):
                    self.partitions.setdefault(number, _Partition())
            case Idle(number):
                self._state(number, _IDLE)
            case Dead(number):
                self._state(number, _DEAD)
            case End(number):
                self._state(number, _ENDED)
            case Gap(number, _, last):
                part = self.partitions.setdefault(number, _Partition())
                part.number = max(part.number, last)
                part.state = _DEAD
            case _:
                self._controls.append(PendingControl(offset, record))
                return None
        return self._close()

    def _state(self, number: int, state: str) -> None:
        part = self.partitions.setdefault(number, _Partition())
        if part.state != _ENDED:
            part.state = state

    def _tally(self, tally: Tally) -> bool:
        part = self.partitions.setdefault(tally.partition, _Partition())
        if tally.number <= part.number:
            self.repeated += 1
            return False
        if tally.number != part.number + 1:
            raise TallyGapError(
                partition=tally.partition, first=part.number + 1, last=tally.number - 1
            )
        part.number = tally.number
        part.through = max(part.through, tally.through)
        if part.through > self.closed:
            part.state = _AWAITED
        if len(tally.rows):
            counts_at = np.maximum(tally.rows.tick, max(tally.tick, self.closed + 1))
            on_time = tally.rows.tick == tally.tick
            counts_at[on_time] = max(tally.tick, self.closed + 1)
            part.last_rows_tick = max(part.last_rows_tick, int(counts_at.max()))
            self._rows.append((tally.rows, counts_at))
        return True

    def _close(self) -> Close | None:
        awaited = [p.through for p in self.partitions.values() if p.state == _AWAITED]
        if awaited:
            upto = min(awaited)
        elif all(p.state == _ENDED for p in self.partitions.values()) and self.partitions:
            upto = max(p.last_rows_tick for p in self.partitions.values())
        else:
            upto = max((p.through for p in self.partitions.values()), default=BEFORE_ALL)
        if upto <= self.closed or upto <= BEFORE_ALL:
            return None
        rows, at = self._release(upto)
        if self.closed == BEFORE_ALL:
            first = int(min(at.min(initial=upto), upto))
        else:
            first = self.closed + 1
        lost = any(p.state == _DEAD for p in self.partitions.values())
        due = [c for c in self._controls if c.control.time_ms < (upto + 1) * TICK_MS]
        self._controls = [c for c in self._controls if c not in due]
        due.sort(key=lambda c: (c.control.time_ms, c.offset))
        self.closed = upto
        return Close(first, upto, rows, at, tuple(due), upto - first + 1 if lost else 0)

    def _release(self, upto: int) -> tuple[Rows, NDArray[np.int64]]:
        """Take the pending rows that count up to a close, in the order of their closes."""
        if not self._rows:
            return join_rows([]), np.zeros(0, np.int64)
        rows = join_rows([rows for rows, _ in self._rows])
        at = np.concatenate([at for _, at in self._rows])
        later = at > upto
        self._rows = []
        if later.any():
            keep = np.flatnonzero(later)
            self._rows.append((take_rows(rows, keep), at[keep]))
            now = np.flatnonzero(~later)
            rows, at = take_rows(rows, now), at[now]
        if (at[1:] < at[:-1]).any():
            order = np.argsort(at, kind="stable")
            rows, at = take_rows(rows, order), at[order]
        return rows, at

    def slots_in_use(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Give the ip and mailbox slots that pending rows refer to."""
        rows = join_rows([rows for rows, _ in self._rows])
        return rows.ip, rows.rcpt

    def pending_controls(self) -> Sequence[PendingControl]:
        """Give the controls that wait for a close."""
        return tuple(self._controls)
