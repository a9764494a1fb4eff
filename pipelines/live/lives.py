"""How a stage goes on when Kafka fails: it lets go of everything and begins anew."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from pipelines.clock import elapsed_s
from pipelines.kafka.clients import BrokerError

__all__ = ["Lives", "pause"]

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 5.0
_LONG_LIFE_S: Final = 30.0
"""After a life of this length the next failure is a new one, not more of the last."""


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but not longer than until told to stop."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


class Lives:
    """Runs one life after the other; `tell` hears of every failure.

    A stage that has never lived gives up after `patience_s`: then the settings are wrong rather
    than the broker away.
    """

    def __init__(self, tell: Callable[[str, BrokerError], None], patience_s: float) -> None:
        self._tell = tell
        self._patience_s = patience_s

    async def lead(
        self, name: str, life: Callable[[], Awaitable[None]], stop: asyncio.Event
    ) -> None:
        """Lead lives until one ends by itself or we are told to stop.

        Raises:
            BrokerError: there was no first life within our patience.
        """
        wait_s, first_s, lived = _FIRST_WAIT_S, elapsed_s(), False
        while not stop.is_set():
            began_s = elapsed_s()
            try:
                await life()
                return
            except BrokerError as error:
                now_s = elapsed_s()
                lived = lived or now_s - began_s > self._patience_s
                if not lived and now_s - first_s > self._patience_s:
                    raise
                self._tell(name, error)
                wait_s = _FIRST_WAIT_S if now_s - began_s > _LONG_LIFE_S else wait_s
            await pause(stop, wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
