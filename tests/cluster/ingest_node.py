"""Owners of partitions in the simulated cluster: they crash, and haunt the log as zombies."""

from collections import deque
from collections.abc import Sequence

from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from detector.log.records import End, Idle, LogRecord, encode_record
from detector.policy.settings import ClockSpec
from detector.tally.tally import PartitionTally, Tally
from tests.cluster.world import World

__all__ = ["Owner"]


class Owner:
    """One owner of one partition; there may be several, and only the last one is right."""

    def __init__(self, world: World, partition: int, clock: ClockSpec, tables: KeyTables) -> None:
        self.world, self.partition = world, partition
        self.tables = tables
        self.reader = EventReader(tables)
        self.tally = PartitionTally(partition, clock.lateness_s, clock.future_s)
        self.position = 0
        self.finished = False
        self._beat_ms = 0
        self._out: deque[tuple[LogRecord, bytes]] = deque()
        self._unacknowledged: deque[int] = deque()
        point = world.committed[partition]
        if point is not None:
            self.tally.resume(point)
            self.position = point.offset

    @property
    def at_end(self) -> bool:
        """Say whether every record there is has been read."""
        return self.position == len(self.world.inputs[self.partition])

    @property
    def idle(self) -> bool:
        """Say whether nothing is left to be sent or acknowledged."""
        return not self._out and not self._unacknowledged

    def poll(self, count: int) -> None:
        """Read records; dead letters are acknowledged at once."""
        lines = self.world.inputs[self.partition][self.position : self.position + count]
        block = b"".join(line + b"\n" for line in lines)
        events, rejects, read = self.reader.read_json(block, self.position)
        assert read == len(lines)
        self.position += read
        tallies, future = self.tally.feed(events, self.position)
        self.world.reject(self.partition, rejects + future)
        self._queue(tallies)

    def heartbeat(self) -> None:
        """At the end of the partition write the time into it, once a second."""
        world = self.world
        if self.at_end and not world.done and world.now_ms - self._beat_ms >= 1_000:
            self._beat_ms = world.now_ms
            world.heartbeat(self.partition)

    def say_idle(self) -> None:
        """At the end of a partition that may not be written to: the others need not wait."""
        if self.at_end and self.idle:
            idle = Idle(self.partition)
            self.world.append(encode_record(idle, self.tables), idle)

    def finish(self) -> None:
        """Close a finite input that has been read whole."""
        assert self.at_end
        assert self.world.done
        if self.finished:
            return
        events, _, _ = self.reader.read_json(b"", self.position)
        tallies, future = self.tally.feed(events, self.position, final=True)
        self.world.reject(self.partition, future)
        self._queue(tallies)
        self._queue(self.tally.finish())
        self._queue([End(self.partition)])
        self.finished = True

    def alone(self) -> list[LogRecord]:
        """Read the partition whole, in one process: its tallies and its end, not encoded."""
        block = b"".join(line + b"\n" for line in self.world.inputs[self.partition])
        events, _, read = self.reader.read_json(block, 0)
        tallies, _ = self.tally.feed(events, read, final=True)
        return [*tallies, *self.tally.finish(), End(self.partition)]

    def _queue(self, records: Sequence[LogRecord]) -> None:
        self._out.extend((one, encode_record(one, self.tables)) for one in records)

    def send(self, count: int, *, twice: bool) -> None:
        """Append what was made to the log; a producer that retries may append it twice."""
        for _ in range(min(count, len(self._out))):
            record, blob = self._out.popleft()
            for _ in range(2 if twice else 1):
                self.world.append(blob, record)
            if isinstance(record, Tally):
                self._unacknowledged.append(record.number)
            else:
                self.world.ended.add(self.partition)

    def acknowledge(self, count: int) -> None:
        """Hear from the log that it has some of them."""
        for _ in range(min(count, len(self._unacknowledged))):
            self.tally.acknowledge(self._unacknowledged.popleft())

    def commit(self) -> None:
        """Commit where the next owner reads on."""
        self.world.committed[self.partition] = self.tally.resume_point()
