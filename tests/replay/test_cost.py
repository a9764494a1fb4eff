"""The cost of a replay: mail of listed sources to others than the victim they were listed for."""

import json
from pathlib import Path

import pytest

from pipelines.replay.run import Replay, replay
from pipelines.replay.summary import Summary
from pipelines.stores.memory import MemoryStore

START_MS = 1_773_478_800_000
FLOODED = "u1@example.org"
NAMESAKE = "u2@example.org"
"""Another mailbox whose masked name is the same."""
MINUTES = 150
TO_OTHERS = 40


def events() -> list[dict[str, object]]:
    """Two hours of usual mail, a flood from five sources, and their mail to a namesake."""
    made: list[tuple[int, str, str]] = []
    for minute in range(MINUTES):
        at = START_MS + minute * 60_000
        made += [(at + n * 900, f"198.51.100.{n}", f"b{n}@club.example") for n in range(60)]
    flood_ms = START_MS + 120 * 60_000
    made += [(flood_ms + n * 200, f"192.0.2.{n % 5}", FLOODED) for n in range(3_000)]
    made += [
        (flood_ms + 300_000 + n * 1_000, f"192.0.2.{n % 5}", NAMESAKE) for n in range(TO_OTHERS)
    ]
    return [
        {"time": at, "client_ip": ip, "recipient": to, "action": "accept"}
        for at, ip, to in sorted(made)
    ]


def replayed(files: list[Path]) -> Summary:
    for number, file in enumerate(files):
        mine = events()[number :: len(files)]
        file.write_text("".join(json.dumps(event) + "\n" for event in mine))
    return replay(Replay(tuple(map(str, files)), "memory:"), MemoryStore())


def test_mail_to_a_mailbox_with_the_same_masked_name_is_cost(tmp_path: Path) -> None:
    summary = replayed([tmp_path / "one.ndjson"])
    assert summary.changes == {"list": 5}
    assert summary.cost == TO_OTHERS


@pytest.mark.parametrize("parts", [2, 4])
def test_the_same_events_in_several_files_cost_the_same(tmp_path: Path, parts: int) -> None:
    whole = replayed([tmp_path / "one.ndjson"])
    several = replayed([tmp_path / f"{number}.ndjson" for number in range(parts)])
    assert several.stopped == whole.stopped
    assert several.cost == whole.cost
