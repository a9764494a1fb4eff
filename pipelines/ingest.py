"""The ingest stage for finite inputs: blocks of lines become tallies, partition by partition."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from detector.decode import HEARTBEAT, EventColumns, EventReader
from detector.events import Reject
from detector.policy import ClockSpec
from detector.tally import PartitionTally, Tally, tally_rows

__all__ = ["IngestCounts", "JsonLines", "LineReader", "PartitionIngest", "ReadLines"]

_NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class ReadLines:
    """What a block of lines held; `kinds` counts lines of no interest, by kind.

    `forgotten` are messages that a parser let go of before they ended, to bound its memory.
    """

    events: EventColumns
    rejects: list[Reject]
    lines: int
    kinds: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    forgotten: int = 0


class LineReader(Protocol):
    """Reads the lines of one partition, in order."""

    def read(self, block: bytes, first: int) -> ReadLines:
        """Read a block of whole lines; a position is `first` plus the line's index."""
        ...


class JsonLines:
    """Records of the event contract, one a line."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader

    def read(self, block: bytes, first: int) -> ReadLines:
        """Read a block of whole lines."""
        events, rejects, lines = self._reader.read_json(block, first)
        return ReadLines(events, rejects, lines)


@dataclass(slots=True)
class IngestCounts:
    """What was read: every record is an event (or several), a heartbeat or a reject.

    `lines` are all lines, `records` those that are not blank and of interest. `events` counts what
    went into tallies, `late` those among them that came behind the close of their tick.
    """

    lines: int = 0
    records: int = 0
    events: int = 0
    late: int = 0
    heartbeats: int = 0
    forgotten: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def count_tallies(self, tallies: list[Tally]) -> None:
        """Count the events of tallies."""
        rows = tally_rows(tallies)
        ticks = np.fromiter((tally.tick for tally in tallies), np.int64, len(tallies))
        sizes = np.fromiter(map(len, tallies), np.int64, len(tallies))
        late = rows.tick != np.repeat(ticks, sizes)
        self.events += int(rows.count.sum())
        self.late += int(rows.count[late].sum())


class PartitionIngest:
    """One input partition: its reader, its clock, its open tallies."""

    def __init__(
        self, partition: int, reader: LineReader, clock: ClockSpec, counts: IngestCounts
    ) -> None:
        self.partition = partition
        self._reader = reader
        self._counts = counts
        self._tally = PartitionTally(partition, clock.lateness_s, clock.future_s)
        self._next = 0

    @property
    def clock_ms(self) -> int:
        """How far the partition has been read, in event time."""
        return self._tally.clock_ms

    @property
    def next_line(self) -> int:
        """The position of the next line, which is how many have been read."""
        return self._next

    def feed(self, block: bytes) -> tuple[list[Tally], list[Reject]]:
        """Take the next whole lines; give the tallies they close and the rejects."""
        return self._take(block, final=False)

    def finish(self) -> tuple[list[Tally], list[Reject]]:
        """End the partition: give what is still open."""
        tallies, rejects = self._take(b"", final=True)
        rest = self._tally.finish()
        self._counts.count_tallies(rest)
        return tallies + rest, rejects

    def slots_in_use(self) -> tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]:
        """Give the ip and mailbox slots that this partition still refers to."""
        return self._tally.slots_in_use()

    def acknowledge(self, tallies: list[Tally]) -> None:
        """Note that the detector has these tallies."""
        if tallies:
            self._tally.acknowledge(tallies[-1].number)

    def _take(self, block: bytes, *, final: bool) -> tuple[list[Tally], list[Reject]]:
        counts = self._counts
        found = self._reader.read(block, self._next)
        self._next += found.lines
        events, rejects = found.events, found.rejects
        record = events.record
        distinct = int(np.count_nonzero(record[1:] != record[:-1])) + 1 if record.size else 0
        counts.lines += found.lines
        counts.records += distinct + len(rejects)
        counts.heartbeats += int(np.count_nonzero(events.ip == HEARTBEAT))
        counts.forgotten += found.forgotten
        counts.kinds.update(found.kinds)
        tallies, future = self._tally.feed(events, self._next, final=final)
        if future:
            rejects = rejects + future
        counts.rejects.update(reject.reason for reject in rejects)
        counts.count_tallies(tallies)
        return tallies, rejects
