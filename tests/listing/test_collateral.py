"""What listings would cost in normal mail, and the breaker on it, against fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.listing.collateral import Collateral, Cost
from detector.policy.settings import GuardLimits

COUNTS = st.integers(0, 10**9)
FREE = Cost(0.0, 0.0, 0.0, hold=False, alert=False)


def warm(total: int, limits: GuardLimits | None = None) -> Collateral:
    """Give a guard that knows normal mail."""
    out = Collateral(limits or GuardLimits(warm_s=60))
    out.total, out.observed_s = total, 60
    return out


@given(COUNTS, COUNTS, COUNTS, st.integers(1, 10**9))
def test_shares_are_those_of_exact_fractions(
    own: int, listed: int, victim: int, total: int
) -> None:
    """It holds above a quarter, alerts above 5 % in all or 2 % for one victim."""
    limits = GuardLimits(warm_s=60)
    cost = warm(total, limits).cost(own, listed, victim)
    in_all, for_victim = Fraction(listed + own, total), Fraction(victim + own, total)
    assert cost.own == float(Fraction(own, total))
    assert cost.in_all == float(in_all)
    assert cost.for_victim == float(for_victim)
    assert cost.hold == (own > 0 and max(cost.in_all, cost.for_victim) > limits.hold_share)
    assert cost.alert == (
        cost.in_all > limits.alert_share or cost.for_victim > limits.victim_alert_share
    )


@pytest.mark.parametrize(("own", "hold"), [(24, False), (25, False), (26, True), (100, True)])
def test_at_the_limit_it_lists_and_above_it_holds(own: int, hold: bool) -> None:
    """A quarter of a hundred messages is 25: not more than the budget."""
    assert warm(100).cost(own, 0, 0).hold == hold


def test_the_listings_in_force_count_and_a_stranger_never_holds() -> None:
    """Many small listings are as dear as a big one; who sent nothing costs nothing."""
    assert warm(100).cost(1, 25, 0).hold
    assert not warm(100).cost(0, 90, 90).hold
    assert warm(100).cost(0, 90, 90).alert


@pytest.mark.parametrize(("total", "observed_s"), [(0, 10**6), (100, 59), (0, 0)])
def test_the_breaker_is_off_until_normal_mail_is_known(total: int, observed_s: int) -> None:
    """Nothing learned, or not for long enough: no shares are made up."""
    guard = warm(total)
    guard.observed_s = observed_s
    assert guard.cost(50, 50, 50) == FREE


@given(st.lists(st.integers(0, 2**32 - 10), max_size=20))
def test_a_day_takes_a_seventh_and_small_counts_fade_to_nothing(counts: list[int]) -> None:
    """What is left is the floor of six sevenths; nothing stays for ever."""
    guard, normal = warm(0), np.array(counts, np.uint32)
    guard.fade(normal)
    assert normal.tolist() == [count * 6 // 7 for count in counts]
    assert guard.total == sum(normal.tolist())
    for _ in range(160):
        guard.fade(normal)
    assert not normal.any()
