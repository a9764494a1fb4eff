"""The ingest stage on Kafka: our partitions of the input become tallies in the log.

After a failure of Kafka the stage discards its state and restarts from the committed offsets, as
a restart of the process does. What the log already has is computed again and not sent. What a
predecessor sends late is the same bytes, which the detector drops.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import orjson

from detector.events.contract import Reject
from detector.events.interning import KeyTables
from detector.live_keys import release_texts, tables_due
from detector.log.records import Idle, Partitions, encode_record, encode_tallies
from detector.policy.settings import Policy
from detector.tally.partition_clock import UNSET_MS
from detector.tally.tally import ResumePoint, Tally
from pipelines.clock import elapsed_s, now_ms
from pipelines.kafka.appender import Appender
from pipelines.kafka.clients import BrokerError, KafkaClients, LostRecordsError
from pipelines.kafka.input_group import InputGroup
from pipelines.kafka.log_topic import log_has_tallies
from pipelines.live.health import StageHealth
from pipelines.live.progress_watch import ProgressWatch
from pipelines.live.supervisor import supervise
from pipelines.settings.model import IngestSettings
from pipelines.stages.ingest import IngestCounts, LineReader, PartitionIngest
from pipelines.wire import commit_text, dead_letter, dead_letter_key, resume_point

__all__ = ["IngestStage"]

_POLL_S: Final = 0.2
_MOST_OUTSTANDING: Final = 500
"""Messages that may be on their way before the input waits."""
_SIGN_OF_LIFE_S: Final = 10.0
"""An owner that may not write heartbeats says `idle` anew after so long."""
_STUCK_S: Final = 15.0
"""With records waiting and none coming for so long, the consumer is made anew; while the group is
not settled, this much after a lost member's session is over, for which all others wait."""


class _Owned:
    """One of our partitions."""

    def __init__(self, ingest: PartitionIngest) -> None:
        self.ingest = ingest
        self.beat_s = 0.0
        self.tallies_since_idle = True
        self.began_ms: int | None = None

    def ahead_of_ms(self, closed_ms: int | None) -> int:
        """Give how far the partition is ahead of the last close, or of its own beginning."""
        clock_ms = self.ingest.clock_ms
        if clock_ms == UNSET_MS:
            return 0
        if self.began_ms is None:
            self.began_ms = clock_ms
        return clock_ms - (self.began_ms if closed_ms is None else closed_ms)


class IngestStage:
    """Reads what the group gives us until asked to stop."""

    def __init__(
        self, clients: KafkaClients, settings: IngestSettings, policy: Policy,
        reader: Callable[[KeyTables], LineReader], progress: ProgressWatch, health: StageHealth,
        delimiters: str = "+",
    ) -> None:  # fmt: skip
        self.clients, self.settings, self.policy = clients, settings, policy
        self.make_reader = reader
        self.progress, self.health = progress, health
        self.delimiters = delimiters

    async def run(self, stop: asyncio.Event) -> None:
        """Go on through every failure of Kafka until asked to stop; then commit and leave.

        Raises:
            LostRecordsError: what comes next of the input is gone.
            WireError: another program has committed for the group.
        """

        async def life() -> None:
            async with Appender(self.clients) as appender, InputGroup(self.clients) as group:
                await _Life(self, group, appender).run(stop)

        await supervise(self.health, life, stop, self.clients.kafka.patience_s)


class _Life:
    """One run, from connecting to the loss of the connection."""

    def __init__(self, stage: IngestStage, group: InputGroup, appender: Appender) -> None:
        self._group, self._appender = group, appender
        self._clients, self._settings, self._policy = stage.clients, stage.settings, stage.policy
        self._progress, self._health = stage.progress, stage.health
        self._tables = KeyTables(stage.delimiters)
        self._reader = stage.make_reader(self._tables)
        self._counts = IngestCounts()
        self._counted = (0, 0)
        self._owned: dict[int, _Owned] = {}
        self._generation = -1
        self._told_partitions = 0
        self._committed_s = self._moved_s = elapsed_s()

    async def run(self, stop: asyncio.Event) -> None:
        """Read until asked to stop; then see that all has arrived, commit and leave."""
        while not stop.is_set():
            self._health.pulse.beat()
            if self._generation != self._group.generation and not await self._adopt():
                await asyncio.sleep(0.05)
                self._watch(waiting=True)
                continue
            batches = await self._group.poll(_POLL_S, self._settings.max_records)
            if self._generation != self._group.generation:
                continue  # what came may be somebody else's; the committed place stands
            for partition, records in batches.items():
                await self._take(partition, records)
            await self._appender.settle(_MOST_OUTSTANDING)
            await self._say_alive()
            self._hold_back()
            self._let_go()
            if elapsed_s() - self._committed_s >= self._settings.commit_every_s:
                await self._commit()
            self._watch(waiting=not batches)
        await self._commit()

    # -- whose partitions are whose ------------------------------------------------------------

    async def _adopt(self) -> bool:
        """Start with the assigned partitions; False while the group is not settled."""
        group, generation = self._group, self._group.generation
        for partition in self._owned:
            self._health.telemetry.input_lag.forget(partition)
        self._owned = {}
        self._health.gate.shut()
        if not group.settled:
            return False
        claims = await group.claim()
        bounds = await group.bounds(claims)
        count = await group.partition_count()
        if group.generation != generation:
            return False
        owned: dict[int, _Owned] = {}
        begun: dict[int, tuple[int, str]] = {}
        for partition, commit in sorted(claims.items()):
            first, end = bounds[partition]
            point = await self._begin(partition, commit, first, end)
            if commit is None:
                begun[partition] = (point.offset, commit_text(point))
            ingest = PartitionIngest(partition, self._reader, self._policy.clock, self._counts)
            ingest.resume(point)
            owned[partition] = _Owned(ingest)
        if group.generation != generation:
            return False
        if not all(group.seek(p, one.ingest.next_line) for p, one in owned.items()):
            return False
        if count != self._told_partitions:
            await self._append(Partitions(count))
            self._told_partitions = count
        if not await group.commit(begun) or group.generation != generation:
            return False
        self._owned, self._generation = owned, generation
        for partition, one in owned.items():
            waiting = max(0, bounds[partition][1] - one.ingest.next_line)
            self._health.telemetry.input_lag.set(partition, waiting)
        self._health.gate.open()
        self._health.telemetry.rebalances.inc()
        self._health.log.info("reads", partitions=sorted(owned), of=count)
        self._moved_s = elapsed_s()
        return True

    async def _begin(
        self, partition: int, commit: tuple[int, str] | None, first: int, end: int
    ) -> ResumePoint:
        """Find where to resume a partition.

        Raises:
            LostRecordsError: what comes next is gone.
            WireError: another program has committed there.
        """
        topic = self._clients.input_topic
        if commit is not None:
            place = f"group {self._clients.kafka.group}, {topic} partition {partition}"
            point = resume_point(*commit, place)
            await self._group.check_lost(partition, point.offset)
            return point
        start = end if self._settings.start == "newest" else first
        if start and await log_has_tallies(self._clients, partition):
            advice = (
                "the committed offset of the group is lost, but the log has its "
                "tallies: use a new group and a new log"
            )
            raise LostRecordsError(topic, partition, 0, start - 1, advice)
        return ResumePoint(start, UNSET_MS)

    # -- records -------------------------------------------------------------------------------

    async def _take(self, partition: int, records: Sequence[Any]) -> None:
        one = self._owned.get(partition)
        if one is None:
            return
        wanted = one.ingest.next_line
        if records and records[0].offset < wanted:  # delivered again
            records = [record for record in records if record.offset >= wanted]
        if not records:
            return
        if records[0].offset != wanted:
            await self._group.check_lost(partition, wanted)
        offsets = np.array([record.offset for record in records], np.int64)
        received_ms = np.array([record.timestamp for record in records], np.int64)
        tallies, rejects = one.ingest.feed_records(
            [record.value for record in records], offsets, received_ms
        )
        await self._send(one, tallies)
        if rejects:
            await self._bury(partition, rejects, records)
        self._count(partition, len(records))
        self._moved_s = elapsed_s()

    def _count(self, partition: int, records: int) -> None:
        telemetry, counts = self._health.telemetry, self._counts
        events, late = self._counted
        self._counted = (counts.events, counts.late)
        telemetry.records.inc(records)
        telemetry.events.inc(counts.events - events)
        telemetry.late.inc(counts.late - late)
        self._health.look_at_input(counts)
        lag = self._group.lag(partition, self._owned[partition].ingest.next_line)
        if lag is not None:
            telemetry.input_lag.set(partition, lag)

    async def _send(self, one: _Owned, tallies: Sequence[Tally]) -> None:
        for tally, message in zip(tallies, encode_tallies(tallies, self._tables), strict=True):
            one.tallies_since_idle = True

            def arrived(tally: Tally = tally) -> None:
                one.ingest.acknowledge([tally])
                self._health.telemetry.tallies.inc()

            await self._appender.append(self._clients.log_topic, message, then=arrived)
            if self._appender.outstanding > _MOST_OUTSTANDING:
                # Heartbeats to the group share the loop: many appends in a row must give way.
                await self._appender.settle(_MOST_OUTSTANDING // 2)

    async def _append(self, control: Partitions | Idle) -> None:
        await self._appender.append(self._clients.log_topic, encode_record(control, self._tables))

    async def _bury(
        self, partition: int, rejects: Sequence[Reject], records: Sequence[Any]
    ) -> None:
        """Send dead letters; the next commit waits for them."""
        topic = self._clients.input_topic
        by_offset = {record.offset: record for record in records}
        for reject in rejects:
            self._health.telemetry.rejects.add(reject.reason)
            # One that was held until more had come lies in an earlier batch.
            record = by_offset.get(reject.position)
            value = None if record is None else record.value or b""
            timestamp_ms = -1 if record is None else record.timestamp
            await self._appender.append(
                self._clients.dead_letters_topic,
                dead_letter(topic, partition, reject, value, timestamp_ms),
                partition=None, key=dead_letter_key(topic, partition, reject.position),
            )  # fmt: skip

    # -- between records -----------------------------------------------------------------------

    async def _say_alive(self) -> None:
        """At the end of a partition write a heartbeat, or `idle` to the log if not permitted."""
        now_s, kind = elapsed_s(), self._settings.heartbeat
        if kind == "off":
            return
        for partition, one in self._owned.items():
            if now_s - one.beat_s < self._settings.heartbeat_s:
                continue
            if self._group.lag(partition, one.ingest.next_line) != 0:
                continue
            if kind == "write":
                beat = orjson.dumps({"heartbeat": now_ms()})
                await self._appender.append(self._clients.input_topic, beat, partition=partition)
            elif one.tallies_since_idle or now_s - one.beat_s >= _SIGN_OF_LIFE_S:
                await self._append(Idle(partition))
                one.tallies_since_idle = False
            else:
                continue
            one.beat_s = now_s

    def _hold_back(self) -> None:
        """Pause the partitions that are too far ahead of the detector, or wait for a lost tally."""
        closed, limit_ms = self._progress.closed, self._settings.ahead_s * 1000
        closed_ms = None if closed is None else closed * 1000
        torn = self._progress.torn
        held = [
            partition
            for partition, one in self._owned.items()
            if one.ahead_of_ms(closed_ms) > limit_ms or partition in torn
        ]
        self._group.hold(held, self._owned)
        if held:
            self._moved_s = elapsed_s()

    def _let_go(self) -> None:
        """Forget the keys that no partition needs, once there are too many."""
        if not tables_due(self._tables, self._policy.memory.keys):
            return
        slots = [one.ingest.slots_in_use() for one in self._owned.values()]
        release_texts(
            self._tables, [s for ips, _ in slots for s in ips], [s for _, ms in slots for s in ms]
        )

    async def _commit(self) -> None:
        """Commit what the log and the dead letters have acknowledged."""
        await self._appender.settle()
        if self._generation == self._group.generation:
            points = {p: one.ingest.resume_point() for p, one in self._owned.items()}
            await self._group.commit({p: (at.offset, commit_text(at)) for p, at in points.items()})
        self._committed_s = elapsed_s()

    def _watch(self, *, waiting: bool) -> None:
        """Raise if records wait and none arrive: some failures leave a consumer unusable.

        Raises:
            BrokerError: it is time to restart.
        """
        now_s = elapsed_s()
        stuck_s = _STUCK_S + (0.0 if self._group.settled else self._clients.kafka.session_s)
        lags = [self._group.lag(p, one.ingest.next_line) for p, one in self._owned.items()]
        if not waiting or (self._owned and all(lag == 0 for lag in lags)):
            self._moved_s = now_s
        elif self._generation == self._group.generation and not self._owned:
            self._moved_s = now_s  # more members than partitions: nothing to do
        elif now_s - self._moved_s > stuck_s:
            said = (
                f"no record and no partition assigned for {stuck_s:.0f} s, although there should be"
            )
            raise BrokerError(self._clients.bootstrap, said)
