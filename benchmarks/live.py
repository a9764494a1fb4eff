"""Speed of a run on a real broker beside a bare loop over the same topic, in one run.

    .venv/dev/bin/python -m benchmarks.live [--events N] [--delay-s SECONDS]

The topic holds the traffic of `benchmarks.traffic` in four partitions, zstd. A bare loop is
`getmany(max_records=10000)` of the same client, which throws away what it gets. Our processes are
pinned to core 0, the broker to core 1 (in the run of two processes the second shares it). What
counts are seconds of the processor; the wall clock stands beside them. A broker is started, or
`KAFKA_BOOTSTRAP` names one; the block store is SQLite.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.throughput import blocks
from benchmarks.traffic import FOLDER, ensure
from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.topics import create_topics
from pipelines.settings.file import load_settings
from pipelines.stores import open_store
from tests.services.kafka_broker import Broker
from tests.services.redis_server import redis_server

__all__ = ["main"]

PARTITIONS: Final = 4
TARGET_ONE, TARGET_TWO = 0.35, 0.60
STREAMS: Final = (
    "for comparison, measured elsewhere, k records per CPU second: Kafka Streams 4.3.1, tumbling "
    "count by one key, in memory, nothing durable: 228; RocksDB with changelog (the default): 124"
)
Figures = dict[str, float]


async def fill(bootstrap: str, topic: str, path: Path) -> tuple[int, int]:
    """Send the events, by client address; give how many, and the time of the last (Unix ms)."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, compression_type="zstd", max_batch_size=1 << 18, linger_ms=50
    )
    await producer.start()
    count, last_ms = 0, 0
    builders: dict[int, Any] = {}

    async def send(partition: int) -> None:
        await producer.send_batch(builders.pop(partition), topic, partition=partition)

    try:
        for block in blocks(path):
            for line in block.splitlines():
                event = orjson.loads(line)
                last_ms = max(last_ms, time_ms(event["time"]))
                partition = hash(event["client_ip"]) % PARTITIONS
                while True:
                    builder = builders.setdefault(partition, producer.create_batch())
                    if builder.append(key=None, value=line, timestamp=None) is not None:
                        break
                    await send(partition)
                count += 1
        for partition in list(builders):
            await send(partition)
        beat = orjson.dumps({"heartbeat": last_ms + 60_000})
        await producer.flush()
        for partition in range(PARTITIONS):
            await producer.send_and_wait(topic, beat, partition=partition)
    finally:
        await producer.stop()
    return count, last_ms


def time_ms(value: str | int) -> int:
    """Read the time of an event of our traffic."""
    if isinstance(value, int):
        return value
    from datetime import datetime

    return int(datetime.fromisoformat(value).timestamp() * 1000)


async def bare(bootstrap: str, topic: str) -> Figures:
    """Read the topic and throw it away."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, max_partition_fetch_bytes=4 << 20)
    await consumer.start()
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    consumer.assign(places)
    ends = await consumer.end_offsets(places)
    for place in places:
        consumer.seek(place, 0)
    wanted, count = sum(ends.values()), 0
    cpu, wall = time.process_time(), time.perf_counter()
    while count < wanted:
        batches = await consumer.getmany(timeout_ms=500, max_records=10_000)
        count += sum(map(len, batches.values()))
    figures = {
        "count": float(count),
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
    }
    await consumer.stop()
    return figures


class Process:
    """`floodwatch run` on one core."""

    def __init__(self, folder: Path, config: Path, core: int, roles: Sequence[str]) -> None:
        chosen = [word for role in roles for word in ("--role", role)]
        self.talk = folder / f"talk-{'-'.join(roles)}.log"
        with self.talk.open("wb") as out:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), sys.executable, "-m", "pipelines.cli", "run",
                 "--config", str(config), *chosen],
                stdout=out, stderr=out,
            )  # fmt: skip

    async def reads(self) -> None:
        """Wait until it reads the input."""
        while '"reads"' not in self.talk.read_text():  # noqa: ASYNC110 - the process says it
            await asyncio.sleep(0.05)

    def cpu_s(self) -> float:
        """Give the seconds of the processor so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Ask it to stop, and wait."""
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(60):
            sys.stderr.write(self.talk.read_text())
            raise SystemExit(f"floodwatch ended with {self._process.returncode}")


async def closed_at(bootstrap: str, topic: str, last: int) -> int:
    """Wait until the detector says that it has closed a tick; give the number of changes."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    consumer.seek(place, 0)
    try:
        while True:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    if b'"progress"' not in record.value[:30]:
                        continue
                    progress = orjson.loads(record.value)["progress"]
                    if (progress["closed"] or 0) >= last:
                        return int(progress["seq"])
    finally:
        await consumer.stop()


def settings_file(folder: Path, name: str, bootstrap: str, topic: str, store: str) -> Path:
    """Write the settings of one run."""
    path = folder / f"{name}.toml"
    path.write_text(
        f"""
[kafka]
bootstrap = "{bootstrap}"
group = "{name}"
[kafka.topics]
input = "{topic}"
prefix = "{name}-"
replication = 1
[ingest]
heartbeat = "off"
[detect]
asn_tables = ["{FOLDER.resolve() / "asn.tsv"}"]
snapshot = "{folder / name}.snapshot"
[store]
url = "{store}"
"""
    )
    return path


async def ours(
    folder: Path, bootstrap: str, topic: str, store: str, last: int, split: Sequence[Sequence[str]]
) -> Figures:
    """Run floodwatch over the topic, a process for each group of roles."""
    name = f"b{uuid.uuid4().hex[:6]}"
    config = settings_file(folder, name, bootstrap, topic, store)
    clients = KafkaClients(load_settings(config, {}).kafka)
    await create_topics(clients, PARTITIONS)
    running = [Process(folder, config, core, roles) for core, roles in enumerate(split)]
    await running[0].reads()
    begin_cpu, begin = [one.cpu_s() for one in running], time.perf_counter()
    changes = await closed_at(bootstrap, clients.listings_topic, last)
    wall = time.perf_counter() - begin
    cpu = [one.cpu_s() - before for one, before in zip(running, begin_cpu, strict=True)]
    for one in running:
        one.stop()
    return {"cpu_s": max(cpu), "wall_s": wall, "changes": float(changes)}


async def delays(folder: Path, bootstrap: str, rate: float, seconds: int) -> list[float]:
    """Feed events as they happen at a rate a second, with floods; give each listing's delay, s.

    A listing's delay runs from the sending of the source's last record in the second that made it
    known (or before) to the moment when Redis has it.
    """
    name = f"d{uuid.uuid4().hex[:6]}"
    out: list[float] = []
    with redis_server(folder) as redis:
        config = settings_file(folder, name, bootstrap, f"{name}-mail", redis.url)
        config.write_text(config.read_text().replace('heartbeat = "off"', 'heartbeat = "write"'))
        clients = KafkaClients(load_settings(config, {}).kafka)
        await create_topics(clients, PARTITIONS)
        running = Process(folder, config, 0, ("ingest", "detect", "publish"))
        store = open_store(redis.url)
        sent: dict[str, list[float]] = {}
        try:
            await running.reads()
            feeding = asyncio.create_task(
                feed_now(bootstrap, clients.input_topic, rate, seconds, sent)
            )
            known = 0
            seen: dict[int, float] = {}
            while not feeding.done() or time.time() < feeding.result() + 10:
                last = await asyncio.to_thread(store.last_seq)
                seen |= dict.fromkeys(range(known + 1, last + 1), time.time())
                known = last
                await asyncio.sleep(0.02)
            lateness_s = 2
            for listing in store.listings(0):
                until_s = listing.listed_ms / 1000 - lateness_s
                sent_s = max(at for at in sent[listing.subject] if at < until_s)
                out.append(seen[listing.listed_seq] - sent_s)
        finally:
            store.close()
            running.stop()
    return sorted(out)


async def feed_now(
    bootstrap: str, topic: str, rate: float, seconds: int, times: dict[str, list[float]]
) -> float:
    """Send ordinary mail, and a flood of a mailbox from 100 addresses every five seconds.

    `times` gets the seconds in which each address sends; gives when it ended.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, compression_type="zstd", max_batch_size=1 << 17, linger_ms=20
    )
    await producer.start()
    rng = np.random.default_rng(1)
    begin = time.time()
    step, sent = 0.05, 0
    try:
        while (now := time.time()) < begin + seconds:
            due = int((now - begin) * rate) - sent
            sent += due
            stamp = int(now * 1000)
            hosts = (rng.zipf(1.3, due) % 20_000).tolist()
            lines = [(host, f"user{(host * 7) % 50_000}@d{host % 900}.example") for host in hosts]
            flood = int((now - begin) / 5)
            lines += [
                (1_000_000 + flood * 1_000 + int(rng.integers(100)), f"victim{flood}@a.example")
                for _ in range(4)
            ]
            for host, box in lines:
                address = f"{20 + (host >> 16)}.{host >> 8 & 255}.{host & 255}.7"
                times.setdefault(address, []).append(now)
                event = {
                    "time": stamp,
                    "client_ip": address,
                    "action": "accept",
                    "recipient": box,
                    "sender": f"s@d{host}.example",
                }
                await producer.send(topic, orjson.dumps(event), partition=host % PARTITIONS)
            await asyncio.sleep(max(0.0, step - (time.time() - now)))
    finally:
        await producer.stop()
    return time.time()


def pinned(core: int, coroutine: Any) -> Any:
    """Run a coroutine on one core, garbage collected rarely, as our own processes do."""
    os.sched_setaffinity(0, {core})
    gc.set_threshold(200_000, 50, 50)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(coroutine)
    finally:
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Give a broker: the one that is named, else one of our own on core 1."""
    if given := os.environ.get("KAFKA_BOOTSTRAP"):
        yield given
        return
    os.sched_setaffinity(0, {min(1, (os.cpu_count() or 1) - 1)})
    with Broker(folder / "kafka", 1024) as started:
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))
        yield started.bootstrap


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--delay-s", type=int, default=60)
    options = parser.parse_args()
    traffic = ensure(FOLDER, options.events)
    with TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        bootstrap = stack.enter_context(broker(folder))
        topic = f"bench{uuid.uuid4().hex[:6]}"
        first = settings_file(folder, topic, bootstrap, topic, "memory:")
        asyncio.run(create_topics(KafkaClients(load_settings(first, {}).kafka), PARTITIONS))
        count, last_ms = asyncio.run(fill(bootstrap, topic, traffic.events_path))
        last = last_ms // 1000
        loop = pinned(0, bare(bootstrap, topic))
        rate = loop["count"] / loop["cpu_s"] / 1000
        print(f"bare loop              {rate:6.0f} k/s of CPU, {loop['wall_s']:.1f} s of wall")
        stores = [f"sqlite:///{folder / f'{n}.db'}" for n in "12"]
        one = asyncio.run(
            ours(folder, bootstrap, topic, stores[0], last, [("ingest", "detect", "publish")])
        )
        share = count / one["cpu_s"] / 1000 / rate
        print(
            f"all roles, one core    {count / one['cpu_s'] / 1000:6.0f} k/s of CPU = {share:.2f} x "
            f"(want {TARGET_ONE}), {one['wall_s']:.1f} s of wall, {one['changes']:.0f} changes"
        )
        two = asyncio.run(
            ours(folder, bootstrap, topic, stores[1], last, [("ingest",), ("detect", "publish")])
        )
        share = count / two["cpu_s"] / 1000 / rate
        print(
            f"ingest | rest, 2 cores {count / two['cpu_s'] / 1000:6.0f} k/s of the busier = "
            f"{share:.2f} x (want {TARGET_TWO}), {two['wall_s']:.1f} s of wall"
        )
        half = count / one["wall_s"] / 2
        found = asyncio.run(delays(folder, bootstrap, half, options.delay_s))
        if found:
            print(
                f"listing in Redis       p50 {found[len(found) // 2]:.2f} s, p99 "
                f"{found[int(len(found) * 0.99)]:.2f} s (want 4.00) at {half / 1000:.0f} k events "
                f"a second, {len(found)} listings"
            )
        print(json.dumps({"events": count, "bare": loop, "one": one, "two": two}))
        print(STREAMS)


if __name__ == "__main__":
    main()
