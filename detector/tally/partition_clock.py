"""The clock of one input partition: the running maximum of its event times, record by record.

A tick `k` covers `[k, k + 1)` seconds and closes when the clock reaches its end plus the lateness:

    clock            ...2.9 s   3.0 s ............ 5.0 s
    tick 2 [2, 3)     open      (end)  + 2 s late   closed
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.events.contract import ABSENT
from detector.events.decode import EventColumns

__all__ = [
    "LOOKAHEAD",
    "TICK_MS",
    "UNSET_MS",
    "confirmed",
    "first_jump",
    "running_clock",
    "through_tick",
]

TICK_MS: Final = 1_000
LOOKAHEAD: Final = 16
UNSET_MS: Final = -(2**62)
"""A clock that has seen nothing yet."""


def through_tick(clock_ms: NDArray[np.int64], lateness_s: int) -> NDArray[np.int64]:
    """Give the last tick that is closed at each clock reading (int64, unset stays far below)."""
    return (clock_ms - lateness_s * TICK_MS) // TICK_MS - 1


def running_clock(
    time_ms: NDArray[np.int64], record: NDArray[np.int64], start_ms: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the clock before and after each event's record, both (n,) int64.

    Events that share a record (several recipients) share its time, so the clock before them all
    is the clock before the first of them.
    """
    after = np.maximum.accumulate(np.maximum(time_ms, start_ms))
    before = np.empty_like(after)
    before[:1] = start_ms
    before[1:] = after[:-1]
    shared = np.flatnonzero(record[1:] == record[:-1]) + 1
    if shared.size:
        first = np.arange(record.size)
        first[shared] = 0
        first = np.maximum.accumulate(first)
        before = before[first]
    return before, after


def first_jump(events: EventColumns, start_ms: int, future_ms: int) -> int | None:
    """Find the first event more than `future_ms` ahead of the clock before it, or None.

    Only events without a time of receipt are looked at: the others were judged by that. The first
    event of a partition is a jump by definition: nothing vouches for it yet.
    """
    if int(events.time_ms.max(initial=start_ms)) - start_ms <= future_ms:
        return None
    before, _ = running_clock(events.time_ms, events.record, start_ms)
    jump = events.time_ms - before > future_ms
    if events.received_ms is not None:
        jump &= events.received_ms == ABSENT
    ahead = np.flatnonzero(jump)
    return int(ahead[0]) if ahead.size else None


def confirmed(events: EventColumns, future_ms: int, *, final: bool) -> bool | None:
    """Say whether the records behind a jump (the first event) confirm it; None: too few yet."""
    begins = np.flatnonzero(events.record[1:] != events.record[:-1]) + 1
    followers = events.time_ms[begins[:LOOKAHEAD]]
    if followers.size < LOOKAHEAD and not final:
        return None
    before = followers < events.time_ms[0] - future_ms
    return 2 * int(before.sum()) <= followers.size
