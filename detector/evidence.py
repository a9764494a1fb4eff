"""Evidence: a bounded columnar log of recent tally rows, scanned only for flagged subjects."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.numbering import Numbering
from detector.tally import Rows

__all__ = ["EvidenceLog"]

_COLUMNS: Final = (
    "at",
    "tick",
    "ip",
    "rcpt",
    "outcome",
    "count",
    "nulls",
    "senders",
    "group",
    "messages",
    "fresh",
)
_TYPES: Final = (
    np.int64, np.int64, np.int32, np.int32, np.uint8, np.uint32, np.uint32, np.uint64, np.int64,
    np.uint32, np.uint32,
)  # fmt: skip


class EvidenceLog:
    """The last `capacity` inbound rows that name a recipient, in the order of their closes.

    One flat array a column; `covers_from` says from which close on the log is whole. Each row keeps
    the ASN group that its source had then (in `asn` of rows given back), its `messages` that can
    make a flood, and how many of them came from a stranger, as was known then (`fresh`).
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        """Rows to keep at most; a change acts at the next `trim`."""
        self._columns: list[NDArray[Any]] = [np.zeros(0, kind) for kind in _TYPES]
        self._size = 0
        self.covers_from: int | None = None
        self.dropped = 0

    def __len__(self) -> int:
        """Count the rows."""
        return self._size

    def append(
        self, rows: Rows, at: NDArray[np.int64], group: NDArray[np.int64],
        messages: NDArray[np.uint32], fresh: NDArray[np.uint32],
    ) -> None:  # fmt: skip
        """Keep rows; `at` (n,) is the close at which each counts, never falling."""
        need = self._size + len(rows)
        if need > self._columns[0].size:
            room = max(need, self._columns[0].size * 3 // 2, 4096)
            for index, column in enumerate(self._columns):
                new = np.zeros(room, column.dtype)
                new[: self._size] = column[: self._size]
                self._columns[index] = new
        if self.covers_from is None and len(rows):
            self.covers_from = int(at[0])
        values = (
            at, rows.tick, rows.ip, rows.rcpt, rows.outcome, rows.count, rows.nulls, rows.senders,
            group, messages, fresh,
        )  # fmt: skip
        for column, value in zip(self._columns, values, strict=True):
            column[self._size : need] = value
        self._size = need

    def since(self, at: int) -> tuple[Rows, NDArray[np.int64]]:
        """Give all rows that counted at or after a close (views: copy before the next append)."""
        return self.between(at, 2**62)

    def between(self, first: int, stop: int) -> tuple[Rows, NDArray[np.int64]]:
        """Give the rows that counted in `[first, stop)` (views)."""
        at, *columns, _, _ = self._cut(first, stop)
        return Rows(*columns), at

    def messages(self, first: int, stop: int) -> NDArray[np.uint32]:
        """Give the messages that can make a flood, of the rows in `[first, stop)` (a view)."""
        messages: NDArray[np.uint32] = self._cut(first, stop)[-2]
        return messages

    def fresh(self, first: int, stop: int) -> NDArray[np.uint32]:
        """Give those of them that came from strangers (a view)."""
        fresh: NDArray[np.uint32] = self._cut(first, stop)[-1]
        return fresh

    def _cut(self, first: int, stop: int) -> list[NDArray[Any]]:
        times = self._columns[0][: self._size]
        first = max(first, self.covers_from or first)
        a, b = np.searchsorted(times, [first, stop]).tolist()
        return [column[a:b] for column in self._columns]

    def trim(self, needed_from: int) -> None:
        """Drop rows older than anybody needs, and whole closes beyond the capacity (counted).

        Called at the end of a minute only, so that what is visible never depends on batches; the
        log may therefore exceed its capacity by the rows of one minute.
        """
        times = self._columns[0][: self._size]
        old = int(np.searchsorted(times, needed_from))
        over = self._size - self.capacity
        if over > old:
            over = int(np.searchsorted(times, times[over - 1], side="right"))
            self.dropped += over - old
            self.covers_from = int(times[over - 1]) + 1
            old = over
        if old and (old > self.capacity // 8 or old >= self._size // 2):
            self._size -= old
            for column in self._columns:
                column[: self._size] = column[old : old + self._size].copy()

    def slots_in_use(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Give the ip and mailbox slots that the rows refer to."""
        return self._columns[2][: self._size], self._columns[3][: self._size]

    def state(self, ips: Numbering, mailboxes: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs."""
        columns = {
            name: column[: self._size].copy()
            for name, column in zip(_COLUMNS, self._columns, strict=True)
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
            np.array(state[name], kind) for name, kind in zip(_COLUMNS, _TYPES, strict=True)
        ]
        self._size = self._columns[0].size
        self.covers_from, self.dropped = state["covers_from"], state["dropped"]
