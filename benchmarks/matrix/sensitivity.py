"""`python -m benchmarks.quality sensitivity`: what half and one and a half of a constant change.

A constant whose change by half moves nothing is one too many; one that moves much needs a reason.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

from benchmarks.matrix.records import Cell
from benchmarks.matrix.run import FOLDER, jobs_of, run_cells
from benchmarks.matrix.traffics import GENERATORS
from benchmarks.quality_report import table

__all__ = ["Constant", "add_arguments", "constants", "main"]

MODULES: Final = ("detector.policy.constants",)
"""Where the constants live that decide what is listed, each as `NAME: Final = number`."""

FACTORS: Final = (0.5, 1.5)


@dataclass(frozen=True, slots=True)
class Constant:
    """One number of a module."""

    module: str
    name: str
    value: float

    def times(self, factor: float) -> float:
        """Give it multiplied; what is whole stays whole.

        >>> Constant("m", "MOST", 3).times(0.5), Constant("m", "SHARE", 0.3).times(0.5)
        (2, 0.15)
        """
        found = self.value * factor
        return round(found) if isinstance(self.value, int) else found


def constants(modules: Sequence[str]) -> list[Constant]:
    """Give the numbers that modules annotate, in the order of their source.

    Raises: ModuleNotFoundError naming a module that is not there.
    """
    found: list[Constant] = []
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            said = f"{name}: there is no such module, so it has no constants"
            raise ModuleNotFoundError(said) from error
        numbers = {key: vars(module)[key] for key in module.__annotations__ if key in vars(module)}
        found += [
            Constant(name, key, value)
            for key, value in numbers.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--modules", nargs="+", default=MODULES, metavar="MODULE")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="default: all constants")
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3), metavar="N")
    parser.add_argument("--events", type=int, default=100_000, metavar="N")
    parser.add_argument("--generator", choices=GENERATORS, default="first")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    parser.add_argument("--folder", type=Path, default=FOLDER, metavar="DIR")


def main(given: argparse.Namespace) -> int:
    """Run the cells with each change and print what it moves; exit code 1 where a cell failed."""
    try:
        wanted = constants(given.modules)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"sensitivity: {error}\n")
        return 1
    wanted = [one for one in wanted if not given.names or one.name in given.names]
    jobs = jobs_of([given.events], given.seeds, [given.generator], fresh=False)
    plain = run_cells(jobs, given.folder, given.jobs)
    failed = len(plain) < len(jobs)
    rows = [["as it is", "", "", *_absolute(plain)]] if plain else []
    for constant in wanted if plain else ():
        for factor in FACTORS:
            value = constant.times(factor)
            if value == constant.value:
                continue
            changes = [f"{constant.module}:{constant.name}={value!r}"]
            sys.stderr.write(f"{changes[0]}\n")
            cells = run_cells(jobs, given.folder, given.jobs, changes)
            short = len(cells) < len(jobs)
            failed |= short
            moved = ["failed", ""] if short else _moved(plain, cells)
            rows.append([constant.name, f"{constant.value:g}", f"{value:g}", *moved])
    head = ("constant", "is", "becomes", "of the oracle", "must-not listed")
    sys.stdout.write(f"{table(head, rows)}\n")
    return int(failed)


def _oracle_share(cells: Sequence[Cell]) -> float:
    """Give the mean over seeds, in percent."""
    shares = []
    for cell in cells:
        of = sum(one.oracle_stopped for one in cell.floods)
        shares.append(sum(one.stopped for one in cell.floods) / of * 100 if of else 100.0)
    return fmean(shares)


def _must_not(cells: Sequence[Cell]) -> int:
    return sum(cell.must_not.listed for cell in cells)


def _absolute(cells: Sequence[Cell]) -> list[str]:
    return [f"{_oracle_share(cells):.2f} %", f"{_must_not(cells):,}"]


def _moved(plain: Sequence[Cell], cells: Sequence[Cell]) -> list[str]:
    share = _oracle_share(cells) - _oracle_share(plain)
    return [f"{share:+.2f} points", f"{_must_not(cells) - _must_not(plain):+,}"]
