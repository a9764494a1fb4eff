"""The ingest stage for finite inputs: blocks of records become tallies, partition by partition."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from detector.decode import EventReader
from detector.events import Reject
from detector.interning import KeyTables
from detector.policy import ClockSpec
from detector.tally import PartitionTally, Tally

__all__ = ["IngestCounts", "PartitionIngest"]


@dataclass(slots=True)
class IngestCounts:
    """What was read of one partition: every record is an event, a reject, or of no interest."""

    records: int = 0
    events: int = 0
    late: int = 0
    rejects: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


class PartitionIngest:
    """One input partition of event records."""

    def __init__(self, partition: int, tables: KeyTables, clock: ClockSpec) -> None:
        self.partition = partition
        self.counts = IngestCounts()
        self.reader = EventReader(tables)
        self.tally = PartitionTally(partition, clock.lateness_s, clock.future_s)
        self._next = 0

    def feed(self, block: bytes) -> tuple[list[Tally], list[Reject]]:
        """Take the next whole records (LF-separated)."""
        events, rejects, count = self.reader.read_json(block, self._next)
        self._next += count
        self.counts.records += count
        self.counts.events += len(events)
        tallies, future = self.tally.feed(events, self._next)
        rejects += future
        self.counts.rejects += len(rejects)
        return tallies, rejects

    def blocks(self) -> Iterator[bytes]:
        yield b""
