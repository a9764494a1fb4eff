"""What a check asks of Kafka: whether the login works, what the topics hold, what we may write."""

from dataclasses import dataclass

import orjson

from pipelines.clock import now_ms
from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.log_topic import TopicReader

__all__ = ["Brokers", "ask_brokers", "check_log_place", "write_heartbeat"]


@dataclass(frozen=True, slots=True)
class Brokers:
    """Who answers: how many brokers, and the name that the cluster gives itself."""

    count: int
    cluster: str


async def ask_brokers(clients: KafkaClients) -> Brokers:
    """Connect and sign in.

    Raises:
        BrokerError: no broker answers, or it refuses the login.
    """
    async with clients.started(clients.admin()) as admin:
        with clients.speaking():
            seen = await admin.describe_cluster()
    return Brokers(len(seen["brokers"]), str(seen.get("cluster_id", "")))


async def check_log_place(clients: KafkaClients, offset: int, advice: str) -> int:
    """See whether the log can be read on from an offset; give how many records stand behind it.

    Raises:
        BrokerError: no broker answers.
        LostRecordsError: what comes next is gone; with the advice.
        MissingTopicError: there is no log, or it has more than one partition.
        ShorterTopicError: it ends before.
    """
    async with TopicReader(clients, clients.log_topic, advice) as log:
        await log.start_at(offset)
        _, end = await log.bounds()
    return end - offset


async def write_heartbeat(clients: KafkaClients) -> int:
    """Write one heartbeat with the time of now into partition 0 of the input; give its offset.

    Raises:
        BrokerError: it could not be written.
    """
    async with clients.started(clients.producer()) as producer:
        with clients.speaking():
            beat = orjson.dumps({"heartbeat": now_ms()})
            placed = await producer.send_and_wait(clients.input_topic, beat, partition=0)
    offset: int = placed.offset
    return offset
