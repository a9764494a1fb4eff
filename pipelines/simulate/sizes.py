"""How large floods are: their attackers decide, and the site only bounds how many there are."""

from typing import Final

import numpy as np
from numpy.random import Generator

from pipelines.simulate.spec import SimulationSpec

__all__ = ["LARGEST", "SMALLEST", "draw_floods"]

SMALLEST: Final = 100
LARGEST: Final = 25_000
_MEDIAN: Final = 2_500
_SIGMA: Final = 0.9
_LEAST: Final = {"distributed": 400, "pulse": 200, "slow_ramp": 600, "snowshoe": 300}
"""Fewer messages than this do not make a flood of that shape."""

_MOST_SHARE: Final = 0.28
"""With the parts that some shapes add to their size, floods stay below 30 % of the events."""

_FULL_EVENTS: Final = 300_000
_MOST_EXTRAS: Final = 4
_FEWEST: Final = 2


def draw_floods(rng: Generator, spec: SimulationSpec) -> list[tuple[str, int]]:
    """Draw the shape and size of each flood.

    A size is log-normal around 2,500 messages, from 100 to 25,000, and does not depend on
    `spec.events`. From 300,000 events on every shape occurs, and up to four floods more. Smaller
    sites get the floods that fit into `spec.flood_share` of their events (28 % if it is None), in
    an order drawn by `rng`, but at least two. Sizes shrink only where these do not fit.
    """
    shapes = [*spec.shapes]
    share = _MOST_SHARE if spec.flood_share is None else min(spec.flood_share, _MOST_SHARE)
    room = int(share * spec.events)
    if not shapes or not room:
        return []
    extras = [str(shape) for shape in rng.choice(shapes, size=_MOST_EXTRAS)]
    wanted = len(shapes) + int(rng.integers(_MOST_EXTRAS + 1))
    drawn = [(shape, _size(rng, shape)) for shape in (*shapes, *extras)][:wanted]
    needed = range(len(shapes)) if spec.events >= _FULL_EVENTS else range(0)
    order = [*needed, *(at for at in rng.permutation(wanted).tolist() if at not in needed)]
    chosen: list[int] = []
    for at in order:
        if at in needed or sum(drawn[one][1] for one in (*chosen, at)) <= room:
            chosen.append(at)
    if len(chosen) < min(_FEWEST, wanted):
        chosen = sorted(range(wanted), key=lambda at: drawn[at][1])[:_FEWEST]
    fit = min(1.0, room / sum(drawn[at][1] for at in chosen))
    return [(drawn[at][0], int(drawn[at][1] * fit)) for at in sorted(chosen)]


def _size(rng: Generator, shape: str) -> int:
    drawn = _MEDIAN * float(np.exp(rng.normal(0, _SIGMA)))
    return int(np.clip(drawn, _LEAST.get(shape, SMALLEST), LARGEST))
