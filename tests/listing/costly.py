"""Listings that cost something."""

from detector.listing.costs import Costs
from detector.listing.lifecycle import TEMPORARY, Listing

__all__ = ["a_listing", "listed"]

DOMAIN, NETWORK = "example.org", 65_001


def a_listing(
    subject: str, cost: int, *, domain: str = DOMAIN, network: int = NETWORK, part: int = 10
) -> Listing:
    """Give a listing of a source that sent others so many messages."""
    return Listing(
        subject=subject, slot=0, rule="victim_flood", tier=TEMPORARY, asn=network, provider="",
        first_seen=0, last_seen=0, listed_at=0, observed_at=0, repeats=0, told_at=0,
        victim="a***@e***.org", cost=cost, domain=domain, network=network, part=part,
    )  # fmt: skip


def listed(*costs: int) -> tuple[Costs, list[Listing]]:
    """Give the sums over listings of one network for one domain, and those."""
    every = [a_listing(f"192.0.2.{at}", cost) for at, cost in enumerate(costs, 1)]
    sums = Costs()
    for one in every:
        sums.add(one)
    return sums, every
