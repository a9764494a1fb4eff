"""Hand-made traffic with a truth, for the tests of `benchmarks.quality`."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import quality
from benchmarks.quality_listings import Listings, read_decisions
from benchmarks.quality_report import Report
from benchmarks.quality_score import FloodScore, Score
from benchmarks.quality_traffic import Traffic, read_traffic

__all__ = [
    "FLOOD",
    "NEWSLETTER",
    "NORMAL",
    "VICTIM",
    "A",
    "B",
    "C",
    "D",
    "Story",
    "group",
    "one_a_second",
    "only",
]

A, B, C, D = "198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"
NORMAL, FLOOD, NEWSLETTER = 0, 1, 2
VICTIM = "victim@example.org"


def group(number: int, kind: str, shape: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": number, "kind": kind, "shape": shape, "name": f"{shape} {number}", "victims": [],
        "victim_domain": None, "fast": False, "start_ms": 0, "end_ms": 0, **fields,
    }  # fmt: skip


@dataclass
class Story:
    """Hand-made traffic: groups, and events as (milliseconds, address, recipient, group)."""

    flood: dict[str, Any] = field(
        default_factory=lambda: group(FLOOD, "flood", "direct", victims=[VICTIM], fast=True)
    )
    more: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    truth: list[int] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)

    def mail(self, time: Any, ip: str, to: Any = VICTIM, of: int = FLOOD, **fields: Any) -> None:
        event = {"time": time, "client_ip": ip, "action": "accept", "recipient": to, **fields}
        self.events.append(event)
        self.truth.append(of)

    def decide(self, time: int, change: str, subject: str, **fields: Any) -> None:
        self.decisions.append({"time": time, "change": change, "subject": subject, **fields})

    def write(self, folder: Path) -> tuple[Path, Path, Path]:
        groups = [group(NORMAL, "normal", "normal"), self.flood]
        groups += [group(NEWSLETTER, "innocent", "newsletter"), *self.more]
        header = json.dumps({"truth": 1, "seed": 1, "groups": groups})
        paths = folder / "events", folder / "truth", folder / "decisions"
        paths[0].write_text("".join(json.dumps(event) + "\n" for event in self.events))
        paths[1].write_text("\n".join([header, *map(str, self.truth), ""]))
        paths[2].write_text("".join(json.dumps(one) + "\n" for one in self.decisions))
        return paths

    def traffic(self) -> Traffic:
        with TemporaryDirectory() as folder:
            events, truth, _ = self.write(Path(folder))
            return read_traffic(events, truth)

    def listings(self) -> Listings:
        with TemporaryDirectory() as folder:
            events, truth, decisions = self.write(Path(folder))
            return read_decisions(decisions, read_traffic(events, truth))

    def report(self) -> Report:
        with TemporaryDirectory() as folder:
            return quality.score_files(*self.write(Path(folder)))


def one_a_second() -> Story:
    """A sends one message in each second from 0 to 59; B three at 40 s, 41 s and 41.001 s.

    The 30th message comes at 29 s, so the oracle lists A at 30 s and B at 41 s: of A it stops the
    messages of seconds 31 to 59 (29), not that of second 30; of B only the last. 30 of 63.
    """
    story = Story()
    for second in range(60):
        story.mail(second * 1000, A)
    for time in (40_000, 41_000, 41_001):
        story.mail(time, B)
    return story


def only(result: Score) -> FloodScore:
    """Give the one flood of a story."""
    (flood,) = result.floods
    return flood
