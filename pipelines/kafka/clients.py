"""Makes Kafka clients as the settings say, and puts their failures into words."""

import abc
import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from detector.errors import FloodwatchError
from pipelines.kafka.security import client_arguments
from pipelines.settings.model import KafkaSettings, TopicKind

__all__ = [
    "BrokerError",
    "Connected",
    "KafkaClients",
    "LostRecordsError",
    "MissingTopicError",
    "NotAllowedError",
    "ShorterTopicError",
    "check_place",
    "follower",
    "is_asked_to_end",
    "partitions_of",
]

LARGEST_MESSAGE: Final = 1 << 24
"""A part of a tally has at most 8,192 rows; their longest texts make some 5 MB."""

_PORT: Final = 9092
"""Of a broker that is named without one."""
_CONNECT_S: Final = 2.0
_NOT_ALLOWED: Final = (
    ClusterAuthorizationFailedError, GroupAuthorizationFailedError, TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)  # fmt: skip

T = TypeVar("T")


class BrokerError(FloodwatchError):
    """Kafka did not do what it was asked; trying again later may help. `problem` says what."""

    def __init__(self, bootstrap: str, problem: str) -> None:
        super().__init__(f"Kafka at {bootstrap}: {problem}")
        self.bootstrap = bootstrap
        self.problem = problem


class NotAllowedError(BrokerError):
    """Kafka knows us, and its access control does not allow what we asked."""


class MissingTopicError(FloodwatchError):
    """A topic that is not there, or has the wrong number of partitions."""

    def __init__(self, topic: str, problem: str) -> None:
        super().__init__(f"topic {topic}: {problem}: see floodwatch topics check")
        self.topic = topic


class LostRecordsError(FloodwatchError):
    """Retention has passed the position of the reader: records `first` to `last` are gone."""

    def __init__(self, topic: str, partition: int, first: int, last: int, advice: str) -> None:
        super().__init__(
            f"topic {topic}: records {first} to {last} of partition {partition} were deleted by "
            f"retention ({last - first + 1:,} records): {advice}"
        )
        self.topic = topic
        self.partition = partition
        self.first = first
        self.last = last


class ShorterTopicError(FloodwatchError):
    """A topic ends at `end`, before the place `wanted` where we stopped: it is another one."""

    def __init__(self, topic: str, partition: int, wanted: int, end: int, advice: str) -> None:
        super().__init__(
            f"topic {topic}: partition {partition} ends at offset {end}, but it was read up to "
            f"{wanted}: it was recreated, or lost its last records: {advice}"
        )
        self.topic = topic
        self.partition = partition
        self.wanted = wanted
        self.end = end


class KafkaClients:
    """Makes clients; nothing is connected before `started`."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.kafka = kafka
        self.bootstrap = kafka.bootstrap
        topics = kafka.topics
        self.input_topic = topics.input
        self.log_topic = topics.prefix + topics.log
        self.listings_topic = topics.prefix + topics.listings
        self.dead_letters_topic = topics.prefix + topics.dead_letters
        self._arguments = client_arguments(kafka)

    def topic(self, kind: TopicKind) -> str:
        """Give the name of a topic."""
        names: dict[TopicKind, str] = {
            "input": self.input_topic,
            "log": self.log_topic,
            "listings": self.listings_topic,
            "dead-letters": self.dead_letters_topic,
        }
        return names[kind]

    def consumer(self, *topics: str, **more: Any) -> AIOKafkaConsumer:
        """Make a consumer that commits nothing by itself."""
        arguments = {
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "metadata_max_age_ms": 30_000,
            "max_partition_fetch_bytes": 4 << 20,
        }
        return AIOKafkaConsumer(*topics, **(self._arguments | arguments | more))

    def producer(self) -> AIOKafkaProducer:
        """Make an idempotent producer: a repeated message is stored once, and in order."""
        return AIOKafkaProducer(
            **self._arguments,
            enable_idempotence=True,
            acks="all",
            compression_type="zstd",
            max_batch_size=1 << 20,
            max_request_size=LARGEST_MESSAGE,
            linger_ms=5,
        )

    def admin(self) -> AIOKafkaAdminClient:
        """Make an admin client."""
        return AIOKafkaAdminClient(**self._arguments)

    @contextlib.asynccontextmanager
    async def started(self, client: T) -> AsyncIterator[T]:
        """Connect a client and always disconnect it at the end.

        Raises:
            BrokerError: no broker answers, or it refuses the login.
        """
        running: Any = client
        try:
            try:
                await running.start()
            except KafkaError as error:
                if "Unable to bootstrap" in str(error):
                    raise BrokerError(self.bootstrap, await self._why_not_in()) from error
                raise self.in_words(error) from error
            yield client
        finally:
            await self._let_go(running)

    async def _let_go(self, client: Any) -> None:
        """Disconnect a client, whatever state it is in.

        aiokafka's `stop` leaves a consumer half closed where a fetch waits for a broker that is
        away (its `Fetcher.close` passes the cancellation of its own task on), and waits for a
        delivery that may never come: so it runs apart and within a limit, and then the connections
        are closed all the same.
        """
        stop = client.close if isinstance(client, AIOKafkaAdminClient) else client.stop
        ours = client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001 - see above
        for close in (stop, ours.close):
            closing = asyncio.create_task(close())
            try:
                await asyncio.wait({closing}, timeout=self.kafka.request_s)
            finally:
                closing.cancel()
            if closing.done() and not closing.cancelled() and closing.exception() is None:
                return

    @contextlib.contextmanager
    def speaking(self) -> Iterator[None]:
        """Put a failure of the client into words, as a `BrokerError`."""
        try:
            yield
        except KafkaError as error:
            raise self.in_words(error) from error
        except asyncio.CancelledError as error:
            # A client whose own tasks are cancelled passes that on to whoever waits for them; let
            # through, it would end our task without a word.
            if is_asked_to_end():
                raise
            raise BrokerError(self.bootstrap, "the client gave up before it finished") from error

    def in_words(self, error: BaseException) -> BrokerError:
        """Say what a failure of a client means."""
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        kind = NotAllowedError if isinstance(error, _NOT_ALLOWED) else BrokerError
        return kind(self.bootstrap, said)

    async def _why_not_in(self) -> str:
        """Say why no connection came about; the client itself does not tell who refused whom."""
        for broker in self._arguments["bootstrap_servers"]:
            if await _takes_connections(broker):
                return (
                    f"{broker} takes connections and refused the login: check kafka.security, "
                    "user, password and TLS settings"
                )
        return "no broker answers: check kafka.bootstrap and the network, or start the broker"


def is_asked_to_end() -> bool:
    """Say whether somebody has cancelled the task that runs now, and not only what it waits for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class Connected(abc.ABC):
    """What has its clients connected as long as it is used as an async context."""

    def __init__(self, clients: KafkaClients) -> None:
        self._clients = clients
        self._stack = contextlib.AsyncExitStack()

    @abc.abstractmethod
    async def _connect(self, stack: contextlib.AsyncExitStack) -> None:
        """Enter what has to be let go of in the end."""

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._connect(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self._stack.aclose()


def check_place(
    topic: str, partition: int, wanted: int, bounds: tuple[int, int], gone: str, anew: str
) -> None:
    """See whether a partition with these bounds can be read on from the offset `wanted`.

    Raises:
        LostRecordsError: what comes next is gone; with the advice `gone`.
        ShorterTopicError: it does not reach so far, and Kafka would begin at the oldest record;
            with the advice `anew`.
    """
    first, end = bounds
    if first > wanted:
        raise LostRecordsError(topic, partition, wanted, first - 1, gone)
    if end < wanted:
        raise ShorterTopicError(topic, partition, wanted, end, anew)


async def _takes_connections(broker: str) -> bool:
    host, _, port = broker.rpartition(":")
    if not port.isdecimal():
        host, port = broker, str(_PORT)
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except OSError:  # a TimeoutError is one
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def follower(
    clients: KafkaClients, stack: contextlib.AsyncExitStack, topic: str, **more: Any
) -> tuple[AIOKafkaConsumer, TopicPartition]:
    """Start a reader of a topic with one partition, outside of any group, at no place yet.

    Raises:
        BrokerError: no broker answers.
        MissingTopicError: there is no such topic, or it has more than one partition.
    """
    consumer = await stack.enter_async_context(clients.started(clients.consumer(**more)))
    partitions = await partitions_of(consumer, topic)
    if partitions != {0}:
        count = len(partitions)
        raise MissingTopicError(topic, f"has {count} partitions, want 1" if count else "missing")
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    return consumer, place


async def partitions_of(client: AIOKafkaConsumer, topic: str) -> set[int]:
    """Give the partitions of a topic, none where it does not exist."""
    await client._client.force_metadata_update()  # noqa: SLF001 - the only way to ask anew
    found: set[int] | None = client.partitions_for_topic(topic)
    if not found:
        # A topic that nobody has asked for is not in the metadata of a client that follows none.
        await client.topics()
        found = client.partitions_for_topic(topic)
    return set(found or ())
