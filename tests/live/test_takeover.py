"""By default settings the partitions of an ingest that was killed are soon read again."""

import asyncio
import json
from pathlib import Path

from detector.policy.settings import Policy
from pipelines.clock import elapsed_s
from pipelines.settings.model import KafkaSettings
from tests.live.site import Member, Site

MOST_S = 10.0
PARTITIONS = 4


def is_reading(member: Member) -> int:
    """How many partitions it said last that it reads."""
    lines = [json.loads(line) for line in member.said.split("\n")[:-1]]
    reads = [len(line["partitions"]) for line in lines if line["event"] == "reads"]
    return reads[-1] if reads else 0


async def until(member: Member, partitions: int, within_s: float) -> float:
    """Wait until it reads so many; give the seconds that it took."""
    began_s = elapsed_s()
    while is_reading(member) != partitions:
        assert elapsed_s() - began_s < within_s, member.said
        await asyncio.to_thread(member.process.poll)
        await asyncio.sleep(0.1)
    return elapsed_s() - began_s


async def test_the_partitions_of_a_killed_ingest_are_read_again_within_ten_seconds(
    kafka: str, tmp_path: Path
) -> None:
    session = {"FLOODWATCH__KAFKA__SESSION_S": str(KafkaSettings().session_s)}
    with Site(tmp_path / "site", kafka, Policy(), partitions=PARTITIONS) as site:
        await site.prepare()
        first, second = site.run("ingest", **session), site.run("ingest", **session)
        await until(first, PARTITIONS // 2, 60)
        await until(second, PARTITIONS // 2, 60)
        await asyncio.to_thread(first.kill)
        assert await until(second, PARTITIONS, 60) <= MOST_S
