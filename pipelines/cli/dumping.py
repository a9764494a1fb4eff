"""`floodwatch topics dump`: what a topic holds becomes files that a replay or an analyst reads."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from detector.events.interning import KeyTables
from pipelines.cli.guarded import FAILED, UsageError, say
from pipelines.cli.running import ask, load
from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.log_topic import listing_in
from pipelines.kafka.topic_records import TopicRecords
from pipelines.replay.log_file import LogWriter
from pipelines.settings.model import TopicKind
from pipelines.stages.publish import SideFile

__all__ = ["Dump", "dump_topic", "run_dump", "with_received"]

KINDS: Final[tuple[TopicKind, ...]] = get_args(TopicKind)
_DIGEST_BYTES: Final = 8

Show = Callable[[int, int], None]


class _Received(msgspec.Struct):
    """All that matters here; other fields are skipped unread, as whoever counts them does."""

    received: msgspec.Raw = msgspec.Raw()


_DECODER: Final = msgspec.json.Decoder(_Received)


@dataclass(slots=True)
class Dump:
    """What was written; `problems` are what a reader of it must know, in words."""

    paths: list[Path] = field(default_factory=list)
    written: int = 0
    problems: list[str] = field(default_factory=list)


def run_dump(config: Path | None, kind: str, target: Path) -> int:
    """Write a topic to files; give the exit code: 1 where it has problems, whole as it is."""
    chosen = next((known for known in KINDS if known == kind), None)
    if chosen is None:
        raise UsageError(f"got {kind!a}, must be one of {', '.join(KINDS)}")
    clients = KafkaClients(load(config).kafka)
    with _bar(chosen) as show:
        done = ask(dump_topic(clients, chosen, target, show))
    for problem in done.problems:
        say(f"floodwatch: {problem}")
    place = ascii(str(target))[1:-1]
    files = "" if len(done.paths) == 1 else f" in {len(done.paths):,} files"
    say(f"{done.written:,} records of {clients.topic(chosen)} are in {place}{files}")
    return FAILED if done.problems else 0


async def dump_topic(
    clients: KafkaClients, kind: TopicKind, target: Path, show: Show = lambda _read, _all: None
) -> Dump:
    """Write what a topic holds now; `target` is a file, of the input a folder. All of it or none.

    The log becomes a file that `replay` takes, the listings what `replay --decisions` writes, dead
    letters a line each. Of the input each partition is a file, each event with the time at which
    Kafka received it: what a replay needs to count as the live run did.

    Raises:
        BrokerError: Kafka does not answer.
        MissingTopicError: there is no such topic.
        OutputError: a file cannot be written.
        UsageError: the folder holds files already.
        WireError: the listings are of another version.
    """
    async with TopicRecords(clients, clients.topic(kind)) as topic:
        done = Dump()
        if kind == "input":
            await _dump_input(topic, target, done, show)
            return done
        lost = [(p, first) for p, (first, _) in topic.bounds.items() if first and kind == "log"]
        for _, first in lost:
            done.problems.append(
                f"the log begins at offset {first:,}, earlier records were deleted by retention: a "
                "replay cannot make the same decisions"
            )
        with SideFile(target) as file:
            taking = _taker(kind, file, clients.topic(kind), done)
            for partition in topic.bounds:
                await _each(topic, partition, taking, done, show)
            file.commit()
        done.paths.append(target)
        return done


def _taker(kind: TopicKind, file: SideFile, topic: str, done: Dump) -> Callable[[Any], bool]:
    """Give what writes one record, and says whether it did."""
    if kind == "log":
        log = LogWriter(file, KeyTables())

        def take_log(record: Any) -> bool:
            log.write_bytes(record.value or b"")
            return True

        return take_log
    if kind == "listings":
        return _Decisions(file, topic, done).take

    def take_line(record: Any) -> bool:
        file.write(_one_line(record.value or b""))
        return True

    return take_line


class _Decisions:
    """Writes each decision once, however many detectors wrote it; says where they disagree."""

    def __init__(self, file: SideFile, topic: str, done: Dump) -> None:
        self._file, self._topic, self._done = file, topic, done
        self._first = self._next = 0
        self._digests = bytearray()

    def take(self, record: Any) -> bool:
        """Write a decision, unless it is a repeat or no decision."""
        line: bytes = record.value or b""
        message = listing_in(record, self._topic)
        if not isinstance(message, dict):
            return False
        seq: int = message["seq"]
        digest = hashlib.blake2b(line, digest_size=_DIGEST_BYTES).digest()
        if not self._next:
            self._first = self._next = seq
        if self._first <= seq < self._next:
            at = (seq - self._first) * _DIGEST_BYTES
            if self._digests[at : at + _DIGEST_BYTES] != digest:
                self._complain(
                    f"change {seq} occurs twice with different contents: the first one is kept"
                )
            return False
        if seq != self._next:
            self._complain(f"change {seq} found where change {self._next} is expected: kept")
            self._first, self._digests = seq, bytearray()
        self._next = seq + 1
        self._digests += digest
        self._file.write(line + b"\n")
        return True

    def _complain(self, what: str) -> None:
        self._done.problems.append(f"{self._topic}: {what}")


async def _dump_input(topic: TopicRecords, folder: Path, done: Dump, show: Show) -> None:
    with _new_folder(folder), ExitStack() as stack:
        files: list[SideFile] = []
        for partition in topic.bounds:
            # Numbers of equal length, so that a replay of the folder has them in their order.
            path = folder / f"partition-{partition:05}.ndjson"
            file = stack.enter_context(SideFile(path))

            def take(record: Any, file: SideFile = file) -> bool:
                file.write(_one_line(with_received(record.value or b"", record.timestamp)))
                return True

            await _each(topic, partition, take, done, show)
            files.append(file)
            done.paths.append(path)
        for file in files:
            file.commit()


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Make a folder, which stays if all goes well."""
    made = not folder.exists()
    if not made and (not folder.is_dir() or any(folder.iterdir())):
        said = "want a new or empty folder, for one file of each partition"
        raise UsageError(f"{ascii(str(folder))[1:-1]}: {said}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if made:
            with suppress(OSError):  # somebody has put something into it
                folder.rmdir()
        raise


async def _each(
    topic: TopicRecords, partition: int, take: Callable[[Any], bool], done: Dump, show: Show
) -> None:
    """Take each record of a partition."""
    before = sum(end - first for p, (first, end) in topic.bounds.items() if p < partition)
    first, _ = topic.bounds[partition]
    async for records in topic.of(partition):
        done.written += sum(map(take, records))
        show(before + records[-1].offset + 1 - first, len(topic))


def _one_line(record: bytes) -> bytes:
    return record.replace(b"\n", b" ") + b"\n"


def with_received(record: bytes, timestamp_ms: int) -> bytes:
    r"""Give a record with the time of its receipt, unless it says one, or is no JSON object.

    Heartbeats get it too: live, Kafka's time bounds theirs as it bounds that of an event.

    >>> with_received(b'{"time":5}', 7), with_received(b'{"received":1}', 7), with_received(b"x", 7)
    (b'{"time":5,"received":7}', b'{"received":1}', b'x')
    """
    try:
        said = bytes(_DECODER.decode(record).received)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return record
    if said not in {b"", b"null"} or timestamp_ms < 0:
        return record
    rest = record.rstrip()[:-1].rstrip()
    comma = b"" if rest.endswith(b"{") else b","
    return rest + comma + b'"received":%d}' % timestamp_ms


@contextmanager
def _bar(what: str) -> Iterator[Show]:
    """Show a bar, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _read, _all: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda read, all_: bar.update(task, completed=read, total=all_)
