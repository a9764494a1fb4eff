"""What is usual: one null model of a victim's mail, at every age of the log.

What a victim gets of a network is a rate: a Gamma distribution from what was learned of the pair.
While nothing is learned, what came before the window stands for it. Beside it stands the common
cause: a victim may get its usual share of what a network sends others now.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.judge.cases import Case
from detector.judge.rows import HOUR_S, LONG_S
from detector.judge.traffic import Traffic
from detector.memory.chance import NO_SCATTER, gamma, most, with_surge
from detector.memory.learning import SLOTS_KNOWN
from detector.memory.relations import MESSAGE, mixed, mixed_one
from detector.policy.constants import BUSIEST, CROWD_SLOTS, EACH, PAIR_SLOTS, SHAPE
from detector.state import State

__all__ = ["Usual"]

MOST_SHARE: Final = 0.5
_WEIGHT: Final = 10.0


@dataclass(slots=True)
class Usual:
    """What one victim usually gets, as of one tick.

    `before` is None once enough was learned; else what came before the window, by group.
    """

    state: State
    traffic: Traffic
    scope: str
    victim: int
    """Its slot."""
    hash: int
    slots: float
    """Slots of ten minutes behind what is known of it."""
    odds: float
    """For each message to somebody else, so many come to this victim."""
    crowd: tuple[float, float]
    """Messages of newcomers, and the sum of the squares of their slots."""
    got: float
    """All messages that are known."""
    came: float
    """Messages from networks that were new to it."""
    before: dict[int, int] | None = None
    rates: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Rates that were asked for one by one, where what is learned decides."""
    pace: float = 1.0
    """Times its usual that its usual senders send together now, 1 or more: see `measure_pace`."""

    @classmethod
    def of(
        cls, state: State, traffic: Traffic, case: Case, span_s: int, tick: int,
        before: tuple[dict[int, int], float, int] | None = None,
    ) -> "Usual":  # fmt: skip
        """Describe a case's victim for a window that ends now.

        `before` gives what came earlier by group and source, in how many slots, and in all, where a
        flood remembers it.
        """
        victims, slot, learner = state.victims(case.scope), case.slot, state.learner
        name = int(victims.hash[slot])
        age = max(0, tick + 1 - state.known_since(case.scope, slot)) / LONG_S
        slots = min(learner.slots - int(victims.missed_s[slot]) / LONG_S, age)
        if slots >= SLOTS_KNOWN:
            got = int(victims.got[slot]) / MESSAGE
            share = (got + BUSIEST) / (int(learner.total[0]) / MESSAGE + 1.0)
            crowd = int(victims.crowd[slot]) / MESSAGE
            squares = int(victims.crowd_squares[slot]) / MESSAGE**2
            came = int(victims.came[slot]) / MESSAGE
            return cls(
                state, traffic, case.scope, slot, name, slots, _odds(share), (crowd, squares), got,
                came,
            )  # fmt: skip
        if before is None:
            now, total = case.window(span_s)
            earlier = {g: n - now.get(g, 0) for g, n in case.hour.items() if n > now.get(g, 0)}
            own = case.all_hour - total
            slots = min(max(0.0, age - span_s / LONG_S), max(0, HOUR_S - span_s) / LONG_S)
        else:
            earlier, slots, own = before
        first = max(state.log_start or 0, tick + 1 - HOUR_S)
        everybody = state.evidence.total(first, tick + 1 - span_s)
        share = (own + BUSIEST * _WEIGHT) / (everybody + _WEIGHT)
        return cls(
            state, traffic, case.scope, slot, name, slots, _odds(share), (own, 0.0), own, own,
            earlier,
        )  # fmt: skip

    @property
    def box_limit(self) -> float:
        """Messages in ten minutes up to which a mailbox is not said to be flooded by one group."""
        rule = self.state.policy.rules.victim_flood
        return rule.mailbox_per_10min * rule.over_fraction

    @property
    def known(self) -> bool:
        """Say whether what is learned decides."""
        return self.before is None

    @property
    def per_slot(self) -> float:
        """What the victim usually gets in ten minutes."""
        return self.got / max(self.slots, 1.0)

    def whole(self, span_s: int) -> float:
        """Give what the victim usually gets in all in a span, 0.0 while nothing is learned."""
        return self.per_slot * span_s / LONG_S if self.known else 0.0

    def rate(self, place: int) -> tuple[float, float]:
        """Give what is known of a pair: messages, and the sum of the squares of its slots."""
        if self.before is not None:
            return float(self.before.get(place, 0)), 0.0
        rate = self.rates.get(place)
        if rate is None:
            rate = self.state.learner.relations.rate(mixed_one(self.hash, place))
            self.rates[place] = rate
        return rate

    def mean(self, place: int) -> float:
        """Give what a group or an address usually sends the victim in ten minutes."""
        return self.rate(place)[0] / (PAIR_SLOTS + self.slots)

    def is_regular(self, place: int, slots: int) -> bool:
        """Say whether an address wrote to the victim in so many slots (n**2 / q bounds them)."""
        known, squares = self.rate(place)
        return self.known and known * known >= slots * squares > 0.0

    def most_of(self, source: int, mean: float, slots: float, surprised: float) -> float:
        """Give the messages of one source in so many slots that are no surprise.

        `mean` are those expected, with what others bring it to send now.
        """
        known, squares = self.rate(source)
        own, shape = gamma(known, squares, self.slots, PAIR_SLOTS, max(slots, 1.0))
        own *= slots
        return most(*with_surge(own, shape, mean - own), surprised)

    def measure_pace(self, counts: Mapping[int, int], span_s: int, least: float) -> None:
        """Measure how busy a victim is by those who usually write to it.

        Half of its usual mail, by weight, comes at this pace or faster: the morning of a busy
        domain, which is its own site, speeds them all up, a flood only some. Where less than
        `least` messages are usual in the window, chance is too large.
        """
        window, slots = span_s / LONG_S, PAIR_SLOTS + self.slots
        usual = self.per_slot * window
        total = sum(counts.values())
        if not self.known or usual < least or total <= usual:
            return
        count = np.fromiter(counts.values(), np.float64, len(counts))
        means = self._rates(np.fromiter(counts, np.uint64, len(counts)))[0] / slots * window
        some = np.flatnonzero(means >= 1.0)
        means = means[some]
        ratios = sorted(zip((count[some] / means).tolist(), means.tolist(), strict=True))
        half = math.fsum(mean for _, mean in ratios) / 2.0
        for ratio, mean in ratios:
            half -= mean
            if half <= 0.0:
                self.pace = max(1.0, min(ratio, total / usual))
                return

    def beyond(
        self, counts: Mapping[int, int], span_s: int, surprised: float
    ) -> tuple[list[float], dict[int, float]]:
        """Give what groups sent beyond their usual: parts of the crowd, and by loud group.

        The first are at most `EACH`; the second is what even a surprising window does not explain.
        """
        groups = np.fromiter(counts, np.uint64, len(counts))
        count = np.fromiter(counts.values(), np.float64, len(counts))
        known, squares = self._rates(groups)
        window = span_s / LONG_S
        per_slot = known / (PAIR_SLOTS + self.slots)
        some = np.flatnonzero(count > per_slot * window)  # the others not, whatever comes elsewhere
        count, known, per_slot = count[some], known[some], per_slot[some]
        names = groups[some].tolist()
        others = np.maximum(0.0, self.traffic.volumes(names, span_s) - count)
        each = self.box_limit
        for index in np.flatnonzero((count > each) & (others > each)).tolist():
            others[index] *= self.traffic.spread(names[index], self.scope, self.victim, each)
        up = np.ones(some.size)
        if self.before is None:
            busier = self.traffic.all_busier(names, span_s, per_slot, others)
            up = np.where(known > 0.0, np.maximum(self.pace, busier), 1.0)
        fair = self.odds * others
        mean = np.maximum(per_slot * window * up, fair)
        over = count - mean
        loud: dict[int, float] = {}
        wide = window if self.before is not None else max(window, 1.0)
        for index in np.flatnonzero(over > EACH).tolist():
            first, shape = gamma(
                known.item(index), squares.item(some.item(index)), self.slots, PAIR_SLOTS, window
            )
            own = first * wide
            surge = max(own * up.item(index), fair.item(index)) - own
            usual = most(*with_surge(own, shape, surge), surprised)
            more = count.item(index) - max(mean.item(index) + EACH, usual)
            if more > 0.0:
                loud[names[index]] = more
        return np.clip(over, 0.0, EACH).tolist(), loud

    def _rates(self, groups: NDArray[np.uint64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give what `rate` gives of each group."""
        if self.before is None:
            names = np.full(groups.size, self.hash, np.uint64)
            return self.state.learner.relations.rates(mixed(names, groups))
        before = [self.before.get(group, 0) for group in groups.tolist()]
        return np.array(before, np.float64), np.zeros(groups.size)

    def crowd_most(self, count: int, span_s: int, surprised: float) -> float:
        """Give the messages of newcomers in a window that are no surprise."""
        prior = PAIR_SLOTS if self.scope == "domain" else CROWD_SLOTS
        window = span_s / LONG_S
        mean, shape = gamma(*self.crowd, self.slots, prior, window)
        busier = 1.0
        if self.before is None:
            busier = max(self.pace, self.traffic.busier(None, span_s, count, self.per_slot))
        usual = most(mean * window * busier, shape, surprised)
        if self.before is not None:  # networks that sent nobody else anything come to all
            new = self.odds * self.traffic.singles(span_s)
            usual = max(usual, most(new, NO_SCATTER, surprised))
        return usual

    def coming(self) -> float:
        """Give the messages of newcomers expected in ten minutes, by its own past and by all's."""
        learner = self.state.learner
        wide = self.scope == "domain"
        if self.before is None:
            everybody = int(learner.total[2 if wide else 1]) / MESSAGE / max(learner.slots, 1.0)
        else:
            log_s = self.traffic.tick + 1 - (self.state.log_start or 0)
            everybody = self.traffic.site(HOUR_S) / max(0.1, min(log_s, HOUR_S) / LONG_S)
        mean = max(everybody / self.traffic.victims(self.scope), 1e-4)
        return (POPULATION + self.came) / (POPULATION / mean + self.slots)


POPULATION: Final = 10 * SHAPE
"""Shape of the rates of newcomers over all victims."""


def _odds(share: float) -> float:
    share = min(share, MOST_SHARE)
    return share / (1.0 - share)
