"""How late the event loop wakes up: the first sign that work on the loop takes too long."""

import asyncio

from pipelines.console.telemetry import Telemetry
from pipelines.web.progress import Pulse

__all__ = ["measure_loop_lag"]


async def measure_loop_lag(
    telemetry: Telemetry, pulse: Pulse | None = None, *, every_s: float = 0.5
) -> None:
    """Until cancelled, go to sleep for `every_s` and note how much longer it took; beat `pulse`."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        telemetry.loop_lag.observe(max(0.0, loop.time() - due))
        if pulse is not None:
            pulse.beat()
