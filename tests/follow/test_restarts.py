"""Decisions follow from the lines and the heartbeats between them, whenever the detector dies."""

import asyncio
import contextlib
import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.policy.settings import Policy
from pipelines.console.telemetry import Telemetry
from pipelines.follow.partition import FollowedPartition, Told
from pipelines.follow.run import Follower, FollowSpec
from pipelines.live.health import StageHealth
from pipelines.ports import REMOVAL
from pipelines.replay.run import Replay, replay
from pipelines.settings.model import LiveSettings
from pipelines.stores import open_store
from pipelines.stores.memory import MemoryStore
from pipelines.web.progress import Health
from tests.builders import START_MS, Event, event_line, quick_policy, story
from tests.sources.test_follow import rotate


@dataclass
class Site:
    """Logs, and a follower whose clock and ends are those of a test."""

    folder: Path
    policy: Policy
    logs: int
    now_ms: int = START_MS
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    follower: Follower | None = None

    def __post_init__(self) -> None:
        self.stack = contextlib.ExitStack()
        self.folder.mkdir()
        self.paths = [self.folder / f"mx{number}.log" for number in range(self.logs)]

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/store.db"

    async def start(self, snapshot_every_s: float) -> Follower:
        detect = {
            "snapshot": str(self.folder / "state"),
            "snapshot_every_s": snapshot_every_s,
        }
        told: dict[str, Any] = {"detect": detect, "store": {"url": self.url}}
        spec = FollowSpec(
            tuple(map(str, self.paths)), LiveSettings.model_validate(told), "ndjson",
            now_ms=lambda: self.now_ms, elapsed_s=lambda: self.now_ms / 1000,
        )  # fmt: skip
        # A policy with limits below those of a file: minutes are as good as days then.
        with patch("pipelines.follow.begin.load_policy", lambda _: self.policy):
            self.follower = Follower(
                spec, StageHealth.of("follow", Health(), Telemetry()), self.stack
            )
        await self.follower.begin(self.stop)
        return self.follower

    async def step(self, snapshot_every_s: float) -> None:
        """Read and publish what there is."""
        follower = self.follower or await self.start(snapshot_every_s)
        while await follower.step(self.stop):
            pass

    async def half_a_step(self) -> None:
        """Read what there is, and die before any of it is published."""
        if self.follower is not None:
            await asyncio.to_thread(self.follower._round)  # noqa: SLF001 - between two of its acts
        self.kill()

    def kill(self) -> None:
        """Write nothing any more; the system closes what a process held."""
        self.follower = None
        self.stack.close()

    def changes(self) -> list[str]:
        """Give the changes as they stand in the store."""
        with contextlib.closing(sqlite3.connect(self.folder / "store.db")) as connection:
            rows = connection.execute("SELECT decision FROM changes ORDER BY seq").fetchall()
        return [text for (text,) in rows]


async def live(
    site: Site, events: list[Event], rng: Random, *, deaths: float, removals: bool
) -> None:
    """Let the logs grow and rotate as `rng` draws it; `deaths` is how likely an end is."""
    fate = Random(rng.random())  # what the logs get is the same however often the detector dies
    left, every_s = list(events), 0.5
    for steps in range(10_000):
        if not left:
            break
        site.now_ms += rng.randrange(1_000, 15_000)
        if left[0].arrives_ms > site.now_ms + 120_000:  # a day of silence
            site.now_ms = left[0].arrives_ms - 1_000
        while left and left[0].arrives_ms <= site.now_ms:
            event = left.pop(0)
            with site.paths[event.partition].open("ab") as log:
                log.write(event_line(event.fields) + b"\n")
        path = rng.choice(site.paths)
        if rng.random() < 0.1 and path.exists() and path.stat().st_size and steps:
            rotate(path, kept=99)
        if removals and site.follower is not None and rng.random() < 0.3:
            ask(site)
        if fate.random() < deaths / 2:
            await site.half_a_step()
        await site.step(every_s)
        if fate.random() < deaths:
            site.kill()
            every_s = fate.choice((0.000_1, 20.0, 80_000.0))
    for _ in range(40):
        site.now_ms += 30_000
        await site.step(every_s)
    site.kill()


def ask(site: Site) -> None:
    """Ask for the removal of somebody who is listed."""
    with contextlib.closing(open_store(site.url)) as store:
        for listing in store.listings(0)[:1]:
            store.add_request(REMOVAL, listing.subject, site.now_ms, "")


class History:
    """The records of every partition as they counted in the end: lines, and heartbeats as lines."""

    def __init__(self) -> None:
        self.records: dict[int, dict[int, bytes]] = {}

    def noted(self) -> Any:
        """Note what partitions are fed; what comes again after a death takes its old place."""
        real = FollowedPartition._fed  # noqa: SLF001 - where lines and heartbeats come together
        history = self

        def fed(self: FollowedPartition, data: bytes) -> Told:
            records = history.records.setdefault(self.number, {})
            for place, line in enumerate(data.split(b"\n")[:-1], self.ingest.next_line):
                records[place] = line
            return real(self, data)

        return patch.object(FollowedPartition, "_fed", fed)

    def replayed(self, folder: Path, policy: Policy) -> list[str]:
        """Give the changes of a replay of it."""
        files = []
        for number, records in sorted(self.records.items()):
            assert sorted(records) == list(range(len(records)))
            files.append(folder / f"history{number}.ndjson")
            files[-1].write_bytes(b"".join(records[n] + b"\n" for n in sorted(records)))
        decisions = folder / "decisions"
        inputs = tuple(map(str, files))
        spec = Replay(inputs, "memory:", policy, input_format="ndjson", decisions=decisions)
        replay(spec, MemoryStore())
        return decisions.read_text().split("\n")[:-1]


def lived(seed: int, *, removals: bool = False) -> tuple[list[str], list[str]]:
    """Live and die; give the changes in the store, and those of a replay of what counted."""
    rng = Random(seed)
    logs = rng.choice((1, 1, 2))
    events, policy = story(rng, logs, minutes=8), quick_policy(rng, tight=0)
    history = History()
    with tempfile.TemporaryDirectory() as name, history.noted():
        site = Site(Path(name) / "site", policy, logs)
        for path in site.paths:
            path.write_bytes(b"")
        asyncio.run(live(site, events, Random(seed + 1), deaths=0.3, removals=removals))
        changes = site.changes()
        if removals:
            with contextlib.closing(open_store(site.url)) as store:
                asked = [one.id for one in store.requests(pending_only=False)]
                assert not store.requests(pending_only=True)
            answers = Counter(
                one["request"] for one in map(orjson.loads, changes) if one.get("request")
            )
            assert answers == Counter({str(number): 1 for number in asked})
        return changes, history.replayed(Path(name), policy)


@settings(max_examples=8)
@given(st.integers(0, 2**20))
def test_a_detector_that_dies_anywhere_decides_as_a_replay_of_what_counted(seed: int) -> None:
    changes, replayed = lived(seed)
    assert changes == replayed[: len(changes)]
    assert [
        one for one in replayed[len(changes) :] if orjson.loads(one)["change"] != "expire"
    ] == []


@settings(max_examples=5)
@given(st.integers(0, 2**20))
def test_every_removal_request_is_answered_once_through_any_deaths(seed: int) -> None:
    lived(seed, removals=True)


def test_the_stories_have_something_to_decide() -> None:
    kinds = Counter(orjson.loads(text)["change"] for seed in (2, 7, 9) for text in lived(seed)[0])
    assert kinds["list"] > 10
    assert kinds["expire"] > 10
