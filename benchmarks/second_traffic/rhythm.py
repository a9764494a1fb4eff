"""When mail comes: by hour, weekday, time zone, and whether a domain is business or private."""

import numpy as np
import numpy.typing as npt

from benchmarks.second_traffic.columns import IntArray
from benchmarks.second_traffic.world import HOUR_MS, MINUTE_MS, MONDAY_MS, World

__all__ = ["Rhythm", "batch_times", "spread"]

# Shares of each hour of a working day, local time, from midnight.
BUSINESS = (2, 1, 1, 1, 2, 4, 9, 20, 46, 60, 58, 50, 36, 50, 56, 52, 44, 28, 14, 9, 7, 6, 4, 3)
PRIVATE = (9, 5, 3, 3, 4, 7, 13, 20, 24, 27, 28, 28, 30, 29, 27, 28, 31, 36, 42, 48, 50, 44, 31, 18)
WEEKEND = {True: 0.14, False: 1.1}
WEEK_HOURS = 7 * 24


class Rhythm:
    """The profiles of a site's domains, minute by minute over the log."""

    def __init__(self, world: World) -> None:
        self._start_ms, self._end_ms = world.start_ms, world.end_ms
        minutes = -(-world.span_ms // MINUTE_MS)
        at_ms = world.start_ms + np.arange(minutes, dtype=np.int64) * MINUTE_MS
        site = world.site
        self.kind_of_domain = site.zone_min * 2 + site.business
        self._ends: dict[int, npt.NDArray[np.float64]] = {}
        self.level: dict[int, float] = {}
        for kind in np.unique(self.kind_of_domain).tolist():
            business, zone = bool(kind % 2), kind // 2
            hourly = np.array(BUSINESS if business else PRIVATE, dtype=np.float64)
            week = np.tile(hourly, 7)
            week[5 * 24 :] *= WEEKEND[business]
            hours = (at_ms + zone * MINUTE_MS - MONDAY_MS) / HOUR_MS % WEEK_HOURS
            profile = np.interp(hours - 0.5, np.arange(WEEK_HOURS), week, period=WEEK_HOURS)
            self._ends[kind] = np.cumsum(profile)
            self.level[kind] = float(profile.mean() / week.mean())

    def times(self, rng: np.random.Generator, domain_of: IntArray) -> IntArray:
        """Give a time for each message, by the profile of its domain."""
        kinds = self.kind_of_domain[domain_of]
        times = np.empty(len(domain_of), dtype=np.int64)
        for kind, ends in self._ends.items():
            rows = np.flatnonzero(kinds == kind)
            minute = np.searchsorted(ends, rng.random(len(rows)) * ends[-1], side="right")
            times[rows] = minute * MINUTE_MS + rng.integers(MINUTE_MS, size=len(rows))
        return np.minimum(self._start_ms + times, self._end_ms - 1)

    def levels(self, domain_of: IntArray) -> npt.NDArray[np.float64]:
        """Give how busy each domain is during the log, 1 being its mean of a week."""
        table = {kind: max(level, 0.02) for kind, level in self.level.items()}
        return np.array([table[one] for one in self.kind_of_domain.tolist()])[domain_of]


def spread(rng: np.random.Generator, n: int, start_ms: int, length_ms: int) -> IntArray:
    """Give `n` times in order, evenly at random over a span."""
    return np.sort(start_ms + (rng.random(n) * max(length_ms, 1)).astype(np.int64))


def batch_times(
    rng: np.random.Generator, world: World, n: int, *, every_ms: int, at_ms: int, within_ms: int
) -> IntArray:
    """Give `n` times in batches: one batch each `every_ms`, `at_ms` after it, `within_ms` long."""
    first = -(-(world.start_ms - at_ms) // every_ms)
    last = max((world.end_ms - at_ms - within_ms) // every_ms, first)
    batch = rng.integers(first, last + 1, size=n)
    times = batch * every_ms + at_ms + (rng.random(n) * within_ms).astype(np.int64)
    # A log may be shorter than the time between two batches: what lies outside is wrapped into it.
    span_ms = world.end_ms - world.start_ms
    return np.sort(world.start_ms + (times - world.start_ms) % span_ms)
