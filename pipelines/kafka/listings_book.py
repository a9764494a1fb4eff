"""The listings from the detector's side: what stands there is compared, what is missing written.

All copies of the detector may write. Each reads what the others wrote, so that the first difference
between two of them is found by one of them before it goes on.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from detector.errors import FloodwatchError, LogError
from pipelines.kafka.appender import Appender
from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.log_topic import TopicReader
from pipelines.kafka.standing_records import Key, StandingRecords
from pipelines.wire import Progress, Record, decision_line, progress_line, record_line

__all__ = ["ListingsBook", "ListingsConflictError"]

_REMEMBERED: Final = 20_000
"""Own changes kept to be compared with what copies write later."""
_READ_AHEAD: Final = 20_000
"""Changes of others read before we have come to them ourselves."""


class ListingsConflictError(LogError):
    """Two detectors that follow one log disagree about change `seq`, or what `what` names."""

    def __init__(
        self, topic: str, seq: int | None, stands: bytes, ours: bytes, what: str = ""
    ) -> None:
        at = next(
            (i for i, (a, b) in enumerate(zip(stands, ours, strict=False)) if a != b),
            min(len(stands), len(ours)),
        )
        begin = max(0, at - 60)
        FloodwatchError.__init__(
            self,
            f"{topic}: {what or f'change {seq}'} stands as "
            f"...{stands[begin : at + 60].decode()!r}, we decide "
            f"...{ours[begin : at + 60].decode()!r}: two builds, policies or ASN tables follow one "
            "log. Stop the newer one; a replay of the dumped log shows which is right",
        )
        self.seq = seq


class ListingsBook:
    """Reads the listings, and writes what is not there yet. Methods may raise a `BrokerError`."""

    def __init__(
        self, clients: KafkaClients, reader: TopicReader, appender: Appender, derived: int
    ) -> None:
        self._topic = clients.listings_topic
        self._reader, self._appender = reader, appender
        self._derived = derived
        self._highest = 0
        self._standing: OrderedDict[int, tuple[int, bytes]] = OrderedDict()
        self._own: OrderedDict[int, bytes] = OrderedDict()
        self._records = StandingRecords()
        self._there_until = 0

    async def open(self, offset: int) -> None:
        """Begin to read at an offset, or the oldest message where that is gone."""
        first, self._there_until = await self._reader.bounds()
        await self._reader.start_at(max(first, min(offset, self._there_until)))

    @property
    def resume_offset(self) -> int:
        """Where a successor has to read on: the first message that we have not come to."""
        first = next(iter(self._standing.values()), None)
        change = self._reader.position if first is None else first[0]
        return min(change, self._records.first_offset(self._reader.position))

    async def publish(self, changes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Write changes, in order, or compare them with what stands; give those written."""
        written: list[Mapping[str, Any]] = []
        for change in changes:
            seq, line = change["seq"], decision_line(change)
            while seq > self._highest and self._reader.position < self._there_until:
                await self._read(1.0)
            stands = self._standing.pop(seq, None)
            self._derived = seq
            if stands is not None:
                self._compare(seq, stands[1], line)
                continue
            self._own[seq] = line
            if len(self._own) > _REMEMBERED:
                self._own.popitem(last=False)
            if seq > self._highest:
                await self._appender.append(self._topic, line)
                written.append(change)
        return written

    async def record(self, records: Sequence[Mapping[str, Any]]) -> int:
        """Write records of floods, in order, or compare them with what stands; count those written.

        Two copies that write at the same time may both write one: the bytes are the same.
        """
        written = 0
        for fields in records:
            key, line = (fields["kind"], fields["id"], fields["tick"]), record_line(fields)
            while self._records.may_follow(key) and self._reader.position < self._there_until:
                await self._read(1.0)
            stands = self._records.derive(key, line)
            if stands is None:
                await self._appender.append(self._topic, line)
                written += 1
            elif stands != line:
                raise _conflict(self._topic, key, stands, line)
        return written

    async def say(self, progress: Progress, detector: str) -> None:
        """Write the progress; the key of the message is the name of this detector."""
        line = progress_line(progress)
        await self._appender.append(self._topic, line, key=detector.encode())

    async def listen(self) -> None:
        """Read what others wrote, and compare."""
        if len(self._standing) + len(self._records) < _READ_AHEAD:
            await self._read(0.0)

    async def _read(self, timeout_s: float) -> None:
        for record, message in await self._reader.next_listings(timeout_s):
            if isinstance(message, Progress):
                continue
            if isinstance(message, Record):
                key = message.kind, message.id, message.tick
                ours = self._records.hear(key, record.offset, record.value)
                if ours is not None and ours != record.value:
                    raise _conflict(self._topic, key, record.value, ours)
                continue
            seq = message["seq"]
            self._highest = max(self._highest, seq)
            if seq > self._derived:
                first = self._standing.setdefault(seq, (record.offset, record.value))
                if first[1] != record.value:
                    raise ListingsConflictError(self._topic, seq, first[1], record.value)
            elif (own := self._own.get(seq)) is not None:
                self._compare(seq, record.value, own)

    def _compare(self, seq: int, stands: bytes, ours: bytes) -> None:
        if stands != ours:
            raise ListingsConflictError(self._topic, seq, stands, ours)


def _conflict(topic: str, key: Key, stands: bytes, ours: bytes) -> ListingsConflictError:
    kind, name, tick = key
    what = f"{kind} {name} at tick {tick}"
    return ListingsConflictError(topic, None, stands, ours, what)
