"""Chance: how surprising a count is, and the most that is no surprise.

A rate of which little is known is a Gamma distribution, so that the count of a window is negative
binomial. Its tail is bounded by Chernoff's inequality. Every step is an IEEE operation that is
rounded alike on every processor (`+ - * /` and `frexp`), because these numbers decide.
"""

from math import frexp, log
from typing import Final

from detector.policy.constants import SHAPE, SMOOTH

__all__ = ["NO_SCATTER", "fewest", "gamma", "ln", "most", "surprise", "with_surge"]

_LN2: Final = 0.6931471805599453
_ROOT_HALF: Final = 0.7071067811865476
NO_SCATTER: Final = 1e9
"""The shape of a rate that is known: its counts are a Poisson distribution."""
_POISSON: Final = 1e6
"""From this shape on the negative binomial is a Poisson distribution."""
_STEPS: Final = 30
_NARROWED: Final = 8
_LOG10_E: Final = 0.4342944819032518
_ROUGH: Final = 1e-11
"""Two logarithms differ by less than a tenth of this, beside the largest count: the series of `ln`
ends at 4.3e-13."""
_known: dict[tuple[float, float, float], float] = {}
_MOST_KNOWN: Final = 200_000


def ln(x: float) -> float:
    """Give the natural logarithm of a positive number, alike on every processor.

    >>> round(ln(10.0), 12)
    2.302585092994
    """
    mantissa, exponent = frexp(x)
    if mantissa < _ROOT_HALF:
        mantissa *= 2.0
        exponent -= 1
    z = (mantissa - 1.0) / (mantissa + 1.0)
    s = z * z
    series = 1.0 + s * (1 / 3 + s * (1 / 5 + s * (1 / 7 + s * (1 / 9 + s * (1 / 11 + s / 13)))))
    return exponent * _LN2 + 2.0 * z * series


def surprise(count: float, mean: float, shape: float) -> float:
    """Give at least -log10 of the chance of `count` or more, 0.0 up to the mean.

    `mean` and `shape` are those of a negative binomial: its variance is `mean + mean**2 / shape`
    (Chernoff's bound; Johnson, Kemp and Kotz, Univariate Discrete Distributions, 5).

    >>> surprise(5, 10.0, 1.0)
    0.0
    >>> round(surprise(30, 10.0, 1e9), 2)
    5.63
    """
    if count <= mean:
        return 0.0
    bound = count * ln(count / mean)
    if shape > _POISSON:
        bound -= count - mean
    else:
        bound -= (count + shape) * ln((count + shape) / (mean + shape))
        if shape < 1.0:  # its terms fall as a geometric series: r p**k q**(r - 1) bounds their sum
            series = -ln(shape) - count * ln(mean / (mean + shape))
            series -= (shape - 1.0) * ln(shape / (mean + shape))
            bound = max(bound, series)
    return bound * _LOG10_E


def fewest(mean: float, surprised: float) -> int:
    """Give the largest count so far below a mean that it is as surprising as that, or -1.

    Chernoff's bound of the lower tail of a Poisson distribution.

    >>> fewest(30.0, 3.0), fewest(5.0, 3.0)
    (12, -1)
    """
    count = -1
    while count + 1 < mean:
        more = count + 1
        bound = mean - more + (more * ln(more / mean) if more else 0.0)
        if bound * _LOG10_E < surprised:
            break
        count = more
    return count


def most(mean: float, shape: float, surprised: float) -> float:
    """Give the largest count that is less surprising than `surprised`.

    Mean and shape are rounded to three digits first, so that the answer can be looked up.

    >>> most(1.0, 1e9, 3.0) < 7 < most(1.0, 1.0, 3.0)
    True
    """
    key = (float(f"{max(mean, 1e-6):.3g}"), float(f"{min(max(shape, 1e-6), 1e7):.3g}"), surprised)
    found = _known.get(key)
    if found is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        found = _known[key] = _most(*key)
    return found


class _Excess:
    """How far the surprise of a count is beyond a target, by the processor's own logarithm."""

    def __init__(self, mean: float, shape: float, target: float) -> None:
        self._mean, self._shape, self._target = mean, shape, target
        self._is_poisson = shape > _POISSON
        self._room = mean if self._is_poisson else mean + shape
        self._fall = log(mean / self._room)
        self._series = 0.0
        if shape < 1.0:
            self._series = -log(shape) - (shape - 1.0) * log(shape / self._room)

    def at(self, x: float) -> tuple[float, float]:
        """Give the excess of `x`, and its slope there."""
        shape = self._shape
        rise = log(x / self._mean) if x > self._mean else 0.0
        if self._is_poisson:
            return x * rise - (x - self._mean) - self._target, rise
        more = log((x + shape) / self._room)
        bound = x * rise - (x + shape) * more
        if shape < 1.0 and (series := self._series - x * self._fall) > bound:
            return series - self._target, -self._fall
        return bound - self._target, rise - more

    def doubt(self, x: float) -> float:
        """Give up to which excess the logarithm of `ln` might say otherwise."""
        return _ROUGH * (x + (0.0 if self._is_poisson else self._shape) + 1.0)

    def around(self, low: float, high: float) -> tuple[float, float]:
        """Give counts that are beyond doubt below and above the target, between two others.

        By Newton's method, from the right: surprise is convex.
        """
        near, (over, slope) = high, self.at(high)
        for _ in range(_NARROWED):
            if slope <= 0.0 or over < self.doubt(near):
                break
            near = max(low, near - over / slope)
            over, slope = self.at(near)
        if slope > 0.0:
            apart = 4.0 * self.doubt(near) / slope
            if near - apart > low and self.at(near - apart)[0] < -self.doubt(near):
                low = near - apart
            if self.at(near + apart)[0] > self.doubt(near + apart):
                high = near + apart
        return low, high


def _most(mean: float, shape: float, surprised: float) -> float:
    """Find what `most` gives by bisection, most steps of which need no logarithm."""
    excess = _Excess(mean, shape, surprised / _LOG10_E)

    def is_less(x: float) -> bool:
        over, doubt = excess.at(x)[0], excess.doubt(x)
        if -doubt < over < doubt:
            return surprise(x, mean, shape) < surprised
        return over < 0.0

    low, high = mean, mean + 1.0
    while is_less(high):
        low, high = high, 2.0 * high
    under, above = excess.around(low, high)
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if middle <= under or (middle < above and is_less(middle)):
            low = middle
        else:
            high = middle
    return low


def gamma(
    count: float, squares: float, slots: float, prior_slots: float, window: float = 1.0
) -> tuple[float, float]:
    """Give mean a slot, and shape, of a window of slots where `count` came in so many before.

    `squares` sums the squares of what came in each of them: what they say beyond chance widens the
    scatter, less so in a window of several. With `SHAPE` in `prior_slots` as prior (Gelman et al.,
    Bayesian Data Analysis, 2.6).

    >>> gamma(0.0, 0.0, 0.0, 0.02)
    (2.5, 0.05)
    """
    known = SHAPE + count
    shape = known
    if slots > 0.0 and count > 0.0:
        mean = count / slots
        over = squares / slots - mean * mean - mean
        if over > 0.0:
            shape = 1.0 / (1.0 / known + over / (mean * mean * max(window, 1.0)))
    return known / (prior_slots + slots), shape


def with_surge(mean: float, shape: float, surge: float) -> tuple[float, float]:
    """Give mean and shape of a count to which a surge adds `surge` messages on the average.

    What it brings to one victim scatters like a ratio that is known from `SMOOTH` messages.

    >>> with_surge(2.0, 8.0, 0.0)
    (2.0, 8.0)
    """
    if surge <= 0.0:
        return mean, shape
    both = mean + surge
    return both, both * both / (mean * mean / shape + surge * surge / SMOOTH)
