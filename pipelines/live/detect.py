"""The detect stage on Kafka: follows the log, writes the listings, keeps snapshots.

As with ingest, a failure of Kafka ends a life, and the next one begins at the last snapshot.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any, Final

from detector.engine import Engine
from detector.errors import SnapshotError, TallyGapError
from detector.live_keys import release_due, release_keys
from detector.log.records import AsnTableChange, Dead, Idle, LogRecord, Partitions, encode_record
from detector.policy.settings import Policy, policy_digest
from detector.tally.tally import Tally
from pipelines.clock import elapsed_s
from pipelines.console.resident import give_back
from pipelines.kafka.appender import Appender
from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.listings_book import ListingsBook
from pipelines.kafka.log_topic import TopicReader, decoded
from pipelines.live.beginning import Begun, Tables, begin_at_snapshot, snapshot_bytes
from pipelines.live.health import StageHealth
from pipelines.live.listing_log import ListingLog
from pipelines.live.supervisor import supervise
from pipelines.settings.model import DetectSettings
from pipelines.snapshot_file import save_snapshot
from pipelines.wire import Progress

__all__ = ["LOST_LOG", "DetectStage"]

_POLL_S: Final = 0.1
_MOST_RECORDS: Final = 2_000
"""Log records at a time: the more are closed together, the less each costs."""
_PROGRESS_S: Final = 1.0
LOST_LOG: Final = (
    "restore the snapshot that matches it, or start over with an empty log and a new group; the "
    "log's retention should be some days, and a snapshot is taken every minute"
)


def closed_ms(engine: Engine) -> int | None:
    """Give the event time up to which all is decided, Unix milliseconds."""
    closed = engine.watermark()
    return None if closed is None else closed * 1000 + 999


class DetectStage:
    """One detector."""

    def __init__(
        self, clients: KafkaClients, settings: DetectSettings, policy: Policy, tables: Tables,
        health: StageHealth,
    ) -> None:  # fmt: skip
        self.clients, self.settings, self.health = clients, settings, health
        self._policy, self._tables = policy, tables
        snapshot = os.fsencode(settings.snapshot.absolute()).decode(errors="replace")
        self.name = f"{socket.gethostname()}:{snapshot}"
        """Tells copies apart: no two of them share a snapshot."""

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log until asked to stop; then read it to its end and take a snapshot.

        Raises:
            LogError: the log cannot be followed, or another detector decides otherwise.
            LostRecordsError: what comes next of the log is gone.
            ShorterTopicError: the log ends before the place of the snapshot.
            SnapshotError: there are snapshots, and none is usable.
        """

        async def life() -> None:
            clients = self.clients
            async with (
                Appender(clients) as appender,
                TopicReader(clients, clients.log_topic, LOST_LOG) as log,
                TopicReader(clients, clients.listings_topic) as listings,
            ):
                begun = await asyncio.to_thread(self._begin)
                engine = begun.engine
                self.health.starts_from(
                    self.settings.snapshot, engine.listings.lifecycle.in_force(),
                    closed_ms(engine),
                )  # fmt: skip
                book = ListingsBook(clients, listings, appender, engine.listings.seq)
                await log.start_at(begun.log_offset)
                await book.open(begun.listings_offset)
                await _Life(self, engine, log, book, appender).run(stop)

        await supervise(self.health, life, stop, self.clients.kafka.patience_s)

    def _begin(self) -> Begun:
        """Make an engine with the state of the last snapshot."""
        begun = begin_at_snapshot(self.settings.snapshot, self._policy, self._tables)
        for error in begun.passed_over:
            self.health.log.warning("resumes from the previous snapshot", reason=str(error))
        if begun.engine.policy != self._policy:
            self.health.log.warning(
                "the active policy is the one in the log, not in the file: floodwatch control "
                "policy FILE activates another",
                in_force=policy_digest(begun.engine.policy), file=policy_digest(self._policy),
            )  # fmt: skip
        return begun

    def offer_table(self, engine: Engine, digest: str) -> None:
        """Give the engine a table that the log asks for, should the files have it by now."""
        if digest in engine.offered:
            return
        table = self._tables.load_asns()
        if table is not None:
            engine.offer_table(table)

    async def save(self, engine: Engine, log_offset: int, listings_offset: int) -> None:
        """Write a snapshot; if that fails the previous one is kept, and a warning is logged."""

        def write() -> int:
            blob = snapshot_bytes(engine, log_offset, listings_offset)
            save_snapshot(self.settings.snapshot, blob)
            return len(blob)

        try:
            self.health.telemetry.snapshot_written(await asyncio.to_thread(write))
        except (SnapshotError, TallyGapError) as error:
            self.health.log.warning(
                "snapshot not written, a restart would resume from the previous one",
                reason=str(error),
            )


class _Life:
    """One run, from connecting to the loss of the connection."""

    def __init__(
        self, stage: DetectStage, engine: Engine, log: TopicReader, book: ListingsBook,
        appender: Appender,
    ) -> None:  # fmt: skip
        self._stage, self._engine = stage, engine
        self._health = stage.health
        self._log, self._book, self._appender = log, book, appender
        self._heard_s: dict[int, float] = {}
        self._at_end_s: float | None = None
        self._told_s = 0.0
        self._missing = ""
        self._listed = ListingLog(self._health.log)
        self._saved_s = elapsed_s()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log; take a snapshot at the end."""
        while not stop.is_set():
            self._health.pulse.beat()
            await self._follow(_POLL_S)
            await self._book.listen()
            await self._tell_progress()
            self._listed.tell()
            await self._watch()
            if elapsed_s() - self._saved_s >= self._stage.settings.snapshot_every_s:
                await self._save()
        _, end = await self._log.bounds()
        while self._log.position < end:
            await self._follow(_POLL_S)
        self._told_s = 0.0
        await self._tell_progress()
        self._listed.tell(all_of_it=True)
        await self._save()

    async def _follow(self, timeout_s: float) -> None:
        records = await self._log.next(timeout_s, _MOST_RECORDS)
        behind = self._log.end - self._log.position
        if behind > _MOST_RECORDS:
            self._at_end_s = None
        elif self._at_end_s is None:
            self._at_end_s = elapsed_s()
            self._health.gate.open()
        if not records:
            return
        changes, floods = await asyncio.to_thread(self._accept, records)
        self._listed.note(await self._book.publish(changes))
        await self._book.record(floods)
        listings, telemetry = self._engine.listings, self._health.telemetry
        for complaint in listings.complaints:
            self._health.log.error("ignores a control in the log", reason=complaint)
        listings.complaints.clear()
        self._complain_of_missing()
        telemetry.log_records.inc(len(records))
        for change in changes:
            telemetry.changes.add(change["change"])
        if changes:
            telemetry.listed.set(listings.lifecycle.in_force())
        watermark_ms = closed_ms(self._engine)
        if watermark_ms is not None:
            telemetry.watermark(watermark_ms)

    def _complain_of_missing(self) -> None:
        missing = self._engine.closer.missing()
        said = "" if missing is None else str(missing)
        if said and said != self._missing:
            self._health.log.error("waiting for tallies that are missing from the log", reason=said)
        self._missing = said

    def _accept(self, records: Sequence[Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Let the engine take records; give the changes and the records of floods that follow.

        Runs in a thread of its own, so that nothing else waits.
        """
        engine, now_s = self._engine, elapsed_s()
        taken: list[tuple[int, LogRecord]] = decoded(records, engine.tables)
        for _, record in taken:
            match record:
                case Tally(partition=partition) | Idle(partition) | Dead(partition):
                    self._heard_s[partition] = now_s
                case Partitions(count):
                    for partition in range(count):
                        self._heard_s.setdefault(partition, now_s)
                case AsnTableChange(_, digest):
                    self._stage.offer_table(engine, digest)
                case _:
                    pass
        changes = engine.accept(taken)
        if release_due(engine):
            release_keys(engine, [], [])
            give_back()
        return changes, engine.flood_records

    async def _tell_progress(self) -> None:
        if elapsed_s() - self._told_s >= _PROGRESS_S:
            self._told_s = elapsed_s()
            engine = self._engine
            await self._book.say(
                Progress(
                    engine.watermark(),
                    engine.listings.seq,
                    self._log.position,
                    engine.closer.torn(),
                ),
                self._stage.name,
            )

    async def _watch(self) -> None:
        """Write `dead` for partitions that delay the others and were silent for too long."""
        if self._at_end_s is None:
            return
        now_s, limit_s = elapsed_s(), self._stage.settings.dead_after_s
        for partition in self._engine.closer.waited_for():
            heard_s = max(self._heard_s.get(partition, 0.0), self._at_end_s)
            if now_s - heard_s >= limit_s:
                self._heard_s[partition] = now_s
                dead = encode_record(Dead(partition), self._engine.tables)
                await self._appender.append(self._stage.clients.log_topic, dead)
                self._health.log.warning(
                    "a partition of the input is silent: the others no longer wait for it, and "
                    "its time does not count as quiet", partition=partition, silent_s=limit_s,
                )  # fmt: skip

    async def _save(self) -> None:
        await self._appender.settle()
        await self._stage.save(self._engine, self._log.position, self._book.resume_offset)
        self._saved_s = elapsed_s()
