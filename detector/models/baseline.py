"""Baseline: the learned normal of busy victims and ASNs (river, once per subject and 10 minutes).

River's `EWMean` trusts its first sample and forgets at one fixed speed, so the first `1 / fading`
samples are averaged by `Mean` and hand over to it. It also takes a mean of exactly 0 for "nothing
seen", hence the shift by one. The deviation never falls below that of a Poisson count, which is
what independent mail is.
"""

import math
from typing import Any

from river.stats import EWMean, Mean

from detector.models.base import NOT_READY, Normal, NotReady

__all__ = ["Baseline"]


class Baseline:
    """Score first, learn after; frozen while the subject offends (the caller does not learn then).

    >>> model = Baseline(fading=0.05)
    >>> model.normal()
    NotReady()
    >>> for count in (10, 20): model.learn_one(count)
    >>> model.normal().mean
    15.0
    """

    __slots__ = ("_fading", "_mean", "_square", "samples")

    def __init__(self, fading: float, start: float | None = None) -> None:
        """Begin empty, or with `start` as a normal that is already well founded."""
        self._fading = fading
        self.samples = 0
        self._mean: Mean | EWMean = Mean()
        self._square: Mean | EWMean = Mean()
        if start is not None:
            self._take_over(start, start * start)

    def _take_over(self, mean: float, square: float) -> None:
        self.samples = max(self.samples, math.ceil(1 / self._fading))
        self._mean, self._square = EWMean(self._fading), EWMean(self._fading)
        self._mean.update(mean + 1.0)
        self._square.update(square + 1.0)

    def learn_one(self, count: int) -> None:
        """Learn the count of one step."""
        if self.samples == math.ceil(1 / self._fading) and isinstance(self._mean, Mean):
            self._take_over(self._mean.get() - 1.0, self._square.get() - 1.0)
        self.samples += 1
        self._mean.update(count + 1.0)
        self._square.update(count * count + 1.0)

    def normal(self) -> Normal | NotReady:
        """Give the learned normal."""
        if not self.samples:
            return NOT_READY
        mean = float(self._mean.get()) - 1.0
        variance = max(float(self._square.get()) - 1.0 - mean * mean, mean, 0.0)
        return Normal(mean, math.sqrt(variance), self.samples)

    def state(self) -> list[Any]:
        """Give what a snapshot needs."""
        warm = isinstance(self._mean, EWMean)
        return [self._fading, self.samples, self._mean.get(), self._square.get(), warm]

    @classmethod
    def restored(cls, state: list[Any]) -> "Baseline":
        """Take back what `state` gave."""
        fading, samples, mean, square, warm = state
        model = cls(fading)
        if warm:
            model._mean, model._square = EWMean(fading), EWMean(fading)
            model._mean.update(mean)
            model._square.update(square)
        elif samples:
            model._mean = Mean._from_state(samples, mean)  # noqa: SLF001 - its only way back
            model._square = Mean._from_state(samples, square)  # noqa: SLF001 - the same
        model.samples = samples
        return model
