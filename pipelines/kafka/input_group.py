"""The input topic, read as a member of its group: Kafka says which partitions are ours."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from pipelines.kafka.clients import (
    BrokerError,
    Connected,
    KafkaClients,
    MissingTopicError,
    check_place,
    partitions_of,
)

__all__ = ["InputGroup"]

_ANEW: Final = (
    "move the group to a new name (kafka.group) together with an empty log, which starts again"
)
_GONE: Final = f"they cannot be counted any more; lengthen the retention, or {_ANEW}"

_MORE_S: Final = 5.0
"""So much longer than one request may a call take, which may need several."""


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Counts rebalances; what has to be done waits for the reader, who alone knows its state."""

    def __init__(self) -> None:
        self.generation = 0
        self.settled = False

    def on_partitions_revoked(self, _revoked: object) -> None:
        self.generation += 1
        self.settled = False

    def on_partitions_assigned(self, _assigned: object) -> None:
        self.generation += 1
        self.settled = True


class InputGroup(Connected):
    """A member of the group. Used as an async context; every method may raise a `BrokerError`.

    `generation` goes up whenever partitions may have changed hands. Then all that is known of them
    is void: `claim` tells which are ours now, and reading restarts at the committed places.
    """

    def __init__(self, clients: KafkaClients) -> None:
        super().__init__(clients)
        self._topic = clients.input_topic
        self._listener = _Listener()
        kafka = clients.kafka
        self._consumer = clients.consumer(
            group_id=kafka.group,
            session_timeout_ms=int(kafka.session_s * 1000),
            heartbeat_interval_ms=int(kafka.session_s * 100),
            metadata_max_age_ms=10_000,
            max_poll_interval_ms=300_000,
            fetch_max_wait_ms=200,
        )

    async def _connect(self, stack: contextlib.AsyncExitStack) -> None:
        await stack.enter_async_context(self._clients.started(self._consumer))
        self._admin = await stack.enter_async_context(self._clients.started(self._clients.admin()))
        if not await self.partition_count():
            raise MissingTopicError(self._topic, "missing")
        self._consumer.subscribe([self._topic], listener=self._listener)

    @property
    def generation(self) -> int:
        """How often partitions may have changed hands."""
        return self._listener.generation

    @property
    def settled(self) -> bool:
        """Whether the group has said which partitions are ours."""
        return self._listener.settled

    async def partition_count(self) -> int:
        """Give how many partitions the input has, 0 where it does not exist."""
        async with self._in_words():
            return len(await partitions_of(self._consumer, self._topic))

    async def claim(self) -> dict[int, tuple[int, str] | None]:
        """Give our partitions, each with the committed offset and the text beside it."""
        async with self._in_words():
            places = list(self._consumer.assignment())
            if not places:
                return {}
            found = await self._admin.list_consumer_group_offsets(
                self._clients.kafka.group, partitions=places
            )
        out: dict[int, tuple[int, str] | None] = {}
        for place in places:
            commit = found.get(place)
            known = commit is not None and commit.offset >= 0
            out[place.partition] = (commit.offset, commit.metadata) if known else None
        return out

    async def bounds(self, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Give the first offset there is of each partition, and the one behind the last."""
        async with self._in_words():
            places = [TopicPartition(self._topic, partition) for partition in partitions]
            first = await self._consumer.beginning_offsets(places)
            end = await self._consumer.end_offsets(places)
        return {place.partition: (first[place], end[place]) for place in places}

    async def check_lost(self, partition: int, wanted: int) -> None:
        """See whether the records from `wanted` on are gone.

        Raises:
            LostRecordsError: they are, and which.
            ShorterTopicError: the partition does not reach so far.
        """
        bounds = (await self.bounds([partition]))[partition]
        check_place(self._topic, partition, wanted, bounds, _GONE, _ANEW)

    def seek(self, partition: int, offset: int) -> bool:
        """Read a partition from an offset on; False where it is not ours any more."""
        try:
            self._consumer.seek(TopicPartition(self._topic, partition), offset)
        except IllegalStateError:
            return False
        return True

    async def poll(self, timeout_s: float, most: int) -> dict[int, list[Any]]:
        """Give the next records by partition (with `offset`, `timestamp` and `value`)."""
        async with self._in_words():
            batches = await self._consumer.getmany(
                timeout_ms=int(timeout_s * 1000), max_records=most
            )
        return {place.partition: records for place, records in batches.items()}

    def lag(self, partition: int, position: int) -> int | None:
        """Give how many records lie before the end, None where that is not known yet."""
        try:
            end = self._consumer.highwater(TopicPartition(self._topic, partition))
        except (IllegalStateError, AssertionError):
            return None
        return None if end is None else max(0, end - position)

    async def commit(self, places: Mapping[int, tuple[int, str]]) -> bool:
        """Commit offsets with their texts; False where the group has moved on without us."""
        if not places:
            return True
        offsets = {TopicPartition(self._topic, p): place for p, place in places.items()}
        async with self._in_words():
            try:
                await self._consumer.commit(offsets)
            except (CommitFailedError, IllegalStateError):
                return False
        return True

    def hold(self, held: Iterable[int], ours: Iterable[int]) -> None:
        """Read nothing of the partitions `held`, and the others of `ours` again."""
        paused = {place.partition for place in self._consumer.paused()}
        wanted = set(held)
        with contextlib.suppress(IllegalStateError):  # no longer ours
            for change, partitions in (
                (self._consumer.pause, wanted - paused),
                (self._consumer.resume, (paused - wanted) & set(ours)),
            ):
                if partitions:
                    change(*(TopicPartition(self._topic, partition) for partition in partitions))

    @contextlib.asynccontextmanager
    async def _in_words(self) -> AsyncIterator[None]:
        """Put what goes wrong into words; a client that repeats a request for ever is given up."""
        limit_s = self._clients.kafka.request_s + _MORE_S
        try:
            with self._clients.speaking():
                async with asyncio.timeout(limit_s):
                    yield
        except TimeoutError as error:
            said = f"the client of the group has no answer after {limit_s:.0f} s"
            raise BrokerError(self._clients.bootstrap, said) from error
