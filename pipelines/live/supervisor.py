"""Restarts a stage after a failure of Kafka: it drops everything it held and starts again."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from detector.errors import FloodwatchError
from pipelines.clock import elapsed_s
from pipelines.kafka.clients import BrokerError, is_asked_to_end
from pipelines.live.health import StageHealth

__all__ = ["Run", "broker_errors", "first_error", "pause", "supervise", "until_told"]

Run = Callable[[asyncio.Event], Awaitable[None]]

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 5.0
_LONG_LIFE_S: Final = 30.0
"""After a run of this length the next failure is a new one, not more of the last."""


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but not longer than until asked to stop."""
    # Not `wait_for`: in Python 3.11 it loses a cancellation that comes as the wait ends.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


@contextlib.contextmanager
def broker_errors() -> Iterator[None]:
    """Raise what ended a group of tasks as itself, where it was nothing but failures of Kafka."""
    try:
        yield
    except BaseExceptionGroup as group:
        kafka, others = group.split(BrokerError)
        if kafka is None or others is not None:
            raise
        raise _first_of(kafka) from None


async def supervise(
    health: StageHealth, life: Callable[[], Awaitable[None]], stop: asyncio.Event, patience_s: float
) -> None:
    """Run a stage, again after each failure of Kafka, until it ends by itself or must stop.

    Once a stage was ready, Kafka may be away for as long as it likes: trying again is moving too.
    One that is not ready within `patience_s` of its start ends: the settings may be wrong.

    Raises:
        BrokerError: the stage was not ready once within our patience.
    """
    wait_s, first_s = _FIRST_WAIT_S, elapsed_s()
    while not stop.is_set():
        began_s = elapsed_s()
        try:
            await life()
            return
        except BrokerError as error:
            now_s = elapsed_s()
            if not health.gate.was_open and now_s - first_s >= patience_s:
                raise
            ready = health.gate.is_open
            health.outage.failed(health.name, str(error), wait_s, was_ready=ready)
            wait_s = _FIRST_WAIT_S if now_s - began_s > _LONG_LIFE_S else wait_s
        finally:
            health.gate.shut()
            health.pulse.beat()
        await pause(stop, wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


async def until_told(run: Run, stop: asyncio.Event) -> None:
    """Run a stage; one that ends unasked, even by a cancellation of nobody's, is an error.

    Raises:
        FloodwatchError: it ended unexpectedly; without it the process would only look healthy.
    """
    try:
        await run(stop)
    except asyncio.CancelledError:
        if is_asked_to_end():
            raise
    if not stop.is_set():
        raise FloodwatchError("a stage ended unexpectedly; please report this")


@contextlib.contextmanager
def first_error() -> Iterator[None]:
    """Raise the first of several errors that ended the stages: it says most."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise _first_of(group) from None


def _first_of(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
