"""One cell: a traffic replayed by this checkout's own code and scored."""

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.matrix.records import LEARNING_S, Cell, Flood, Part
from benchmarks.matrix.traffics import (
    EVENTS,
    TABLE,
    ensure,
    load,
    run,
    version,
)
from benchmarks.quality_listings import Listings, oracle, read_decisions
from benchmarks.quality_score import FloodScore, Listed, score
from benchmarks.quality_traffic import BoolArray, Traffic

__all__ = ["measured", "replay", "scored"]

REPLAY = ("-m", "pipelines.cli")
CHANGED = ("-m", "benchmarks.matrix.changed")


def measured(
    folder: Path, generator: str, events: int, seed: int, changes: Sequence[str] = ()
) -> Cell:
    """Simulate unless the traffic is there, replay and score.

    `changes` replay with other constants, each as MODULE:NAME=NUMBER.

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
    run(command)
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
