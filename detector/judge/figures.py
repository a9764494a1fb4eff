"""Figures of a flood: how much came, from how many, and what listings stopped of it.

All of them only grow, and none depends on the order of the rows of a tick. A source that is removed
from a list starts with a clean sheet in the judgement, but what it sent stays in these figures.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from detector.events.numbering import Numbering
from detector.judge.rows import LONG_S, SHORT_S, CaseRow

__all__ = ["Figures", "flood_id"]

_KEPT_MINUTES: Final = LONG_S // SHORT_S + 1
"""A row counts in a flood for ten minutes, which touch eleven minutes of the clock."""


def flood_id(number: int, found: int) -> str:
    """Name the `number`-th flood of a log, found at tick `found`.

    Every copy of the detector gives the same name. It says nothing of the victim.

    >>> flood_id(1, 1_767_225_600)
    '4d1a42f1e5e01453'
    """
    return hashlib.blake2b(f"flood|{number}|{found}".encode(), digest_size=8).hexdigest()


@dataclass(slots=True)
class Figures:
    """What a flood came to so far. `number` counts the floods of the log from 1.

    `messages` are all attempts at the victim since the flood began, `stopped` those of them that
    came from a source whose listing had been published before, `listed` the sources that were
    listed for this flood, `peak` the attempts of its busiest minute, `first` and `last` the ticks
    of the first and the last attempt.
    """

    number: int = 0
    messages: int = 0
    stopped: int = 0
    listed: int = 0
    peak: int = 0
    first: int = -1
    last: int = -1
    told: bool = False
    """Whether a record of it was written."""
    moved: bool = True
    """Whether anything changed since its last record."""
    beside: dict[int, int] = field(default_factory=dict)
    """Sources that the judgement does not count, each with the hash of its ASN group: they were
    removed from a list, or sent only in the hour before a slow flood was found."""
    _minutes: dict[int, int] = field(default_factory=dict)
    """Attempts by minute, as long as more may come."""

    def add(self, row: CaseRow, *, stopped: bool) -> None:
        """Count the attempts of a row, 1 at least."""
        tick, count = row.tick, row.attempts
        self._sum(tick, count, stopped=stopped)
        minute = tick // SHORT_S
        came = self._minutes.get(minute, 0) + count
        if came == count and self._minutes and minute > max(self._minutes):
            oldest = minute - _KEPT_MINUTES + 1
            self._minutes = {at: n for at, n in self._minutes.items() if at >= oldest}
        self._minutes[minute] = came
        self.peak = max(self.peak, came)

    def add_before(self, row: CaseRow, *, stopped: bool) -> None:
        """Count a row of the hour before; call `settle` behind the last one."""
        count = row.attempts
        if count:
            self._sum(row.tick, count, stopped=stopped)
            self.beside[row.ip] = row.group
            minute = row.tick // SHORT_S
            self._minutes[minute] = self._minutes.get(minute, 0) + count

    def settle(self) -> None:
        """Find the busiest minute so far, and let go of those that have passed."""
        self.peak = max([self.peak, *self._minutes.values()])
        oldest = max(self._minutes, default=0) - _KEPT_MINUTES + 1
        self._minutes = {at: n for at, n in self._minutes.items() if at >= oldest}

    def _sum(self, tick: int, count: int, *, stopped: bool) -> None:
        self.moved = True
        self.messages += count
        if stopped:
            self.stopped += count
        self.last = max(self.last, tick)
        if tick < self.first or self.first < 0:
            self.first = tick

    def list_one(self) -> None:
        """Count a source that was listed for the flood."""
        self.listed += 1
        self.moved = True

    def state(self, ips: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "beside": self._beside(ips),
            "minutes": sorted(self._minutes.items()),
        }

    def _beside(self, ips: Numbering) -> dict[str, Any]:
        numbers = ips.numbers(np.array(list(self.beside), np.int64))
        order = np.argsort(numbers)
        return {
            "ip": numbers[order],
            "group": np.array(list(self.beside.values()), np.uint64)[order],
        }

    @classmethod
    def restored(cls, state: dict[str, Any], ips: Numbering) -> "Figures":
        """Take back what `state` gave."""
        beside = state["beside"]
        slots, groups = ips.slots(beside["ip"]).tolist(), beside["group"].tolist()
        return cls(
            **{name: state[name] for name in _PLAIN},
            beside=dict(zip(slots, groups, strict=True)),
            _minutes=dict(state["minutes"]),
        )


_PLAIN: Final = (
    "number", "messages", "stopped", "listed", "peak", "first", "last", "told", "moved",
)  # fmt: skip
