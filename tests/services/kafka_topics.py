"""Topics as tests need them: made at once and ready, or read whole."""

import asyncio
import uuid
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

__all__ = ["create_topics", "dump", "fresh"]


def fresh(name: str) -> str:
    """Give a topic name that no other test has, on a broker that all share."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


async def create_topics(
    bootstrap: str,
    topics: Mapping[str, int],
    replication: int = 1,
    configs: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
) -> None:
    """Make topics (name to number of partitions); returns when every partition has a leader.

    Raises:
        KafkaError: the broker refused one.
        TimeoutError: not ready in time.
    """
    new = [
        NewTopic(name, partitions, replication, topic_configs=dict(configs or {}))
        for name, partitions in topics.items()
    ]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        async with asyncio.timeout(timeout_s):
            await admin.start()
            for name, code, *message in (await admin.create_topics(new)).topic_errors:
                if code:
                    raise for_code(code)(f"{name}: {message}")
            while not await _have_leaders(admin, topics):  # noqa: ASYNC110 - Kafka tells nobody
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def _have_leaders(admin: AIOKafkaAdminClient, topics: Mapping[str, int]) -> bool:
    """Whether every partition is there and led; the broker that answers may learn of it late."""
    return all(
        topic["error_code"] == 0
        and len(topic["partitions"]) == topics[topic["topic"]]
        and all(partition["leader"] >= 0 for partition in topic["partitions"])
        for topic in await admin.describe_topics(list(topics))
    )


async def dump(bootstrap: str, topic: str, timeout_s: float = 30.0) -> list[ConsumerRecord]:
    """Give what a topic holds now, by partition, then by offset.

    Raises:
        TimeoutError: not read to its end in time.
    """
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest"
    )
    records: list[ConsumerRecord] = []
    try:
        async with asyncio.timeout(timeout_s):
            await consumer.start()
            ends = await consumer.end_offsets(consumer.assignment())
            for partition, end in ends.items():
                while await consumer.position(partition) < end:
                    for batch in (await consumer.getmany(timeout_ms=200)).values():
                        records += batch
    finally:
        await consumer.stop()
    return sorted(records, key=lambda record: (record.partition, record.offset))
