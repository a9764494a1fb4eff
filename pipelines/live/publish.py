"""The publish stage on Kafka: the listings go to the block store, requests go to the log."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from detector.errors import StoreError, StoreGapError
from detector.events.interning import KeyTables
from detector.log.records import RemovalRequest, encode_record
from pipelines.clock import elapsed_s
from pipelines.kafka.appender import Appender
from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.log_topic import TopicReader
from pipelines.live.health import StageHealth
from pipelines.live.store_calls import insist
from pipelines.live.supervisor import supervise
from pipelines.ports import REMOVAL, BlockStore, Change, FloodRecord
from pipelines.wire import Progress, Record

__all__ = ["PublishStage"]

_MOST: Final = 1_000
_LOOK_S: Final = 1.0
"""How often requests are looked for, and whether the store is still the one we wrote to."""
_FACTS_S: Final = 10.0
_PLACE: Final = "listings_offset"
_FORWARDED: Final = "forwarded_request"

T = TypeVar("T")


class PublishStage:
    """Keeps one store current; `facts` are what a reader of the store should know beside it."""

    def __init__(
        self, clients: KafkaClients, open_it: Callable[[], BlockStore], facts: Mapping[str, str],
        health: StageHealth,
    ) -> None:  # fmt: skip
        self.clients, self._open, self.health = clients, open_it, health
        self.facts = {"live": "1", **facts}
        self._store: BlockStore | None = None
        self._stop = asyncio.Event()
        self.seq = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Apply changes until asked to stop, and what the listings hold by then.

        Raises:
            StoreError: one that waiting does not repair.
        """
        self._stop = stop

        async def life() -> None:
            clients = self.clients
            async with (
                TopicReader(clients, clients.listings_topic) as listings,
                Appender(clients) as appender,
            ):
                await _Life(self, listings, appender).run(stop)

        try:
            await supervise(self.health, life, stop, self.clients.kafka.patience_s)
        finally:
            if self._store is not None:
                await asyncio.to_thread(self._store.close)

    async def with_store(self, call: Callable[[BlockStore], T]) -> T:
        """Call the store in a thread, and retry until it answers.

        Raises:
            StoreGapError: the store is not where we left it.
            StoreError: one that waiting does not repair, or we are to stop.
        """
        told = False

        def failed(error: StoreError) -> None:
            nonlocal told
            if not told:
                self.health.log.warning(
                    "store unavailable, listings are waiting", reason=str(error)
                )
            told = True

        return await insist(lambda: self._call(call), self._stop, self.health, failed)

    def _call(self, call: Callable[[BlockStore], T]) -> T:
        if self._store is None:
            self._store = self._open()
        return call(self._store)


class _Life:
    """One run, from connecting to the loss of the connection."""

    def __init__(self, stage: PublishStage, listings: TopicReader, appender: Appender) -> None:
        self._stage, self._listings, self._appender = stage, listings, appender
        self._looked_s = self._facts_s = 0.0
        self._watermark_ms = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Apply changes as they arrive; at the end those that are already there."""
        await self._find_place()
        self._stage.health.gate.open()
        while not stop.is_set():
            self._stage.health.pulse.beat()
            await self._next(0.2)
            if elapsed_s() - self._looked_s >= _LOOK_S:
                await self._look()
        _, end = await self._listings.bounds()
        while self._listings.position < end:
            await self._next(0.2)
        self._facts_s = 0.0
        await self._look()

    async def _find_place(self) -> None:
        """Seek to the last change of the store, or to the oldest change for an empty store."""
        stage = self._stage
        stage.seq = await stage.with_store(lambda store: store.last_seq())
        place = await stage.with_store(lambda store: store.fact(_PLACE))
        if stage.seq and place is not None:
            first, end = await self._listings.bounds()
            await self._listings.start_at(max(first, min(int(place), end)))
        else:
            await self._listings.start_at_oldest()

    async def _next(self, timeout_s: float) -> None:
        """Apply the next changes and flood records; all of them or none."""
        changes: list[Change] = []
        floods: list[FloodRecord] = []
        for _, message in await self._listings.next_listings(timeout_s, _MOST):
            match message:
                case Record(kind="flood", fields=fields):
                    floods.append(fields)
                case Record():
                    pass
                case Progress(closed=closed):
                    if closed is not None:
                        self._watermark_ms = max(self._watermark_ms, closed * 1000 + 999)
                case change:
                    changes.append(change)
        if changes or floods:
            await self._apply(changes, floods)

    async def _apply(self, changes: list[Change], floods: list[FloodRecord]) -> None:
        stage = self._stage
        facts = self._facts()
        if not stage.seq and changes and changes[0]["seq"] > 1:
            gone = changes[0]["seq"] - 1
            await stage.with_store(lambda store: store.start_behind(gone))
            stage.health.log.warning("older changes were deleted by retention", first=gone + 1)
            stage.seq = gone
        try:
            await stage.with_store(lambda store: store.apply(changes, facts, floods))
        except StoreGapError as error:
            await self._begin_anew(error)
            return
        if changes:
            stage.seq = max(stage.seq, changes[-1]["seq"])
        self._facts_s = elapsed_s()

    def _facts(self) -> dict[str, str]:
        facts = {**self._stage.facts, _PLACE: str(self._listings.position)}
        if self._watermark_ms:
            facts["watermark_ms"] = str(self._watermark_ms)
        return facts

    async def _begin_anew(self, error: StoreGapError | None) -> None:
        """Rebuild a store that was emptied; any other gap is an error."""
        stage = self._stage
        now = await stage.with_store(lambda store: store.last_seq())
        if now >= stage.seq and error is not None:
            raise error
        stage.health.log.warning(
            "the store was emptied or restored: refilling it from the listings",
            store_seq=now, our_seq=stage.seq,
        )  # fmt: skip
        stage.seq = now
        await self._listings.start_at_oldest()

    async def _look(self) -> None:
        """See that the store is still the same, tell it the time, and forward requests."""
        stage, now_s = self._stage, elapsed_s()
        self._looked_s = now_s
        if await stage.with_store(lambda store: store.last_seq()) < stage.seq:
            await self._begin_anew(None)
            return
        if now_s - self._facts_s >= _FACTS_S:
            self._facts_s = now_s
            facts = self._facts()
            await stage.with_store(lambda store: store.apply([], facts))
        await self._forward()

    async def _forward(self) -> None:
        """Append the removal requests that came to the store to the log, each once if possible."""
        stage = self._stage
        forwarded = int(await stage.with_store(lambda store: store.fact(_FORWARDED)) or 0)
        pending = await stage.with_store(lambda store: store.requests(pending_only=True))
        due = [one for one in pending if one.kind == REMOVAL and one.id > forwarded]
        if not due:
            return
        log = stage.clients.log_topic
        tables = KeyTables()
        for one in due:
            control = RemovalRequest(one.time_ms, one.subject, str(one.id))
            await self._appender.append(log, encode_record(control, tables))
        await self._appender.settle()
        last = str(due[-1].id)

        def keep(store: BlockStore) -> Any:
            store.set_fact(_FORWARDED, last)

        await stage.with_store(keep)
