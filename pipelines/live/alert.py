"""The alert stage on Kafka: reads the listings independently and posts to the webhook."""

import asyncio
from typing import Final

from pipelines.alerts.webhook import WebhookAlerts
from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.log_topic import TopicReader
from pipelines.live.delivery import Delivery
from pipelines.live.health import StageHealth
from pipelines.live.supervisor import broker_errors, supervise
from pipelines.ports import Change
from pipelines.settings.model import WebhookSettings

__all__ = ["AlertStage"]

_MOST: Final = 500


class _Listings:
    """The listings as a feed; the group `<group>-alerts` keeps the place."""

    def __init__(self, listings: TopicReader) -> None:
        self._listings = listings

    async def next(self) -> list[tuple[Change, int]]:
        return [
            (message, record.offset + 1)
            for record, message in await self._listings.next_listings(0.5, _MOST)
            if isinstance(message, dict)
        ]

    async def commit(self, place: int) -> None:
        await self._listings.commit(place)


class AlertStage:
    """Delivers each alert at least once. The first start begins with the oldest change there is."""

    def __init__(
        self, clients: KafkaClients, settings: WebhookSettings, health: StageHealth
    ) -> None:
        self._clients, self._settings, self._health = clients, settings, health

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until asked to stop."""

        async def life() -> None:
            clients = self._clients
            group = f"{clients.kafka.group}-alerts"
            async with TopicReader(clients, clients.listings_topic, group=group) as listings:
                await self._live(listings, stop)

        await supervise(self._health, life, stop, self._clients.kafka.patience_s)

    async def _live(self, listings: TopicReader, stop: asyncio.Event) -> None:
        place = await listings.committed()
        first, end = await listings.bounds()
        await listings.start_at(first if place is None else max(first, min(place, end)))
        alerts = WebhookAlerts(self._settings, telemetry=self._health.telemetry)
        self._health.gate.open()
        with broker_errors():
            await Delivery(_Listings(listings), alerts, self._health).run(stop)
