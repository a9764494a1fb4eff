"""Golden stories: a folder has events, a policy, the decisions, and why these are right.

`FLOODWATCH_REWRITE_GOLDEN=1` writes the decisions anew. What must and must not be listed stands
here once more, by hand, so that a rewrite cannot make a wrong decision right.
"""

import os
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from detector.engine import Engine
from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from detector.log.records import End, LogRecord, Partitions
from detector.tally.tally import PartitionTally
from pipelines.settings.config_file import load_policy

GOLDEN: Final = Path(__file__).parent / "golden"
LISTED: Final[dict[str, set[str]]] = {
    "direct_flood": {"203.0.113.9"},
    "ipv6_rotation": {"2001:db8:5:1::/64"},
    "newsletter": set(),
    "backscatter": set(),
    "greylist_retries": set(),
    "harvesting": set(),
}
"""By story: exactly these are listed. For a list bomb see its own test."""
BOMB_NETWORKS: Final = ("198.18.0.", "198.18.32.", "198.19.5.", "203.0.113.", "198.51.100.")


def decided(folder: Path) -> list[dict[str, Any]]:
    """Replay a story's events under its policy."""
    policy = load_policy(str(folder / "policy.toml"))
    tables = KeyTables()
    reader = EventReader(tables)
    part = PartitionTally(0, policy.clock.lateness_s, policy.clock.future_s)
    events, rejects, count = reader.read_json((folder / "events.ndjson").read_bytes(), 0)
    tallies, future = part.feed(events, count, final=True)
    assert not rejects
    assert not future
    log: list[LogRecord] = [Partitions(1), *tallies, *part.finish(), End(0)]
    return Engine(policy, tables).accept(enumerate(log))


def test_each_golden_folder_is_whole() -> None:
    """Four files each, and a story that nobody runs would be found here."""
    stories = {path.name for path in GOLDEN.iterdir() if path.is_dir()} - {"demo"}
    assert stories == {*LISTED, "list_bomb"}
    names = {"events.ndjson", "policy.toml", "decisions.ndjson", "README.md"}
    for story in stories:
        assert {path.name for path in (GOLDEN / story).iterdir()} == names


@pytest.mark.parametrize("story", [*sorted(LISTED), "list_bomb"])
def test_a_story_has_the_decisions_in_its_folder(story: str) -> None:
    """Byte for byte, in their order."""
    path = GOLDEN / story / "decisions.ndjson"
    got = b"".join(orjson.dumps(change) + b"\n" for change in decided(GOLDEN / story))
    if os.environ.get("FLOODWATCH_REWRITE_GOLDEN"):
        path.write_bytes(got)
    want = path.read_bytes()
    assert got.split(b"\n") == want.split(b"\n")


def golden_decisions(story: str) -> list[dict[str, Any]]:
    """Read the decisions of a folder."""
    lines = (GOLDEN / story / "decisions.ndjson").read_bytes().split(b"\n")
    return [orjson.loads(line) for line in lines if line]


@pytest.mark.parametrize("story", sorted(LISTED))
def test_golden_decisions_list_exactly_the_guilty(story: str) -> None:
    """A story of innocents has no decision at all."""
    decisions = golden_decisions(story)
    assert {one["subject"] for one in decisions if one["change"] == "list"} == LISTED[story]
    assert bool(decisions) == bool(LISTED[story])


@pytest.mark.parametrize("story", ["direct_flood", "ipv6_rotation"])
def test_golden_listings_begin_early_and_end_after_a_day_of_quiet(story: str) -> None:
    """Listed within 30 s of the first message; the end is 24 h after the last attempt."""
    decisions = golden_decisions(story)
    assert [one["change"] for one in decisions] == ["list", "expire"]
    first, end = decisions
    assert first["time"] - first["first_seen"] <= 30_000
    assert 86_400_000 <= end["time"] - end["last_seen"] <= 86_400_000 + 63_000


def test_the_golden_list_bomb_spares_bystander_and_acquaintance() -> None:
    """All five providers are on the list, and nobody from anywhere else."""
    decisions = golden_decisions("list_bomb")
    listed = {one["subject"] for one in decisions if one["change"] == "list"}
    assert all(subject.startswith(BOMB_NETWORKS) for subject in listed)
    assert all(any(subject.startswith(net) for subject in listed) for net in BOMB_NETWORKS)
    sent = {
        event["client_ip"]
        for event in map(
            orjson.loads,
            (GOLDEN / "list_bomb" / "events.ndjson").read_bytes().rstrip().split(b"\n"),
        )
        if event["client_ip"].startswith(BOMB_NETWORKS)
    }
    assert len(listed) >= 0.9 * len(sent)
