"""One followed log as a partition of the input: its lines and the heartbeats between them.

`state` has what a restart needs. Rows that are still open are kept as columns, so that no
line is read a second time on their account, and no parser is taken back to where it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from detector.events.contract import Reject
from detector.events.decode import HEARTBEAT, EventColumns, EventReader
from detector.events.interning import KeyTables
from detector.tally.tally import ResumePoint, Tally
from pipelines.parsers.postfix import PostfixParser
from pipelines.shapes.raw_postfix import PostfixLines
from pipelines.sources.follow import NOTHING, FollowedLog
from pipelines.sources.rotated import Place
from pipelines.stages.ingest import LineReader, PartitionIngest, ReadLines

__all__ = ["Beat", "FollowedPartition", "KeepingLines", "Told", "place_of"]

_COLUMNS: Final = ("record", "time_ms", "outcome", "sender")
_KINDS: Final = {"record": np.int64, "time_ms": np.int64, "outcome": np.uint8, "sender": np.uint8}


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat, which was the record `record` of its partition: lines are records as well."""

    partition: int
    record: int
    time_ms: int


@dataclass(slots=True)
class Told:
    """What a step of a partition came to."""

    tallies: list[Tally] = field(default_factory=list)
    rejects: list[tuple[str, int, Reject]] = field(default_factory=list)
    """With the file and the number of the line, from 1."""
    size: int = 0
    again: bool = False
    """It was read before a restart already, and more of that may follow."""


class KeepingLines:
    """A `LineReader` that keeps the columns of what it reads, heartbeats among them.

    `reader` is None until the format of the log is known.
    """

    def __init__(self, tables: KeyTables) -> None:
        self.events = EventReader(tables)
        self.reader: LineReader | None = None
        self.kept: list[EventColumns] = []
        self.again: tuple[EventColumns, int] | None = None
        """Columns that were kept, and for how many lines they stand: they are read next."""
        self.beats = False

    def read(self, block: bytes, first: int) -> ReadLines:
        """Read lines, or what was kept of them before."""
        if self.again is not None:
            columns, lines = self.again
            self.again, found = None, ReadLines(columns, [], lines)
        elif self.beats or self.reader is None:
            columns, rejects, lines = self.events.read_json(block, first)
            found = ReadLines(columns, rejects, lines)
        else:
            found = self.reader.read(block, first)
        if len(found.events):
            self.kept.append(found.events)
        return found

    @property
    def parser(self) -> PostfixParser | None:
        """What remembers earlier lines, if anything does."""
        return self.reader.parser if isinstance(self.reader, PostfixLines) else None

    def forget(self, before: int) -> None:
        """Let go of records before a position."""
        self.kept = [part.take(part.record >= before) for part in self.kept]
        self.kept = [part for part in self.kept if len(part)]

    def state(self) -> list[dict[str, Any]]:
        """Give what is kept, by key and not by slot."""
        return [self._texts(part) for part in self.kept]

    def _texts(self, part: EventColumns) -> dict[str, Any]:
        ips, mailboxes = self.events.tables.ips.names, self.events.tables.mailboxes.names
        return {
            **{name: getattr(part, name).tolist() for name in _COLUMNS},
            "received_ms": None if part.received_ms is None else part.received_ms.tolist(),
            "asn": None if part.asn is None else part.asn.tolist(),
            "ip": [None if slot == HEARTBEAT else ips[slot] for slot in part.ip.tolist()],
            "rcpt": [None if slot < 0 else mailboxes[slot] for slot in part.rcpt.tolist()],
        }

    def columns(self, state: Mapping[str, Any]) -> EventColumns:
        """Give back the columns of one part that `state` gave."""
        tables = self.events.tables
        ips, size = state["ip"], len(state["ip"])
        ip = tables.ips.slots(ips, size)
        is_beat = np.array([text is None for text in ips], np.bool_)
        received, asn = state["received_ms"], state["asn"]
        plain = {name: np.array(state[name], _KINDS[name]) for name in _COLUMNS}
        return EventColumns(
            ip=np.where(is_beat, np.int32(HEARTBEAT), ip),
            rcpt=tables.mailboxes.slots(state["rcpt"], size),
            received_ms=None if received is None else np.array(received, np.int64),
            asn=None if asn is None else np.array(asn, np.int64),
            **plain,
        )


class FollowedPartition:
    """A log with its place, its reader and its open ticks."""

    def __init__(self, log: FollowedLog, lines: KeepingLines, ingest: PartitionIngest) -> None:
        self.log, self.reader, self.ingest = log, lines, ingest
        self.beat_ms = 0
        self.again: list[Beat] = []
        """Heartbeats that came before a restart, behind what is read: they come again."""

    @property
    def number(self) -> int:
        """Its number as a partition of the input."""
        return self.ingest.partition

    def read(self) -> Told:
        """Take the next lines, or the heartbeat that came between them; nothing where neither is.

        Raises:
            UnreadableInputError: the file is there and may not or cannot be read.
        """
        upto = self.again[0].record - self.ingest.next_line if self.again else None
        block = NOTHING if upto is not None and upto <= 0 else self.log.look()
        if self.again and not block.size:  # it came here, or the lines before it are lost
            told = self.beat(self.again.pop(0).time_ms)
            told.again = True
            return told
        if not block.size:
            return Told()
        block = block if upto is None else block.first(upto)
        first, place = self.ingest.next_line, self.log.place
        line = 1 if place is None else place.line + 1
        told = self._fed(block.data)
        told.rejects = [
            (self.log.name, max(line + r.position - first, 1), r) for _, _, r in told.rejects
        ]
        told.size, told.again = block.size, upto is not None
        self.log.take(block)
        return told

    def beat(self, time_ms: int) -> Told:
        """Let the time of day count as a record of the partition."""
        self.reader.beats = True
        told = self._fed(orjson.dumps({"heartbeat": time_ms, "received": time_ms}) + b"\n")
        self.reader.beats = False
        self.beat_ms = max(self.beat_ms, time_ms)
        return told

    def _fed(self, data: bytes) -> Told:
        tallies, rejects = self.ingest.feed(data)
        self.ingest.acknowledge(tallies)
        self.reader.forget(self.ingest.resume_point().offset)
        return Told(tallies, [("", 0, reject) for reject in rejects])

    def slots_in_use(self) -> tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]:
        """Give the ip and mailbox slots that this partition refers to."""
        ips, mailboxes = self.ingest.slots_in_use()
        return (
            ips + [part.ip for part in self.reader.kept],
            mailboxes + [part.rcpt for part in self.reader.kept],
        )

    def state(self) -> dict[str, Any]:
        """Give the state from which another process can resume."""
        parser, place = self.reader.parser, self.log.place
        return {
            "place": None if place is None else asdict(place),
            "next": self.ingest.next_line,
            "resume": list(astuple(self.ingest.resume_point())),
            "kept": self.reader.state(),
            "parser": None if parser is None else parser.state(),
        }

    def restore(self, state: Mapping[str, Any], beats: Sequence[Beat]) -> list[Tally]:
        """Resume from the `state` of another process; the log was opened at its place.

        Raises:
            KeyError, TypeError, ValueError: it is no state of a partition.
        """
        point = ResumePoint(*state["resume"])
        self.ingest.resume(point)
        parser = self.reader.parser
        if parser is not None and state["parser"] is not None:
            parser.restore(state["parser"])
        tallies: list[Tally] = []
        at = point.offset
        for part in state["kept"]:
            columns = self.reader.columns(part)
            end = int(columns.record[-1]) + 1
            self.reader.again = (columns, end - at)
            tallies += self.ingest.feed(b"")[0]
            at = end
        self.reader.again = (self.reader.events.read_json(b"", at)[0], state["next"] - at)
        tallies += self.ingest.feed(b"")[0]
        self.ingest.acknowledge(tallies)
        self.again = [
            beat for beat in beats if beat.partition == self.number and beat.record >= state["next"]
        ]
        return tallies


def place_of(state: Mapping[str, Any] | None) -> Place | None:
    """Give the place of a partition's state."""
    if state is None or state["place"] is None:
        return None
    return Place(**state["place"] | {"beside": tuple(state["place"].get("beside", ()))})
