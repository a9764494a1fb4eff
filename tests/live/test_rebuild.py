"""Errors of Kafka after which a client never recovers, and records that come twice.

The stages run in this process, so that what the client is told can be changed on its way.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator

from pipelines.console.telemetry import Telemetry
from pipelines.kafka.clients import BrokerError
from pipelines.kafka.input_group import InputGroup
from pipelines.live import supervisor
from pipelines.live.health import StageHealth
from pipelines.live.run import Live
from pipelines.web.progress import Health
from tests.builders import Event, story
from tests.live.site import Site, same, traffic
from tests.live.test_faults import SOAK

UNKNOWN_MEMBER, ILLEGAL_GENERATION, REBALANCING, FENCED = 25, 22, 27, 82
FENCED_FOR, TIMES = (20, 10) if SOAK else (3, 1)


@contextlib.asynccontextmanager
async def running(site: Site) -> AsyncIterator[Live]:
    """Run ingest and detector in this process as long as the block lasts; they end in order."""
    live, stop = Live(site.settings, ["ingest", "detect"]), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(live.run(stop))
        yield live
        stop.set()


class FalseAnswers:
    """Changes what the coordinator answers: by kind of request, the codes of the next answers."""

    def __init__(self, plan: Mapping[str, list[int]]) -> None:
        self.left = {kind: deque(codes) for kind, codes in plan.items()}

    async def __call__(self, coordinator: GroupCoordinator, request: Any) -> Any:
        answer = await PLAIN(coordinator, request)
        codes = self.left.get(type(request).__name__.removesuffix("Request"))
        code = codes.popleft() if codes else 0
        if not code:
            return answer
        if hasattr(answer, "error_code"):
            answer.error_code = code
        else:
            answer.topics = [
                (topic, [(partition, code) for partition, _ in partitions])
                for topic, partitions in answer.topics
            ]
        return answer

    @property
    def all_given(self) -> bool:
        return not any(self.left.values())


PLAIN = GroupCoordinator._send_req  # noqa: SLF001 - the one place that all answers pass


@pytest.mark.parametrize("code", [UNKNOWN_MEMBER, ILLEGAL_GENERATION, REBALANCING, FENCED])
async def test_the_group_throws_us_out_again_and_again(
    kafka: str, tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a heartbeat, a commit, and while it joins: the stage begins anew by itself."""
    at_heartbeats = FENCED_FOR if code == FENCED else 1
    answers = FalseAnswers(
        {
            "Heartbeat": [0, 0, 0, *[code] * at_heartbeats] * TIMES,
            "OffsetCommit": [0, 0, 0, code] * TIMES,
            "JoinGroup": [0, 0, 0, code] * TIMES,
            "SyncGroup": [0, 0, code] * TIMES,
        }
    )
    with Site.of_seed(tmp_path / "site", kafka, 71, store_url="memory:") as site:
        await site.prepare()

        async def send(self: GroupCoordinator, request: Any) -> Any:
            return await answers(self, request)

        monkeypatch.setattr(GroupCoordinator, "_send_req", send)
        async with running(site) as live:
            events = traffic(Random(71), site.partitions, minutes=40, floods=8)
            await site.feed(events, over_s=12)
            await site.end()
            async with asyncio.timeout(120 * TIMES):  # an answer may cost a watchdog's 20 s
                while not answers.all_given:  # noqa: ASYNC110 - the client asks when it likes
                    await asyncio.sleep(0.2)
            await site.settled(60)
            assert (live.telemetry.value("floodwatch_consumer_rebalances_total") or 0) > 1
        assert (await site.verify())["list"]


async def test_a_stage_that_was_ready_once_never_loses_patience() -> None:
    """Also where it was between two assignments when it failed."""
    health, lived = StageHealth.of("ingest", Health(), Telemetry()), 0

    async def life() -> None:
        nonlocal lived
        lived += 1
        if lived == 1:
            health.gate.open()
            health.gate.shut()
        if lived < 3:
            raise BrokerError("here", "away")

    await supervisor.supervise(health, life, asyncio.Event(), 0.0)
    assert lived == 3


class Redelivery:
    """Gives one record of twenty again, as a part of what was given before, at some later time."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.again = 0
        self._given: dict[tuple[int, int], list[Any]] = {}

    async def __call__(
        self, group: InputGroup, timeout_s: float, most: int
    ) -> dict[int, list[Any]]:  # fmt: skip
        batches = await POLL(group, timeout_s, most)
        out: dict[int, list[Any]] = {}
        for partition, records in batches.items():
            place = (group.generation, partition)
            before = self._given.setdefault(place, [])
            slice_ = before[-self.rng.randrange(1, 40) :] if self.rng.random() < 0.25 else []
            if slice_ and self.rng.random() < 0.5:
                slice_ = slice_[: self.rng.randrange(1, len(slice_) + 1)]
            self.again += len(slice_)
            before += records
            out[partition] = [*slice_, *records]
        return out


POLL = InputGroup.poll


def in_turn(rng: Random, partitions: int) -> list[Event]:
    return story(rng, partitions, minutes=30, floods=6, late=False, lateness_ms=0)


async def test_records_that_come_twice_count_once(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some 5 % of the offsets come again, below the place that we have read up to."""
    again = Redelivery(Random(73))

    async def poll(self: InputGroup, timeout_s: float, most: int) -> dict[int, list[Any]]:
        return await again(self, timeout_s, most)

    monkeypatch.setattr(InputGroup, "poll", poll)
    with Site.of_seed(tmp_path / "site", kafka, 73, store_url="memory:") as site:
        await site.prepare()
        async with running(site):
            events = traffic(Random(73), site.partitions, minutes=40, floods=8)
            await site.feed(events, over_s=5)
            await site.end()
            await site.settled(60)
        assert again.again >= len(events) * 0.05
        assert (await site.verify())["list"]


async def test_order_within_the_lateness_does_not_matter(kafka: str, tmp_path: Path) -> None:
    """The same events in the order of their times, and shuffled as far as the lateness allows."""
    seed, found = 75, []
    for name in ("in order", "shuffled"):
        rng = Random(seed)
        with Site.of_seed(tmp_path / name, kafka, seed, store_url="memory:") as site:
            room_ms = site.policy.clock.lateness_s * 1000
            assert room_ms
            events = in_turn(rng, site.partitions)
            if name == "shuffled":
                events = [
                    Event(e.arrives_ms + rng.randrange(room_ms), e.partition, e.fields)
                    for e in events
                ]
                events.sort(key=lambda event: event.arrives_ms)
            await site.prepare()
            async with running(site):
                await site.feed(events, over_s=2)
                await site.end()
                await site.settled(60)
            assert (await site.verify())["list"]
            found.append(await site.decisions())
    same(found[1], found[0], "the story in order")
