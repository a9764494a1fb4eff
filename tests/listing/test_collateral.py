"""What listings would cost in normal mail, and the breaker on it, against fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.listing.collateral import LEAST, Collateral, Cost
from detector.policy.settings import GuardLimits

COUNTS = st.integers(0, 10**9)
FREE = Cost(0.0, 0.0, 0.0, hold=False, alert=False)
DAY_S = 86_400


def guard(total: int, observed_s: int = DAY_S) -> Collateral:
    """Give a guard that knows normal mail; its first day is over, unless it is told otherwise."""
    out = Collateral(GuardLimits())
    out.total, out.observed_s = total, observed_s
    return out


@given(COUNTS, COUNTS, COUNTS, st.integers(1, 10**9), st.integers(0, 10**9), st.booleans())
def test_shares_are_those_of_exact_fractions(
    own: int, listed: int, victim: int, total: int, so_far: int, young: bool
) -> None:
    """It holds above 25 % in all, in the first day above 10 % for one victim; alerts earlier."""
    limits = GuardLimits()
    cost = guard(total, DAY_S - young).cost(own, listed, victim, so_far)
    every = max(total, so_far)
    in_all, for_victim = Fraction(listed + own, every), Fraction(victim + own, every)
    assert cost.own == float(Fraction(own, every))
    assert cost.in_all == float(in_all)
    assert cost.for_victim == float(for_victim)
    dear = cost.in_all > limits.hold_share and listed + own >= LEAST
    dear |= young and cost.for_victim > limits.victim_hold_share and victim + own >= LEAST
    assert cost.hold == (own > 0 and dear)
    assert cost.alert == (
        cost.in_all > limits.alert_share or cost.for_victim > limits.victim_alert_share
    )


@pytest.mark.parametrize(("own", "hold"), [(24, False), (25, False), (26, True), (100, True)])
def test_at_the_limit_it_lists_and_above_it_holds(own: int, hold: bool) -> None:
    """A quarter of a hundred messages is 25: not more than the budget."""
    assert guard(100).cost(own, 0, 0, 0).hold == hold


@pytest.mark.parametrize(
    ("own", "observed_s", "hold"),
    [(100, 0, False), (101, 0, True), (101, DAY_S - 1, True), (101, DAY_S, False)],
)
def test_in_the_first_day_one_victim_may_cost_a_tenth(
    own: int, observed_s: int, hold: bool
) -> None:
    """Later a victim's share only alerts: a provider's pool that floods is listed."""
    cost = guard(1_000, observed_s).cost(own, 0, 0, 0)
    assert (cost.hold, cost.alert) == (hold, True)


def test_the_listings_in_force_count_and_a_stranger_never_holds() -> None:
    """Many small listings are as dear as a big one; who sent nothing costs nothing."""
    assert guard(100).cost(1, 25, 0, 0).hold
    assert not guard(100).cost(0, 90, 90, 0).hold
    assert guard(100).cost(0, 90, 90, 0).alert


def test_a_handful_of_messages_is_no_share_of_anything() -> None:
    """19 of 20 messages are nearly all of them, and too few to hold for."""
    assert not guard(20, 0).cost(LEAST - 1, 0, 0, 0).hold
    assert guard(20, 0).cost(LEAST, 0, 0, 0).hold


def test_while_nothing_is_learned_the_traffic_so_far_stands_for_it() -> None:
    """No share is made up where nothing came at all."""
    assert guard(0, 0).cost(50, 50, 50, 0) == FREE
    assert guard(0, 0).cost(50, 0, 0, 100).in_all == 0.5
    assert guard(200, 0).cost(50, 0, 0, 100).in_all == 0.25


@given(st.lists(st.integers(0, 2**32 - 10), max_size=20))
def test_a_day_takes_a_seventh_and_small_counts_fade_to_nothing(counts: list[int]) -> None:
    """What is left is the floor of six sevenths; nothing stays for ever."""
    cost, normal = guard(0), np.array(counts, np.uint32)
    cost.fade(normal)
    assert normal.tolist() == [count * 6 // 7 for count in counts]
    assert cost.total == sum(normal.tolist())
    for _ in range(160):
        cost.fade(normal)
    assert not normal.any()
