"""Key tables: text to slot, once per new text; slots are indexes into every array of the detector.

Slot numbers never influence a result and never leave the process: what is written carries keys.
"""

from array import array
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.subjects import ip_key, mailbox_key, subject_text

__all__ = ["BAD_KEY", "NO_KEY", "KeyTable", "KeyTables"]

NO_KEY: Final = -1
"""Slot of a missing key (an attempt without a recipient)."""
BAD_KEY: Final = -2
"""Slot of a text that can be no key; never remembered, so that rubbish costs no memory."""

Slots = NDArray[np.int32]


class _Index(dict[str | None, int]):
    """A dict that asks its table for the slot of a text it has not seen."""

    __slots__ = ("table",)

    def __missing__(self, text: str | None) -> int:
        return self.table.add(text)

    table: "KeyTable"


class KeyTable:
    """Slots of one kind of key: `kind` is "ip", "mailbox" or "domain"."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.names: list[str] = []
        """Canonical text by slot ("" for a free slot)."""
        self.free: list[int] = []
        self.numbers = array("Q")
        """By slot, for "ip" only: the IPv4 address, or the upper half of the IPv6 address."""
        self.is_v6 = array("B")
        self._index = _Index()
        self._index.table = self
        self._index[None] = NO_KEY

    def __len__(self) -> int:
        """Count the slots ever made (free ones included)."""
        return len(self.names)

    @property
    def texts(self) -> int:
        """Count the spellings remembered."""
        return len(self._index)

    def slots(self, texts: Iterable[str | None], count: int) -> Slots:
        """Give the slot of each text: (count,) int32, with NO_KEY and BAD_KEY."""
        return np.fromiter(map(self._index.__getitem__, texts), np.int32, count)

    def slot(self, text: str | None) -> int:
        """Give the slot of one text, making it when new."""
        return self._index[text]

    def find(self, text: str) -> int:
        """Give the slot of a canonical text, or NO_KEY where it is not in the table."""
        return self._index.get(text, NO_KEY)

    def canonical(self, text: str) -> str | None:
        """Give the canonical form of a text, or None where it can be no key."""
        if self.kind == "mailbox":
            return mailbox_key(text)
        if self.kind == "domain":
            return text
        key = ip_key(text.removesuffix("/64"))
        return None if key is None else subject_text(key)

    def key(self, slot: int) -> bytes:
        """Give the key of an "ip" slot: 4 or 8 bytes."""
        return self.numbers[slot].to_bytes(8 if self.is_v6[slot] else 4, "big")

    def add(self, text: str | None) -> int:
        """Remember a new text; its canonical form may already have a slot."""
        name = self.canonical(text) if isinstance(text, str) else None
        if name is None:
            return BAD_KEY
        found = self._index.get(name)
        if found is None:
            if self.free:
                found = self.free.pop()
                self.names[found] = name
            else:
                found = len(self.names)
                self.names.append(name)
                if self.kind == "ip":
                    self.numbers.append(0)
                    self.is_v6.append(0)
            if self.kind == "ip":
                key = ip_key(name.removesuffix("/64")) or b""
                self.numbers[found] = int.from_bytes(key, "big")
                self.is_v6[found] = len(key) == 8  # noqa: PLR2004 - the bytes of a /64
            self._index[name] = found
        if text != name:
            self._index[text] = found
        return found

    def release(self, live: NDArray[np.bool_]) -> int:
        """Free every slot that is not `live` ((len,) bool) and forget all other spellings.

        The caller vouches that no array outside refers to a slot it lets go. Returns how many
        slots were freed.
        """
        before = len(self.free)
        free = np.flatnonzero(~live).tolist()
        for slot in free:
            self.names[slot] = ""
        self.free = free
        self._index.clear()
        self._index[None] = NO_KEY
        for slot in np.flatnonzero(live).tolist():
            self._index[self.names[slot]] = slot
        return len(free) - before


class KeyTables:
    """The two tables that the stages of one process share."""

    def __init__(self) -> None:
        self.ips = KeyTable("ip")
        self.mailboxes = KeyTable("mailbox")
