"""One cell: a traffic replayed by this checkout's own code and scored.

    python -m benchmarks.matrix.cell --generator first --events N --seed N --folder DIR

It writes the cell as one line of JSON. `--set MODULE:NAME=NUMBER` replays with another constant.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson

from benchmarks.matrix.records import LEARNING_S, Cell, Flood, Part
from benchmarks.matrix.traffics import (
    EVENTS,
    GENERATORS,
    ROOT,
    TABLE,
    ensure,
    environment,
    load,
    version,
)
from benchmarks.quality_listings import Listings, oracle, read_decisions
from benchmarks.quality_score import FloodScore, Listed, score
from benchmarks.quality_traffic import BadInputError, BoolArray, Traffic

__all__ = ["main", "measured", "replay", "scored"]

REPLAY = ("-m", "pipelines.cli")
CHANGED = ("-m", "benchmarks.matrix.changed")


def measured(
    folder: Path, generator: str, events: int, seed: int, changes: Sequence[str] = ()
) -> Cell:
    """Simulate unless the traffic is there, replay and score.

    Raises: subprocess.CalledProcessError, BadInputError, OSError.
    """
    place = ensure(folder, generator, events, seed)
    with TemporaryDirectory(prefix="floodwatch-cell-") as scratch:
        decisions = Path(scratch) / "decisions.ndjson"
        cpu_s, wall_s = replay(place, decisions, changes)
        traffic = load(place)
        listings = read_decisions(decisions, traffic)
    about = {"generator": generator, "version": version(generator)}
    counts = {"events": events, "seed": seed}
    return scored(traffic, listings, {**about, **counts, "cpu_s": cpu_s, "wall_s": wall_s})


def replay(place: Path, decisions: Path, changes: Sequence[str]) -> tuple[float, float]:
    """Replay a traffic; give the processor and wall seconds that it took."""
    program = (*CHANGED, *changes, "--") if changes else REPLAY
    command: Sequence[str | Path] = (
        sys.executable, *program, "replay", place / EVENTS, "--asn-table", place / TABLE,
        "--decisions", decisions, "--store", "memory:",
    )  # fmt: skip
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment(), capture_output=True)
    if done.returncode:
        sys.stderr.write(done.stderr.decode("utf-8", "replace"))
        done.check_returncode()
    after, wall_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - begun
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(cpu_s, 3), round(wall_s, 3)


def scored(traffic: Traffic, listings: Listings, about: Mapping[str, Any]) -> Cell:
    """Score listings beside the oracle on the same traffic; `about` are the cell's other fields."""
    result = score(traffic, listings, oracle(traffic))
    listed = listings.last_end_ms(len(traffic.subjects)) >= 0
    learned_ms = int(traffic.time_ms[0]) + LEARNING_S * 1_000
    begun_ms = {group.id: group.start_ms for group in traffic.groups}
    flood_events = sum(one.messages for one in result.floods)
    return Cell(
        **about,
        normal_events=traffic.lines - flood_events,
        flood_events=flood_events,
        legitimate=result.legitimate,
        floods=tuple(
            _flood(one, early=begun_ms[one.id] < learned_ms) for one in result.floods if one.counts
        ),
        must_not=_part(result.must_not),
        patterns=_patterns(traffic, listed),
        far=_part(result.far),
        bystanders=_part(result.bystanders),
        blocked_innocent=result.blocked_innocent,
        blocked_guilty=result.blocked_guilty,
    )


def _flood(one: FloodScore, *, early: bool) -> Flood:
    return Flood(
        name=one.name,
        shape=one.shape,
        fast=one.fast,
        early=early,
        messages=one.messages,
        stopped=one.stopped,
        oracle_stopped=one.oracle_stopped,
        seconds=one.seconds if one.found else None,
        rate_per_min=one.rate_per_min,
    )


def _part(one: Listed) -> Part:
    return Part(one.listed, one.total)


def _patterns(traffic: Traffic, listed: BoolArray) -> dict[str, Part]:
    """Count the sources of each innocent pattern that must not be listed."""
    found: dict[str, Part] = {}
    for shape in sorted({group.shape for group in traffic.groups if group.kind == "innocent"}):
        of_shape = np.array([group.shape == shape for group in traffic.groups], dtype=np.bool_)
        sources = np.unique(traffic.source[of_shape[traffic.group]])
        sources = sources[traffic.must_not[sources]]
        found[shape] = Part(int(np.count_nonzero(listed[sources])), len(sources))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give its exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.matrix.cell", description=__doc__)
    parser.add_argument("--generator", choices=GENERATORS, default="first")
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--set", nargs="*", default=[], metavar="MODULE:NAME=NUMBER")
    given = parser.parse_args(arguments)
    try:
        cell = measured(given.folder, given.generator, given.events, given.seed, given.set)
    except (BadInputError, OSError, EOFError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{given.generator} {given.events}-{given.seed}: {error}\n")
        return 1
    sys.stdout.buffer.write(orjson.dumps(asdict(cell)) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
