"""Kafka as fixtures: one broker for all tests, or one or three that a test may break.

They start processes and no client, so they are plain functions and serve tests on any event loop.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.kafka_broker import Broker, Cluster, what_is_missing
from tests.services.missing import leave_out

__all__ = ["kafka", "kafka_broker", "kafka_cluster"]


def _need_kafka() -> None:
    if (missing := what_is_missing()) is not None:
        leave_out(missing)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a broker is that all tests share: take fresh topic and group names, and leave it up.

    The one that `KAFKA_BOOTSTRAP` names, else one that is started for the session.
    """
    if given := os.environ.get("KAFKA_BOOTSTRAP"):
        yield given
        return
    _need_kafka()
    with Broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap


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
