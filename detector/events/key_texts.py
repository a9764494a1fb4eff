"""Canonical texts by slot, without a string for each: there are millions, and few are ever read."""

from array import array
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.events.subjects import subject_text

__all__ = ["KeyTexts", "SubjectTexts", "Texts"]

_V6_KEY_BYTES: Final = 8
Named = tuple[str, int]
"""A canonical text, and the number of a subject (0 for other keys)."""


class Texts:
    """Texts in one run of UTF-8, 10 B a slot beside it; those of free slots mean nothing."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._start = array("Q")
        self._size = array("H")

    def __len__(self) -> int:
        """Count the slots."""
        return len(self._start)

    def __getitem__(self, slot: int) -> str:
        """Give the text of a slot."""
        start = self._start[slot]
        return self._bytes[start : start + self._size[slot]].decode("utf-8", "surrogatepass")

    def extend(self, subjects: list[Named]) -> None:
        """Make a slot for each."""
        for subject in subjects:
            self._start.append(0)
            self._size.append(0)
            self.replace(len(self) - 1, subject)

    def replace(self, slot: int, subject: Named) -> None:
        """Give a free slot another text."""
        text = subject[0].encode("utf-8", "surrogatepass")
        self._start[slot] = len(self._bytes)
        self._size[slot] = len(text)
        self._bytes += text

    def keep(self, slots: list[int]) -> None:
        """Forget the texts of all other slots."""
        kept = bytearray()
        for slot in slots:
            start = self._start[slot]
            self._start[slot] = len(kept)
            kept += self._bytes[start : start + self._size[slot]]
        self._bytes = kept


class SubjectTexts:
    """Texts of client addresses, written from their numbers when asked for; 9 B a slot."""

    def __init__(self) -> None:
        self.numbers = array("Q")
        """By slot: the IPv4 address, or the upper half of the IPv6 address."""
        self.is_v6 = array("B")

    def __len__(self) -> int:
        """Count the slots."""
        return len(self.numbers)

    def __getitem__(self, slot: int) -> str:
        """Give the text of a slot; a microsecond."""
        return subject_text(self.key(slot))

    def key(self, slot: int) -> bytes:
        """Give the key of a slot: 4 or 8 bytes."""
        return self.numbers[slot].to_bytes(_V6_KEY_BYTES if self.is_v6[slot] else 4, "big")

    def columns(self, slots: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Give the numbers of slots, and which are IPv6."""
        if not slots.size:
            return np.zeros(0, np.uint64), np.zeros(0, np.bool_)
        numbers, is_v6 = np.frombuffer(self.numbers, "u8"), np.frombuffer(self.is_v6, np.bool_)
        return numbers[slots], is_v6[slots]

    def extend(self, subjects: list[Named]) -> None:
        """Make a slot for each."""
        self.numbers.extend([number for _, number in subjects])
        self.is_v6.extend([":" in name for name, _ in subjects])

    def replace(self, slot: int, subject: Named) -> None:
        """Give a free slot another subject."""
        self.numbers[slot] = subject[1]
        self.is_v6[slot] = ":" in subject[0]

    def keep(self, slots: list[int]) -> None:
        """Do nothing: free slots cost nothing more."""


KeyTexts = Texts | SubjectTexts
