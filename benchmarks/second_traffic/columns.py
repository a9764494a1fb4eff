"""Events as columns, before they become text."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

__all__ = [
    "ACTIONS",
    "CAUSES",
    "NO_MAILBOX",
    "NO_SENDER",
    "NULL_SENDER",
    "Events",
    "IntArray",
    "concat",
    "events",
]

IntArray = npt.NDArray[np.int64]

ACTIONS = ("accept", "reject", "defer", "discard")
CAUSES = ("", "unknown_user", "content", "rate", "blocklist", "other")
NO_MAILBOX = -1
NO_SENDER = -2
NULL_SENDER = -1


@dataclass(frozen=True, slots=True)
class Events:
    """Events in any order; every column is (events,) int64.

    `source`, `mailbox` and `list_id` are positions in the world's tables (-1: none), `sender` is
    what `Names.sender` gives, `action` and `cause` are positions in `ACTIONS` and `CAUSES`.
    """

    time_ms: IntArray
    source: IntArray
    mailbox: IntArray
    sender: IntArray
    action: IntArray
    cause: IntArray
    outbound: IntArray
    list_id: IntArray
    group: IntArray

    def __len__(self) -> int:
        return len(self.time_ms)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "Events":
        """Give the chosen rows."""
        return Events(*(getattr(self, one.name)[rows] for one in fields(self)))


def events(
    time_ms: IntArray,
    source: IntArray | int,
    mailbox: IntArray | int,
    sender: IntArray | int,
    *,
    action: IntArray | int = 0,
    cause: IntArray | int = 0,
    outbound: IntArray | int = 0,
    list_id: IntArray | int = -1,
    group: int = 0,
) -> Events:
    """Give events whose scalar columns are repeated for each time."""
    size = len(time_ms)
    rest = (source, mailbox, sender, action, cause, outbound, list_id, group)
    return Events(
        np.asarray(time_ms, dtype=np.int64),
        *(np.broadcast_to(np.asarray(one, dtype=np.int64), (size,)).copy() for one in rest),
    )


def concat(parts: list[Events]) -> Events:
    """Give all events of the parts, in the order of the parts."""
    return Events(
        *(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Events))
    )
