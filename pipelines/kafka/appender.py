"""Appends to topics, idempotently and in order; says what has arrived."""

import asyncio
import contextlib
from collections.abc import Callable

from aiokafka.errors import KafkaError

from pipelines.kafka.clients import Connected, KafkaClients

__all__ = ["Appender"]


class Appender(Connected):
    """One producer. Used as an async context; every method may raise a `BrokerError`.

    After the first failure nothing more can be appended in order, so that whoever appends has to
    start again with another appender, from what is known to have arrived.
    """

    def __init__(self, clients: KafkaClients) -> None:
        super().__init__(clients)
        self._producer = clients.producer()
        self._failed: BaseException | None = None
        self._waiting: set[asyncio.Future[object]] = set()

    async def _connect(self, stack: contextlib.AsyncExitStack) -> None:
        await stack.enter_async_context(self._clients.started(self._producer))

    @property
    def outstanding(self) -> int:
        """How many messages have not arrived yet."""
        return len(self._waiting)

    async def append(
        self, topic: str, value: bytes, *,
        partition: int | None = 0, key: bytes | None = None, then: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """Append a message; `then` is called once it has arrived, in the order of appending."""
        self.check()
        with self._clients.speaking():
            future = await self._producer.send(topic, value, key=key, partition=partition)
        self._waiting.add(future)

        def arrived(done: asyncio.Future[object]) -> None:
            self._waiting.discard(done)
            if done.cancelled():
                self._failed = self._failed or KafkaError("an append was abandoned")
            elif (error := done.exception()) is not None:
                self._failed = self._failed or error
            elif self._failed is None and then is not None:
                then()

        future.add_done_callback(arrived)

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._failed is not None:
            raise self._clients.in_words(self._failed) from self._failed

    async def settle(self, most: int = 0) -> None:
        """Wait until at most so many messages have not arrived yet."""
        while len(self._waiting) > most:
            await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)
            self.check()
        self.check()
