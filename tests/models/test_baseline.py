"""Baseline: nothing learned is no number; a mean first, then a fading one."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.models.base import NOT_READY, Normal, NotReady
from detector.models.baseline import Baseline

COUNTS = st.lists(st.integers(0, 100_000), min_size=1, max_size=80)


def normal(model: Baseline) -> Normal:
    """Give what has been learned."""
    answer = model.normal()
    assert isinstance(answer, Normal)
    return answer


def test_a_model_that_has_learned_nothing_says_so() -> None:
    """`NotReady`, never 0: with 0 every first message would be above normal."""
    assert Baseline(0.05).normal() is NOT_READY
    assert isinstance(Baseline.restored(Baseline(0.05).state()).normal(), NotReady)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=20))
def test_the_first_samples_are_averaged(counts: list[int]) -> None:
    """Up to 1 / fading samples all weigh the same, zeros too."""
    model = Baseline(0.05)
    for count in counts:
        model.learn_one(count)
    got = normal(model)
    assert got.samples == len(counts)
    assert got.mean == pytest.approx(statistics.fmean(counts), abs=1e-6)
    spread = max(statistics.pvariance(counts), got.mean)
    assert got.deviation == pytest.approx(math.sqrt(max(spread, 0)), rel=1e-3, abs=1e-2)


@given(COUNTS)
def test_normal_lies_within_what_was_seen_and_spreads_like_chance_at_least(
    counts: list[int],
) -> None:
    """Between the least and the most; the deviation is at least that of a Poisson count."""
    model = Baseline(0.05)
    for count in counts:
        model.learn_one(count)
        got = normal(model)
        assert got.deviation >= math.sqrt(max(got.mean, 0.0)) * (1 - 1e-9)
    assert min(counts) - 1e-6 <= got.mean <= max(counts) + 1e-6 * max(counts) + 1e-6


@given(COUNTS)
def test_learning_is_what_the_formula_says(counts: list[int]) -> None:
    """A plain mean of 1 / fading samples, then steps of `fading` towards each new one."""
    fading = 0.25
    model, mean = Baseline(fading), 0.0
    for index, count in enumerate(counts):
        model.learn_one(count)
        weight = 1 / (index + 1) if index < 1 / fading else fading
        mean += weight * (count - mean)
        assert normal(model).mean == pytest.approx(mean, rel=1e-6, abs=1e-6)


def test_one_wild_sample_moves_a_settled_normal_by_its_weight() -> None:
    """A mailbox that always gets 100 does not take 2,000 for normal after ten minutes of them."""
    model = Baseline(0.05)
    for _ in range(144):
        model.learn_one(100)
    model.learn_one(2_000)
    assert normal(model).mean == pytest.approx(100 + 0.05 * 1_900)


def test_a_start_counts_as_well_founded() -> None:
    """It is a normal at once, and the next samples only shift it."""
    model = Baseline(0.05, 40.0)
    assert normal(model).mean == pytest.approx(40.0)
    assert normal(model).samples == 20
    model.learn_one(60)
    assert normal(model).mean == pytest.approx(41.0)


@given(COUNTS, COUNTS)
def test_a_model_comes_back_bit_by_bit(before: list[int], after: list[int]) -> None:
    """Restored at any point it learns on to the same floats."""
    model = Baseline(0.05)
    for count in before:
        model.learn_one(count)
    again = Baseline.restored(model.state())
    for count in after:
        model.learn_one(count)
        again.learn_one(count)
    assert model.normal() == again.normal()
    assert model.state() == again.state()
