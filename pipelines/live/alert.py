"""The alert stage: a reader of the listings of its own, which tells the webhook."""

import asyncio
from collections import deque
from typing import Final

from pipelines.alerts.webhook import WebhookAlerts
from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.log_topic import TopicReader
from pipelines.live.lives import broker_errors, lead_lives
from pipelines.live.vitals import Vitals
from pipelines.ports import Change
from pipelines.settings import WebhookSettings
from pipelines.wire import Progress

__all__ = ["AlertStage"]

_COMMIT_S: Final = 1.0
_MOST: Final = 500
_CLOSE_S: Final = 3.0


class AlertStage:
    """Delivers each alert at least once; where it has come is committed, not remembered.

    The first start begins with the oldest change there is. While the receiver is away the reader
    waits, and nothing else does.
    """

    def __init__(self, clients: KafkaClients, settings: WebhookSettings, vitals: Vitals) -> None:
        self._clients, self._settings, self._vitals = clients, settings, vitals
        self._places: deque[tuple[int, int]] = deque()
        """Of changes taken and not yet committed: number, and the offset behind."""

    async def run(self, stop: asyncio.Event) -> None:
        """Tell until told to stop."""

        async def life() -> None:
            clients = self._clients
            group = f"{clients.kafka.group}-alerts"
            async with TopicReader(clients, clients.listings_topic, group=group) as listings:
                await self._live(listings, stop)

        await lead_lives(self._vitals, life, stop, self._clients.kafka.patience_s)

    async def _live(self, listings: TopicReader, stop: asyncio.Event) -> None:
        place = await listings.committed()
        first, end = await listings.bounds()
        await listings.start_at(first if place is None else max(first, min(place, end)))
        alerts = WebhookAlerts(self._settings, telemetry=self._vitals.telemetry)
        self._places.clear()
        self._vitals.gate.open()
        with broker_errors():
            await self._work(alerts, listings, stop)
        await self._commit(alerts, listings)

    async def _work(
        self, alerts: WebhookAlerts, listings: TopicReader, stop: asyncio.Event
    ) -> None:  # fmt: skip
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(alerts.run())
            committing = group.create_task(self._commit_often(alerts, listings))
            reading = group.create_task(self._read(alerts, listings))
            stopping = group.create_task(stop.wait())
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            reading.cancel()
            stopping.cancel()
            committing.cancel()
            await alerts.close(_CLOSE_S)
            sending.cancel()

    async def _read(self, alerts: WebhookAlerts, listings: TopicReader) -> None:
        while True:
            changes: list[Change] = []
            for record, message in await listings.next_listings(0.5, _MOST):
                if not isinstance(message, Progress):
                    changes.append(message)
                    self._places.append((message["seq"], record.offset + 1))
            if changes:
                await alerts.take(changes)

    async def _commit_often(self, alerts: WebhookAlerts, listings: TopicReader) -> None:
        while True:
            await asyncio.sleep(_COMMIT_S)
            self._vitals.pulse.beat()
            await self._commit(alerts, listings)

    async def _commit(self, alerts: WebhookAlerts, listings: TopicReader) -> None:
        behind = None
        while self._places and self._places[0][0] <= alerts.delivered_seq:
            _, behind = self._places.popleft()
        if behind is not None:
            await listings.commit(behind)
