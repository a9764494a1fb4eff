"""The normal of busy victims: learned every ten minutes, and the limits that follow from it."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.events.numbering import Numbering
from detector.judge.cases import LONG_S, SHORT_S
from detector.memory.tracking import Victims
from detector.models.columns import BaselineColumns
from detector.policy.settings import Policy

__all__ = ["PERIOD_S", "VictimNormals"]

PERIOD_S: Final = 600
DAY_PERIODS: Final = 144
ELEVATED: Final = 3.0
ELEVATED_LEAST: Final = 15
NEVER: Final = 2**32 - 1


class VictimNormals:
    """Baselines of the busy victims of one scope, and the limits that follow from them."""

    def __init__(self, victims: Victims, policy: Policy, *, domain: bool) -> None:
        self.victims = victims
        self._domain = domain
        self.take_policy(policy)
        self._models = BaselineColumns(), BaselineColumns()
        """Of messages from strangers, and of all; in the order of `_slots`."""
        self._slots = np.zeros(0, np.int64)
        self._place = np.zeros(0, np.int32)
        """By slot, where its models stand: -1 nowhere."""
        self._new: list[NDArray[np.float64]] = [np.zeros(0), np.zeros(0)]
        self._all: list[NDArray[np.float64]] = [np.zeros(0), np.zeros(0)]
        self._cold: list[tuple[int, NDArray[np.uint32]]] = []
        self._day_before: NDArray[np.int64] = np.zeros(0, np.int64)
        self._day_periods = 1

    @property
    def base(self) -> tuple[int, int]:
        """The limits a minute and in ten minutes of a victim without a history."""
        return self.base_min, self.base_10min

    def take_policy(self, policy: Policy) -> None:
        """Go on with the numbers of another policy."""
        rule = policy.rules.victim_flood
        self._policy = policy
        self.base_min = rule.domain_per_min if self._domain else rule.mailbox_per_min
        self.base_10min = rule.domain_per_10min if self._domain else rule.mailbox_per_10min
        self.base_hour = round(rule.mailbox_per_hour * self.base_10min / rule.mailbox_per_10min)

    def learn(
        self, frozen: dict[int, float], seconds: int, breadth: float, minute: int
    ) -> NDArray[np.bool_]:
        """Learn the period that ends now; give which victims (slots,) bool it tainted.

        `frozen` are in a flood, with what was usual before it in ten minutes; `seconds` have passed
        since the log's start.
        """
        steps = (seconds - 1) // PERIOD_S + 1
        victims, policy = self.victims, self._policy
        size = victims.known.size
        oldest = (minute - 10) % victims.all.steps
        all_ = victims.all.total[:size].astype(np.int64) - victims.all.counts[oldest, :size]
        new = victims.new.total[:size].astype(np.int64) - victims.new.counts[oldest, :size]
        mean = victims.day.total[:size] / min(max(steps, 1), DAY_PERIODS)
        self._day_before = victims.day.total[:size].astype(np.int64) - all_
        self._day_periods = min(max(steps - 1, 1), DAY_PERIODS)
        if self._slots.size:
            mean[self._slots] = self._all[0]
        tainted = all_ > np.maximum(ELEVATED_LEAST, ELEVATED * breadth * mean)
        young = steps <= policy.baseline.cold_start_s // PERIOD_S
        if young:
            tainted[:] = False
        tainted[list(frozen)] = True
        if seconds < PERIOD_S:
            return tainted
        busy = all_ >= policy.baseline.busy_per_10min
        busy[self._slots] = True
        busy[list(frozen)] = False
        modelled = np.zeros(size, np.bool_)
        modelled[self._slots] = True
        self._found(frozen, modelled)
        fresh = np.flatnonzero(busy & ~modelled)
        # The day's mean may hold a flood that is over, this period a burst: the lower is normal.
        start = None if young else np.minimum(mean[fresh], all_[fresh])
        first = None if start is None else np.minimum(new[fresh].astype(np.float64), start)
        for models, founded in zip(self._models, (first, start), strict=True):
            models.begin(fresh.size, policy.baseline.fading, founded)
        self._slots = np.concatenate([self._slots, fresh])
        learns = np.flatnonzero(busy[self._slots])
        for models, counts in zip(self._models, (new, all_), strict=True):
            if counts is all_ or not young:
                models.learn(learns, counts[self._slots[learns]])
        self._keep(victims.day.total[self._slots] > 0)
        return tainted

    def _found(self, frozen: dict[int, float], modelled: NDArray[np.bool_]) -> None:
        """Found the normal of victims flooded before they had one on what was usual before."""
        least = self._policy.baseline.busy_per_10min
        some = [slot for slot in frozen if frozen[slot] >= least and not modelled[slot]]
        usual = np.array([frozen[slot] for slot in some])
        for models in self._models:
            models.begin(len(some), self._policy.baseline.fading, usual)
        self._slots = np.concatenate([self._slots, np.array(some, np.int64)])

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Drop the models of evicted victims."""
        self._keep(~np.isin(self._slots, slots))
        by_slot: list[NDArray[Any]] = [self._day_before, *(counts for _, counts in self._cold)]
        for counts in by_slot:
            counts[slots[slots < counts.size]] = 0

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        """Keep some models, in the order of their slots, and put their answers into arrays.

        Before strangers can be told, all count for them.
        """
        places = np.flatnonzero(kept)
        places = places[np.argsort(self._slots[places])]
        self._slots = self._slots[places]
        self._place = np.full(self.victims.known.size, -1, np.int32)
        self._place[self._slots] = np.arange(places.size)
        for models in self._models:
            models.take(places)
        *new, ready = self._models[0].normals()
        self._all = list(self._models[1].normals()[:2])
        self._new = [np.where(ready, *pair) for pair in zip(new, self._all, strict=True)]

    def usual(self, slot: int) -> float:
        """Give the messages in ten minutes that a victim had in the day before this period."""
        known = slot < self._day_before.size
        return float(self._day_before[slot]) / self._day_periods if known else 0.0

    def normal(self, slot: int) -> float | None:
        """Give the learned messages from strangers in ten minutes, None where nothing is known."""
        return self._usual(self._new[0], slot)

    def normal_all(self, slot: int) -> float | None:
        """Give the learned messages from anybody in ten minutes, None where nothing is known."""
        return self._usual(self._all[0], slot)

    def _usual(self, means: NDArray[np.float64], slot: int) -> float | None:
        place = self._place[slot] if slot < self._place.size else -1
        return None if place < 0 else float(means[place])

    def set_limits(self, breadth: float) -> None:
        """Set the limits of the coming minute from the published ones and the normal.

        `breadth` says how many more mailboxes than usual are active (the daily wave, a queue
        flushed after an outage): the normal is scaled by it. A flood does not move it, since it
        reaches few mailboxes.
        """
        rule = self._policy.rules.victim_flood
        victims = self.victims
        victims.limit_min[:] = self.base_min
        victims.limit_10min[:] = self.base_10min
        victims.limit_hour[:] = self.base_hour
        victims.limit_all[:] = self.base_10min
        victims.limit_all_min[:] = self.base_min
        if not self._slots.size:
            return
        factor, sigmas = rule.baseline_factor, rule.baseline_sigmas

        def limit(base: int, mean: NDArray[np.float64], spread: NDArray[np.float64]) -> Any:
            # A slow ramp widens the spread that it is measured by: that counts up to the limit.
            chance = np.minimum(sigmas * spread, (factor - 1) * mean + base)
            beyond = np.maximum(factor * mean, mean + chance)
            return np.minimum(np.ceil(np.maximum(base, beyond)), 4e9).astype(np.uint32)

        new, spread = self._new[0] * breadth, self._new[1] * breadth
        minute = new / 10
        victims.limit_min[self._slots] = limit(self.base_min, minute, np.sqrt(minute + spread / 10))
        victims.limit_10min[self._slots] = limit(self.base_10min, new, spread)
        victims.limit_hour[self._slots] = limit(self.base_hour, new * 6, spread * 2.5)
        every, spread = self._all[0] * breadth, self._all[1] * breadth
        victims.limit_all[self._slots] = limit(self.base_10min, every, spread)
        minute = every / 10
        root = np.sqrt(minute + spread / 10)
        victims.limit_all_min[self._slots] = limit(self.base_min, minute, root)

    def set_cold_limits(self, elapsed_s: int) -> None:
        """Set lower bounds of what `rules` asks for in the cold start (see `_judge_cold`).

        What came in the first half of the elapsed time must be exceeded in the second; the limit of
        the longer window is therefore one of all messages since the log's start.
        """
        victims = self.victims
        factor = self._policy.rules.victim_flood.baseline_factor
        self._cold.append((elapsed_s, victims.hour.total.copy()))
        victims.limit_min[:] = self.base_min
        victims.limit_10min[:] = self.base_10min
        victims.limit_hour[:] = victims.limit_all[:] = victims.limit_all_min[:] = NEVER
        for limit, span_s in (
            (victims.limit_min, SHORT_S),
            (victims.limit_10min, min(LONG_S, elapsed_s // 2)),
        ):
            before = [counts for when, counts in self._cold if when <= elapsed_s - span_s]
            if before:
                share = factor * span_s / (elapsed_s + SHORT_S - span_s)
                least = np.floor(before[-1] * share).astype(np.uint32)
                np.maximum(limit[: least.size], least, out=limit[: least.size])
                if limit is victims.limit_10min:
                    limit[: least.size] += before[-1]
        if not self._domain:
            rule = self._policy.rules.victim_flood
            for limit, factor, base in (
                (victims.limit_min, rule.cold_diverse_factor, self.base_min),
                (victims.limit_10min, rule.cold_10min_factor, self.base_10min),
            ):
                np.minimum(limit, np.uint32(math.ceil(factor * base)), out=limit)

    def end_cold(self) -> None:
        """Drop what only the cold start needs."""
        self._cold = []

    def state(self, names: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs."""
        numbers = names.numbers(self._slots)
        order = np.argsort(numbers)
        return {
            "busy": numbers[order],
            "new": self._models[0].state(order),
            "all": self._models[1].state(order),
            "cold_s": [elapsed_s for elapsed_s, _ in self._cold],
            "cold": {str(i): _sparse(counts, names) for i, (_, counts) in enumerate(self._cold)},
            "day_before": _sparse(self._day_before, names),
            "day_periods": self._day_periods,
        }

    def restore(self, state: dict[str, Any], names: Numbering) -> None:
        """Take back what `state` gave, after that of the victims."""
        size = self.victims.known.size
        self._slots = names.slots(state["busy"]).astype(np.int64)
        for models, name in zip(self._models, ("new", "all"), strict=True):
            models.restore(state[name])
        self._keep(np.ones(self._slots.size, np.bool_))
        self._cold = [
            (elapsed_s, _dense(state["cold"][str(i)], names, size, np.uint32))
            for i, elapsed_s in enumerate(state["cold_s"])
        ]
        self._day_before = _dense(state["day_before"], names, size, np.int64)
        self._day_periods = state["day_periods"]


def _sparse(counts: NDArray[Any], names: Numbering) -> dict[str, Any]:
    """Give the counts by slot that are not 0, in the order of the names."""
    slots = np.flatnonzero(counts)
    numbers = names.numbers(slots)
    order = np.argsort(numbers)
    return {"numbers": numbers[order], "counts": counts[slots[order]]}


def _dense(state: dict[str, Any], names: Numbering, size: int, kind: type) -> NDArray[Any]:
    counts: NDArray[Any] = np.zeros(size, kind)
    counts[names.slots(state["numbers"])] = state["counts"]
    return counts
