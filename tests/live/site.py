"""A whole installation on a real broker: its topics, its processes, and what they should come to.

Traffic has its own times, of some minutes in one night, and is fed as fast as a test likes; the
feeder writes the heartbeats, whose times follow the traffic. `verify` compares with a replay.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Self

import orjson
from aiokafka import AIOKafkaProducer, ConsumerRecord

from detector.events.interning import KeyTables
from detector.log.records import decode_record
from detector.policy.settings import Policy
from detector.tally.tally import Tally
from pipelines.cli.dumping import dump_topic
from pipelines.cli.policies import policy_toml
from pipelines.clock import elapsed_s
from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.topics import create_topics
from pipelines.ports import BlockStore
from pipelines.replay.run import Replay, replay
from pipelines.settings.file import load_settings
from pipelines.settings.model import LiveSettings
from pipelines.stores import open_store
from pipelines.stores.memory import MemoryStore
from tests.builders import START_MS, Event, event_line, quick_policy, story
from tests.services.kafka_topics import create_topics as make_topics
from tests.services.kafka_topics import dump

__all__ = ["Member", "Site", "eager", "traffic"]

ROOT = Path(__file__).parents[2]
ALL = ("ingest", "detect", "publish")
EVERY_CHANGE = {"list", "extend", "remove", "expire", "refuse", "hold", "release"}


def traffic(rng: Random, partitions: int, *, minutes: int = 30, floods: int = 6) -> list[Event]:
    """Give a story in the order of its arrival, with stragglers and wrong clocks in it.

    Each four minutes a mailbox is flooded by strangers from thirty networks, beyond any doubt.
    """
    events = story(rng, partitions, minutes=minutes, floods=floods, late=True)
    for number in range(1, minutes // 4 + 1 if floods else 0):
        start_ms = START_MS + number * 240_000 - 120_000
        for index in range(60):
            at = start_ms + index * 250
            events.append(Event(at, index % partitions, {
                "time": at, "client_ip": f"2001:db8:{4096 + number * 64 + index % 30:x}::9",
                "action": "accept", "sender": "x@x.example",
                "recipient": f"flooded{number}@example.net",
            }))  # fmt: skip
    return sorted(events, key=lambda event: event.arrives_ms)


def eager(policy: Policy) -> Policy:
    """Make little usual, so that the few messages of a story make listings."""
    rule = replace(policy.rules.victim_flood, surprise=1.0, innocent=0.5, cost=0.0)
    learning = replace(policy.learning, young_factor=1.0)
    return replace(policy, rules=replace(policy.rules, victim_flood=rule), learning=learning)


@dataclass
class Member:
    """A process of the installation."""

    name: str
    process: subprocess.Popen[bytes]
    talk: Path

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        self.process.kill()
        self.process.wait(30)

    def stop(self, timeout_s: float = 30.0) -> int:
        """Ask it to stop; give its exit code."""
        self.process.terminate()
        return self.process.wait(timeout_s)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait_until_it_says(self, words: str, timeout_s: float = 30.0) -> None:
        """Wait for something in its log lines."""
        begin = elapsed_s()
        while words not in self.said:
            assert elapsed_s() - begin < timeout_s, f"{self.name} never says {words!r}: {self.said}"
            self.process.poll()
            threading.Event().wait(0.1)

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self.talk.read_text(errors="replace")


@dataclass
class Site:
    """One installation; used as a context, which ends its processes."""

    folder: Path
    bootstrap: str
    policy: Policy
    partitions: int = 3
    replication: int = 1
    store_url: str = ""
    settings_more: str = ""
    ingest_settings: str = "commit_every_s = 0.3\nmax_records = 50"
    detect_settings: str = "snapshot_every_s = 0.7"
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    members: list[Member] = field(default_factory=list)
    end_ms: int = 0
    events: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True, parents=True)
        self.store_url = self.store_url or f"sqlite:///{self.folder / 'blocks.db'}"
        (self.folder / "policy.toml").write_text("\n".join(policy_toml(self.policy)) + "\n")
        self.settings: LiveSettings = load_settings(self.config(), {})
        self.clients = KafkaClients(self.settings.kafka)

    @classmethod
    def of_seed(cls, folder: Path, bootstrap: str, seed: int, **more: Any) -> "Site":
        """Make an installation with a policy under which minutes are as good as days."""
        return cls(folder, bootstrap, eager(quick_policy(Random(seed), tight=0)), **more)

    def config(self, name: str = "1") -> Path:
        """Write the settings of one detector (each has a snapshot of its own); give the file."""
        path = self.folder / f"live{name}.toml"
        path.write_text(
            f"""
[kafka]
bootstrap = "{self.bootstrap}"
group = "{self.name}"
session_s = 6
request_s = 10
[kafka.topics]
input = "{self.name}-mail"
prefix = "{self.name}-"
replication = {self.replication}
[ingest]
heartbeat = "off"
{self.ingest_settings}
[detect]
policy = "{self.folder / "policy.toml"}"
snapshot = "{self.folder / f"snapshot{name}"}"
{self.detect_settings}
[store]
url = "{self.store_url}"
{self.settings_more}
"""
        )
        return path

    async def prepare(self) -> None:
        """Make the topics; records of the input carry the traffic's own times of receipt."""
        await make_topics(
            self.bootstrap, {self.clients.input_topic: self.partitions}, self.replication,
            {"retention.ms": "-1"},
        )  # fmt: skip
        await create_topics(self.clients, self.partitions)

    def run(self, *roles: str, name: str = "1", **environ: str) -> Member:
        """Start a process with these roles (else all that need no webhook)."""
        chosen = [word for role in roles or ALL for word in ("--role", role)]
        talk = self.folder / f"talk{len(self.members)}.log"
        with talk.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.cli", "run", "--config", self.config(name),
                 *chosen],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
            )  # fmt: skip
        member = Member("+".join(roles) or "all", process, talk)
        self.members.append(member)
        return member

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            if member.process.poll() is None:
                member.signal(signal.SIGCONT)
                member.kill()

    # -- feeding -------------------------------------------------------------------------------

    async def feed(
        self, events: Sequence[Event], *, over_s: float = 0.0, more: Iterable[bytes] = ()
    ) -> None:
        """Send events in the order of their arrival, spread over so many seconds.

        `more` are lines that are mixed in among them. Every ten seconds of the traffic's time each
        partition gets a heartbeat.
        """
        topic = self.clients.input_topic
        extra, beat_ms = iter(more), 0
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, linger_ms=5, request_timeout_ms=180_000, acks="all",
            enable_idempotence=True,
        )  # fmt: skip
        await producer.start()
        try:
            begin = asyncio.get_running_loop().time()
            for index, event in enumerate(events):
                due = begin + over_s * index / max(1, len(events))
                if (wait := due - asyncio.get_running_loop().time()) > 0:
                    await asyncio.sleep(wait)
                await producer.send(
                    topic, event_line(event.fields), partition=event.partition,
                    timestamp_ms=event.arrives_ms,
                )  # fmt: skip
                if (line := next(extra, None)) is not None:
                    await producer.send(
                        topic, line, partition=event.partition, timestamp_ms=event.arrives_ms
                    )
                if event.arrives_ms - beat_ms >= 10_000:
                    beat_ms = event.arrives_ms
                    await self._beat(producer, beat_ms)
            self.events += len(events)
            self.end_ms = max((event.arrives_ms for event in events), default=START_MS)
        finally:
            await producer.stop()

    async def end(self) -> None:
        """Write a last heartbeat into each partition, so that everything closes."""
        self.end_ms += 200_000
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap)
        await producer.start()
        try:
            await self._beat(producer, self.end_ms)
        finally:
            await producer.stop()

    async def _beat(self, producer: AIOKafkaProducer, time_ms: int) -> None:
        for partition in range(self.partitions):
            await producer.send(
                self.clients.input_topic, orjson.dumps({"heartbeat": time_ms}),
                partition=partition, timestamp_ms=time_ms,
            )  # fmt: skip

    # -- what it comes to ----------------------------------------------------------------------

    async def settled(self, timeout_s: float = 60.0) -> None:
        """Wait until a detector says that it has closed everything, and the store has it too."""
        last = self.end_ms // 1000 - self.policy.clock.lateness_s - 1
        async with asyncio.timeout(timeout_s):
            while True:
                for member in self.members:
                    code = member.process.poll()
                    assert code in {None, 0, -9}, f"{member.name} ended with {code}: {member.said}"
                progress = [m for m in await self._listings() if "progress" in m]
                if any((m["progress"]["closed"] or 0) >= last for m in progress):
                    break
                await asyncio.sleep(0.2)
            seq = max((m.get("seq", 0) for m in await self._listings()), default=0)
            while await asyncio.to_thread(self._stored_seq) < seq:  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.2)

    def _stored_seq(self) -> int:
        if self.store_url == "memory:":
            return 1 << 60
        with self.opened_store() as store:
            return store.last_seq()

    @contextmanager
    def opened_store(self) -> Iterator[BlockStore]:
        """Open the store."""
        store = open_store(self.store_url)
        try:
            yield store
        finally:
            store.close()

    async def _listings(self) -> list[dict[str, Any]]:
        records = await dump(self.bootstrap, self.clients.listings_topic)
        return [orjson.loads(record.value) for record in records]

    async def decisions(self) -> list[bytes]:
        """Give the changes in the listings, repeats of the same taken out."""
        path = self.folder / "decisions.ndjson"
        done = await dump_topic(self.clients, "listings", path)
        assert not done.problems, "numbers are left out, in disorder, or stand twice, differently"
        lines = path.read_bytes().split(b"\n")[:-1]
        seqs = [orjson.loads(line)["seq"] for line in lines]
        assert seqs == list(range(1, len(lines) + 1)), "the first ones are left out"
        return lines

    async def verify(self) -> Counter[str]:
        """Compare decisions and store with clean replays; give how often each change occurs."""
        got = await self.decisions()
        records = await dump(self.bootstrap, self.clients.log_topic)
        want, store = await self.replay_of_log()
        same(got, want, "a replay of the log")
        if self.store_url != "memory:":
            with self.opened_store() as ours:
                far = 1 << 60
                assert ours.last_seq() == store.last_seq()
                assert ours.listings(0) == store.listings(0)
                assert ours.held(0) == store.held(0)
                subjects = {orjson.loads(line)["subject"] for line in got}
                for subject in subjects:
                    assert ours.audit(subject) == store.audit(subject)
                assert not ours.listings(far)
        kinds = Counter(self._kind(record) for record in records)
        if not kinds.keys() - {"Tally", "Partitions", "End"}:
            files = await self._inputs()
            of_inputs, _ = await asyncio.to_thread(self._replayed, files)
            until_ms = self.end_ms
            of_inputs = [line for line in of_inputs if orjson.loads(line)["time"] <= until_ms]
            same([g for g in got if orjson.loads(g)["time"] <= until_ms], of_inputs, "of inputs")
        self._counted_once(records)
        return Counter(orjson.loads(line)["change"] for line in got)

    async def replay_of_log(self) -> tuple[list[bytes], MemoryStore]:
        """Replay the dumped log; give the changes and the store."""
        log = self.folder / "dumped.log"
        assert not (await dump_topic(self.clients, "log", log)).problems
        return await asyncio.to_thread(self._replayed, [log])

    @staticmethod
    def _kind(record: ConsumerRecord) -> str:
        return type(decode_record(record.value, KeyTables())).__name__

    def _counted_once(self, records: list[ConsumerRecord]) -> None:
        """Every tally number of every partition is there, and repeats are the same bytes."""
        seen: dict[tuple[int, int], bytes] = {}
        last: Counter[int] = Counter()
        for record in records:
            one = decode_record(record.value, KeyTables())
            if isinstance(one, Tally):
                stands = seen.setdefault((one.partition, one.number), record.value)
                assert stands == record.value, f"two tallies {one.number} of {one.partition} differ"
                last[one.partition] = max(last[one.partition], one.number)
        assert len(seen) == sum(last.values())

    async def _inputs(self) -> list[Path]:
        """Write the input as one file a partition, each event with the time of its receipt."""
        folder = self.folder / f"input{uuid.uuid4().hex[:6]}"
        return (await dump_topic(self.clients, "input", folder)).paths

    def _replayed(self, inputs: Sequence[Path]) -> tuple[list[bytes], MemoryStore]:
        store, out = MemoryStore(), self.folder / "replayed.ndjson"
        spec = Replay(
            tuple(map(str, inputs)), "memory:", policy=self.policy, decisions=out,
            input_format="log" if inputs[0].suffix == ".log" else "ndjson",
        )  # fmt: skip
        replay(spec, store)
        return out.read_bytes().splitlines(), store


def same(got: Sequence[bytes], want: Sequence[bytes], what: str) -> None:
    """Compare two lists of changes and show the first difference."""
    for index, (one, other) in enumerate(zip(got, want, strict=False)):
        assert one == other, f"{what}: change {index + 1} is\n{one!r}\nwhere stands\n{other!r}"
    assert len(got) == len(want), f"{len(got)} changes, {what} has {len(want)}"
