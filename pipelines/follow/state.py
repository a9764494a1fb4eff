"""What follow mode keeps: one file with its places and the detector's state, and the journal.

The file is one line that says what it is and holds a checksum of the next, one line of JSON (the
head), and the detector's snapshot. The journal is a fact of the store, written in the same
transaction as the changes: what the log files do not tell, by its place among their lines.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Final

import orjson

from detector.errors import SnapshotError
from detector.log.records import RemovalRequest
from pipelines.follow.partition import Beat
from pipelines.ports import BlockStore

__all__ = ["Head", "Journal", "read_state", "written_state"]

VERSION: Final = 1
_MAGIC: Final = b"floodwatch follow"
_DETECTOR: Final = b"floodwatch snapshot"
_BEATS: Final = "follow_beats"
_GIVEN: Final = "follow_given"


@dataclass(frozen=True, slots=True)
class Head:
    """What goes with the detector's snapshot.

    `id` stands in the store as well. `inputs` are the paths, `formats` what they hold ("": not
    known yet), `policy` is the digest of the policy last asked for, `given` the last removal
    request that the detector has, `partitions` the state of each input, `utc_offset_s` the zone by
    which their times were read.
    """

    id: str
    inputs: list[str]
    formats: list[str]
    policy: str
    given: int
    utc_offset_s: int
    partitions: list[dict[str, Any]] = field(default_factory=list)


def written_state(head: Head, snapshot: bytes) -> bytes:
    """Write a state."""
    fields = {name: getattr(head, name) for name in Head.__slots__}
    line = orjson.dumps(fields)
    first = b"%s %d %s\n" % (_MAGIC, VERSION, hashlib.sha256(line).hexdigest().encode())
    return first + line + b"\n" + snapshot


def read_state(blob: bytes) -> tuple[Head, bytes]:
    """Read a state back: the head and the detector's snapshot.

    Raises:
        SnapshotError: it is something else, of another version, or damaged.
    """
    first, _, rest = blob.partition(b"\n")
    words = first.rsplit(b" ", 2)
    if words[0] != _MAGIC or len(words) < 3:  # noqa: PLR2004 - magic, version, checksum
        raise SnapshotError(
            "it is not a snapshot of a followed log (perhaps one of a run on Kafka): "
            "name another file in detect.snapshot"
        )
    if words[1] != b"%d" % VERSION:
        raise SnapshotError(
            f"got version {ascii(words[1])[2:-1]}, want version {VERSION}: use the "
            "version of floodwatch that wrote it"
        )
    line, _, snapshot = rest.partition(b"\n")
    if hashlib.sha256(line).hexdigest().encode() != words[2]:
        raise SnapshotError("incomplete or damaged: its header does not match its checksum")
    return Head(**orjson.loads(line)), snapshot


class Journal:
    """Heartbeats and removal requests since the snapshot before last: a restart needs them."""

    def __init__(self) -> None:
        self.beats: list[Beat] = []
        self.given: list[tuple[int, int, str]] = []
        """Removal requests: id, the time at which they act, subject."""
        self.is_new = False
        """Whether a heartbeat has come that may not stand in the store."""
        self._marks: tuple[Mapping[int, int], int] = ({}, 0)

    @classmethod
    def of(cls, store: BlockStore) -> "Journal":
        """Read the journal of a store."""
        journal = cls()
        journal.beats = [Beat(*beat) for beat in orjson.loads(store.fact(_BEATS) or "[]")]
        given = orjson.loads(store.fact(_GIVEN) or "[]")
        journal.given = [(number, time_ms, subject) for number, time_ms, subject in given]
        return journal

    def beat(self, beat: Beat) -> None:
        """Note a heartbeat."""
        self.beats.append(beat)
        self.is_new = True

    def facts(self) -> dict[str, str]:
        """Give the facts of the store that are the journal."""
        return {
            _BEATS: orjson.dumps([astuple(beat) for beat in self.beats]).decode(),
            _GIVEN: orjson.dumps(self.given).decode(),
        }

    def requests(self, behind: int) -> Sequence[RemovalRequest]:
        """Give the removal requests behind an id as the detector got them."""
        return [
            RemovalRequest(time_ms, subject, str(number))
            for number, time_ms, subject in self.given
            if number > behind
        ]

    def saved(self, records: Mapping[int, int], given: int) -> None:
        """Note a snapshot, and drop what the previous one does not need either."""
        old, old_given = self._marks
        self.beats = [beat for beat in self.beats if beat.record >= old.get(beat.partition, 0)]
        self.given = [one for one in self.given if one[0] > old_given]
        self._marks = (dict(records), given)
