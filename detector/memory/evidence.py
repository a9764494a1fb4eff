"""Evidence: a bounded columnar log of recent tally rows, scanned only for flagged subjects."""

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from detector.events.numbering import Numbering
from detector.tally.tally import Rows

__all__ = ["EvidenceLog"]

_SECONDS: Final = (np.int32, np.int64)
_COUNTS: Final = (np.uint8, np.uint16, np.uint32)
_KINDS: Final[dict[str, tuple[type[np.generic], ...]]] = {
    "at": _SECONDS, "tick": _SECONDS, "ip": (np.int32,), "rcpt": (np.int32,),
    "outcome": (np.uint8,), "count": _COUNTS, "nulls": _COUNTS, "senders": (np.uint64,),
    "group": _SECONDS, "messages": _COUNTS,
}  # fmt: skip
"""By column: the types it may have, the narrowest first: 32 B a row."""
_SLACK: Final = 8
_NARROW_MOST: Final = 2**31 - 1


class EvidenceLog:
    """The last `capacity` inbound rows that name a recipient, in the order of their closes.

    One flat array a column, narrow until a value needs more, with spare room that is not touched;
    `covers_from` says from which close on the log is whole. Each row keeps the ASN group that its
    source had then (in `asn` of rows given back), and its `messages` that can make a flood.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        """Rows to keep at most; a change acts at the next `trim`."""
        self._columns: list[NDArray[Any]] = [np.zeros(0, kinds[0]) for kinds in _KINDS.values()]
        self._size = 0
        self.covers_from: int | None = None
        self.dropped = 0
        self._before = np.zeros(1, np.int64)
        """The messages before each row, and in all, of the first `_summed` rows."""
        self._summed = 0

    def __len__(self) -> int:
        """Count the rows."""
        return self._size

    def append(
        self, rows: Rows, at: NDArray[np.int64], group: NDArray[np.int64],
        messages: NDArray[np.uint32],
    ) -> None:  # fmt: skip
        """Keep rows; `at` (n,) is the close at which each counts, never falling."""
        need = self._size + len(rows)
        if need > self._columns[0].size:
            self._make_room(max(need + need // 2, 4096))
        if self.covers_from is None and len(rows):
            self.covers_from = int(at[0])
        values: tuple[NDArray[Any], ...] = (
            at, rows.tick, rows.ip, rows.rcpt, rows.outcome, rows.count, rows.nulls,
            rows.senders, group, messages,
        )  # fmt: skip
        for index, (value, kinds) in enumerate(zip(values, _KINDS.values(), strict=True)):
            kind = _narrowest(value, kinds)
            if kind.itemsize > self._columns[index].itemsize:
                self._columns[index] = self._columns[index].astype(kind)
            self._columns[index][self._size : need] = value
        self._size = need

    def _make_room(self, room: int) -> None:
        for index, kinds in enumerate(_KINDS.values()):
            kept = self._columns[index][: self._size]
            self._columns[index] = np.empty(room, _narrowest(kept, kinds))
            self._columns[index][: self._size] = kept

    def between(self, first: int, stop: int) -> tuple[Rows, NDArray[np.int64]]:
        """Give the rows that counted in `[first, stop)` (views: copy before the next append).

        They may be of narrower types than rows usually are: compare freely, widen to multiply.
        """
        span = self._span(first, stop)
        at, *columns = (column[span] for column in self._columns[:-1])
        return Rows(*columns), at

    def sent(self, first: int, stop: int) -> tuple[NDArray[np.int32], NDArray[Any]]:
        """Give the sources of the rows in `[first, stop)` and their `messages` (views)."""
        span = self._span(first, stop)
        return self._columns[2][span], self._columns[-1][span]

    def total(self, first: int, stop: int) -> int:
        """Sum `messages`."""
        span = self._span(first, stop)
        if span.stop <= span.start:
            return 0
        if self._summed < self._size:
            self._sum_up()
        return self._before.item(span.stop) - self._before.item(span.start)

    def _sum_up(self) -> None:
        """Sum the messages before each row, of those that came since the last time."""
        summed = self._summed
        if self._before.size <= self._size:
            self._before, old = np.zeros(self._columns[0].size + 1, np.int64), self._before
            self._before[: summed + 1] = old[: summed + 1]
        new = self._before[summed + 1 : self._size + 1]
        np.cumsum(self._columns[-1][summed : self._size], out=new)
        new += self._before[summed]
        self._summed = self._size

    def messages(self, first: int, stop: int) -> NDArray[np.uint32]:
        """Give the messages that can make a flood, of the rows in `[first, stop)`."""
        return self._columns[-1][self._span(first, stop)].astype(np.uint32)

    def _span(self, first: int, stop: int) -> slice:
        first = max(first, self.covers_from or first)
        return slice(self._index(first, "left"), self._index(stop, "left"))

    def _index(self, at: int, side: Literal["left", "right"]) -> int:
        """Find a close; what is sought must have the type of the column, or that is copied."""
        times = self._columns[0][: self._size]
        if times.dtype == np.int32:
            if at > _NARROW_MOST:
                return self._size
            at = max(at, -_NARROW_MOST)
        return int(times.searchsorted(times.dtype.type(at), side))

    def trim(self, needed_from: int) -> None:
        """Drop rows older than anybody needs, and whole closes beyond the capacity (counted).

        Called at the end of a minute only, so that what is visible never depends on batches; the
        log may therefore exceed its capacity by the rows of one minute.
        """
        old = self._index(needed_from, "left")
        over = self._size - self.capacity
        if over > old:
            last = int(self._columns[0][over - 1])
            over = self._index(last, "right")
            self.dropped += over - old
            self.covers_from = last + 1
            old = over
        if old > self._size // _SLACK:
            self._size -= old
            self._summed = max(0, self._summed - old)
            kept = self._before[old : old + self._summed + 1]
            self._before[: kept.size] = kept if self._summed else 0
            for column in self._columns:
                column[: self._size] = column[old : old + self._size]
            if self._columns[0].size > 2 * self._size + 4096:
                self._make_room(self._size + self._size // _SLACK)

    def slots_in_use(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Give the ip and mailbox slots that the rows refer to."""
        return self._columns[2][: self._size], self._columns[3][: self._size]

    def state(self, ips: Numbering, mailboxes: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs."""
        columns = {
            name: column[: self._size].astype(kinds[-1])
            for (name, kinds), column in zip(_KINDS.items(), self._columns, strict=True)
        }
        columns["ip"] = ips.numbers(columns["ip"])
        columns["rcpt"] = mailboxes.numbers(columns["rcpt"])
        return {**columns, "covers_from": self.covers_from, "dropped": self.dropped}

    def restore(self, state: dict[str, Any], ips: Numbering, mailboxes: Numbering) -> None:
        """Take back what `state` gave."""
        state = state | {
            "ip": ips.slots(state["ip"]), "rcpt": mailboxes.slots(state["rcpt"]),
        }  # fmt: skip
        self._columns = [
            state[name].astype(_narrowest(state[name], kinds)) for name, kinds in _KINDS.items()
        ]
        self._size = self._columns[0].size
        self._before, self._summed = np.zeros(1, np.int64), 0
        self.covers_from, self.dropped = state["covers_from"], state["dropped"]


def _narrowest(values: NDArray[Any], kinds: tuple[type[np.generic], ...]) -> np.dtype[Any]:
    """Give the first type that holds all values."""
    for kind in kinds[:-1]:
        limits = np.iinfo(kind)  # type: ignore[type-var]
        if not values.size or (values.max() <= limits.max and values.min() >= limits.min):
            return np.dtype(kind)
    return np.dtype(kinds[-1])
