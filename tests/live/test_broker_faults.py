"""Kafka itself fails: whatever is lost is connection, never a record or a decision."""

import asyncio
from pathlib import Path
from random import Random

from tests.live.site import Site, traffic
from tests.live.test_faults import SOAK, while_fed
from tests.services.kafka_broker import Broker, Cluster

BACK_S = 30.0
"""After the brokers are back, all must be consumed within so many seconds."""


async def test_the_only_broker_is_away_for_a_while(kafka_broker: Broker, tmp_path: Path) -> None:
    """Stopped in order for five seconds, then killed and down for longer than any session."""
    rng = Random(21)
    with Site.of_seed(tmp_path / "site", kafka_broker.bootstrap, 21) as site:
        await site.prepare()
        # On a slow machine the broker goes before all stages were ready once.
        site.run(FLOODWATCH__KAFKA__PATIENCE_S="300")
        downs = iter([(False, 5.0), (True, 60.0 if SOAK else 15.0)])

        async def down() -> None:
            killed, away_s = next(downs, (False, 0.0))
            if away_s:
                await asyncio.to_thread(kafka_broker.kill if killed else kafka_broker.stop)
                await asyncio.sleep(away_s)
                await asyncio.to_thread(kafka_broker.start)

        await while_fed(site, rng, 12, down, 4)
        await site.end()
        await site.settled(BACK_S)
        assert (await site.verify())["list"]


async def test_a_rolling_restart_of_three_brokers(kafka_cluster: Cluster, tmp_path: Path) -> None:
    """Leaders and coordinators move from broker to broker; two ingests and two detectors go on."""
    rng = Random(23)
    with Site.of_seed(
        tmp_path / "site", kafka_cluster.bootstrap, 23, replication=3
    ) as site:  # fmt: skip
        await site.prepare()
        site.run("ingest", "publish")
        site.run("ingest")
        site.run("detect", name="1")
        site.run("detect", name="2")
        feeding = asyncio.create_task(
            site.feed(traffic(rng, site.partitions, minutes=40, floods=8), over_s=40)
        )
        await asyncio.sleep(5)
        await asyncio.to_thread(kafka_cluster.rolling_restart)
        await asyncio.to_thread(kafka_cluster.kill, 2)
        await asyncio.sleep(3)
        await asyncio.to_thread(kafka_cluster.restart, 2)
        await feeding
        await site.end()
        await site.settled(BACK_S)
        assert (await site.verify())["list"]
