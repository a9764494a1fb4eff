"""A tally that the log has lost: the detector waits and says which, until its loss is declared."""

import asyncio
from pathlib import Path
from random import Random

from aiokafka import AIOKafkaProducer

from detector.events.interning import KeyTables
from detector.log.records import decode_record
from detector.tally.tally import Tally
from pipelines.wire import Progress, progress_line
from tests.live.commands import commanded
from tests.live.probes import furthest
from tests.live.site import Site, same, traffic
from tests.services.kafka_topics import dump


async def log_without_a_tally(site: Site) -> tuple[list[bytes], Tally]:
    """Run a site; give its log without one tally that has rows, and that tally."""
    await site.prepare()
    await site.feed(traffic(Random(31), site.partitions))
    site.run("ingest", "detect", "publish")
    await site.end()
    await site.settled()
    values = [record.value for record in await dump(site.bootstrap, site.clients.log_topic)]
    records = [decode_record(value, KeyTables()) for value in values]
    places = [at for at, one in enumerate(records) if isinstance(one, Tally) and len(one)]
    lost = records[places[len(places) // 2]]
    assert isinstance(lost, Tally)
    kept = [
        value
        for value, one in zip(values, records, strict=True)
        if not isinstance(one, Tally)
        or (one.partition, one.number) != (lost.partition, lost.number)
    ]
    return kept, lost


async def test_a_lost_tally_is_waited_for_until_an_operator_declares_it(
    kafka: str, tmp_path: Path
) -> None:
    with Site.of_seed(tmp_path / "whole", kafka, 31) as whole:
        values, lost = await log_without_a_tally(whole)
    with Site.of_seed(tmp_path / "torn", kafka, 31) as site:
        await site.prepare()
        producer = AIOKafkaProducer(bootstrap_servers=kafka)
        await producer.start()
        for value in values:
            await producer.send(site.clients.log_topic, value, partition=0)
        await producer.stop()
        site.end_ms = whole.end_ms
        gap = (str(lost.partition), str(lost.number), str(lost.number))
        first = site.run("detect", "publish")
        first.wait_until_it_says(f"gap({', '.join(gap)})")
        first.kill()  # a restart changes nothing about it, and no snapshot has lost what waits
        second = site.run("detect", "publish")
        second.wait_until_it_says("snapshot not written")
        assert not (site.folder / "snapshot1").exists()
        done = commanded(
            site, "control", "gap", *gap, "--yes", "--wait", "0", "--config", site.config()
        )
        assert done.code == 0, done.err
        await site.settled()
        got = await site.decisions()
        log = (await site.replay_of_log())[0]
        same(got, log, "a replay of the log")
        assert len(got) > 3
        assert second.stop() == 0


async def test_ingest_reads_no_more_of_a_partition_that_waits_for_a_lost_tally(
    kafka: str, tmp_path: Path
) -> None:
    """What a detector would have to hold stays in the input; the others are read on."""
    with Site.of_seed(tmp_path / "site", kafka, 32) as site:
        async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
            await reads_no_more(site, producer)


async def reads_no_more(site: Site, producer: AIOKafkaProducer) -> None:
    await site.prepare()

    async def say(progress: Progress) -> None:
        topic = site.clients.listings_topic
        await producer.send_and_wait(topic, progress_line(progress), partition=0)

    await say(Progress(None, 0, 5, [1]))
    await say(Progress(None, 0, 4))  # of a copy that is not there yet
    site.run("ingest", FLOODWATCH__INGEST__AHEAD_S="86400")
    await asyncio.sleep(3)
    await site.feed(traffic(Random(32), site.partitions))
    await site.end()
    last = site.end_ms // 1000 - 400  # by then each partition has had the most of its mail
    await passed(site, {0, 2}, last)
    await asyncio.sleep(1)
    assert (await furthest(site)).get(1, 0) < last
    await say(Progress(None, 0, 6))
    await passed(site, {1}, last)


async def passed(site: Site, partitions: set[int], tick: int) -> None:
    """Wait until the log has these partitions up to a tick."""
    async with asyncio.timeout(60):
        while True:
            far = await furthest(site)
            if all(far.get(partition, 0) >= tick for partition in partitions):
                return
            await asyncio.sleep(0.2)
