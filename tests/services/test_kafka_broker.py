"""That the brokers which other tests rely on do what their names say."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from tests.services.kafka_broker import LOGINS, Broker, BrokerError, Cluster, Login
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


async def test_a_broker_may_hang_and_be_killed_and_keeps_its_records(kafka_broker: Broker) -> None:
    bootstrap = kafka_broker.bootstrap
    await create_topics(bootstrap, {"kept": 1})
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        await producer.send_and_wait("kept", b"one")
        kafka_broker.pause()
        late = await producer.send("kept", b"two")
        done, _ = await asyncio.wait([late], timeout=0.5)
        assert not done
        kafka_broker.resume()
        await asyncio.wait_for(late, 30)
    kafka_broker.kill()
    assert not kafka_broker.is_running
    kafka_broker.restart()
    assert [record.value for record in await dump(bootstrap, "kept")] == [b"one", b"two"]


@pytest.mark.usefixtures("kafka_jars")
def test_a_broker_that_does_not_start_says_why(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "kafka")
    broker.format("abcdefghijklmnopqrstuw", "--standalone")
    (broker.folder / "server.properties").write_text("process.roles=nothing\n")
    with pytest.raises(BrokerError, match=r"ended \(exit code 1\)(.|\n)*process\.roles"):
        broker.start()


def producer_as(login: Login, bootstrap: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism=login.mechanism,
        sasl_plain_username=login.user,
        sasl_plain_password=login.word,
    )


@pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS)
async def test_a_user_who_is_known_may_log_in(login: Login, kafka_sasl: str) -> None:
    async with producer_as(login, kafka_sasl) as producer:
        assert await producer.client.fetch_all_metadata()


@pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS)
async def test_a_wrong_password_is_refused(login: Login, kafka_sasl: str) -> None:
    producer = producer_as(Login(login.mechanism, login.user, "a guess"), kafka_sasl)
    try:
        with pytest.raises(KafkaConnectionError):
            await producer.start()
    finally:
        await producer.stop()


async def test_a_cluster_of_three_loses_nothing_while_its_brokers_go_down(
    kafka_cluster: Cluster,
) -> None:
    """One after the other as in an upgrade; then one for good, by kill -9."""
    await create_topics(
        kafka_cluster.bootstrap, {"safe": 3}, replication=3, configs={"min.insync.replicas": "2"}
    )
    sent: list[bytes] = []
    async with AIOKafkaProducer(
        bootstrap_servers=kafka_cluster.bootstrap, acks="all", enable_idempotence=True
    ) as producer:

        async def send_one() -> None:
            value = b"%d" % len(sent)
            await producer.send_and_wait("safe", value)
            sent.append(value)

        restart = asyncio.create_task(asyncio.to_thread(kafka_cluster.rolling_restart))
        while not restart.done():
            await send_one()
            await asyncio.wait([restart], timeout=0.02)
        await restart
        kafka_cluster.kill(1)
        for _ in range(100):
            await send_one()
    kept = [record.value for record in await dump(kafka_cluster.bootstrap, "safe")]
    assert sorted(kept) == sorted(sent)
    assert len(kept) > 100
