"""The ingest stage: lines of files or records of Kafka become tallies, partition by partition."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from detector.events.contract import ABSENT, Reject
from detector.events.decode import HEARTBEAT, EventColumns, EventReader
from detector.policy.settings import ClockSpec
from detector.tally.tally import PartitionTally, ResumePoint, Tally, tally_rows

__all__ = [
    "NUMBERS",
    "STALE_S",
    "IngestCounts",
    "JsonLines",
    "LineReader",
    "PartitionIngest",
    "ReadLines",
]

NUMBERS: Final = ("lines", "records", "events", "late", "stale", "heartbeats", "forgotten")
"""The plain numbers of `IngestCounts`."""
STALE_S: Final = 600
_NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class ReadLines:
    """What a block of lines held; `kinds` counts skipped lines, by kind.

    `examples` has a line of each kind that came for the first time. `forgotten` are messages that a
    parser let go of before they ended, to bound its memory.
    """

    events: EventColumns
    rejects: list[Reject]
    lines: int
    kinds: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    forgotten: int = 0
    examples: Mapping[str, bytes] = field(default_factory=dict)


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

    `lines` are all lines, `records` those that are not blank and not skipped. `events` counts what
    went into tallies, `late` those among them that came behind the close of their tick, and `stale`
    those among these that came more than ten minutes late.
    """

    lines: int = 0
    records: int = 0
    events: int = 0
    late: int = 0
    stale: int = 0
    heartbeats: int = 0
    forgotten: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    examples: dict[str, bytes] = field(default_factory=dict)
    """The first line of each kind, and the first record of each reason of a reject."""

    def count_tallies(self, tallies: list[Tally]) -> None:
        """Count the events of tallies."""
        rows = tally_rows(tallies)
        ticks = np.fromiter((tally.tick for tally in tallies), np.int64, len(tallies))
        sizes = np.fromiter(map(len, tallies), np.int64, len(tallies))
        behind_s = np.repeat(ticks, sizes) - rows.tick
        late = behind_s != 0
        self.events += int(rows.count.sum())
        self.late += int(rows.count[late].sum())
        self.stale += int(rows.count[behind_s > STALE_S].sum())

    def add(self, other: "IngestCounts") -> None:
        """Add what was read of another partition."""
        for name in NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.rejects.update(other.rejects)
        self.kinds.update(other.kinds)
        self.examples = other.examples | self.examples


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
        """The position of the next line (which is how many have been read), or record."""
        return self._next

    def resume(self, point: ResumePoint) -> None:
        """Go on where another owner stopped; its position is that of the next record."""
        self._tally.resume(point)
        self._next = point.offset

    def resume_point(self) -> ResumePoint:
        """Give where the next owner goes on, should this one be gone."""
        return self._tally.resume_point()

    def feed(self, block: bytes) -> tuple[list[Tally], list[Reject]]:
        """Take the next whole lines; give the tallies they close and the rejects."""
        found = self._reader.read(block, self._next)
        return self._take(found, self._next + found.lines, final=False)

    def feed_records(
        self, values: Sequence[bytes | None], offsets: NDArray[np.int64],
        received_ms: NDArray[np.int64],
    ) -> tuple[list[Tally], list[Reject]]:  # fmt: skip
        """Take the next records: (n,) each; their offsets may leave some out, as Kafka's do.

        `received_ms` (ABSENT: unknown) counts where an event does not say when it was received.
        """
        found = self._reader.read(_as_lines(values), 0)
        rejects = [
            replace(reject, position=int(offsets[reject.position])) for reject in found.rejects
        ]
        rejects += [
            Reject(offset, "empty", "the record holds nothing", b"")
            for value, offset in zip(values, offsets.tolist(), strict=True)
            if value is None or not value or value.isspace()
        ]
        events = found.events
        row = events.record
        own = np.full(row.size, ABSENT, np.int64)
        own = own if events.received_ms is None else events.received_ms
        received = np.where(own == ABSENT, received_ms[row], own)
        events = replace(events, record=offsets[row], received_ms=received)
        found = replace(found, events=events, rejects=rejects)
        return self._take(found, int(offsets[-1]) + 1, final=False)

    def finish(self) -> tuple[list[Tally], list[Reject]]:
        """End the partition: give what is still open."""
        tallies, rejects = self._take(self._reader.read(b"", self._next), self._next, final=True)
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

    def _take(
        self, found: ReadLines, next_position: int, *, final: bool
    ) -> tuple[list[Tally], list[Reject]]:
        counts = self._counts
        self._next = next_position
        events, rejects = found.events, found.rejects
        record = events.record
        distinct = int(np.count_nonzero(record[1:] != record[:-1])) + 1 if record.size else 0
        counts.lines += found.lines
        counts.records += distinct + len(rejects)
        counts.heartbeats += int(np.count_nonzero(events.ip == HEARTBEAT))
        counts.forgotten += found.forgotten
        counts.kinds.update(found.kinds)
        for kind, line in found.examples.items():
            counts.examples.setdefault(kind, line)
        tallies, future = self._tally.feed(events, self._next, final=final)
        if future:
            rejects = rejects + future
        for reject in rejects:
            counts.rejects[reject.reason] += 1
            if reject.reason not in counts.examples:
                counts.examples[reject.reason] = f"{reject.detail}: ".encode() + reject.excerpt
        counts.count_tallies(tallies)
        return tallies, rejects


def _as_lines(values: Sequence[bytes | None]) -> bytes:
    """Give records as lines; within one, LF becomes CR, which is white space to JSON as well."""
    try:
        block = b"\n".join(values) + b"\n"  # type: ignore[arg-type]
    except TypeError:  # a record without a value
        return _as_lines([value or b"" for value in values])
    if block.count(b"\n") == len(values):
        return block
    return b"\n".join((value or b"").replace(b"\n", b"\r") for value in values) + b"\n"
