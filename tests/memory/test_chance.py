"""Chance: a bound of the exact tail of the negative binomial, and the count it allows."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.memory.chance import gamma, ln, most, surprise
from detector.policy.constants import SHAPE

MEANS = st.floats(1e-3, 200.0)
SHAPES = st.floats(0.05, 1e5)


def exact(count: int, mean: float, shape: float) -> float:
    """Give -log10 of the chance of `count` or more, term by term from the largest."""
    log_p = math.log(mean) - math.log(mean + shape)
    terms = []
    for k in range(count, count + 4_000):
        log_term = math.lgamma(k + shape) - math.lgamma(shape) - math.lgamma(k + 1)
        log_term += shape * (math.log(shape) - math.log(mean + shape)) + k * log_p
        terms.append(log_term)
        if len(terms) > 50 and log_term < max(terms) - 40:
            break
    top = max(terms)
    tail = top + math.log(math.fsum(math.exp(term - top) for term in terms))
    return -tail / math.log(10)


@given(st.integers(1, 400), MEANS, SHAPES)
def test_surprise_is_never_more_than_the_exact_tail_allows(
    count: int, mean: float, shape: float
) -> None:
    """It bounds the chance from above, so that nothing is called rarer than it is."""
    assert surprise(count, mean, shape) <= max(0.0, exact(count, mean, shape)) + 1e-6


@given(st.integers(1, 400), st.floats(1e-3, 200.0))
def test_surprise_of_a_poisson_count_is_bounded_too(count: int, mean: float) -> None:
    """Beyond a million the shape is that of a Poisson distribution."""
    terms = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count, count + 2_000)]
    top = max(terms)
    tail = top + math.log(math.fsum(math.exp(term - top) for term in terms))
    assert surprise(count, mean, 1e9) <= max(0.0, -tail / math.log(10)) + 1e-6


@given(st.integers(1, 10**6), MEANS, SHAPES)
def test_surprise_grows_with_the_count(count: int, mean: float, shape: float) -> None:
    """And is 0 up to the mean."""
    assert surprise(count + 1, mean, shape) >= surprise(count, mean, shape) - 1e-9
    assert surprise(mean, mean, shape) == 0.0


@given(MEANS, SHAPES, st.sampled_from((0.5, 1.0, 3.0, 9.0)))
def test_most_is_where_surprise_begins(mean: float, shape: float, surprised: float) -> None:
    """Just below it nothing is a surprise, just above everything is; at three digits of each."""
    rounded = float(f"{mean:.3g}"), float(f"{shape:.3g}")
    limit = most(mean, shape, surprised)
    assert surprise(limit * (1 - 1e-6), *rounded) <= surprised
    assert surprise(limit * (1 + 1e-6) + 1e-6, *rounded) >= surprised - 1e-6
    assert most(*rounded, surprised) == limit


@given(st.integers(1, 10**6), MEANS, SHAPES)
def test_numpys_numbers_give_the_same_bits(count: int, mean: float, shape: float) -> None:
    """A number decides alike whether it comes from a column or not."""
    numbers = np.float64(count), np.float64(mean), np.float64(shape)
    assert float(surprise(*numbers)).hex() == surprise(count, mean, shape).hex()
    assert float(most(numbers[1], numbers[2], 3.0)).hex() == most(mean, shape, 3.0).hex()


@given(st.floats(1e-300, 1e300))
def test_ln_is_the_natural_logarithm(x: float) -> None:
    """To a part in 10**9."""
    assert ln(x) == pytest.approx(math.log(x), rel=1e-9, abs=1e-9)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 6))
def test_gamma_is_the_mean_with_a_prior_and_the_scatter_beyond_chance(
    counts: list[int], window: int
) -> None:
    """Against exact fractions; a rate that never scatters is known as well as its count."""
    slots, total = len(counts), sum(counts)
    squares = sum(count * count for count in counts)
    mean, shape = gamma(float(total), float(squares), float(slots), 0.02, float(window))
    assert mean == pytest.approx((SHAPE + total) / (0.02 + slots))
    average = Fraction(total, slots)
    over = Fraction(squares, slots) - average * average - average
    if total == 0 or over <= 0:
        assert shape == pytest.approx(SHAPE + total)
    else:
        want = 1 / (1 / (SHAPE + total) + float(over / (average * average)) / window)
        assert shape == pytest.approx(want)
        assert shape < SHAPE + total
