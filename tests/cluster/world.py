"""What the nodes of a simulated cluster share: input partitions, the one log, commits, listings."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import orjson

from detector.events.contract import Reject
from detector.log.records import LogRecord
from detector.tally.tally import ResumePoint, Tally
from tests.builders import START_MS, Event, event_line

__all__ = ["World"]


@dataclass
class World:
    """Everything that survives a crash, and the time of day."""

    partitions: int
    events: list[Event]
    now_ms: int = START_MS
    inputs: list[list[bytes]] = field(default_factory=list)
    log: list[bytes] = field(default_factory=list)
    heard_ms: list[int] = field(default_factory=list)
    """By partition: when the log last got a tally of it."""
    kinds: Counter[str] = field(default_factory=Counter)
    committed: list[ResumePoint | None] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)
    dead_letters: dict[tuple[int, int], Reject] = field(default_factory=dict)
    listings: list[bytes] = field(default_factory=list)
    heartbeats: int = 0
    _coming: deque[Event] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.inputs = [[] for _ in range(self.partitions)]
        self.committed = [None] * self.partitions
        self.heard_ms = [self.now_ms] * self.partitions
        self._coming = deque(self.events)

    @property
    def done(self) -> bool:
        """Say whether every event has been sent; no partition grows any more."""
        return not self._coming

    def produce(self, count: int) -> None:
        """Let the next events arrive; the time of day is that of their arrival."""
        for _ in range(min(count, len(self._coming))):
            event = self._coming.popleft()
            self.now_ms = max(self.now_ms, event.arrives_ms)
            self.inputs[event.partition].append(event_line(event.fields))

    def append(self, blob: bytes, record: LogRecord) -> None:
        """Append a record to the log; `record` is what the bytes say."""
        self.log.append(blob)
        self.kinds[type(record).__name__] += 1
        if isinstance(record, Tally):
            self.heard_ms[record.partition] = self.now_ms

    def heartbeat(self, partition: int) -> None:
        """Write the time into a partition."""
        self.inputs[partition].append(event_line({"heartbeat": self.now_ms}))
        self.heartbeats += 1

    def reject(self, partition: int, rejects: list[Reject]) -> None:
        """Take dead letters; the same one again is the same one."""
        for one in rejects:
            self.dead_letters.setdefault((partition, one.position), one)

    def publish(self, who: str, changes: list[dict[str, Any]]) -> None:
        """Append changes, or compare them with what stands there: the first difference is fatal."""
        for change in changes:
            line, seq = orjson.dumps(change), change["seq"]
            if seq <= len(self.listings):
                there = self.listings[seq - 1]
                assert there == line, f"{who} derives\n{line!r}\nwhere there stands\n{there!r}"
            else:
                assert seq == len(self.listings) + 1, f"{who}: change {seq} leaves a gap"
                self.listings.append(line)
