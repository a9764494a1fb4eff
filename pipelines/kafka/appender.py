"""Appends to topics, idempotently and in order; says what has arrived."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiokafka.errors import KafkaError

from pipelines.kafka.clients import KafkaClients

__all__ = ["Appender"]


class Appender:
    """One producer. Used as an async context; every method may raise a `BrokerError`.

    After the first failure nothing more can be appended in order, so that whoever appends has to
    begin anew with another appender, from what is known to have arrived.
    """

    def __init__(self, clients: KafkaClients) -> None:
        self._clients = clients
        self._producer = clients.producer()
        self._stack = contextlib.AsyncExitStack()
        self._failed: BaseException | None = None
        self._waiting: set[asyncio.Future[object]] = set()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._clients.started(self._producer))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self._stack.aclose()
        for future in self._waiting:
            if future.done() and not future.cancelled():
                future.exception()  # looked at, so that nobody complains

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
        try:
            future = await self._producer.send(topic, value, key=key, partition=partition)
        except KafkaError as error:
            raise self._clients.in_words(error) from error
        self._waiting.add(future)

        def arrived(done: asyncio.Future[object]) -> None:
            self._waiting.discard(done)
            if done.cancelled():
                self._failed = self._failed or KafkaError("an append was given up")
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
