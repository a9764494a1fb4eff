"""That the brokers which other tests rely on do what their names say."""

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from tests.services.kafka_broker import Broker
from tests.services.kafka_topics import create_topics, dump, fresh


async def produce(bootstrap: str, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def test_a_record_goes_in_and_comes_out(kafka: str) -> None:
    topic = fresh("record")
    await create_topics(kafka, {topic: 2})
    await produce(kafka, topic, b"hello")
    assert [record.value for record in await dump(kafka, topic)] == [b"hello"]


async def test_a_topic_keeps_the_settings_it_was_made_with(kafka: str) -> None:
    topic = fresh("narrow")
    await create_topics(kafka, {topic: 1}, configs={"max.message.bytes": "100"})
    with pytest.raises(MessageSizeTooLargeError):
        await produce(kafka, topic, bytes(200))


async def test_a_record_survives_kill_9_and_an_orderly_restart(kafka_broker: Broker) -> None:
    bootstrap = kafka_broker.bootstrap
    await create_topics(bootstrap, {"kept": 1})
    await produce(bootstrap, "kept", b"one")
    kafka_broker.kill()
    assert not kafka_broker.is_running
    kafka_broker.restart()
    await produce(bootstrap, "kept", b"two")
    kafka_broker.restart()
    assert [record.value for record in await dump(bootstrap, "kept")] == [b"one", b"two"]
