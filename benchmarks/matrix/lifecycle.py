"""`python -m benchmarks.quality lifecycle`: logs of days, and which listings end early or late."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.matrix.cell import replay
from benchmarks.matrix.ends import Ends, judged, read_spans
from benchmarks.matrix.pool import in_processes
from benchmarks.matrix.run import FOLDER
from benchmarks.matrix.traffics import ensure, load, version
from benchmarks.quality_report import table

__all__ = ["Life", "add_arguments", "main", "measured", "text"]

GENERATORS: Final = ("days", "second")
"""The first generator's logs with tails of days (`benchmarks.scenes`), and the second's own."""


@dataclass(frozen=True, slots=True)
class Life:
    """The listings of one log of days; `cpu_s` is the processor time of its replay."""

    generator: str
    version: str
    events: int
    seed: int
    hours: float
    ends: Ends
    cpu_s: float


def measured(job: tuple[Path, str, int, int, float]) -> Life:
    """Simulate a log unless it is there, replay it and judge the ends of its listings.

    Raises: subprocess.CalledProcessError, OSError.
    """
    folder, generator, events, seed, hours = job
    place = ensure(folder, generator, events, seed, ("--hours", f"{hours:g}"))
    with TemporaryDirectory(prefix="floodwatch-life-") as scratch:
        decisions = Path(scratch) / "decisions.ndjson"
        cpu_s, _ = replay(place, decisions, ())
        ends = judged(load(place), read_spans(decisions))
    return Life(generator, version(generator), events, seed, hours, ends, cpu_s)


def text(lives: Sequence[Life]) -> str:
    """Give a line for each log and their sum, beside the targets."""
    head = ("", "listings", "extended", "standing", "ended", "withdrawn", "early", "late", "CPU s")
    rows = [[f"{life.generator} {life.events:,}-{life.seed}", *_numbers([life])] for life in lives]
    rows.append(["all", *_numbers(lives)])
    rows.append(["wanted", *[""] * 5, "0", "0", ""])
    examples = [
        f"{one.generator}-{one.seed} {words}" for one in lives for words in one.ends.examples
    ]
    return "\n".join([table(head, rows), *([""] if examples else []), *examples])


def _progress(life: Life) -> str:
    ends = life.ends
    head = f"{life.generator} {life.events:,}-{life.seed}: {ends.listings:,} listings"
    return f"{head}, {ends.early} early ends, {ends.late} late, replay {life.cpu_s:.1f} s"


def _numbers(lives: Sequence[Life]) -> list[str]:
    names = ("listings", "extended", "standing", "ended", "withdrawn", "early", "late")
    sums = [f"{sum(getattr(life.ends, name) for life in lives):,}" for name in names]
    return [*sums, f"{sum(life.cpu_s for life in lives):.1f}"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3, 4, 5), metavar="N")
    parser.add_argument("--events", type=int, default=301_000, metavar="N", help="in the whole log")
    parser.add_argument("--hours", type=float, default=72.0, metavar="H")
    parser.add_argument("--generator", choices=(*GENERATORS, "both"), default="both")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="logs at a time")
    parser.add_argument("--folder", type=Path, default=FOLDER, metavar="DIR")
    parser.add_argument("--json", action="store_true", help="every log, as JSON")


def main(given: argparse.Namespace) -> int:
    """Measure the logs and print the table; exit code 1 where one failed."""
    generators = GENERATORS if given.generator == "both" else (given.generator,)
    jobs = [
        (given.folder.resolve(), generator, given.events, seed, given.hours)
        for generator in generators
        for seed in given.seeds
    ]
    lives = in_processes(measured, jobs, given.jobs, _progress)
    if lives:
        shown = json.dumps([asdict(one) for one in lives]) if given.json else text(lives)
        sys.stdout.write(f"{shown}\n")
    return 0 if len(lives) == len(jobs) else 1
