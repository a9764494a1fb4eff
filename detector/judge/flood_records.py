"""Flood records: what every flood came to, for whoever reads the listings.

    found        minute ends that brought more        over
    "open"       "going on"    "going on"  ...        "over"

A record has no `seq`. Its key is (kind, id, tick): every copy of the detector writes the same bytes
under it, and the record with the greatest tick holds the figures of the flood. A log that ends
(all its partitions do) ends with the last figures of what is still going on.
"""

from collections.abc import Iterable
from typing import Any, Final

from detector.judge.cases import Case
from detector.judge.floods import Flood
from detector.state import State

__all__ = ["FLOOD_KIND", "GOING_ON", "OPEN", "OVER", "FloodRecords"]

RECORD_VERSION: Final = 1
FLOOD_KIND: Final = "flood"
OPEN: Final = "open"
GOING_ON: Final = "going on"
OVER: Final = "over"


class FloodRecords:
    """Writes the records of a detector's floods; `written` are those not taken yet."""

    def __init__(self, state: State) -> None:
        self.written: list[dict[str, Any]] = []
        self.victims: list[tuple[str, int]] = []
        """Scope and slot of the victim of each of them, which they show masked."""
        self._state = state
        self._over: list[tuple[Flood, Case]] = []

    def count_listed(self) -> None:
        """Count the sources that the present close listed, each for its flood."""
        listings = self._state.listings
        listed_for, listings.listed_for = listings.listed_for, []
        if not listed_for:
            return
        by_number = {flood.figures.number: flood for flood, _ in self._floods()}
        for number in listed_for:
            if number in by_number:
                by_number[number].figures.list_one()

    def end(self, case: Case) -> None:
        """End the flood of a case: its last record says so at the end of this close."""
        if case.flood is not None:
            self._over.append((case.flood, case))
            case.flood = None
            del self._state.flooded[case.scope, case.slot]

    def close_tick(self, tick: int, touched: Iterable[Case], *, minute_ends: bool) -> None:
        """Write the records of a close in the order in which the floods were found.

        New floods are among the `touched` cases. One that ends when it is found has one record.
        """
        over, self._over = self._over, []
        open_now = [(case.flood, case) for case in touched if case.flood is not None]
        new = [(flood, case, OPEN) for flood, case in open_now if not flood.figures.told]
        self._write(tick, [(flood, case, OVER) for flood, case in over] + new)
        if minute_ends:
            self.write_moved(tick)

    def write_moved(self, tick: int) -> None:
        """Write the records of floods that have moved since their last one."""
        self._write(tick, [(f, case, GOING_ON) for f, case in self._floods() if f.figures.moved])

    def _floods(self) -> list[tuple[Flood, Case]]:
        cases = self._state.flooded.values()
        return [(case.flood, case) for case in cases if case.flood is not None]

    def _write(self, tick: int, due: list[tuple[Flood, Case, str]]) -> None:
        listings = self._state.listings
        for flood, case, state in sorted(due, key=lambda one: one[0].figures.number):
            victim = listings.masked(self._state.name(case.scope, case.slot))
            self.victims.append((case.scope, case.slot))
            self.written.append(_record(flood, case.scope, victim, state, tick))


def _record(flood: Flood, scope: str, victim: str, state: str, tick: int) -> dict[str, Any]:
    """Write down a flood at the close of `tick`; `victim` is masked. Times are Unix ms."""
    figures = flood.figures
    figures.told, figures.moved = True, False
    return {
        "v": RECORD_VERSION,
        "kind": FLOOD_KIND,
        "id": flood.id,
        "tick": tick,
        "state": state,
        "scope": scope,
        "victim": victim,
        "found": flood.found * 1000,
        "start": figures.first * 1000,
        "last": figures.last * 1000,
        "messages": figures.messages,
        "sources": flood.sources(),
        "asns": flood.asns(),
        "peak_per_min": figures.peak,
        "stopped": figures.stopped,
        "listed": figures.listed,
    }
