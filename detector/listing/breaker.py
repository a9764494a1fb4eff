"""The breaker on what is listed already: sources turn out to send more mail than was known.

At the end of each minute costs are counted again. What is above a budget is held, dearest first
beside what it sent into its flood, until the rest is within it. In the log's first day a domain
also has an account of what its listings blocked: while that is overdrawn, a minute like the last
one must keep to the limit.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from detector.listing.collateral import FOR_DOMAIN, LEAST, Collateral, Cost, is_material
from detector.listing.costs import Costs
from detector.listing.lifecycle import Listing

__all__ = ["Breaker", "breaker_evidence", "held_for"]


_GATEWAY_SHARE: Final = 0.25
"""A source of so much of all normal mail may be the operator's own gateway: few others bring it."""


def held_for(reason: str, own_share: float = 0.0) -> dict[str, Any]:
    """Give why a listing is held, and what an operator can do, as they stand in its decision.

    `own_share` is the source's share of normal mail.
    """
    if own_share >= _GATEWAY_SHARE:
        return {
            "held_for": reason,
            "gateway": True,
            "operator": "it brings much of all mail: if it is your own gateway, name it in "
            "guard.never_list, site.networks or --trusted-relay; if it is not, list it with "
            "`floodwatch control release`",
        }
    return {
        "held_for": reason,
        "operator": "release it with `floodwatch control release`, or leave it: it stops nothing",
    }


def breaker_evidence(cost: Cost) -> dict[str, Any]:
    """Give what a decision says of a listing that is held now because its cost has grown."""
    return {"collateral": cost.evidence()} | held_for(cost.held_for or FOR_DOMAIN, cost.own)


class Breaker:
    """Counts what listings cost, minute by minute, and says which to hold."""

    def __init__(self, collateral: Collateral, costs: Costs) -> None:
        self.accounts: dict[str, list[int]] = {}
        """By domain, in the log's first day: messages blocked, and all to others meanwhile."""
        self._collateral = collateral
        self._costs = costs

    def begin(self, domain: str) -> None:
        """Open the account of a domain in the log's first day: a source is listed for it."""
        if self._collateral.is_young():
            self.accounts.setdefault(domain, [0, 0])

    def minute_ends(
        self, sent: Sequence[tuple[Listing, int]], everything: int, listings: Iterable[Listing]
    ) -> Iterator[tuple[Listing, Cost]]:
        """Count what listed sources sent others in a minute; give the listings to hold.

        Each has to be held before the next is asked for.
        """
        costs, collateral = self._costs, self._collateral
        collateral.seen += everything
        for listing, more in sent:
            costs.set_cost(listing, listing.cost + more)
        self._book(sent, everything)
        total = max(collateral.total, collateral.seen)
        for domain in sorted(self.accounts):
            if collateral.is_over_for(costs, domain, total):
                mine = [one for one in listings if one.domain == domain]
                yield from self._held(mine, partial(collateral.is_over_for, costs, domain, total))
            if self._is_overdrawn(domain):
                of_domain = [one for one in sent if one[0].domain == domain]
                yield from self._slowed(of_domain, everything)
        if sent and collateral.is_over(costs, total):
            yield from self._held(listings, partial(collateral.is_over, costs, total))

    def _book(self, sent: Sequence[tuple[Listing, int]], everything: int) -> None:
        """Book what a minute's listings blocked."""
        if not self._collateral.is_young():
            self.accounts = {}
            return
        for account in self.accounts.values():
            account[1] += everything
        for listing, more in sent:
            if not listing.held and listing.domain in self.accounts:
                self.accounts[listing.domain][0] += more

    def _is_overdrawn(self, domain: str) -> bool:
        blocked, everything = self.accounts.get(domain, (0, 0))
        limit = self._collateral.limits.victim_hold_share
        return blocked >= LEAST and blocked > limit * everything

    def _held(
        self, listings: Iterable[Listing], is_over: Callable[[], bool]
    ) -> Iterator[tuple[Listing, Cost]]:
        """Give the dearest until the rest is within a budget."""
        for listing in self._by_price([(one, self._costs.of_source(one)) for one in listings]):
            if not is_over():
                return
            yield listing, self._collateral.cost(self._costs, listing)

    def _slowed(
        self, sent: Sequence[tuple[Listing, int]], everything: int
    ) -> Iterator[tuple[Listing, Cost]]:
        """Give the dearest of a minute until the rest of it is within the limit."""
        by_subject = {one.subject: more for one, more in sent if not one.held}
        left, limit = sum(by_subject.values()), self._collateral.limits.victim_hold_share
        for listing in self._by_price(sent):
            if left <= limit * everything:
                return
            left -= by_subject[listing.subject]
            yield listing, self._collateral.cost(self._costs, listing)

    def _by_price(self, mail: Iterable[tuple[Listing, int]]) -> list[Listing]:
        """Order by the mail to others that each message of the flood costs, the dearest first.

        Who sends next to nothing else, or whose network does, is left out; so is what an operator
        has released.
        """
        prices = [
            (-much / max(1, one.part), one.subject, one)
            for one, much in mail
            if not (one.held or one.released) and much and is_material(self._costs, one)
        ]
        prices.sort(key=lambda price: price[:2])
        return [one for _, _, one in prices]
