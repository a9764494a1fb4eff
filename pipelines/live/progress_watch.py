"""Follows the detector's progress messages in the listings."""

import asyncio
from typing import Final

from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.log_topic import TopicReader
from pipelines.live.health import StageHealth
from pipelines.live.supervisor import supervise
from pipelines.wire import Progress

__all__ = ["ProgressWatch"]

_LOOK_BACK: Final = 200
"""Messages at the end of the listings in which the last progress is looked for."""


class ProgressWatch:
    """`closed` is the detector's last close, None until it is known.

    `torn` are the partitions that wait for a lost tally, as the detector says that is furthest.
    """

    def __init__(self, clients: KafkaClients, health: StageHealth) -> None:
        self.closed: int | None = None
        self.torn: frozenset[int] = frozenset()
        self._torn_offset = -1
        self._clients = clients
        self._health = health

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until asked to stop."""

        async def life() -> None:
            topic = self._clients.listings_topic
            async with TopicReader(self._clients, topic) as reader:
                first, end = await reader.bounds()
                await reader.start_at(max(first, end - _LOOK_BACK))
                self._health.gate.open()
                while not stop.is_set():
                    self._health.pulse.beat()
                    for _, message in await reader.next_listings(0.5):
                        if isinstance(message, Progress):
                            self._hear(message)

        await supervise(self._health, life, stop, self._clients.kafka.patience_s)

    def _hear(self, progress: Progress) -> None:
        """Take progress beyond the known one: a detector that lags must not hold others back."""
        if progress.closed is not None:
            self.closed = max(progress.closed, self.closed or progress.closed)
        if progress.log_offset >= self._torn_offset:
            self.torn, self._torn_offset = frozenset(progress.torn), progress.log_offset
