"""`python -m benchmarks.quality matrix`: all cells, their tables, and what a commit had before.

Traffic and results are kept in `--folder`; a second run only replays and scores.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec

from benchmarks.matrix.cell import measured
from benchmarks.matrix.figures import figures
from benchmarks.matrix.pool import in_processes
from benchmarks.matrix.records import Cell
from benchmarks.matrix.tables import text
from benchmarks.matrix.traffics import GENERATORS, ROOT, version

__all__ = ["FOLDER", "Job", "add_arguments", "jobs_of", "main", "run_cells"]

FOLDER = ROOT / "build" / "bench" / "matrix"
SIZES = (30_000, 100_000, 301_000, 1_000_000)
SEEDS, LARGE_SEEDS, LARGE = 10, 4, 1_000_000
FIRST_FRESH = 9_001
Job = tuple[str, int, int]
"""Generator, events, seed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="EVENTS")
    parser.add_argument(
        "--seeds", type=int, nargs="+", metavar="N", help="default: 1 to 10 (1 M: 4)"
    )
    parser.add_argument("--fresh", action="store_true", help="seeds from 9001 on: to judge once")
    parser.add_argument("--generator", choices=(*GENERATORS, "both"), default="first")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="cells at a time")
    parser.add_argument("--folder", type=Path, default=FOLDER, metavar="DIR")
    parser.add_argument("--json", action="store_true", help="every cell, as JSON")
    parser.add_argument("--compare", metavar="COMMIT", help="show each figure as before -> after")


def jobs_of(
    sizes: Iterable[int], seeds: Sequence[int] | None, generators: Iterable[str], *, fresh: bool
) -> list[Job]:
    """Give the cells to run, the largest first."""
    first = FIRST_FRESH if fresh else 1
    return [
        (generator, size, seed)
        for size in sorted(set(sizes), reverse=True)
        for generator in generators
        for seed in seeds or range(first, first + (SEEDS if size < LARGE else LARGE_SEEDS))
    ]


def _measured(job: tuple[Path, Sequence[str], Job]) -> Cell:
    folder, changes, (generator, events, seed) = job
    return measured(folder, generator, events, seed, changes)


def run_cells(
    jobs: Sequence[Job], folder: Path, at_a_time: int, changes: Sequence[str] = ()
) -> list[Cell]:
    """Run cells in processes of their own, a progress line each; those that fail are left out."""
    whole = [(folder.resolve(), tuple(changes), job) for job in jobs]
    cells = in_processes(_measured, whole, at_a_time, _progress)
    return sorted(cells, key=lambda one: one.key)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _progress(cell: Cell) -> str:
    rows = {figure.name: figure.text for figure in reversed(figures([cell]))}
    wanted = {
        "found": "floods found",
        "of the oracle": "stopped, of the oracle's: mean",
        "must-not": "must-not sources listed",
        "blocked": "innocents' mail blocked",
    }
    parts = [f"{word} {rows[name]}" for word, name in wanted.items()]
    head = f"{cell.generator} {cell.events:,}-{cell.seed}"
    return f"{head}: {', '.join(parts)}, replay {cell.cpu_s:.1f} s"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _commit() -> tuple[str, bool]:
    """Give the short name of the checked-out commit and whether files differ from it."""
    return _git("rev-parse", "--short", "HEAD"), bool(_git("status", "--porcelain", "-uno"))


def _kept(path: Path) -> list[Cell]:
    return msgspec.json.decode(path.read_bytes(), type=list[Cell]) if path.exists() else []


def _keep(cells: Sequence[Cell], folder: Path) -> Path:
    """Write the cells as the result of this commit; a clean commit's other cells stay."""
    commit, dirty = _commit()
    path = folder / "results" / f"{commit}{'-dirty' * dirty}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    every = {} if dirty else {one.key: one for one in _kept(path)}
    every |= {one.key: one for one in cells}
    path.write_bytes(msgspec.json.encode([asdict(one) for one in every.values()]))
    return path


def _before(folder: Path, commit: str, cells: Sequence[Cell]) -> list[Cell]:
    """Give the cells of another commit's result that are here too.

    Raises: FileNotFoundError where that commit has no result.
    """
    path = folder / "results" / f"{commit}.json"
    if not path.exists():
        short = _git("rev-parse", "--short", commit.removesuffix("-dirty"))
        path = folder / "results" / f"{short}{'-dirty' * commit.endswith('-dirty')}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no result; run the matrix at {commit} first")
    here = {one.key: one for one in cells}
    before = [one for one in _kept(path) if one.key in here]
    others = sum(here[one.key].version != one.version for one in before)
    if others:
        _say(f"{others} of {len(before)} cells were measured on an other version of the traffic")
    if len(before) < len(here):
        _say(f"{len(here) - len(before)} of {len(here)} cells were not measured at {commit}")
    return before


def main(given: argparse.Namespace) -> int:
    """Run the cells and print their tables; exit code 1 where a cell failed."""
    both = given.generator == "both"
    generators = [*GENERATORS] if both else [given.generator]
    for generator in generators:
        version(generator)  # it is missing: say so before anything runs
    jobs = jobs_of(given.sizes, given.seeds, generators, fresh=given.fresh)
    cells = run_cells(jobs, given.folder, given.jobs)
    if not cells:
        return 1
    _say(f"kept: {os.path.relpath(_keep(cells, given.folder))}")
    before = _before(given.folder, given.compare, cells) if given.compare else []
    shown = msgspec.json.encode(cells).decode() if given.json else text(cells, before)
    sys.stdout.write(f"{shown}\n")
    return 0 if len(cells) == len(jobs) else 1
