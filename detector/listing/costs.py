"""What listings cost others: in all, and through floods at one customer's domain.

Of a listing a domain's budget counts what its source may be expected to send others. That is what
it has sent since the log began, where that is two messages or more. Most addresses of a large pool
have not been seen yet, or once: of those of its network that are listed for the domain, f0 have
sent nothing, f1 one message and f2 two. One that sent nothing is expected to send f1 / f0 in as
long a time, one that sent a message 2 f2 / f1 (Robbins, An empirical Bayes approach to statistics).
Held sources count in f0, f1 and f2: what is known of a pool does not depend on what is held.
"""

from dataclasses import dataclass
from typing import Final

from detector.listing.lifecycle import Listing

__all__ = ["UNIT", "Costs"]

UNIT: Final = 1024
"""Expected messages are counted in parts of so many, as integers: sums have no order."""
_FEW: Final = 2


@dataclass(slots=True)
class _Network:
    """The sources of one network that are listed for floods at one domain."""

    seen: list[int]
    """Of all of them, held ones too, those with no, one and two messages to others."""
    kept: list[int]
    """Of those that are not held, those with no and one message."""
    more: int = 0
    """The messages of those that are not held and have sent two or more."""
    more_of_all: int = 0
    """The messages of all that have sent two or more."""

    def expected(self) -> int:
        """Give what those that are not held may send others."""
        none, one = self.of_few()
        return self.kept[0] * none + self.kept[1] * one + self.more * UNIT

    def expected_of_all(self) -> int:
        """Give what all of them may send others."""
        none, one = self.of_few()
        return self.seen[0] * none + self.seen[1] * one + self.more_of_all * UNIT

    def of_few(self) -> tuple[int, int]:
        """Give what one that has sent nothing, or one message, may send others."""
        none, one, two = self.seen
        return (
            min(UNIT, one * UNIT // none) if none else 0,
            min(UNIT, 2 * two * UNIT // one) if one else 0,
        )


class Costs:
    """Sums over listings, kept as they come, change and go."""

    def __init__(self) -> None:
        self.in_all = 0
        """Messages to others of all sources whose listings are active."""
        self._networks: dict[tuple[str, int], _Network] = {}
        self._domains: dict[str, int] = {}

    def of_domain(self, domain: str) -> int:
        """Give what those listed for floods at a domain may send others, in parts of `UNIT`."""
        return self._domains.get(domain, 0)

    def of_source(self, listing: Listing) -> int:
        """Give what the source of a listing may send others, in parts of `UNIT`."""
        if listing.cost >= _FEW:
            return listing.cost * UNIT
        return self._networks[listing.domain, listing.network].of_few()[listing.cost]

    def of_network(self, listing: Listing) -> int:
        """Give what all of its network that are listed or held for its domain may send others."""
        return self._networks[listing.domain, listing.network].expected_of_all()

    def add(self, listing: Listing) -> None:
        """Count a listing."""
        self._count(listing, 1)

    def take(self, listing: Listing) -> None:
        """Count a listing no more: it ends, or something of it is about to change."""
        self._count(listing, -1)

    def set_cost(self, listing: Listing, cost: int) -> None:
        """Let the source of a listing have sent so many messages to others."""
        self.take(listing)
        listing.cost = cost
        self.add(listing)

    def set_held(self, listing: Listing, *, held: bool) -> None:
        """Hold a listing, or activate it."""
        self.take(listing)
        listing.held = held
        self.add(listing)

    def _count(self, listing: Listing, change: int) -> None:
        key = listing.domain, listing.network
        network = self._networks.get(key)
        if network is None:
            network = self._networks[key] = _Network([0, 0, 0], [0, 0])
        before = network.expected()
        if listing.cost <= _FEW:
            network.seen[listing.cost] += change
        if listing.cost >= _FEW:
            network.more_of_all += change * listing.cost
        if not listing.held:
            self.in_all += change * listing.cost
            if listing.cost < _FEW:
                network.kept[listing.cost] += change
            else:
                network.more += change * listing.cost
        left = self._domains.get(listing.domain, 0) + network.expected() - before
        if left:
            self._domains[listing.domain] = left
        else:
            self._domains.pop(listing.domain, None)
        if not (network.more_of_all or any(network.seen)):
            del self._networks[key]
