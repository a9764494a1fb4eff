"""Cases: victims under examination, with exact sliding windows to the second.

A case is opened when the coarse counters of a victim could mean a flood, and fed from the evidence
log, so that it knows the last hour as far as that is kept. It is judged from the close on at which
those counters passed, and so depends on the rows alone, never on the batches in which they came.

    now - 3600 (in steps of ten minutes) ... now - 600 ......... now - 60 ... now
    hour (by group)                          long (by group)     short (by group)
"""

from collections import deque
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.events.numbering import Numbering
from detector.judge.floods import HOUR_STEPS, Flood
from detector.judge.rows import HOUR_S, LONG_S, SHORT_S, CaseRow, pairs, row_types, summed

__all__ = ["HOUR_S", "LONG_S", "SHORT_S", "Case"]

_ROW_TYPES: Final = row_types()
_MOST_SHIFTED_S: Final = 20
"""A timeline of so many seconds ago is brought up to date faster than it is summed again."""
Counts = dict[int, int]


class Case:
    """One victim (a mailbox or a domain slot) under examination."""

    def __init__(self, scope: str, slot: int, wake: int = 0) -> None:
        self.scope = scope
        self.slot = slot
        self.wake = wake
        """The close at which its counters passed: it is fed and judged from there on."""
        self.flood: Flood | None = None
        self._patience, self._since = [0, 0, 0], 0
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
        self._line: list[int] | None = None
        self._line_at = tick
        """Messages by minutes as `timeline` gave them, and when."""
        self._short: Counts | None = {}
        self._long: Counts | None = {}
        self._hour: Counts | None = {}
        """Messages by group in each window; None: summed when asked for."""
        self._asked = False
        """Whether they were asked for in a flood, which seldom needs them."""
        self._steps: dict[int, Counts] = {}
        self.all_short = self.first_long = self.all_long = self.all_hour = self.tried_long = 0

    @property
    def is_awake(self) -> bool:
        """Say whether its windows have been filled."""
        return self.now >= 0

    @property
    def patience(self) -> list[int]:
        """By window: messages that must come before it is worth judging again.

        That is in this minute or, of the hour, in this slot.
        """
        if self._since:
            self._patience = [max(0, left - self._since) for left in self._patience]
            self._since = 0
        return self._patience

    @patience.setter
    def patience(self, patience: list[int]) -> None:
        self._patience, self._since = patience, 0

    def advance(self, tick: int) -> None:
        """Move the windows to end with `tick`; what leaves them is subtracted."""
        before = self.now
        if tick <= before:
            return
        self.now = tick
        if before < 0:
            return
        ticks = self._ticks
        if tick - before <= len(ticks):
            ended = [at for at in range(before + 1 - SHORT_S, tick + 1 - SHORT_S) if at in ticks]
            gone = [at for at in range(before + 1 - LONG_S, tick + 1 - LONG_S) if at in ticks]
        else:
            ended = [at for at in ticks if before - SHORT_S < at <= tick - SHORT_S]
            gone = [at for at in ticks if at <= tick - LONG_S]
        for at in ended:
            self.all_short -= self._sums[at]
            if self._short is not None:
                for row in ticks[at]:
                    _take(self._short, row)
        for at in gone:
            self.all_long -= self._sums.pop(at)
            for row in ticks.pop(at):
                self.tried_long -= row.attempts
                if row.first:
                    self.first_long -= row.all
                if self._long is not None:
                    _take(self._long, row)
        if tick // LONG_S > before // LONG_S:
            oldest = tick // LONG_S - HOUR_STEPS + 1
            for step in [step for step in self._steps if step < oldest]:
                self.all_hour -= sum(self._steps.pop(step).values())
                self._hour = None

    def add(self, row: CaseRow, *, stopped: bool = False) -> bool:
        """Count a row in the windows that still cover its tick (call `advance` first).

        Says whether the window of ten minutes did; its flood counts only such rows. `stopped`: the
        listing of its source had been published before.
        """
        tick, _, group, _, count, attempts, deferred, _, _, _, first = row
        flood = self.flood
        if flood is not None and not self._asked:
            self._short = self._long = self._hour = None
        if count:
            self.add_hour(tick // LONG_S, group, count)
        age = self.now - tick
        if age >= LONG_S:
            return False
        rows = self._ticks.get(tick)
        if rows is None:
            self._ticks[tick], self._sums[tick] = [row], count
        else:
            rows.append(row)
            self._sums[tick] += count
        self.tried_long += attempts
        if count:
            self._since += count
            self.all_long += count
            if first:
                self.first_long += count
            if tick <= self._line_at and self._line is not None:
                self._line[-1 - (self._line_at - tick) // SHORT_S] += count
            if self._long is not None:
                self._long[group] = self._long.get(group, 0) + count
            if age < SHORT_S:
                self.all_short += count
                if self._short is not None:
                    self._short[group] = self._short.get(group, 0) + count
        if flood is not None and (attempts or deferred):
            flood.add(row, stopped=stopped)
        return True

    def add_hour(self, step: int, group: int, count: int) -> None:
        """Count messages of a step of ten minutes in the window of an hour alone."""
        if step > self.now // LONG_S - HOUR_STEPS:
            self.all_hour += count
            if self._hour is not None:
                self._hour[group] = self._hour.get(group, 0) + count
            steps = self._steps.get(step)
            if steps is None:
                steps = self._steps[step] = {}
            steps[group] = steps.get(group, 0) + count

    def steps(self) -> deque[tuple[int, Counts]]:
        """Give the messages of the last hour by group, in steps of ten minutes, the newest last."""
        return deque((step, dict(counts)) for step, counts in sorted(self._steps.items()))

    @property
    def hour(self) -> Counts:
        """Give the messages of the last hour by group (do not change it)."""
        self._asked |= self.flood is not None
        if self._hour is None:
            self._hour = summed(self._steps.values())
        return self._hour

    def window(self, span_s: int) -> tuple[Counts, int]:
        """Give the messages of a window by group (do not change it), and their sum."""
        self._asked |= self.flood is not None
        if span_s <= SHORT_S:
            if self._short is None:
                self._short = self._summed(SHORT_S)
            return self._short, self.all_short
        if span_s <= LONG_S:
            if self._long is None:
                self._long = self._summed(LONG_S)
            return self._long, self.all_long
        return self.hour, self.all_hour

    def _summed(self, span_s: int) -> Counts:
        out: Counts = {}
        for tick, rows in self._ticks.items():
            if tick > self.now - span_s:
                for row in rows:
                    if row.all:
                        out[row.group] = out.get(row.group, 0) + row.all
        return out

    def recent(self, span_s: int) -> list[CaseRow]:
        """Give the rows of the last `span_s` seconds, at most LONG_S, by their ticks in order."""
        oldest = self.now - span_s
        ticks = sorted(tick for tick in self._ticks if tick > oldest)
        return [row for tick in ticks for row in self._ticks[tick]]

    def drop(self, ips: set[int], upto: int) -> None:
        """Take the rows of removed sources up to a tick out of the windows."""
        self.patience = [0, 0, 0]
        gone = [row for rows in self._ticks.values() for row in rows if row.ip in ips]
        gone = [row for row in gone if row.tick <= upto]
        for tick in {row.tick for row in gone}:
            self._ticks[tick] = [row for row in self._ticks[tick] if row.ip not in ips]
        for row in gone:
            self._subtract(row)

    def _subtract(self, row: CaseRow) -> None:
        self.tried_long -= row.attempts
        if not row.all:
            return
        self._line = self._hour = None
        self._sums[row.tick] -= row.all
        self.all_long -= row.all
        self.first_long -= row.all if row.first else 0
        if self._long is not None:
            _take(self._long, row)
        if self.now - row.tick < SHORT_S:
            self.all_short -= row.all
            if self._short is not None:
                _take(self._short, row)
        steps = self._steps.get(row.tick // LONG_S)
        if steps is not None:
            self.all_hour -= row.all
            _take(steps, row)

    def timeline(self) -> list[int]:
        """Give all messages of the last ten minutes by minutes, oldest first."""
        minutes, late_s = LONG_S // SHORT_S, self.now - self._line_at
        if self._line is None or late_s > _MOST_SHIFTED_S:
            line = [0] * minutes
            for tick, count in self._sums.items():
                line[-1 - (self.now - tick) // SHORT_S] += count
        else:
            line = self._line
            sums = self._sums.get
            for now in range(self._line_at + 1, self.now + 1):
                for back in range(minutes):
                    if count := sums(now - back * SHORT_S, 0):
                        line[-1 - back] += count
                        if back:
                            line[-back] -= count
            line[0] += self.all_long - sum(line)
        self._line, self._line_at = line, self.now
        return [*line]

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
        case._hour, case._steps, case.all_hour = None, {}, 0
        for step in state["steps"]:
            columns = state["hour"][str(step)]
            counts = dict(zip(columns["hash"].tolist(), columns["count"].tolist(), strict=True))
            case._steps[step] = counts
            case.all_hour += sum(counts.values())
        case.patience = state["patience"]
        if state["flood"] is not None:
            case.flood = Flood.restored(state["flood"], ips, mailboxes)
        return case


def _take(counts: Counts, row: CaseRow) -> None:
    """Take a row's messages out of what its group sent."""
    if row.all:
        left = counts[row.group] - row.all
        if left:
            counts[row.group] = left
        else:
            del counts[row.group]
