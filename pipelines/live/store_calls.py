"""Calls of a block store that may be unavailable: retried until it answers."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from detector.errors import (
    StoreChangeError,
    StoreConflictError,
    StoreError,
    StoreForeignError,
    StoreGapError,
    StoreUrlError,
    StoreVersionError,
)
from pipelines.live.health import StageHealth
from pipelines.live.supervisor import pause

__all__ = ["HOPELESS", "count_store_error", "insist"]

HOPELESS: Final = (
    StoreChangeError, StoreConflictError, StoreForeignError, StoreGapError, StoreUrlError,
    StoreVersionError,
)  # fmt: skip
"""Errors that waiting does not mend."""
_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 5.0

T = TypeVar("T")


async def insist(
    call: Callable[[], T], stop: asyncio.Event, health: StageHealth,
    failed: Callable[[StoreError], None],
) -> T:  # fmt: skip
    """Call a store in a thread until it answers; `failed` hears of each time it did not.

    Raises:
        StoreError: one that waiting does not repair, or we are to stop.
    """
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            return await asyncio.to_thread(call)
        except HOPELESS:
            raise
        except StoreError as error:
            if stop.is_set():
                raise
            count_store_error(error, health)
            failed(error)
        health.pulse.beat()
        await pause(stop, wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def count_store_error(error: StoreError, health: StageHealth) -> None:
    """Count an error by its kind: StoreLockedError is `locked`."""
    kind = type(error).__name__.removeprefix("Store").removesuffix("Error").lower()
    health.telemetry.store_errors.add(kind or "other")
