"""`make demo-live`: a whole installation on this machine, killed at, and compared with a replay.

`python -m tests.live.demo`. Some hours of simulated mail go through a real Kafka and a real Redis
in a minute. All that it makes stays in `build/demo-live`, so that each command can be repeated.
"""

import asyncio
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from detector.policy.settings import Policy
from pipelines.clock import elapsed_s, now_ms
from pipelines.simulate import SimulationSpec, event_lines, simulate, write_asn_table
from pipelines.wire import Progress, read_listing
from tests.conftest import find_program
from tests.live.site import ROOT, Member, Site
from tests.services.kafka_broker import Broker, what_is_missing
from tests.services.ports import free_ports
from tests.services.redis_server import RunningRedis, redis_server

__all__ = ["Scale", "demonstrate", "main"]

FOLDER: Final = ROOT / "build" / "demo-live"
_BEAT_MS: Final = 10_000
_QUIET_MS: Final = 200_000
"""Behind the last event comes a heartbeat, with which everything closes."""
_SETTLED_S: Final = 180.0
_STOP_S: Final = 30.0
_TOLD_S: Final = 4.0

_READY_S: Final = 60.0
_PROCESSES: Final = ("ingest 1", "ingest 2", "detect 1", "detect 2", "publish 1")
"""Each a role and the number of its settings file."""

Say = Callable[[str], None]
Line = tuple[int, bytes]
"""A record of the input: its partition, and what it holds."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much traffic, and how fast it is fed."""

    events: int = 100_000
    hours: float = 2.0
    feed_s: float = 40.0
    partitions: int = 4
    seed: int = 7


@dataclass(slots=True)
class Traffic:
    """What is fed, in the order of its arrival, and the same as one file a partition."""

    lines: list[Line]
    events: int
    end_ms: int
    files: list[str]


@dataclass(slots=True)
class Seen:
    """What stands in the listings topic: changes by their numbers, and how far it is closed."""

    changes: dict[int, bytes] = field(default_factory=dict)
    closed: int = 0
    listed: int = 0
    differing: int = 0

    def take(self, value: bytes) -> None:
        message = read_listing(value, "listings")
        if isinstance(message, Progress):
            self.closed = max(self.closed, message.closed or 0)
        if not isinstance(message, dict):
            return
        stands = self.changes.setdefault(message["seq"], value)
        if stands is not value:
            self.differing += stands != value
        elif message["change"] == "list":
            self.listed += 1


def main() -> int:
    """Run it, and give the exit code: 0 where both came to the same."""
    missing = what_is_missing() or next(
        (f"{name} is not installed" for name in ("redis-server", "redis-cli") if not _path(name)),
        None,
    )
    if missing:
        _say(f"cannot run the demonstration: {missing}")
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)
    return 0 if demonstrate(FOLDER, Scale(), _say) else 1


def demonstrate(folder: Path, scale: Scale, say: Say) -> bool:
    """Run it in a folder; say whether listings and replay are the same bytes."""
    folder.mkdir(parents=True)
    begin_s = elapsed_s()
    say(f"simulates {scale.events:,} events of {scale.hours:g} hours that end ten minutes ago")
    traffic = _traffic(folder, scale)
    (folder / "redis").mkdir()
    say("starts Kafka and Redis")
    with Broker(folder / "kafka") as broker, redis_server(folder / "redis") as redis:
        site = Site(
            folder, broker.bootstrap, Policy(), partitions=scale.partitions, store_url=redis.url,
            ingest_settings="max_records = 1000", name="demo",
            # Hours pass in a minute: what is silent for that long is not dead here.
            detect_settings='asn_tables = ["asn.tsv"]\nsnapshot_every_s = 5\ndead_after_s = 600',
        )  # fmt: skip
        with site:
            same = asyncio.run(_Demo(site, traffic, scale, redis, say).run())
        say("stops Redis and Kafka")
        redis.signal(signal.SIGTERM)
        broker.stop()
    say(f"done in {elapsed_s() - begin_s:.0f} s")
    return same


class _Demo:
    def __init__(
        self, site: Site, traffic: Traffic, scale: Scale, redis: RunningRedis, say: Say
    ) -> None:
        self._site, self._traffic, self._scale = site, traffic, scale
        self._redis, self._say = redis, say
        self._seen = Seen()
        self._fed = 0
        self._web: dict[str, str] = {}
        """Where each process says how it is."""

    async def run(self) -> bool:
        """Run everything from the first topic to the last comparison."""
        site, say = self._site, self._say
        config = site.config("1").name
        create = ("topics", "create", "--config", config, "--partitions", str(site.partitions))
        await asyncio.to_thread(self._floodwatch, *create)
        await asyncio.to_thread(self._floodwatch, "topics", "check", "--config", config)
        say("\nstarts two ingests, two detectors (each with its own snapshot) and a publisher")
        running = {name: self._start(name) for name in _PROCESSES}
        await self._until_ready(running)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch())
            telling = group.create_task(self._tell())
            feeding = group.create_task(self._feed())
            await self._kill(running, "ingest 1", 0.35)
            await self._kill(running, "detect 1", 0.65)
            await feeding
            say("all is fed; waits until everything has closed and Redis has it")
            await self._settle(running)
            telling.cancel()
            watching.cancel()
        same = await asyncio.to_thread(self._compare)
        await asyncio.to_thread(self._ask)
        say("\nstops ingests, detectors and publisher")
        for name, member in running.items():
            code = await asyncio.to_thread(member.stop, _STOP_S)
            if code:
                say(f"  {name} ended with {code}: {member.said[-500:]}")
                same = False
        return same

    def _start(self, name: str) -> Member:
        role, number = name.split(" ")
        (port,) = free_ports(1)
        self._web[name] = f"http://127.0.0.1:{port}"
        return self._site.run(role, name=number, FLOODWATCH__WEB__PORT=str(port))

    async def _until_ready(self, running: dict[str, Member]) -> None:
        """Wait until every process says so at /readyz."""
        async with asyncio.timeout(_READY_S), httpx.AsyncClient() as client:
            for name in running:
                ready = False
                while not ready:
                    _look_at(running)
                    await asyncio.sleep(0.1)
                    with suppress(httpx.TransportError):
                        ready = (await client.get(f"{self._web[name]}/readyz")).is_success
        self._say("all are ready (/readyz)")

    # -- feeding and watching ------------------------------------------------------------------

    async def _feed(self) -> None:
        """Send the lines at an even pace; heartbeats are among them."""
        lines = self._traffic.lines
        loop, topic = asyncio.get_running_loop(), self._site.clients.input_topic
        producer = AIOKafkaProducer(
            bootstrap_servers=self._site.bootstrap, linger_ms=20, enable_idempotence=True
        )
        await producer.start()
        try:
            begin = loop.time()
            for index, (partition, line) in enumerate(lines):
                due = begin + self._scale.feed_s * index / len(lines)
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                await producer.send(topic, line, partition=partition)
                self._fed = index + 1
        finally:
            await producer.stop()

    async def _watch(self) -> None:
        """Read the listings as they grow."""
        consumer = AIOKafkaConsumer(
            self._site.clients.listings_topic, bootstrap_servers=self._site.bootstrap,
            group_id=None, auto_offset_reset="earliest",
        )  # fmt: skip
        await consumer.start()
        try:
            async for record in consumer:
                self._seen.take(record.value)
        finally:
            await consumer.stop()

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_TOLD_S)
            seen, total = self._seen, len(self._traffic.lines)
            events = self._traffic.events * self._fed // total
            closed = _clock(seen.closed * 1000) if seen.closed else "nothing yet"
            self._say(
                f"  fed {events:>7,} events   closed up to {closed}   {seen.listed:>5,} listings"
            )

    async def _kill(self, running: dict[str, Member], name: str, share: float) -> None:
        """End a process in mid-work, as kill -9 does, and start it anew a second later."""
        while self._fed < share * len(self._traffic.lines):  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.1)
        member = running[name]
        pid = member.process.pid
        await asyncio.to_thread(member.kill)
        self._say(f"  kill -9 {pid} ({name})")
        await asyncio.sleep(1)
        running[name] = self._start(name)
        self._say(f"  starts another, process {running[name].process.pid}")

    async def _settle(self, running: dict[str, Member]) -> None:
        last = (self._traffic.end_ms + _QUIET_MS) // 1000 - self._site.policy.clock.lateness_s - 1
        with self._redis.client() as redis:
            async with asyncio.timeout(_SETTLED_S):
                while self._seen.closed < last or int(
                    await asyncio.to_thread(redis.hget, "floodwatch:meta", "last_seq") or 0
                ) < max(self._seen.changes, default=0):
                    _look_at(running)
                    await asyncio.sleep(0.2)

    # -- what it comes to ----------------------------------------------------------------------

    def _compare(self) -> bool:
        """Replay the input and compare; both lists of decisions stay as files."""
        folder, seen = self._site.folder, self._seen
        ours = [seen.changes[seq] for seq in sorted(seen.changes)]
        whole = list(seen.changes) == list(range(1, len(ours) + 1)) and not seen.differing
        (folder / "listings.ndjson").write_bytes(b"".join(line + b"\n" for line in ours))
        self._say("\nreplays the same input\n")
        self._floodwatch(
            "replay", *self._traffic.files, "--asn-table", "asn.tsv", "--policy", "policy.toml",
            "--store", "memory:", "--decisions", "replayed.ndjson", shown=False,
        )  # fmt: skip
        digests = []
        for name in ("listings.ndjson", "replayed.ndjson"):
            content = (folder / name).read_bytes()
            digests.append(hashlib.sha256(content).hexdigest())
            count = content.count(b"\n")
            self._say(f"{name:<16} {count:>6,} changes  sha256 {digests[-1]}")
        same = whole and digests[0] == digests[1]
        self._say("the same, byte for byte" if same else "THEY DIFFER")
        return same

    def _ask(self) -> None:
        """Ask Redis for an address that is listed and for one that is not."""
        listed, other = self._addresses()
        for address in (listed, other):
            self._run("redis-cli", "-p", str(self._redis.port), "GET", f"floodwatch:ip:{address}")
        for address in (listed, other):
            self._floodwatch("lookup", address, "--store", self._redis.url)

    def _addresses(self) -> tuple[str, str]:
        """Give the last IPv4 address that Redis lists, and one of the input that it never did."""
        changes = [json.loads(line) for line in self._seen.changes.values()]
        subjects = {change["subject"] for change in changes}
        with self._redis.client() as redis:
            listed = next(
                change["subject"] for change in reversed(changes)
                if ":" not in change["subject"]
                and redis.exists(f"floodwatch:ip:{change['subject']}")
            )  # fmt: skip
        clients = (json.loads(line).get("client_ip", ":") for _, line in self._traffic.lines)
        other = next(one for one in clients if ":" not in one and one not in subjects)
        return str(listed), str(other)

    def _floodwatch(self, *arguments: str, shown: bool = True) -> None:
        self._run("floodwatch", *arguments, shown=shown)

    def _run(self, *typed: str, shown: bool = True) -> None:
        """Run a command as a person would in the folder of the demonstration."""
        self._say(f"\n+ {shlex.join(typed)}")
        program = {
            "floodwatch": [sys.executable, "-m", "pipelines.cli"],
            "redis-cli": [_path("redis-cli")],
        }[typed[0]]
        done = subprocess.run(
            [*program, *typed[1:]], cwd=self._site.folder, check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        if shown or done.returncode:
            self._say(done.stdout.rstrip("\n") or "(nil)")
        if done.returncode:
            raise RuntimeError(f"{shlex.join(typed)} ended with {done.returncode}")


def _look_at(running: Mapping[str, Member]) -> None:
    """Raise where a process has ended by itself."""
    for name, member in running.items():
        code = member.process.poll()
        if code is not None:
            raise RuntimeError(f"{name} ended with {code}: {member.said[-2000:]}")


def _traffic(folder: Path, scale: Scale) -> Traffic:
    """Simulate mail that ended ten minutes ago: Redis takes no listing that is over by its clock.

    Each mail server writes into one partition. Every ten seconds of the traffic's time each
    partition gets a heartbeat, as an ingest that may write into the input would do in real time.
    """
    start_ms = now_ms() - 600_000 - int(scale.hours * 3_600_000)
    result = simulate(
        SimulationSpec(
            scale.seed, scale.events, scale.hours, start_ms, time_format="ms", received=True
        )
    )
    write_asn_table(result.world.network, folder / "asn.tsv")
    lines: list[Line] = []
    beat_ms = end_ms = start_ms

    def beat(time_ms: int) -> Iterator[Line]:
        value = json.dumps({"heartbeat": time_ms, "received": time_ms}).encode()
        return ((partition, value) for partition in range(scale.partitions))

    hosts, arrivals = result.host.tolist(), result.arrival_ms.tolist()
    for text, host, arrival_ms in zip(event_lines(result), hosts, arrivals, strict=True):
        end_ms = max(end_ms, arrival_ms)
        while beat_ms + _BEAT_MS <= end_ms:
            beat_ms += _BEAT_MS
            lines += beat(beat_ms)
        lines.append((host % scale.partitions, text.encode()))
    lines += beat(end_ms + _QUIET_MS)
    files = [f"input-{partition}.ndjson" for partition in range(scale.partitions)]
    for partition, name in enumerate(files):
        mine = (line + b"\n" for at, line in lines if at == partition)
        (folder / name).write_bytes(b"".join(mine))
    return Traffic(lines, len(result), end_ms, files)


def _clock(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%H:%M:%SZ")


def _path(program: str) -> str:
    return find_program(program) or ""


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
