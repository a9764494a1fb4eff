"""The log and the listings as topics of one partition: read from a place on, in order."""

import contextlib
from collections.abc import Sequence
from typing import Any, Final

from detector.errors import LogFormatError
from detector.events.interning import KeyTables
from detector.log.records import LogRecord, decode_records
from detector.tally.tally import Tally
from pipelines.kafka.clients import Connected, KafkaClients, check_place, follower
from pipelines.wire import Progress, Record, read_listing

__all__ = ["TopicReader", "decoded", "listing_in", "log_has_tallies"]

_TOGETHER: Final = 2_000


class TopicReader(Connected):
    """Reads a topic of one partition. Used as an async context; any method may raise `BrokerError`.

    `position` is the offset of the next record, and `end` where the topic ended when last heard of.
    With a `group` a place can be committed; partitions are not shared within it.
    """

    def __init__(
        self, clients: KafkaClients, topic: str, advice: str = "", *, group: str | None = None
    ) -> None:
        super().__init__(clients)
        self._group = group
        self._topic = topic
        self._advice = advice
        self.position = 0

    async def _connect(self, stack: contextlib.AsyncExitStack) -> None:
        self._consumer, self._place = await follower(
            self._clients, stack, self._topic, fetch_max_wait_ms=100, group_id=self._group
        )

    async def bounds(self) -> tuple[int, int]:
        """Ask for the first offset there is, and the one behind the last."""
        with self._clients.speaking():
            first = await self._consumer.beginning_offsets([self._place])
            end = await self._consumer.end_offsets([self._place])
        return first[self._place], end[self._place]

    async def start_at(self, offset: int) -> None:
        """Read on from an offset.

        Raises:
            LostRecordsError: it is gone.
            ShorterTopicError: the topic does not reach so far; Kafka would begin at the oldest.
        """
        await self._check_lost(offset)
        self._consumer.seek(self._place, offset)
        self.position = offset

    async def start_at_oldest(self) -> None:
        """Read from the oldest record there is."""
        self.position, _ = await self.bounds()
        self._consumer.seek(self._place, self.position)

    async def committed(self) -> int | None:
        """Give the place that was committed last, None where there is none."""
        with self._clients.speaking():
            place: int | None = await self._consumer.committed(self._place)
        return place

    async def commit(self, offset: int) -> None:
        """Commit a place."""
        with self._clients.speaking():
            await self._consumer.commit({self._place: offset})

    @property
    def end(self) -> int:
        """The last known end of the topic."""
        known = self._consumer.highwater(self._place)
        return self.position if known is None else max(known, self.position)

    async def next(self, timeout_s: float, most: int = _TOGETHER) -> list[Any]:
        """Give the next records (with `offset`, `timestamp`, `value`), none where there are none.

        Raises:
            LostRecordsError: retention has overtaken us.
        """
        with self._clients.speaking():
            batches = await self._consumer.getmany(
                timeout_ms=int(timeout_s * 1000), max_records=most
            )
        records: Sequence[Any] = batches.get(self._place, ())
        if records and records[0].offset != self.position:
            await self._check_lost(self.position)
        if records:
            self.position = records[-1].offset + 1
        return list(records)

    async def next_listings(
        self, timeout_s: float, most: int = _TOGETHER
    ) -> list[tuple[Any, dict[str, Any] | Progress | Record]]:
        """Give the next records of the listings, each with what it says.

        Raises:
            LostRecordsError: retention has overtaken us.
            WireError: one of another version.
        """
        records = await self.next(timeout_s, most)
        return [(record, listing_in(record, self._topic)) for record in records]

    async def _check_lost(self, wanted: int) -> None:
        check_place(self._topic, 0, wanted, await self.bounds(), self._advice, self._advice)


def listing_in(record: Any, topic: str) -> dict[str, Any] | Progress | Record:
    """Read a record of the listings.

    Raises:
        WireError: one of another version, with its place.
    """
    return read_listing(record.value or b"", f"{topic}, offset {record.offset}")


def decoded(records: Sequence[Any], tables: KeyTables) -> list[tuple[int, LogRecord]]:
    """Read records of the log, each with its offset.

    Raises:
        LogFormatError: naming the offset.
    """
    try:
        found = decode_records([record.value or b"" for record in records], tables)
    except LogFormatError as error:
        offset = records[error.index].offset
        raise LogFormatError(f"{error.got} at offset {offset}", error.allowed) from None
    return [(record.offset, one) for record, one in zip(records, found, strict=True)]


async def log_has_tallies(clients: KafkaClients, partition: int) -> bool:
    """Say whether the log holds a tally of an input partition; reads it until it finds one."""
    tables = KeyTables()
    async with TopicReader(clients, clients.log_topic) as reader:
        await reader.start_at_oldest()
        _, end = await reader.bounds()
        while reader.position < end:
            for _, record in decoded(await reader.next(1.0), tables):
                if isinstance(record, Tally) and record.partition == partition:
                    return True
    return False
