"""`python -m benchmarks.quality weapon`: who bombs himself through large providers, and the cost.

Cases by the log's age: `hours` 0 and 6 in its first day, where one customer's doing may cost 10 %
of others' mail, and 26, where the breaker holds what would pass 25 % and a flood is stopped. The
flood is at one mailbox, or at mailboxes of one domain in turn. `pool`: a provider's whole pool
with less than 8 % of the mail, in the first day: it is stopped as well.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.matrix.cell import replay
from benchmarks.matrix.cost import Held, Outcome, outcome, read_held
from benchmarks.matrix.pool import in_processes
from benchmarks.matrix.run import FOLDER
from benchmarks.matrix.traffics import ensure, load, version
from benchmarks.quality_listings import read_decisions
from benchmarks.quality_report import table

__all__ = ["CASES", "Case", "Weapon", "add_arguments", "main", "measured", "text"]

FIRST_DAY, LATER = 0.10, 0.25
STOPPED = 0.95
DAY_H = 24


@dataclass(frozen=True, slots=True)
class Case:
    """When the flood begins, at whom it is aimed and whose addresses it has."""

    hour: int
    aim: str
    pool: str

    @property
    def name(self) -> str:
        """Give it as a row of the table."""
        return f"hour {self.hour}, {self.aim}, {self.pool} pool"

    @property
    def limit(self) -> float:
        """Give the share of others' mail that it may cost."""
        return FIRST_DAY if self.hour < DAY_H else LATER

    @property
    def is_stopped(self) -> bool:
        """Tell whether nearly all of it is to be stopped: it costs less than may be held."""
        return self.pool == "middle" or self.hour >= DAY_H


CASES: Final = (
    *(Case(hour, aim, "large") for hour in (0, 6, 26) for aim in ("mailbox", "domain")),
    Case(6, "mailbox", "middle"),
    Case(26, "mailbox", "middle"),
)


@dataclass(frozen=True, slots=True)
class Weapon:
    """One case at one site: `events` a day. `cpu_s` is the processor time of the replay."""

    version: str
    events: int
    seed: int
    case: Case
    outcome: Outcome
    held: Held
    cpu_s: float


def measured(job: tuple[Path, int, int, Case]) -> Weapon:
    """Simulate a case unless it is there, replay it and count what it cost and stopped.

    Raises: subprocess.CalledProcessError, BadInputError, OSError.
    """
    folder, events, seed, case = job
    options = ("--hour", f"{case.hour}", "--aim", case.aim, "--pool", case.pool)
    place = ensure(folder, "weapon", events, seed, options)
    traffic = load(place)
    with TemporaryDirectory(prefix="floodwatch-weapon-") as scratch:
        decisions = Path(scratch) / "decisions.ndjson"
        cpu_s, _ = replay(place, decisions, ())
        result = outcome(traffic, read_decisions(decisions, traffic))
        held = read_held(decisions)
    return Weapon(version("weapon"), events, seed, case, result, held, cpu_s)


def text(cells: Sequence[Weapon]) -> str:
    """Give a row for each case and size: the dearest seed, what was stopped, what was held."""
    head = ("", "events", "blocked", "worst", "wanted", "stopped", "worst", "wanted", "listed",
            "held", "no reason", "no mail", "alerts")  # fmt: skip
    rows = []
    for case in CASES:
        for events in sorted({one.events for one in cells}):
            mine = [one for one in cells if one.case == case and one.events == events]
            if mine:
                rows.append(_row(case, events, mine))
    return table(head, rows)


def _progress(cell: Weapon) -> str:
    result = cell.outcome
    shares = f"blocked {result.blocked_share:.1%}, stopped {result.stopped_share:.1%}"
    return f"{cell.events:,}-{cell.seed} {cell.case.name}: {shares}, held {cell.held.held}"


def _row(case: Case, events: int, mine: Sequence[Weapon]) -> list[str]:
    blocked = [one.outcome.blocked_share for one in mine]
    stopped = [one.outcome.stopped_share for one in mine]
    dear = max(blocked) > case.limit
    short = case.is_stopped and fmean(stopped) < STOPPED
    held = [one.held for one in mine]
    names = ("listed", "held", "without_reason", "without_mail", "alerts")
    return [
        case.name, f"{events:,}",
        f"{fmean(blocked):.1%}", f"{max(blocked):.1%}",
        f"<= {case.limit:.0%} {'MISSED' if dear else 'ok'}",
        f"{fmean(stopped):.1%}", f"{min(stopped):.1%}",
        f">= {STOPPED:.0%} {'MISSED' if short else 'ok'}" if case.is_stopped else "",
        *(f"{sum(getattr(one, name) for one in held):,}" for name in names),
    ]  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    sizes = (30_000, 100_000, 301_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes, metavar="EVENTS")
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3, 4), metavar="N")
    parser.add_argument("--hours", type=int, nargs="+", default=(0, 6, 26), metavar="H")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="cases at a time")
    parser.add_argument("--folder", type=Path, default=FOLDER, metavar="DIR")
    parser.add_argument("--json", action="store_true", help="every case, as JSON")


def main(given: argparse.Namespace) -> int:
    """Measure all cases and print the table; exit code 1 where one failed."""
    jobs = [
        (given.folder.resolve(), events, seed, case)
        for events in given.sizes
        for seed in given.seeds
        for case in CASES
        if case.hour in given.hours
    ]
    cells = in_processes(measured, jobs, given.jobs, _progress)
    if cells:
        shown = json.dumps([asdict(one) for one in cells]) if given.json else text(cells)
        sys.stdout.write(f"{shown}\n")
    return 0 if len(cells) == len(jobs) else 1
