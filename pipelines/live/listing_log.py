"""Log lines about new listings: a few a minute, however many addresses a flood has."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from structlog.stdlib import BoundLogger

from pipelines import clock

__all__ = ["ListingLog"]

_EVERY_S: Final = 5.0
_AT_ONCE: Final = 5
"""Floods whose first listing is logged at once within one span; further ones are summed up."""
_REMEMBERED: Final = 1_000
"""Floods that are known not to be new."""
_WORDS: Final = {"list": "listed", "hold": "held for an operator"}


class ListingLog:
    """The first listing of a flood is logged at once; what follows in sums, one line in 5 s.

    Addresses that are held because their listing would cost too much are logged the same way.
    """

    def __init__(self, log: BoundLogger, elapsed_s: Callable[[], float] = clock.elapsed_s) -> None:
        self._log, self._elapsed_s = log, elapsed_s
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._waiting: Counter[tuple[str, str, str, bool]] = Counter()
        self._span_s = elapsed_s()
        self._first_ones = 0

    def note(self, changes: Sequence[Mapping[str, Any]]) -> None:
        """Log the changes that list or hold an address; call `tell` now and then for the rest."""
        self.tell()
        for change in changes:
            if change["change"] not in _WORDS:
                continue
            evidence = change["evidence"]
            kind, shadow = change["change"], bool(change["shadow"])
            flood, victim = str(evidence.get("flood", "")), str(evidence.get("victim", ""))
            if self._is_new(kind, flood) and self._first_ones < _AT_ONCE:
                self._first_ones += 1
                self._say(kind, 1, shadow=shadow, subject=change["subject"], rule=change["rule"],
                          victim=victim, flood=flood)  # fmt: skip
            else:
                self._waiting[kind, flood, victim, shadow] += 1

    def tell(self, *, all_of_it: bool = False) -> None:
        """Log the sums that wait, if it is time, or if nothing follows (`all_of_it`)."""
        now_s = self._elapsed_s()
        if not all_of_it and now_s - self._span_s < _EVERY_S:
            return
        self._span_s, self._first_ones = now_s, 0
        for kind in _WORDS:
            for shadow in (False, True):
                counts = Counter({
                    (flood, victim): count
                    for (of_kind, flood, victim, is_shadow), count in self._waiting.items()
                    if (of_kind, is_shadow) == (kind, shadow)
                })  # fmt: skip
                if counts:
                    ((flood, victim), most), *_ = counts.most_common(1)
                    more = {"largest": most} if len(counts) > 1 else {}
                    self._say(kind, counts.total(), shadow=shadow, floods=len(counts),
                              victim=victim, flood=flood, **more)  # fmt: skip
        self._waiting.clear()

    def _is_new(self, kind: str, flood: str) -> bool:
        key = kind, flood
        is_new = key not in self._known
        self._known[key] = None
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return is_new

    def _say(self, kind: str, addresses: int, *, shadow: bool, **more: object) -> None:
        marked = {"shadow": "recorded, not published"} if shadow else {}
        self._log.info(_WORDS[kind], addresses=addresses, **marked, **more)
