"""What listings would cost in normal mail, and the breaker on it, against fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.listing.collateral import FOR_DOMAIN, IN_ALL, LEAST, Collateral, Cost
from detector.listing.costs import Costs
from detector.policy.settings import GuardLimits
from tests.listing.costly import a_listing, listed

COUNTS = st.integers(0, 10**9)
DAY_S = 86_400


def guard(total: int, observed_s: int = DAY_S) -> Collateral:
    """Give a guard that knows normal mail; its first day is over, unless it is told otherwise."""
    out = Collateral(GuardLimits())
    out.total, out.observed_s = total, observed_s
    return out


def judged(collateral: Collateral, costs: Costs, own: int, so_far: int = 0) -> Cost:
    """Judge one more listing of a source with `own` messages to others."""
    one = a_listing("192.0.2.200", own)
    costs.add(one)
    return collateral.cost(costs, one, so_far)


@given(COUNTS, COUNTS, COUNTS, st.integers(1, 10**9), st.integers(0, 10**9))
def test_shares_are_those_of_exact_fractions(
    own: int, others: int, same: int, total: int, so_far: int
) -> None:
    """It holds above 25 % in all, and alerts earlier; what is known best is the whole."""
    limits = GuardLimits()
    costs, _ = listed(same, 3)
    costs.add(a_listing("198.51.100.9", others, domain="else.example"))
    cost = judged(guard(total), costs, own, so_far)
    every = max(total, so_far)
    blocked = own + others + same + 3
    assert cost.own == float(Fraction(own, every))
    assert cost.in_all == float(Fraction(blocked, every))
    dear = cost.in_all > limits.hold_share and own > 1 and own + same + 3 >= LEAST
    assert own < 2 or (cost.held_for == IN_ALL) == dear
    assert cost.alert == (
        cost.in_all > limits.alert_share or cost.for_domain > limits.victim_alert_share
    )


@pytest.mark.parametrize(("own", "held"), [(24, ""), (25, ""), (26, IN_ALL), (100, IN_ALL)])
def test_at_the_limit_it_lists_and_above_it_holds(own: int, held: str) -> None:
    """A quarter of a hundred messages is 25: not more than the budget."""
    assert judged(guard(100), Costs(), own).held_for == held


@pytest.mark.parametrize(
    ("own", "observed_s", "held"),
    [(70, 0, ""), (101, 0, FOR_DOMAIN), (101, DAY_S - 1, FOR_DOMAIN), (101, DAY_S, "")],
)
def test_in_the_first_day_one_domain_may_cost_a_tenth(own: int, observed_s: int, held: str) -> None:
    """Chance counts: 70 of 1,000 may be a tenth. Later a share only alerts: a pool is listed."""
    cost = judged(guard(1_000, observed_s), Costs(), own)
    assert (cost.held_for, cost.alert) == (held, True)


def test_another_customers_listings_are_no_part_of_a_domains_budget() -> None:
    """What one customer did is not counted against another."""
    costs = Costs()
    costs.add(a_listing("198.51.100.9", 95, domain="else.example"))
    assert judged(guard(1_000, 0), costs, 50).held_for == ""


def test_who_sends_nothing_else_is_never_held() -> None:
    """Nor is one whose network sends next to nothing else: filling the budget shields nobody."""
    costs, _ = listed(90)
    assert judged(guard(100), costs, 0).held_for == ""
    costs, _ = listed(90)
    stranger = a_listing("203.0.113.7", LEAST - 1, network=65_010)
    costs.add(stranger)
    assert guard(100).cost(costs, stranger).held_for == ""


def test_a_handful_of_messages_is_no_share_of_anything() -> None:
    """19 of 20 messages are nearly all of them, and too few to hold for."""
    assert judged(guard(20, 0), Costs(), LEAST - 1).held_for == ""
    assert judged(guard(20, 0), Costs(), LEAST).held_for == IN_ALL


def test_while_nothing_is_learned_the_traffic_so_far_stands_for_it() -> None:
    """No share is made up where nothing came at all."""
    assert judged(guard(0, 0), Costs(), 50) == Cost(0.0, 0.0, 0.0, 0.0, "", alert=False)
    assert judged(guard(0, 0), Costs(), 50, 100).in_all == 0.5
    assert judged(guard(200, 0), Costs(), 50, 100).in_all == 0.25
    seen = guard(0, 0)
    seen.seen = 500
    assert judged(seen, Costs(), 50, 100).in_all == 0.1


@given(st.lists(st.integers(0, 2**32 - 10), max_size=20), st.integers(0, 10**9))
def test_a_day_takes_a_seventh_and_small_counts_fade_to_nothing(
    counts: list[int], seen: int
) -> None:
    """What is left is the floor of six sevenths; nothing stays for ever."""
    cost, normal = guard(0), np.array(counts, np.uint32)
    cost.seen = seen
    cost.fade(normal)
    assert normal.tolist() == [count * 6 // 7 for count in counts]
    assert (cost.total, cost.seen) == (sum(normal.tolist()), seen * 6 // 7)
    for _ in range(160):
        cost.fade(normal)
    assert not normal.any()
    assert cost.seen == 0
