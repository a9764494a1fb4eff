"""Events as parallel lists, the form in which every parser hands them on."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

__all__ = ["ABSENT", "OUTBOUND", "EventLists", "Outcome", "Reject"]

ABSENT = -1
"""Stands for a missing `asn` or `received` in the integer lists."""

OUTBOUND = 16
"""Added to an outcome when the event is outbound: counted apart, never a reason to list."""


class Outcome(IntEnum):
    """What our side did with one recipient of one message, with the cause where there was one."""

    ACCEPT = 0
    DISCARD = 1
    REJECT_OTHER = 2
    REJECT_BLOCKLIST = 3
    REJECT_UNKNOWN_USER = 4
    REJECT_RATE = 5
    REJECT_CONTENT = 6
    DEFER_OTHER = 7
    DEFER_BLOCKLIST = 8
    DEFER_UNKNOWN_USER = 9
    DEFER_RATE = 10
    DEFER_CONTENT = 11


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that could not be read: where, why, and the bytes as they came (cut)."""

    position: int
    reason: str
    detail: str
    excerpt: bytes


@dataclass(slots=True)
class EventLists:
    """Events of one input partition, one entry an event, in the order of their records.

    `record` is the position of the record an event came from (several events may share one).
    `sender` is "" for the null sender and None where the log does not say.
    `recipient` is None only for a client rejected before it named one.
    `asn` and `received_ms` are None when no event has them; else `ABSENT` marks the gaps.
    """

    record: list[int] = field(default_factory=list)
    time_ms: list[int] = field(default_factory=list)
    client_ip: list[str] = field(default_factory=list)
    recipient: list[str | None] = field(default_factory=list)
    sender: list[str | None] = field(default_factory=list)
    outcome: list[int] = field(default_factory=list)
    asn: list[int] | None = None
    received_ms: list[int] | None = None

    def __len__(self) -> int:
        """Count the events."""
        return len(self.time_ms)

    def repeat_last(self, times: int) -> None:
        """Add the last event again so many times: a record may stand for several attempts."""
        columns: tuple[list[Any] | None, ...] = (
            self.record, self.time_ms, self.client_ip, self.recipient, self.sender, self.outcome,
            self.asn, self.received_ms,
        )  # fmt: skip
        for values in columns:
            if values is not None:
                values.extend(values[-1:] * times)
