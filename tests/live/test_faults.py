"""Whatever happens to processes and records, the decisions are those of a clean replay.

`FLOODWATCH_SOAK=1` runs every row in full; else each is short. A failure names its seed.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import orjson
import pytest

from tests.live.site import EVERY_CHANGE, Member, Site, traffic
from tests.services.kafka_topics import dump

SOAK = bool(os.environ.get("FLOODWATCH_SOAK"))
KILLS = 100 if SOAK else 12
ROLES = ("ingest", "detect", "publish")


async def while_fed(
    site: Site, rng: Random, over_s: float, disturb: Callable[[], Awaitable[None]],
    every_s: float,
) -> int:  # fmt: skip
    """Feed a story and disturb now and then; give how often."""
    events = traffic(rng, site.partitions, minutes=40, floods=8)
    feeding_task = asyncio.create_task(site.feed(events, over_s=over_s))
    times = 0
    while not feeding_task.done():
        await asyncio.sleep(every_s * rng.uniform(0.5, 1.5))
        await disturb()
        times += 1
    await feeding_task
    return times


async def test_kill_9_of_any_role_at_random_points(kafka: str, tmp_path: Path) -> None:
    """Each role is killed again and again with work unacknowledged, and begins anew."""
    changes: Counter[str] = Counter()
    killed = seed = 0
    while killed < KILLS:
        rng = Random(seed)
        with Site.of_seed(tmp_path / f"site{seed}", kafka, seed) as site:
            await site.prepare()
            running: dict[str, Member] = {role: site.run(role) for role in ROLES}

            async def kill(
                site: Site = site, running: dict[str, Member] = running, rng: Random = rng
            ) -> None:
                role = rng.choice(ROLES)
                running[role].kill()
                running[role] = site.run(role)

            killed += await while_fed(site, rng, 15, kill, 2.5)
            await site.end()
            await site.settled(90)
            changes += await site.verify()
        seed += 1
    assert changes.keys() >= {"list", "expire"}, changes


async def test_members_join_and_leave_under_load(kafka: str, tmp_path: Path) -> None:
    """Ingest goes from one replica to three, two and four, while records keep coming."""
    rng = Random(5)
    with Site.of_seed(tmp_path / "site", kafka, 5, partitions=4) as site:
        await site.prepare()
        site.run("detect", "publish")
        members = [site.run("ingest")]
        plan = iter([3, 2, 4] * (20 if SOAK else 1))

        async def change() -> None:
            wanted = next(plan, 2)
            while len(members) < wanted:
                members.append(site.run("ingest"))
            while len(members) > wanted:
                leaver = members.pop(0)
                assert await asyncio.to_thread(leaver.stop) == 0

        await while_fed(site, rng, 180 if SOAK else 25, change, 6)
        await site.end()
        await site.settled(60)
        assert (await site.verify())["list"]


@pytest.mark.parametrize("role", ["ingest", "detect"])
async def test_a_process_that_was_asleep_past_its_session_changes_nothing(
    kafka: str, tmp_path: Path, role: str
) -> None:
    """Another goes on meanwhile; what the zombie writes on waking is the same, or is dropped."""
    rng = Random(7)
    with Site.of_seed(tmp_path / "site", kafka, 7) as site:
        await site.prepare()
        site.run("publish")
        site.run("detect" if role == "ingest" else "ingest")
        sleeper = site.run(role, name="1")
        site.run(role, name="2")
        asleep = False

        async def doze() -> None:
            nonlocal asleep
            asleep = not asleep
            sleeper.signal(signal.SIGSTOP if asleep else signal.SIGCONT)

        await while_fed(site, rng, 40, doze, 9)
        sleeper.signal(signal.SIGCONT)
        await site.end()
        await site.settled(60)
        assert (await site.verify())["list"]


async def test_bad_records_are_dead_letters_and_the_good_ones_count(
    kafka: str, tmp_path: Path
) -> None:
    """Each bad record is kept with its reason and place."""
    rng = Random(9)
    hostile = [
        b"", b"{", b"\xff\xfe\x00", b'{"time": NaN}', b'{"time": 1' + b"0" * 5_000 + b"}",
        b"[" * 100_000, b'{"time": 1, "client_ip": "192.0.2.1\x1b[31m"}', b"null\n{}", b"\n\n",
        '{"time": 5, "helo": "\u202e"}'.encode(), rng.randbytes(3_000),
    ]  # fmt: skip
    with Site.of_seed(tmp_path / "site", kafka, 9) as site:
        await site.prepare()
        site.run()
        events = traffic(rng, site.partitions)
        await site.feed(events, over_s=4, more=hostile)
        await site.end()
        await site.settled()
        assert (await site.verify())["list"]
        letters = await dump(kafka, site.clients.dead_letters_topic)
        found = {
            (body["topic"], body["partition"], body["offset"]): body
            for body in (orjson.loads(letter.value) for letter in letters)
        }
        records = await dump(kafka, site.clients.input_topic)
        bad = {
            (site.clients.input_topic, r.partition, r.offset): r.value
            for r in records
            if r.value in hostile
        }
        assert len(bad) == len(hostile)
        assert bad.keys() <= found.keys()
        assert all(found[place]["reason"] for place in bad)
        ahead = [body for body in found.values() if body["reason"] == "future"]
        assert len(found) == len(bad) + len(ahead)


async def test_hot_copies_agree_and_the_loss_of_one_is_not_felt(kafka: str, tmp_path: Path) -> None:
    rng = Random(11)
    with Site.of_seed(tmp_path / "site", kafka, 11) as site:
        await site.prepare()
        site.run("ingest")
        site.run("publish")
        first, _second = site.run("detect", name="1"), site.run("detect", name="2")

        async def lose() -> None:
            first.kill()

        await while_fed(site, rng, 12, lose, 6)
        await site.end()
        await site.settled()
        assert (await site.verify())["list"]


async def test_sigterm_under_load_ends_in_order(kafka: str, tmp_path: Path) -> None:
    """Within ten seconds and with exit code 0, and nothing is lost."""
    rng = Random(13)
    with Site.of_seed(tmp_path / "site", kafka, 13) as site:
        await site.prepare()
        running = site.run()

        async def restart() -> None:
            nonlocal running
            await asyncio.to_thread(running.wait_until_it_says, '"reads"')
            assert await asyncio.to_thread(running.stop, 10) == 0
            running = site.run()

        await while_fed(site, rng, 20, restart, 5)
        await site.end()
        await site.settled()
        assert (await site.verify())["list"]


def test_every_kind_of_change_is_known() -> None:
    assert len(EVERY_CHANGE) == 7
