"""Kafka as fixtures: one broker for all tests, or one or three that a test may break.

They start processes and no client, so they are plain functions and serve tests on any event loop.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.kafka_broker import Broker, Cluster, what_is_missing
from tests.services.missing import leave_out

__all__ = ["kafka", "kafka_broker", "kafka_cluster", "kafka_jars", "kafka_sasl", "shared_broker"]


def _need_kafka() -> None:
    if (missing := what_is_missing()) is not None:
        leave_out(missing)


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """Nothing but leave to start brokers: without Java or the jars the test is left out."""
    _need_kafka()


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The one broker of the session; tests ask for `kafka` or `kafka_sasl`, and leave it up."""
    _need_kafka()
    with Broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """Where a broker is that all tests share: take fresh names for topics and groups.

    The one that `KAFKA_BOOTSTRAP` names, else one that is started for the session.
    """
    if given := os.environ.get("KAFKA_BOOTSTRAP"):
        return given
    broker: Broker = request.getfixturevalue("shared_broker")
    return broker.bootstrap


@pytest.fixture(scope="session")
def kafka_sasl(shared_broker: Broker) -> str:
    """Where a broker that all tests share asks for a login; it is always our own."""
    return shared_broker.sasl_bootstrap


@pytest.fixture
def kafka_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker that the test may stop, kill and restart."""
    _need_kafka()
    with Broker(tmp_path / "kafka") as broker:
        yield broker


@pytest.fixture
def kafka_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three brokers that the test may stop, kill and restart."""
    _need_kafka()
    with Cluster(tmp_path / "kafka") as cluster:
        yield cluster
