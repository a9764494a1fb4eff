"""Command line: write the traffic of a seed into a directory."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from benchmarks.second_traffic.floods import SHAPES
from benchmarks.second_traffic.innocents import PATTERNS
from benchmarks.second_traffic.writer import make_traffic, write_traffic

__all__ = ["main"]


def _chosen(text: str, known: Iterable[str], parser: argparse.ArgumentParser) -> list[str]:
    """Give the names of a comma-separated list; an unknown one ends the program."""
    names = [one for one in text.split(",") if one]
    known = list(known)
    for name in names:
        if name not in known:
            parser.error(f"got {name!r}, allowed: {', '.join(known)}")
    return names


def main(arguments: list[str] | None = None) -> None:
    """Write `events.ndjson`, `truth.ndjson` and `asn.tsv`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.second_traffic")
    parser.add_argument("directory", type=Path, help="where the three files go")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=301_000, help="lines in events.ndjson")
    parser.add_argument("--hours", type=float, help="length of the log; default: by the seed")
    parser.add_argument("--shapes", default=",".join(SHAPES), help="floods, comma-separated")
    parser.add_argument("--patterns", default=",".join(PATTERNS), help="innocent patterns")
    options = parser.parse_args(arguments)
    plan = make_traffic(
        options.seed,
        options.events,
        options.hours,
        _chosen(options.shapes, SHAPES, parser),
        _chosen(options.patterns, PATTERNS, parser),
    )
    write_traffic(options.directory, plan)
    floods = sum(group.kind == "flood" for group in plan.groups)
    print(f"{len(plan.events)} events, {floods} floods, {plan.world.site.per_day:.0f} a day")


if __name__ == "__main__":
    main()
