"""When things happen: daily waves, surges, ramps and tails over a span of event time."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipelines.simulate.columns import IntArray, as_ints

__all__ = ["MINUTE_MS", "Horizon", "Wave", "evenly", "jittered", "log_uniform", "shaped", "spread"]

MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Horizon:
    """The simulated span `[start_ms, end_ms)`."""

    start_ms: int
    end_ms: int

    @property
    def span_ms(self) -> int:
        """Length in milliseconds."""
        return self.end_ms - self.start_ms

    def place(self, rng: Generator, span_ms: float) -> int:
        """Draw a start so that `span_ms` fits inside (the start of the span where it cannot)."""
        room = max(self.span_ms - int(span_ms), 1)
        return self.start_ms + int(rng.integers(room))


@dataclass(frozen=True, slots=True)
class Wave:
    """The daily wave of ordinary mail: `weights` (bins,) of relative intensity over the horizon."""

    horizon: Horizon
    weights: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: Generator, horizon: Horizon) -> "Wave":
        """Draw amplitude, peak hour, weekend dip and the noise of each ~5 minutes."""
        bins = max(int(horizon.span_ms / (5 * MINUTE_MS)), 4)
        middle = horizon.start_ms + (np.arange(bins) + 0.5) * horizon.span_ms / bins
        hour = middle / _HOUR_MS % 24
        peak, depth = rng.uniform(9, 16), rng.uniform(0.3, 0.92)
        wave = 1 + depth * np.cos((hour - peak) * np.pi / 12)
        weekday = (middle // (24 * _HOUR_MS) + 3) % 7
        wave = np.where(weekday >= 5, wave * rng.uniform(0.3, 1.0), wave)  # noqa: PLR2004
        return cls(horizon, wave * rng.lognormal(0, rng.uniform(0.02, 0.25), bins))

    def times(self, rng: Generator, count: int) -> IntArray:
        """Draw `count` sorted times along the wave."""
        edges = np.linspace(self.horizon.start_ms, self.horizon.end_ms, len(self.weights) + 1)
        heights = np.concatenate([[0.0], np.cumsum(self.weights)])
        drawn = np.sort(rng.random(count)) * heights[-1]
        return as_ints(np.interp(drawn, heights, edges))


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """Draw from `[low, high)`, each order of magnitude alike."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def spread(rng: Generator, count: int, start_ms: float, span_ms: float) -> IntArray:
    """Draw `count` sorted times without memory (Poisson) in the span."""
    return as_ints(start_ms + np.sort(rng.random(count)) * span_ms)


def evenly(rng: Generator, count: int, start_ms: float, span_ms: float, jitter: float) -> IntArray:
    """Draw `count` sorted times at a steady pace; `jitter` is the noise in steps."""
    steps = np.arange(count) + rng.uniform(0, 1) + rng.normal(0, jitter, count)
    return as_ints(start_ms + np.clip(np.sort(steps) / max(count, 1), 0, 1) * span_ms)


def shaped(
    rng: Generator, count: int, start_ms: float, span_ms: float, weights: NDArray[np.float64]
) -> IntArray:
    """Draw `count` sorted times whose intensity follows `weights` linearly over the span."""
    heights = np.concatenate([[0.0], np.cumsum((weights[1:] + weights[:-1]) / 2)])
    fine = np.linspace(0, len(weights) - 1, 64 * len(weights))
    # The integral of a piecewise linear intensity is quadratic between the knots.
    knot = np.minimum(fine.astype(np.int64), len(weights) - 2)
    part = fine - knot
    slope = weights[knot + 1] - weights[knot]
    cumulated = heights[knot] + weights[knot] * part + slope * part**2 / 2
    drawn = np.sort(rng.random(count)) * cumulated[-1]
    return as_ints(start_ms + np.interp(drawn, cumulated, fine) / (len(weights) - 1) * span_ms)


def jittered(rng: Generator, times_ms: IntArray, scale_ms: float) -> IntArray:
    """Give `times_ms` with normal noise added, sorted."""
    return np.sort(times_ms + as_ints(rng.normal(0, scale_ms, len(times_ms))))
