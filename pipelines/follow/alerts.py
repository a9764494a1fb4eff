"""Alerts of a run without Kafka: posts the changes of the block store to the webhook."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from pipelines.alerts.webhook import WebhookAlerts
from pipelines.live.delivery import Delivery
from pipelines.live.health import StageHealth
from pipelines.live.store_calls import insist
from pipelines.ports import BlockStore, Change
from pipelines.settings.model import WebhookSettings

__all__ = ["FollowAlerts"]

_TOLD: Final = "alerts_told_seq"
"""The fact that says up to which change everything was told."""
_LOOK_S: Final = 0.5
_MOST: Final = 500

T = TypeVar("T")


class _StoredChanges:
    """The changes of a store as a feed; the store keeps the place, which is a `seq`."""

    def __init__(self, store: BlockStore, health: StageHealth, stop: asyncio.Event) -> None:
        self._store, self._health, self._stop = store, health, stop
        self._seq = 0

    async def begin(self) -> None:
        """Resume from the stored position; the first start reports changes from now on."""
        told = await self._call(lambda: self._store.fact(_TOLD))
        if told is None:
            told = str(await self._call(self._store.last_seq))
            await self.commit(int(told))
        self._seq = int(told)

    async def next(self) -> list[tuple[Change, int]]:
        found = await self._call(lambda: self._store.changes_behind(self._seq, _MOST))
        if not found:
            await asyncio.sleep(_LOOK_S)
            return []
        self._seq = found[-1]["seq"]
        return [(change, change["seq"]) for change in found]

    async def commit(self, place: int) -> None:
        await self._call(lambda: self._store.set_fact(_TOLD, str(place)))

    async def _call(self, call: Callable[[], T]) -> T:
        return await insist(call, self._stop, self._health, lambda _error: None)


class FollowAlerts:
    """Delivers each alert at least once, through a store of its own.

    Raises:
        AlertSettingsError: the settings cannot be used.
    """

    def __init__(
        self, opened: Callable[[], BlockStore], settings: WebhookSettings, health: StageHealth
    ) -> None:
        self._opened, self._health = opened, health
        self._alerts = WebhookAlerts(settings, telemetry=health.telemetry)

    async def run(self, begun: asyncio.Event, stop: asyncio.Event) -> None:
        """Deliver until asked to stop; `begun` is set once it is known from which change on.

        Raises:
            StoreError: one that waiting does not repair.
        """
        store = await insist(self._opened, stop, self._health, lambda _error: None)
        try:
            feed = _StoredChanges(store, self._health, stop)
            await feed.begin()
            begun.set()
            self._health.gate.open()
            await Delivery(feed, self._alerts, self._health).run(stop)
        finally:
            await asyncio.to_thread(store.close)
