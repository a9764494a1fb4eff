"""The detector and the store of follow mode: what comes of records, where it is kept."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from detector.errors import SnapshotError, StoreError
from detector.live_keys import release_due, release_keys
from detector.log.records import LogRecord, RemovalRequest
from detector.policy.settings import policy_digest
from detector.policy.text import policy_to_json
from detector.snapshot import snapshot
from pipelines.clock import elapsed_s
from pipelines.console.resident import give_back
from pipelines.follow.begin import Begun
from pipelines.follow.state import written_state
from pipelines.live.health import StageHealth
from pipelines.live.listing_log import ListingLog
from pipelines.live.store_calls import HOPELESS, count_store_error, insist
from pipelines.ports import REMOVAL, FloodRecord
from pipelines.settings.model import DetectSettings
from pipelines.snapshot_file import save_snapshot
from pipelines.stages.publish import Publisher

__all__ = ["Deciding"]

_FACTS_S: Final = 10.0
_MOST_BEATS: Final = 2_000
"""Heartbeats in the journal at which a snapshot is taken early: each change writes them all."""
_LEAST_SAVE_S: Final = 5.0


class Deciding:
    """Takes records, publishes what follows, and keeps snapshots."""

    def __init__(self, begun: Begun, settings: DetectSettings, health: StageHealth) -> None:
        self._begun, self._settings, self._health = begun, settings, health
        self._engine, self._store = begun.detection.engine, begun.store
        self._known = begun.store.last_seq()
        self._publisher = Publisher(begun.store, None, self._engine.listings.seq)
        self._waiting: list[dict[str, Any]] = []
        self._floods: list[FloodRecord] = []
        self._names: dict[str, str] = orjson.loads(begun.store.fact("asn_names") or "{}")
        self._policy_facts: tuple[object, dict[str, str]] = (None, {})
        self._saved_s = self._facts_s = elapsed_s()
        self._is_waiting = False
        self._listed = ListingLog(health.log)
        health.starts_from(
            settings.snapshot, self._engine.listings.lifecycle.in_force(),
            begun.detection.watermark_ms,
        )  # fmt: skip
        self.save_soon = False
        """Something happened that is better not to be gone through again."""

    def take(self, records: Sequence[LogRecord]) -> None:
        """Hand records to the detector; what follows waits to be published."""
        changes: list[dict[str, Any]] = []
        for _, found in self._begun.detection.take(records):
            changes += found
            self._floods += self._engine.flood_records
        listings, telemetry = self._engine.listings, self._health.telemetry
        for complaint in listings.complaints:
            self._health.log.error("ignores a control", reason=complaint)
        listings.complaints.clear()
        telemetry.log_records.inc(len(records))
        self._waiting += changes
        self._listed.note([change for change in changes if change["seq"] > self._known])
        for change in changes:
            telemetry.changes.add(change["change"])
            asn = change.get("asn")
            if self._begun.asns is not None and asn is not None and str(asn) not in self._names:
                self._names[str(asn)] = self._begun.asns.name(asn)
        if changes:
            telemetry.listed.set(listings.lifecycle.in_force())
        watermark_ms = self._begun.detection.watermark_ms
        if watermark_ms is not None:
            telemetry.watermark(watermark_ms)
        if release_due(self._engine):
            slots = [one.slots_in_use() for one in self._begun.partitions]
            ips = [ip for own, _ in slots for ip in own]
            release_keys(self._engine, ips, [box for _, own in slots for box in own])
            give_back()

    # -- the store -----------------------------------------------------------------------------

    async def publish(self, stop: asyncio.Event, *, facts: bool = False) -> None:
        """Store pending changes, retrying until accepted; `facts` even if there are none.

        Raises:
            StoreError: one that waiting does not repair, or we are to stop.
        """
        self._listed.tell(all_of_it=facts)
        waiting = self._waiting or self._floods
        if not (facts or waiting or elapsed_s() - self._facts_s >= _FACTS_S):
            return
        changes, floods, now = self._waiting, self._floods, self._facts()
        self._waiting, self._floods = [], []

        def put() -> None:
            given = changes.copy(), now, floods.copy()
            changes.clear()  # should it fail, the publisher has them
            floods.clear()
            self._publisher.publish(*given)
            self._publisher.finish(now)

        await insist(put, stop, self._health, self._tell_waiting)
        self._facts_s, self._is_waiting = elapsed_s(), False

    def _facts(self) -> dict[str, str]:
        """Give what is true behind the last change; the journal goes with the changes it made."""
        policy = self._engine.policy
        if self._policy_facts[0] is not policy:
            texts = {"policy": policy_to_json(policy), "policy_digest": policy_digest(policy)}
            self._policy_facts = (policy, texts)
        facts = self._begun.facts | self._policy_facts[1] | self._begun.journal.facts()
        facts["asn_names"] = orjson.dumps(self._names).decode()
        watermark_ms = self._begun.detection.watermark_ms
        return facts | ({} if watermark_ms is None else {"watermark_ms": str(watermark_ms)})

    def keep_journal(self) -> bool:
        """Store the heartbeats so far, before lines behind them count; False: not now.

        Until then nothing follows from one: it may as well not have come.
        """
        journal = self._begun.journal
        if journal.is_new:
            try:
                self._store.apply([], journal.facts())
            except HOPELESS:
                raise
            except StoreError as error:
                count_store_error(error, self._health)
                self._tell_waiting(error)
                return False
            journal.is_new = self._is_waiting = False
        return True

    def _tell_waiting(self, error: StoreError) -> None:
        if not self._is_waiting:
            self._health.log.warning("store unavailable, decisions are waiting", reason=str(error))
        self._is_waiting = True

    def look_for_requests(self, now_ms: int) -> None:
        """Give the detector the removal requests that came to the store, each once.

        Each acts at a close that is still to come, which is noted before the detector has it: so it
        acts there after every restart too. None is given while changes that stand in the store
        already are made again, because it would come before them.
        """
        if self._engine.listings.seq < self._known or any(p.again for p in self._begun.partitions):
            return
        closed = self._engine.watermark()
        if closed is None:
            return
        try:
            due = [
                (one.id, max(min(one.time_ms, now_ms), (closed + 1) * 1000), one.subject)
                for one in self._store.requests(pending_only=True)
                if one.kind == REMOVAL and one.id > self._begun.head.given
            ]
            if due:
                journal = self._begun.journal
                before, journal.given = journal.given, journal.given + due
                try:
                    self._store.apply([], journal.facts())
                except BaseException:
                    journal.given = before
                    raise
        except HOPELESS:
            raise
        except StoreError as error:
            count_store_error(error, self._health)
            return
        if due:
            self._begun.head = replace(self._begun.head, given=due[-1][0])
            self.take([RemovalRequest(at_ms, subject, str(n)) for n, at_ms, subject in due])

    # -- snapshots -----------------------------------------------------------------------------

    @property
    def save_due(self) -> bool:
        """Whether it is time for a snapshot."""
        age_s = elapsed_s() - self._saved_s
        early = self.save_soon or len(self._begun.journal.beats) > _MOST_BEATS
        return age_s >= self._settings.snapshot_every_s or (early and age_s >= _LEAST_SAVE_S)

    async def save(self, *, needed: bool) -> None:
        """Write a snapshot of what has been published.

        Raises:
            SnapshotError: it is `needed` and cannot be written; else the previous one is kept.
        """
        try:
            size = await asyncio.to_thread(self._save)
        except SnapshotError as error:
            if needed:
                raise
            self._health.log.warning(
                "snapshot not written, a restart would resume from the previous one",
                reason=str(error),
            )
        else:
            self._health.telemetry.snapshot_written(size)
            self.save_soon = False
        self._saved_s = elapsed_s()

    def _save(self) -> int:
        begun = self._begun
        states = [one.state() for one in begun.partitions]
        begun.head = replace(begun.head, partitions=states)
        blob = written_state(begun.head, snapshot(self._engine, begun.detection.offset))
        save_snapshot(self._settings.snapshot, blob)
        records = {one.number: one.ingest.next_line for one in begun.partitions}
        begun.journal.saved(records, begun.head.given)
        return len(blob)
