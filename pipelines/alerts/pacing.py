"""When to try again: back-off with full jitter, and what a receiver asks for in Retry-After."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

from pipelines import clock

__all__ = ["Backoff", "Clock", "WallClock", "retry_after_s"]

_MAX_DOUBLINGS: Final = 30
_MAX_DIGITS: Final = 9


class Clock(Protocol):
    """Time as the sender needs it."""

    def now_ms(self) -> int:
        """Give the time of day, Unix milliseconds."""
        ...

    def elapsed_s(self) -> float:
        """Give seconds of a clock that never jumps."""
        ...

    async def wait(self, event: asyncio.Event, for_s: float | None) -> None:
        """Wait until the event is set or the seconds are over (None: only for the event)."""
        ...


class WallClock:
    """The real one."""

    def now_ms(self) -> int:
        """Give the time of day, Unix milliseconds."""
        return clock.now_ms()

    def elapsed_s(self) -> float:
        """Give seconds of a clock that never jumps."""
        return clock.elapsed_s()

    async def wait(self, event: asyncio.Event, for_s: float | None) -> None:
        """Wait until the event is set or the seconds are over (None: only for the event)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await event.wait()


class Backoff:
    """Waits between attempts: drawn from [0, limit), where the limit doubles up to `longest_s`.

    Full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS, 2015): senders that failed
    together do not come back together. `draw` gives numbers from [0, 1).

    >>> backoff = Backoff(1.0, 60.0, draw=lambda: 0.5)
    >>> [backoff.next_s() for _ in range(8)]
    [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    >>> backoff.next_s(asked_s=7.0), backoff.next_s(asked_s=45.0), backoff.next_s(asked_s=86400.0)
    (30.0, 45.0, 60.0)
    >>> backoff.next_s(hopeless=True)
    60.0
    """

    def __init__(
        self,
        first_s: float,
        longest_s: float,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._draw = draw
        self.failures = 0
        """Failures in a row."""

    def next_s(self, *, asked_s: float | None = None, hopeless: bool = False) -> float:
        """Note a failure and give the seconds to wait.

        Never less than the receiver asked for in `asked_s`, never more than `longest_s`, which is
        also the wait after an answer that repeating at once will not change (`hopeless`).
        """
        doublings = min(self.failures, _MAX_DOUBLINGS)
        self.failures += 1
        if hopeless:
            return self._longest_s
        limit_s = min(self._longest_s, self._first_s * 2.0**doublings)
        return min(self._longest_s, max(self._draw() * limit_s, asked_s or 0.0))

    def reset(self) -> None:
        """Note a success."""
        self.failures = 0


def retry_after_s(header: str | None, now_ms: int) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3), seconds or a date; None: none that counts.

    >>> retry_after_s("120", 0), retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 30_000)
    (120.0, 30.0)
    >>> retry_after_s("-1", 0), retry_after_s("soon", 0), retry_after_s(None, 0)
    (None, None, None)
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:_MAX_DIGITS])
    try:
        at = parsedate_to_datetime(text[:64])
        return max(0.0, at.timestamp() - now_ms / 1000)
    except (ValueError, OverflowError):
        return None
