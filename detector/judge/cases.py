"""Cases: victims under examination, with exact sliding windows to the second.

A case is opened when the coarse counters of a victim could mean a flood, and fed from the evidence
log, so that it knows the last hour as far as that is kept. It is judged from the close on at which
those counters passed, and so depends on the rows alone, never on the batches in which they came.

    now - 3600 (in steps of ten minutes) ... now - 600 ......... now - 60 ... now
    hour (by group)                          long (by group)     short (by group)
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.events.numbering import Numbering
from detector.judge.floods import HOUR_STEPS, Flood
from detector.judge.rows import HOUR_S, LONG_S, SHORT_S, CaseRow, pairs, row_types

__all__ = ["HOUR_S", "LONG_S", "SHORT_S", "Case"]

_ROW_TYPES: Final = row_types()


class Case:
    """One victim (a mailbox or a domain slot) under examination."""

    def __init__(self, scope: str, slot: int, wake: int = 0) -> None:
        self.scope = scope
        self.slot = slot
        self.wake = wake
        """The close at which its counters passed: it is fed and judged from there on."""
        self.flood: Flood | None = None
        self.patience = [0, 0, 0]
        """By window: messages that must come before it is worth judging again, in this minute or,
        of the hour, in this slot."""
        self.empty(-1)

    def empty(self, tick: int) -> None:
        """Begin with empty windows that end with a tick, and without a flood."""
        self.flood = None
        self.now = tick
        """The tick at which the windows end."""
        self._ticks: dict[int, list[CaseRow]] = {}
        """Rows of the last ten minutes by their tick."""
        self._sums: dict[int, int] = {}
        """Their messages."""
        self._timeline: tuple[int, int, list[int]] = (-1, 0, [])
        """What `timeline` gave last, for which tick and how many messages."""
        self.short: dict[int, int] = {}
        self.long: dict[int, int] = {}
        self.hour: dict[int, int] = {}
        """Messages by group in each window."""
        self._steps: dict[int, dict[int, int]] = {}
        self.all_short = self.first_long = self.all_long = self.all_hour = self.tried_long = 0

    @property
    def is_awake(self) -> bool:
        """Say whether its windows have been filled."""
        return self.now >= 0

    def advance(self, tick: int) -> None:
        """Move the windows to end with `tick`; what leaves them is subtracted."""
        if tick <= self.now:
            return
        before, self.now = self.now, tick
        if before < 0:
            return
        if tick - before <= len(self._ticks):
            ends: Iterable[int] = range(before + 1 - SHORT_S, tick + 1 - SHORT_S)
            gone: Iterable[int] = range(before + 1 - LONG_S, tick + 1 - LONG_S)
        else:
            ticks = sorted(self._ticks)
            ends = [t for t in ticks if before - SHORT_S < t <= tick - SHORT_S]
            gone = [t for t in ticks if t <= tick - LONG_S]
        for end in ends:
            for row in self._ticks.get(end, ()):
                self.all_short -= row.all
                _take(self.short, row)
        for end in gone:
            rows = self._ticks.pop(end, None)
            if rows is None:
                continue
            self.all_long -= self._sums.pop(end)
            for row in rows:
                self.first_long -= row.all if row.first else 0
                self.tried_long -= row.attempts
                _take(self.long, row)
        oldest = tick // LONG_S - HOUR_STEPS + 1
        for step in [step for step in self._steps if step < oldest]:
            for group, count in self._steps.pop(step).items():
                self.all_hour -= count
                left = self.hour[group] - count
                if left:
                    self.hour[group] = left
                else:
                    del self.hour[group]

    def add(self, row: CaseRow, *, stopped: bool = False) -> bool:
        """Count a row in the windows that still cover its tick (call `advance` first).

        Says whether the window of ten minutes did; its flood counts only such rows. `stopped`: the
        listing of its source had been published before.
        """
        group, count = row.group, row.all
        step = row.tick // LONG_S
        if count and step > self.now // LONG_S - HOUR_STEPS:
            self.all_hour += count
            self.hour[group] = self.hour.get(group, 0) + count
            steps = self._steps.setdefault(step, {})
            steps[group] = steps.get(group, 0) + count
        age = self.now - row.tick
        if age >= LONG_S:
            return False
        rows = self._ticks.get(row.tick)
        if rows is None:
            self._ticks[row.tick], self._sums[row.tick] = [row], count
        else:
            rows.append(row)
            self._sums[row.tick] += count
        self.all_long += count
        self.first_long += count if row.first else 0
        self.tried_long += row.attempts
        if count:
            self.long[group] = self.long.get(group, 0) + count
            if age < SHORT_S:
                self.all_short += count
                self.short[group] = self.short.get(group, 0) + count
        if count:
            self.patience = [max(0, left - count) for left in self.patience]
        if self.flood is not None and (row.attempts or row.deferred):
            self.flood.add(row, stopped=stopped)
        return True

    def steps(self) -> deque[tuple[int, dict[int, int]]]:
        """Give the messages of the last hour by group, in steps of ten minutes, the newest last."""
        return deque((step, dict(counts)) for step, counts in sorted(self._steps.items()))

    def window(self, span_s: int) -> tuple[dict[int, int], int]:
        """Give the messages of a window by group, and their sum."""
        if span_s <= SHORT_S:
            return self.short, self.all_short
        return (self.long, self.all_long) if span_s <= LONG_S else (self.hour, self.all_hour)

    def recent(self, span_s: int) -> list[CaseRow]:
        """Give the rows of the last `span_s` seconds, at most LONG_S, by their ticks in order."""
        oldest = self.now - span_s
        ticks = sorted(tick for tick in self._ticks if tick > oldest)
        return [row for tick in ticks for row in self._ticks[tick]]

    def drop(self, ip: int, upto: int) -> None:
        """Take a removed source's rows up to a tick out of the windows."""
        self.patience = [0, 0, 0]
        for tick, rows in list(self._ticks.items()):
            gone = [row for row in rows if row.ip == ip and row.tick <= upto]
            if gone:
                self._ticks[tick] = [row for row in rows if row not in gone]
                for row in gone:
                    self._subtract(row)

    def _subtract(self, row: CaseRow) -> None:
        self._sums[row.tick] -= row.all
        self.all_long -= row.all
        self.first_long -= row.all if row.first else 0
        self.tried_long -= row.attempts
        _take(self.long, row)
        if self.now - row.tick < SHORT_S:
            self.all_short -= row.all
            _take(self.short, row)
        steps = self._steps.get(row.tick // LONG_S)
        if steps is not None and row.all:
            self.all_hour -= row.all
            _take(self.hour, row)
            _take(steps, row)

    def timeline(self) -> list[int]:
        """Give all messages of the last ten minutes by minutes, oldest first (do not change it)."""
        now, count, known = self._timeline
        if now == self.now and count == self.all_long:
            return known
        out, newest = [0] * (LONG_S // SHORT_S), self.now + SHORT_S
        for tick, count in self._sums.items():
            out[-((newest - tick) // SHORT_S)] += count
        self._timeline = self.now, self.all_long, out
        return out

    def slots_in_use(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the ip and mailbox slots that rows and the flood refer to."""
        ips = [row.ip for rows in self._ticks.values() for row in rows]
        mailboxes = [row.mailbox for rows in self._ticks.values() for row in rows]
        if self.flood is not None:
            more = self.flood.slots_in_use()
            ips += more[0]
            mailboxes += more[1]
        return np.array(ips, np.int64), np.array(mailboxes, np.int64)

    def state(self, ips: Numbering, mailboxes: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs, but for the victim; the windows follow from the rows."""
        rows = self.recent(LONG_S)
        columns: dict[str, NDArray[Any]] = {
            name: np.array([getattr(row, name) for row in rows], kind)
            for name, kind in _ROW_TYPES.items()
        }
        columns["ip"] = ips.numbers(columns["ip"])
        columns["mailbox"] = mailboxes.numbers(columns["mailbox"])
        order = np.lexsort([columns[name] for name in reversed(_ROW_TYPES)])
        return {
            "now": self.now,
            "patience": self.patience,
            "rows": {name: column[order] for name, column in columns.items()},
            "steps": sorted(self._steps),
            "hour": {str(step): pairs(counts) for step, counts in sorted(self._steps.items())},
            "flood": None if self.flood is None else self.flood.state(ips, mailboxes),
        }

    @classmethod
    def restored(
        cls, scope: str, slot: int, state: dict[str, Any], ips: Numbering, mailboxes: Numbering
    ) -> "Case":
        """Take back what `state` gave."""
        case = cls(scope, slot)
        case.now = state["now"]
        columns = dict(state["rows"])
        columns["ip"] = ips.slots(columns["ip"])
        columns["mailbox"] = mailboxes.slots(columns["mailbox"])
        for values in zip(*(columns[name].tolist() for name in _ROW_TYPES), strict=True):
            case.add(CaseRow(*values))
        case.hour, case._steps, case.all_hour = {}, {}, 0
        for step in state["steps"]:
            columns = state["hour"][str(step)]
            counts = dict(zip(columns["hash"].tolist(), columns["count"].tolist(), strict=True))
            case._steps[step] = counts
            for group, count in counts.items():
                case.hour[group] = case.hour.get(group, 0) + count
                case.all_hour += count
        case.patience = state["patience"]
        if state["flood"] is not None:
            case.flood = Flood.restored(state["flood"], ips, mailboxes)
        return case


def _take(counts: dict[int, int], row: CaseRow) -> None:
    """Take a row's messages out of what its group sent."""
    if row.all:
        left = counts[row.group] - row.all
        if left:
            counts[row.group] = left
        else:
            del counts[row.group]
