"""A topic read whole: from the oldest record to where it ends when the reading begins."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka import TopicPartition

from pipelines.kafka.clients import (
    BrokerError,
    Connected,
    KafkaClients,
    MissingTopicError,
    partitions_of,
)

__all__ = ["TopicRecords"]

_TOGETHER: Final = 2_000
_SILENT_POLLS: Final = 30
_POLL_MS: Final = 1_000


class TopicRecords(Connected):
    """What a topic holds now. Used as an async context; any method may raise a `BrokerError`.

    `bounds` has, by partition, the first offset there is and the one behind the last.
    """

    def __init__(self, clients: KafkaClients, topic: str) -> None:
        super().__init__(clients)
        self._topic = topic
        self._consumer = clients.consumer()
        self.bounds: dict[int, tuple[int, int]] = {}

    async def _connect(self, stack: contextlib.AsyncExitStack) -> None:
        await stack.enter_async_context(self._clients.started(self._consumer))
        with self._clients.speaking():
            found = await partitions_of(self._consumer, self._topic)
            if not found:
                raise MissingTopicError(self._topic, "missing")
            places = [TopicPartition(self._topic, number) for number in sorted(found)]
            self._consumer.assign(places)
            first = await self._consumer.beginning_offsets(places)
            end = await self._consumer.end_offsets(places)
        self.bounds = {place.partition: (first[place], end[place]) for place in places}

    def __len__(self) -> int:
        """How many records there are, at most: compaction and transactions leave offsets out."""
        return sum(end - first for first, end in self.bounds.values())

    async def of(self, partition: int) -> AsyncIterator[list[Any]]:
        """Give the records of a partition (with `offset`, `timestamp` and `value`), in order."""
        place = TopicPartition(self._topic, partition)
        first, end = self.bounds[partition]
        self._consumer.assign([place])
        self._consumer.seek(place, first)
        silent = 0
        while await self._position(place) < end:
            with self._clients.speaking():
                batches = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_TOGETHER)
            records = [record for record in batches.get(place, ()) if record.offset < end]
            silent = 0 if records else silent + 1
            if silent >= _SILENT_POLLS:
                said = f"topic {self._topic}: no record of partition {partition} for {silent} s"
                raise BrokerError(self._clients.bootstrap, said)
            if records:
                yield records

    async def _position(self, place: TopicPartition) -> int:
        with self._clients.speaking():
            position: int = await self._consumer.position(place)
        return position
