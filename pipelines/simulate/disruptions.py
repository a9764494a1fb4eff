"""Our own mishaps, which rearrange mail: an outage whose queues are flushed, a host's late logs."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipelines.simulate.columns import IntArray, Rows, as_ints
from pipelines.simulate.timing import MINUTE_MS, Horizon
from pipelines.simulate.world import World

__all__ = ["Flush", "Lump", "draw_flush", "draw_lump"]

_BEARABLE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Flush:
    """What an outage did: new times, which rows were flushed, which never came."""

    time_ms: IntArray
    flushed: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    name: str


def draw_flush(
    rng: Generator,
    world: World,
    horizon: Horizon,
    rows: Rows,
    is_flood: NDArray[np.bool_],
    is_brief: NDArray[np.bool_],
) -> Flush:
    """Draw an outage of everything or for one big provider; its queues come minutes after it.

    Flood mail of the outage is lost. The place is chosen so that little of it falls in there, and
    little of the patterns that last minutes only (`is_brief`).
    """
    length = min(rng.uniform(10, 90) * MINUTE_MS, horizon.span_ms * 0.1)
    flush = min(rng.uniform(1, 12) * MINUTE_MS, length)
    name, affected = "outage of everything", np.ones(len(rows), dtype=bool)
    if rng.random() < 0.5:  # noqa: PLR2004
        provider = str(rng.choice(["google", "microsoft", "amazon-ses", "sendgrid"]))
        asns = [system.asn for system in world.network.systems if system.name == provider]
        affected = np.isin(np.asarray(world.network.asns)[rows.ip], asns)
        name = f"outage towards {provider}"
    dear = (is_flood | is_brief) & affected
    start = horizon.start_ms
    for _ in range(5):
        places = [horizon.place(rng, length * 1.2 + flush) for _ in range(12)]
        hurt = [int((_within(rows.time_ms, place, length) & dear).sum()) for place in places]
        start = places[hurt.index(min(hurt))]
        if min(hurt) <= _BEARABLE * int(is_flood.sum()):
            break
        length, flush = length / 2, flush / 2
    inside = _within(rows.time_ms, start, length) & affected
    flushed, lost = inside & ~is_flood, inside & is_flood
    time_ms = rows.time_ms.copy()
    back = start + length + flush * rng.beta(1, rng.uniform(1, 4), int(flushed.sum()))
    time_ms[flushed] = as_ints(back)
    minutes = length / MINUTE_MS
    detail = f"{name}: {minutes:.0f} min, flushed within {flush / MINUTE_MS:.1f} min"
    return Flush(time_ms, flushed, lost, detail)


@dataclass(frozen=True, slots=True)
class Lump:
    """Whose logs came late: the host, the span, and when its lines arrived."""

    host: int
    start_ms: int
    end_ms: int
    arrival_ms: int


def draw_lump(rng: Generator, horizon: Horizon, hosts: int) -> Lump:
    """Draw a stretch of one host's log that arrives in one lump afterwards."""
    length = min(rng.uniform(4, 60) * MINUTE_MS, horizon.span_ms * 0.08)
    wait = min(rng.uniform(0.5, 40) * MINUTE_MS, horizon.span_ms * 0.05)
    start = horizon.place(rng, length + wait)
    return Lump(int(rng.integers(hosts)), start, int(start + length), int(start + length + wait))


def _within(time_ms: IntArray, start: float, length: float) -> NDArray[np.bool_]:
    return np.asarray((time_ms >= start) & (time_ms < start + length))
