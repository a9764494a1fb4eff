"""Names with a number each, for what is written: slots differ between processes, names do not."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.events.interning import NO_KEY, KeyTable

__all__ = ["Numbering"]

Numbers = NDArray[np.int32]


class Numbering:
    """The names of one table that a snapshot needs, numbered in their order.

    So equal states are written as equal bytes, whatever slots they had.
    """

    def __init__(self, table: KeyTable, names: list[str]) -> None:
        """Number `names`, which must be canonical; those that are new to the table get slots."""
        self.names = names
        slots = table.adopt(names)
        self._slots = np.append(slots, np.int32(NO_KEY))
        self._numbers = np.full(len(table) + 1, NO_KEY, np.int32)
        self._numbers[slots] = np.arange(len(names))

    @classmethod
    def of(cls, table: KeyTable, live: NDArray[np.bool_]) -> "Numbering":
        """Number the slots that are `live` ((slots of the table,) bool)."""
        return cls(table, sorted(table.names[slot] for slot in np.flatnonzero(live).tolist()))

    def numbers(self, slots: NDArray[Any]) -> Numbers:
        """Give the numbers of slots: (n,) int32; NO_KEY stays."""
        numbers: Numbers = self._numbers[slots]
        return numbers

    def slots(self, numbers: NDArray[Any]) -> Numbers:
        """Give the slots of numbers: (n,) int32; NO_KEY stays."""
        slots: Numbers = self._slots[numbers]
        return slots
