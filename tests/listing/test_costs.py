"""What listings cost others: expected of a pool most of which has sent nothing yet, and kept."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.listing.breaker import Breaker
from detector.listing.collateral import FOR_DOMAIN, IN_ALL, Collateral, Cost
from detector.listing.costs import UNIT, Costs
from detector.listing.lifecycle import Listing
from detector.policy.settings import GuardLimits
from tests.listing.costly import a_listing, listed

SOURCES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.booleans()), max_size=30)


def told(sources: list[tuple[int, int, bool]]) -> int:
    """Say what sources (cost, network, held) are expected to send, from the formula."""
    expected = 0
    for network in {network for _, network, _ in sources}:
        mine = [(cost, held) for cost, of, held in sources if of == network]
        seen = Counter(cost for cost, _ in mine)
        none = min(UNIT, seen[1] * UNIT // seen[0]) if seen[0] else 0
        one = min(UNIT, 2 * seen[2] * UNIT // seen[1]) if seen[1] else 0
        each = {0: none, 1: one}
        expected += sum(each.get(cost, cost * UNIT) for cost, held in mine if not held)
    return expected


@given(SOURCES, st.randoms(use_true_random=False))
def test_sums_are_those_of_the_formula_in_whatever_order_listings_come_and_go(
    sources: list[tuple[int, int, bool]], random: object
) -> None:
    """Held ones say what to expect of a pool, and cost nothing."""
    costs, every = Costs(), []
    for at, (cost, network, held) in enumerate(sources):
        one = a_listing(f"10.0.0.{at}", cost, network=network)
        one.held = held
        every.append(one)
        costs.add(one)
    assert costs.of_domain("example.org") == told(sources)
    assert costs.in_all == sum(cost for cost, _, held in sources if not held)
    random.shuffle(every)  # type: ignore[attr-defined]
    for one in every:
        costs.take(one)
    assert (costs.of_domain("example.org"), costs.in_all) == (0, 0)


def test_a_pool_that_has_hardly_sent_anything_costs_what_it_sent_in_all() -> None:
    """Of 1,000 addresses 95 sent one message and 5 two: 105, give or take the 5 that sent two."""
    costs, every = listed(*[0] * 900, *[1] * 95, *[2] * 5)
    assert 100 <= costs.of_domain("example.org") / UNIT <= 116
    assert 0 < costs.of_source(every[0]) < UNIT / 9
    assert costs.of_source(every[-1]) == 2 * UNIT


def test_bots_are_expected_to_send_nothing_beside_hosts_that_do() -> None:
    """One customer of their network sends much: nobody sent a single message, so they are not."""
    costs, every = listed(*[0] * 50, 400)
    assert costs.of_source(every[0]) == 0


def held_by(breaker: Breaker, sent: list[tuple[Listing, int]], everything: int,
            every: list[Listing], costs: Costs) -> dict[str, Cost]:  # fmt: skip
    """End a minute; give what was held."""
    out = {}
    for one, cost in breaker.minute_ends(sent, everything, every):
        costs.set_held(one, held=True)
        out[one.subject] = cost
    return out


def breaker(costs: Costs, *, total: int, observed_s: int) -> Breaker:
    collateral = Collateral(GuardLimits())
    collateral.total, collateral.observed_s = total, observed_s
    return Breaker(collateral, costs)


def test_a_source_that_turns_out_dear_is_held_in_the_first_day() -> None:
    """The one that sends others most beside its part in the flood; the rest stays listed."""
    costs, every = listed(30, 30, 30)
    one = breaker(costs, total=2_000, observed_s=60)
    one.begin("example.org")
    assert not held_by(one, [], 10, every, costs)
    held = held_by(one, [(every[1], 120)], 130, every, costs)
    assert [*held] == [every[1].subject]
    assert held[every[1].subject].held_for == FOR_DOMAIN


def test_an_account_that_is_overdrawn_slows_the_dearest_of_the_minute() -> None:
    """Four of ten messages were blocked: who sends now is held until a tenth is left."""
    costs, every = listed(2, 2, 2, 2)
    one = breaker(costs, total=100_000, observed_s=60)
    one.begin("example.org")
    sent = [(every[0], 50), (every[1], 8), (every[2], 2)]
    assert [*held_by(one, sent, 100, every, costs)] == [every[0].subject]
    assert one.accounts == {"example.org": [60, 100]}


def test_later_only_all_listings_together_have_a_budget() -> None:
    """A fifth through one domain stays listed; what would pass a quarter is held, and told why."""
    costs, every = listed(100, 100)
    one = breaker(costs, total=1_000, observed_s=86_400)
    one.begin("example.org")
    assert not held_by(one, [(every[0], 40)], 40, every, costs)
    held = held_by(one, [(every[1], 60)], 60, every, costs)
    assert [(who, cost.held_for) for who, cost in held.items()] == [(every[1].subject, IN_ALL)]
    assert one.accounts == {}


def test_what_an_operator_released_is_not_held_again() -> None:
    costs, every = listed(400, 20)
    every[0].released = True
    one = breaker(costs, total=1_000, observed_s=86_400)
    assert [*held_by(one, [(every[0], 1)], 1, every, costs)] == [every[1].subject]


def test_a_pool_of_little_mail_is_never_held_beside_a_dear_one() -> None:
    """A budget that is spent shields nobody who sends next to nothing else."""
    costs, every = listed(400)
    stranger = a_listing("203.0.113.7", 5, network=65_010)
    costs.add(stranger)
    one = breaker(costs, total=100, observed_s=60)
    one.begin("example.org")
    held = held_by(one, [(stranger, 1)], 1, [*every, stranger], costs)
    assert stranger.subject not in held


def test_expected_of_a_pool_is_what_it_goes_on_to_send() -> None:
    """Poisson senders: as much again as in the time before, within chance."""
    rng = np.random.default_rng(7)
    rates = rng.gamma(0.5, 0.4, 3_000)
    costs, _ = listed(*rng.poisson(rates).tolist())
    assert abs(costs.of_domain("example.org") / UNIT / rates.sum() - 1.0) < 0.25
