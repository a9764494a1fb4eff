"""Traffic as columns: parallel arrays, one entry an event."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["OWN", "Draft", "IntArray", "Rows", "as_ints"]

IntArray = NDArray[np.int64]

OWN = -1
"""In `Rows.message`: the event is the only recipient of its message."""


def as_ints(values: object) -> IntArray:
    """Give `values` as an int64 array."""
    return np.asarray(values, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Rows:
    """Events as int64 columns of equal length.

    `ip` indexes the world's hosts; `recipient` and `sender` its texts (-1: absent); `outcome` is a
    code of `detector.events.contract.Outcome`, plus `OUTBOUND`; events with the same `message` >= 0
    are the recipients of one message.
    """

    time_ms: IntArray
    ip: IntArray
    recipient: IntArray
    sender: IntArray
    outcome: IntArray
    message: IntArray

    @classmethod
    def build(
        cls,
        time_ms: IntArray,
        ip: IntArray | int,
        recipient: IntArray | int,
        sender: IntArray | int,
        outcome: IntArray | int = 0,
        message: IntArray | int = OWN,
    ) -> Self:
        """Make rows; single numbers are repeated to the length of `time_ms`."""
        size = len(time_ms)

        def full(column: IntArray | int) -> IntArray:
            return np.broadcast_to(as_ints(column), (size,)).copy()

        return cls(
            as_ints(time_ms), full(ip), full(recipient), full(sender), full(outcome), full(message)
        )

    @classmethod
    def empty(cls) -> Self:
        """Make rows without an event."""
        return cls.build(as_ints([]), 0, 0, 0)

    @classmethod
    def join(cls, parts: "list[Rows]") -> Self:
        """Put the rows of `parts` behind one another."""
        if not parts:
            return cls.empty()
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("time_ms", "ip", "recipient", "sender", "outcome", "message")
            )
        )

    def __len__(self) -> int:
        """Count the events."""
        return len(self.time_ms)

    def take(self, chosen: NDArray[np.bool_] | IntArray) -> Self:
        """Give the chosen rows (a mask or positions)."""
        return type(self)(
            self.time_ms[chosen],
            self.ip[chosen],
            self.recipient[chosen],
            self.sender[chosen],
            self.outcome[chosen],
            self.message[chosen],
        )

    def with_time(self, time_ms: IntArray) -> Self:
        """Give the same rows at other times."""
        return replace(self, time_ms=time_ms)

    def with_outcome(self, outcome: IntArray) -> Self:
        """Give the same rows with other outcomes."""
        return replace(self, outcome=outcome)


@dataclass(frozen=True, slots=True)
class Draft:
    """One group's events before the whole is put together."""

    shape: str
    name: str
    rows: Rows
    victims: tuple[str, ...] = ()
    victim_domain: str | None = None
    list_id: str | None = None
