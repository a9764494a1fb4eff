"""Follow mode: growing logs through ingest, detect and publish in one process, without Kafka.

The stages are joined by plain calls. A block of lines is read, counted, decided and stored before
the next one; a snapshot now and then holds the places in the logs and the detector's state. After
any end the lines behind the last snapshot are read again, heartbeats come again where they came
(the journal), and what the store has already is compared and not written twice.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from detector.errors import SnapshotError
from detector.tally.partition_clock import UNSET_MS
from pipelines.console.escaped import escaped
from pipelines.follow.begin import FollowSpec, begin, local_offset_s
from pipelines.follow.decide import Deciding
from pipelines.follow.format import format_of, reader_of
from pipelines.follow.partition import Beat, FollowedPartition, Told
from pipelines.follow.rejects import RejectsFile
from pipelines.live.health import StageHealth
from pipelines.live.supervisor import pause
from pipelines.shapes.raw_postfix import site_of
from pipelines.sources.files import UnreadableInputError

__all__ = ["FollowSpec", "Follower"]

_POLL_S: Final = 0.25
_BEAT_MS: Final = 1_000
_LOOK_S: Final = 1.0
_ZONE_S: Final = 600.0
_LARGE: Final = 1 << 18
"""Bytes of a block behind which more is waiting, most likely."""
_ROUND_BYTES: Final = 1 << 21


class Follower:
    """Follows logs until asked to stop.

    Raises:
        FloodwatchError: an input, store, snapshot, policy or table that cannot be used.
    """

    def __init__(self, spec: FollowSpec, health: StageHealth, stack: contextlib.ExitStack) -> None:
        self._spec, self._health = spec, health
        self._begun = begun = begin(spec, health, stack)
        self._deciding = Deciding(begun, spec.settings.detect, health)
        self._rejects = RejectsFile(spec.rejects, health.log)
        stack.callback(self._rejects.close)
        self._looked_s = self._zone_s = spec.elapsed_s()
        self._told: set[str] = set()
        self._ahead: set[str] = set()
        self._counted = (0, 0, 0)
        self._moved = 0
        self._began_ms: dict[int, int] = {}
        for one in begun.partitions:
            one.log.look()  # which opens it: the first snapshot says in which file we begin
            self._settle(one)
        try:
            for one, state in zip(begun.partitions, begun.head.partitions, strict=False):
                begun.due += one.restore(state, begun.journal.beats)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise SnapshotError(f"cannot be used: {type(error).__name__}: {error}") from error

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until asked to stop; then finish the block, publish it and take a snapshot.

        Raises:
            StoreError: one that waiting does not repair, or the store is not to be had at the end.
            SnapshotError: the first or the last snapshot cannot be written.
        """
        await self.begin(stop)
        while not stop.is_set():
            if not await self.step(stop):
                await pause(stop, _POLL_S)
        await self._deciding.publish(stop, facts=True)
        await self._deciding.save(needed=True)

    async def begin(self, stop: asyncio.Event) -> None:
        """Store what has no other copy: inputs, a new policy, applied requests."""
        deciding = self._deciding
        await asyncio.to_thread(deciding.take, self._begun.due)
        await deciding.save(needed=True)
        await deciding.publish(stop, facts=True)
        self._health.log.info(
            "follows", inputs=list(self._spec.inputs), store=self._spec.settings.store.url
        )

    async def step(self, stop: asyncio.Event) -> bool:
        """Read and decide what there is, up to some 2 MiB; say whether there may be more."""
        self._health.pulse.beat()
        busy = await asyncio.to_thread(self._round)
        await self._deciding.publish(stop)
        if self._spec.elapsed_s() - self._looked_s >= _LOOK_S:
            self._looked_s = self._spec.elapsed_s()
            await asyncio.to_thread(self._deciding.look_for_requests, self._spec.now_ms())
        if self._deciding.save_due:
            await self._deciding.save(needed=False)
        return busy

    def _round(self) -> bool:
        """Read what there is, the log that is least far first; say whether there may be more."""
        drained: set[int] = set()
        size = 0
        while size < _ROUND_BYTES:
            one = self._next(drained)
            if one is None:
                break
            told = self._read(one)
            size += told.size
            # Elsewhere than in the log itself more is waiting, and the time of day must wait too.
            if not told.size or (told.size < _LARGE and one.log.is_current):
                drained.update(() if told.again else (one.number,))
        busy = size >= _ROUND_BYTES
        for one in self._begun.partitions:
            if one.number in drained and not one.again and one.log.path not in self._told:
                self._beat(one)
        watched = all(one.log.is_watched for one in self._begun.partitions)
        ready = watched and not self._is_ahead()
        change: Callable[[], None] = self._health.gate.open if ready else self._health.gate.shut
        if not busy:
            change()
        moved = sum(one.log.moved for one in self._begun.partitions)
        if moved != self._moved:  # so that no file is needed again that may be gone soon
            self._moved, self._deciding.save_soon = moved, True
        self._mind_the_zone()
        return busy

    def _is_ahead(self) -> bool:
        """Say whether a log has been read beyond the time of day: what comes now would be late."""
        future_ms = self._begun.detection.engine.policy.clock.future_s * 1000
        now_ms, was_ahead = self._spec.now_ms(), self._ahead
        ahead = {
            one.log.path: (one.ingest.clock_ms - now_ms) // 1000
            for one in self._begun.partitions
            if one.ingest.clock_ms - now_ms > future_ms
        }
        for path in ahead.keys() - was_ahead:
            self._health.log.warning(
                "the times in a log are in the future, nothing is listed until the "
                    "clock reaches them",
                file=escaped(path), ahead_s=ahead[path],
                do="check the clock of the host that wrote it; to start over, name another store"
                " and snapshot",
            )  # fmt: skip
        self._ahead = set(ahead)
        return bool(ahead)

    def _next(self, drained: set[int]) -> FollowedPartition | None:
        """Give the log to read next; one that is too far ahead waits for the others."""
        left = [one for one in self._begun.partitions if one.number not in drained]
        if not left:
            return None
        one = min(left, key=lambda each: (each.ingest.clock_ms, each.number))
        clock_ms = one.ingest.clock_ms
        if len(self._begun.partitions) == 1 or clock_ms == UNSET_MS:
            return one
        began_ms = self._began_ms.setdefault(one.number, clock_ms)
        closed_ms = self._begun.detection.watermark_ms
        ahead_ms = clock_ms - (began_ms if closed_ms is None else closed_ms)
        return one if ahead_ms <= self._spec.settings.ingest.ahead_s * 1000 else None

    def _read(self, one: FollowedPartition) -> Told:
        """Take the next lines of a log, or a heartbeat that stood between them before."""
        try:
            if one.reader.reader is None:
                self._settle(one)
            if one.log.look().size and not self._deciding.keep_journal():
                return Told()
            told = one.read()
        except UnreadableInputError as error:
            if one.log.path not in self._told:
                self._health.log.warning("an input cannot be read, retrying", reason=str(error))
            self._told.add(one.log.path)
            return Told()
        self._told.discard(one.log.path)
        self._keep(told)
        return told

    def _settle(self, one: FollowedPartition) -> None:
        """Find out what a log holds, as soon as there is a line."""
        begun, number = self._begun, one.number
        formats = begun.head.formats
        kind = formats[number] or format_of(one.log.path, one.log.look().data)
        if kind:
            spec = self._spec
            one.reader.reader = reader_of(
                kind, one.reader, spec.settings.source, begun.head.utc_offset_s,
                spec.trusted_relays, site_of(spec.settings.site),
            )  # fmt: skip
            formats[number] = kind

    def _beat(self, one: FollowedPartition) -> None:
        """Let the time of day close what is over, once a second; silence is observed so."""
        time_ms = self._spec.now_ms()
        if one.log.is_watched and time_ms - one.beat_ms >= _BEAT_MS:
            if time_ms > one.ingest.clock_ms:
                self._begun.journal.beat(Beat(one.number, one.ingest.next_line, time_ms))
                self._keep(one.beat(time_ms))
            one.beat_ms = time_ms

    def _keep(self, told: Told) -> None:
        """Count what a step came to, and let the detector have it."""
        telemetry, counts = self._health.telemetry, self._begun.counts
        for _, _, reject in told.rejects:
            telemetry.rejects.add(reject.reason)
        self._rejects.write(told.rejects)
        records, events, late = self._counted
        self._counted = (counts.lines, counts.events, counts.late)
        telemetry.records.inc(counts.lines - records)
        telemetry.events.inc(counts.events - events)
        telemetry.late.inc(counts.late - late)
        telemetry.tallies.inc(len(told.tallies))
        self._health.look_at_input(counts)
        self._deciding.take(told.tallies)

    def _mind_the_zone(self) -> None:
        """Read dates by the present year and zone: a run outlives New Year and summer time."""
        if self._spec.elapsed_s() - self._zone_s < _ZONE_S:
            return
        self._zone_s = self._spec.elapsed_s()
        head = self._begun.head
        offset_s = local_offset_s() if self._spec.utc_offset_s is None else head.utc_offset_s
        if any(one.again for one in self._begun.partitions):
            offset_s = head.utc_offset_s
        if offset_s != head.utc_offset_s:
            self._begun.head = replace(head, utc_offset_s=offset_s)
            self._deciding.save_soon = True
        for one in self._begun.partitions:
            if one.reader.parser is not None:
                one.reader.parser.refer_to(self._spec.now_ms(), offset_s)
