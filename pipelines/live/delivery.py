"""Delivers the changes of a feed to a webhook; what was delivered is committed."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from pipelines.alerts.webhook import WebhookAlerts
from pipelines.live.health import StageHealth
from pipelines.ports import Change

__all__ = ["Delivery", "Feed"]

_COMMIT_S: Final = 1.0
_CLOSE_S: Final = 3.0


class Feed(Protocol):
    """The source of changes, and of the position up to which they were delivered."""

    async def next(self) -> Sequence[tuple[Change, int]]:
        """Give the next changes, each with the place behind it; none after a short while."""
        ...

    async def commit(self, place: int) -> None:
        """Store that everything before the place was delivered."""
        ...


class Delivery:
    """While the receiver is unavailable only the feed waits."""

    def __init__(self, feed: Feed, alerts: WebhookAlerts, health: StageHealth) -> None:
        self._feed, self._alerts, self._health = feed, alerts, health
        self._places: deque[tuple[int, int]] = deque()
        """Of changes taken and not yet committed: number, and the place behind."""

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until asked to stop; then deliver what waits within a short time.

        What ends the feed ends this, as an error in a group.
        """
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._alerts.run())
            committing = group.create_task(self._commit_often())
            reading = group.create_task(self._read())
            stopping = group.create_task(stop.wait())
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            reading.cancel()
            stopping.cancel()
            committing.cancel()
            await self._alerts.close(_CLOSE_S)
            sending.cancel()
        await self._commit()

    async def _read(self) -> None:
        while True:
            found = await self._feed.next()
            self._places.extend((change["seq"], place) for change, place in found)
            if found:
                await self._alerts.take([change for change, _ in found])

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_S)
            self._health.pulse.beat()
            await self._commit()

    async def _commit(self) -> None:
        behind = None
        while self._places and self._places[0][0] <= self._alerts.delivered_seq:
            _, behind = self._places.popleft()
        if behind is not None:
            await self._feed.commit(behind)
