"""The breaker on what is listed already: sources turn out to send more mail than was known.

Dearest first, beside what they sent into their flood, until the rest is within the budget.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from detector.listing.collateral import Collateral, is_material
from detector.listing.costs import Costs
from detector.listing.lifecycle import Listing

__all__ = ["held_for", "too_dear"]


def held_for(reason: str) -> dict[str, Any]:
    """Give why a listing is held, and what an operator can do, as they stand in its decision."""
    return {
        "held_for": reason,
        "operator": "release it with `floodwatch control release`, or leave it: it stops nothing",
    }


def too_dear(
    collateral: Collateral, costs: Costs, listings: Iterable[Listing]
) -> Iterator[Listing]:
    """Give the listings to hold, one by one; each has to be held before the next is asked for."""
    by_domain: dict[str, list[Listing]] = {}
    for listing in listings:
        if not (listing.held or listing.released):
            by_domain.setdefault(listing.domain, []).append(listing)
    total = max(collateral.total, collateral.seen)
    for domain, mine in sorted(by_domain.items()):
        if collateral.is_over_for(costs, domain, total):
            for listing in _by_price(costs, mine):
                if not collateral.is_over_for(costs, domain, total):
                    break
                yield listing
    if collateral.is_over(costs, total):
        kept = [one for mine in by_domain.values() for one in mine if not one.held]
        for listing in _by_price(costs, kept):
            if not collateral.is_over(costs, total):
                break
            yield listing


def _by_price(costs: Costs, listings: Iterable[Listing]) -> list[Listing]:
    """Order by the mail to others that each message of the flood costs, the dearest first.

    Who sends next to nothing else, or whose network does, is left out.
    """
    prices = [
        (-costs.of_source(one) / max(1, one.part), one.subject, one)
        for one in listings
        if is_material(costs, one)
    ]
    prices.sort(key=lambda price: price[:2])
    return [one for _, _, one in prices]
