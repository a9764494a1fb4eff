"""The guard's second half: what listings would cost in normal mail, and the breaker on it.

Normal mail is what the relations learned over about a week, or in a log's first days all that came
to victims that are not flooded. Sums are integers, so that the share is the same on every
processor.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.listing.costs import UNIT, Costs
from detector.listing.lifecycle import Listing
from detector.memory.chance import NO_SCATTER, most
from detector.policy.settings import GuardLimits

__all__ = ["FOR_DOMAIN", "LEAST", "Collateral", "Cost", "is_material"]

LEAST: Final = 20
"""Messages that a share is read from at least: those of a minute's limit."""
IN_ALL: Final = "the cost of all listings"
FOR_DOMAIN: Final = "the cost of the listings for one customer's domain"
_CHANCE: Final = 1.0
"""A domain's share counts as high as it is by chance in one of ten to the power of this cases."""


class Cost(NamedTuple):
    """What a listing costs: shares of normal mail, and what follows from them.

    `expected` are the messages to others that its source may be expected to send in as long as the
    log has seen; `held_for` says which budget it exceeds, or nothing.
    """

    own: float
    expected: float
    in_all: float
    for_domain: float
    held_for: str
    alert: bool

    def evidence(self) -> dict[str, Any]:
        """Give the figures as they stand in a decision."""
        return {
            "own_share": round(self.own, 6),
            "expected_messages": round(self.expected, 3),
            "share_in_all": round(self.in_all, 6),
            "share_for_domain": round(self.for_domain, 6),
            "alert": self.alert,
        }


def is_material(costs: Costs, listing: Listing) -> bool:
    """Say whether a source may be held: its network's sources together cost a share of anything."""
    return costs.of_source(listing) > 0 and costs.of_network(listing) >= LEAST * UNIT


class Collateral:
    """Normal mail by source, and the part of it that active listings block."""

    def __init__(self, limits: GuardLimits) -> None:
        self.limits = limits
        self.total = 0
        """Messages learned of all sources."""
        self.seen = 0
        """Messages to victims that were not flooded, fading as what is learned does."""
        self.observed_s = 0

    def cost(self, costs: Costs, listing: Listing, everything: int = 0) -> Cost:
        """Judge a listing that counts in `costs` as active, of `everything` that was sent so far.

        A handful of messages is no share of anything, and a source that is not expected to send
        anything else is never held, nor one whose network sends next to nothing else.
        """
        total = max(self.total, self.seen, everything)
        if total <= 0:
            return Cost(0.0, 0.0, 0.0, 0.0, "", alert=False)
        in_all, domain = costs.in_all / total, costs.of_domain(listing.domain) / UNIT / total
        limits = self.limits
        held_for = ""
        if is_material(costs, listing):
            if self.is_over(costs, total):
                held_for = IN_ALL
            elif self.is_over_for(costs, listing.domain, total):
                held_for = FOR_DOMAIN
        alert = in_all > limits.alert_share or domain > limits.victim_alert_share
        expected = costs.of_source(listing) / UNIT
        return Cost(listing.cost / total, expected, in_all, domain, held_for, alert=alert)

    def is_young(self) -> bool:
        """Say whether the log is in its first day."""
        return self.observed_s < self.limits.first_day_s

    def is_over(self, costs: Costs, total: int) -> bool:
        """Say whether all listings together block more than they may."""
        return costs.in_all > self.limits.hold_share * total and costs.in_all >= LEAST

    def is_over_for(self, costs: Costs, domain: str, total: int) -> bool:
        """Say whether those for one domain may block more than they may, in the log's first day."""
        expected = costs.of_domain(domain)
        return (
            self.is_young()
            and expected >= LEAST * UNIT
            and most(expected / UNIT, NO_SCATTER, _CHANCE) > self.limits.victim_hold_share * total
        )

    def fade(self, normal: NDArray[np.uint32]) -> None:
        """Let one day's worth of normal mail go: a seventh, rounded so that small counts fade."""
        normal -= (normal + np.uint32(6)) // np.uint32(7)
        self.total = int(normal.sum(dtype=np.int64))
        self.seen -= (self.seen + 6) // 7
