"""Reads the log and closes ticks: a tick closes when all awaited partitions have passed it.

    partition 0   through 12 ────┐
    partition 1   through 10 ────┼─► closed through 10
    partition 2   dead, not awaited

On-time rows count at the close of their own tick. Late rows count at the close of the tally they
ride in, keeping their tick; both follow from the tally alone, so that interleaving never matters.
"""

import itertools
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import TallyGapError
from detector.events.numbering import Numbering
from detector.log.records import (
    AsnTableChange,
    Dead,
    End,
    Gap,
    Idle,
    LogRecord,
    Partitions,
    PolicyChange,
    Timed,
)
from detector.policy.settings import MINUTE_S
from detector.tally.partition_clock import TICK_MS
from detector.tally.rows import Rows, Tally, join_rows, take_rows, tally_rows

__all__ = ["BEFORE_ALL", "Close", "LogCloser", "PendingControl", "acts_at"]

BEFORE_ALL: Final = -(2**40)
"""The close before the first tick."""

SILENCE_S: Final = 3_600
"""Longer silence of all partitions is not taken for quiet (a mail server logs more often)."""

_ROW_COLUMNS: Final = tuple(column.name for column in fields(Rows))
_AWAITED: Final = "awaited"
_IDLE: Final = "idle"
_DEAD: Final = "dead"
_ENDED: Final = "ended"


@dataclass(frozen=True, slots=True)
class PendingControl:
    """A control with a time, waiting for the first close at or after it; `offset` in the log."""

    offset: int
    control: Timed


def acts_at(control: Timed, first: int) -> int:
    """Give the close at which a control acts, when `first` is the next one.

    That is the first one at or after its time. A new policy or ASN table waits for the end of
    that minute, because what a minute looks at is settled when it begins.
    """
    tick = max(first, control.time_ms // TICK_MS)
    if isinstance(control, PolicyChange | AsnTableChange):
        return tick // MINUTE_S * MINUTE_S + MINUTE_S - 1
    return tick


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
    torn: bool = False
    """A gap was declared behind its last tally, and the next one has not come yet."""
    lost_through: int = BEFORE_ALL
    """The last tick that a declared gap may have taken with it."""
    silences: list[tuple[int, int]] = field(default_factory=list)
    """First and last tick of what exceeds an hour without a row or heartbeat; not closed yet."""


@dataclass(slots=True)
class LogCloser:
    """Follows the log, record by record."""

    partitions: dict[int, _Partition] = field(default_factory=dict)
    closed: int = BEFORE_ALL
    repeated: int = 0
    started: bool = False
    """Whether a row has counted: the quiet before it closes without a trace."""
    _rows: list[tuple[Rows, NDArray[np.int64]]] = field(default_factory=list)
    _fresh: list[tuple[Tally, int]] = field(default_factory=list)
    """Tallies taken since the last close, with the close at which their rows count."""
    _controls: list[PendingControl] = field(default_factory=list)
    _held: dict[int, list[Tally]] = field(default_factory=dict)
    """Tallies behind a missing one, by partition: they wait for it, or for its declared loss."""

    def stands_alone(self, record: LogRecord) -> bool:
        """Say whether all that is closed must be given before this record is taken.

        A control acts at the first close after it, and a tally of a partition that was not awaited
        changes what is observed and where its rows count from here on.
        """
        if not isinstance(record, Tally):
            return True
        part = self.partitions.get(record.partition)
        return part is None or part.state != _AWAITED

    def take(self, record: LogRecord, offset: int) -> None:
        """Take the record at `offset` of the log. `close` then gives what is closed.

        Several tallies may be taken before one close, except where one `stands_alone`. Those behind
        a missing one are held until it comes, or a gap is declared for it (see `missing`).
        """
        match record:
            case Tally():
                self._tally(record)
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
                part.torn = True
                self._resume(number)
            case _:
                self._controls.append(PendingControl(offset, record))

    def _state(self, number: int, state: str) -> None:
        part = self.partitions.setdefault(number, _Partition())
        if part.state != _ENDED:
            part.state = state

    def _tally(self, tally: Tally) -> None:
        part = self.partitions.setdefault(tally.partition, _Partition())
        if tally.number <= part.number:
            self.repeated += 1
            return
        if tally.number != part.number + 1:
            self._held.setdefault(tally.partition, []).append(tally)
            return
        part.number = tally.number
        if part.torn:
            part.torn, part.lost_through = False, tally.tick - 1
        if part.through > BEFORE_ALL:
            heard = max(part.through, tally.tick)
            if tally.through - heard > SILENCE_S:
                part.silences.append((heard + 1 + SILENCE_S, tally.through))
        part.through = max(part.through, tally.through)
        if part.through > self.closed:
            part.state = _AWAITED
        if len(tally):
            counts_at = max(tally.tick, self.closed + 1)
            part.last_rows_tick = max(part.last_rows_tick, counts_at)
            self._fresh.append((tally, counts_at))
        self._resume(tally.partition)

    def _resume(self, partition: int) -> None:
        """Take the held tallies of a partition again; those that still do not follow stay held."""
        if partition in self._held:
            for tally in sorted(self._held.pop(partition), key=lambda one: one.number):
                self._tally(tally)

    def _pending(self) -> tuple[Rows, NDArray[np.int64]]:
        """Give the rows that have not counted, with the close at which each will."""
        if self._fresh:
            at = np.repeat([at for _, at in self._fresh], [len(tally) for tally, _ in self._fresh])
            self._rows.append((tally_rows([tally for tally, _ in self._fresh]), at))
            self._fresh = []
        if not self._rows:
            return join_rows([]), np.zeros(0, np.int64)
        rows = join_rows([rows for rows, _ in self._rows])
        at = np.concatenate([at for _, at in self._rows])
        self._rows = [(rows, at)]
        return rows, at

    def close(self) -> Close | None:
        """Close ticks that all awaited partitions have passed, if there are any.

        There may be more to close: what a declared gap has taken closes apart, unobserved.
        """
        awaited = [p.through for p in self.partitions.values() if p.state == _AWAITED]
        if awaited:
            upto = min(awaited)
        elif all(p.state == _ENDED for p in self.partitions.values()) and self.partitions:
            upto = max(p.last_rows_tick for p in self.partitions.values())
        else:
            upto = max((p.through for p in self.partitions.values()), default=BEFORE_ALL)
        if upto <= self.closed or upto <= BEFORE_ALL:
            return None
        gap = max(p.lost_through for p in self.partitions.values())
        if gap > self.closed:
            upto = min(upto, gap)
        silent = self._silence(upto)
        if silent:
            upto = silent[-1] if silent[0] == self.closed + 1 else silent[0] - 1
        rows, at = self._release(upto)
        first = self.closed + 1
        if not self.started:
            if not at.size:
                self.closed = upto
                return self.close()
            self.started = True
            first = int(at.min())
        dead = any(p.state == _DEAD for p in self.partitions.values())
        lost = dead or upto <= gap or upto in silent
        due = [c for c in self._controls if acts_at(c.control, first) <= upto]
        self._controls = [c for c in self._controls if c not in due]
        due.sort(key=lambda c: (c.control.time_ms, c.offset))
        self.closed = upto
        for part in self.partitions.values():
            part.silences = [one for one in part.silences if one[1] > upto]
        return Close(first, upto, rows, at, tuple(due), upto - first + 1 if lost else 0)

    def _silence(self, upto: int) -> range:
        """Give the ticks up to `upto` before which every partition was silent for an hour.

        Only files are: a live partition has a heartbeat each second. Nobody knows whether nothing
        was sent then or nothing was kept.
        """
        parts = [p for p in self.partitions.values() if p.state != _ENDED]
        common = [(self.closed + 1, upto)]
        for part in parts:
            if part.state != _AWAITED or not part.silences:
                return range(0)
            pairs = itertools.product(common, part.silences)
            common = [(max(a[0], b[0]), min(a[1], b[1])) for a, b in pairs]
        found = [range(a, b + 1) for a, b in common if a <= b]
        return min(found, key=lambda one: one.start) if parts and found else range(0)

    def ended(self) -> bool:
        """Say whether every partition has come to its end."""
        return all(part.state == _ENDED for part in self.partitions.values())

    def torn(self) -> list[int]:
        """Give the partitions of which tallies are held because one before them is missing."""
        return sorted(self._held)

    def missing(self) -> TallyGapError | None:
        """Give the first gap that keeps tallies from being taken, if there is one, as an error."""
        if not self._held:
            return None
        number = min(self._held)
        first = self.partitions[number].number + 1
        return TallyGapError(number, first, min(one.number for one in self._held[number]) - 1)

    def waited_for(self) -> list[int]:
        """Give the partitions that keep the others from closing: the awaited ones least far."""
        awaited = {n: p.through for n, p in self.partitions.items() if p.state == _AWAITED}
        least = min(awaited.values(), default=BEFORE_ALL)
        return [number for number, passed in awaited.items() if passed == least]

    def _release(self, upto: int) -> tuple[Rows, NDArray[np.int64]]:
        """Take the pending rows that count up to a close, in the order of their closes."""
        rows, at = self._pending()
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
        """Give the ip and mailbox slots that pending rows and held tallies refer to."""
        rows, _ = self._pending()
        if self._held:
            rows = join_rows(
                [rows, tally_rows([one for held in self._held.values() for one in held])]
            )
        return rows.ip, rows.rcpt

    def state(self, ips: Numbering, mailboxes: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs, but for the controls (see `pending_controls`).

        Raises:
            TallyGapError: a tally is missing; what is held for it is in the log, and not in here.
        """
        if (missing := self.missing()) is not None:
            raise missing
        rows, at = self._pending()
        columns = {name: getattr(rows, name) for name in _ROW_COLUMNS}
        columns |= {"ip": ips.numbers(rows.ip), "rcpt": mailboxes.numbers(rows.rcpt)}
        return {
            "partitions": [
                [number, *astuple(part)] for number, part in sorted(self.partitions.items())
            ],
            "closed": self.closed,
            "repeated": self.repeated,
            "started": self.started,
            "rows": {**columns, "at": at},
        }

    def restore(
        self, state: dict[str, Any], ips: Numbering, mailboxes: Numbering,
        controls: Sequence[PendingControl],
    ) -> None:  # fmt: skip
        """Take back what `state` gave, and the controls that wait."""
        self.partitions = {number: _Partition(*rest) for number, *rest in state["partitions"]}
        self.closed, self.started = state["closed"], state["started"]
        self.repeated = state["repeated"]
        columns = dict(state["rows"])
        columns["ip"] = ips.slots(columns["ip"])
        columns["rcpt"] = mailboxes.slots(columns["rcpt"])
        at = columns.pop("at")
        self._rows, self._fresh = [(Rows(**columns), at)] if at.size else [], []
        self._controls = list(controls)

    def pending_controls(self) -> Sequence[PendingControl]:
        """Give the controls that wait for a close."""
        return tuple(self._controls)
