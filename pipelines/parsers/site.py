"""What an operator says of the own site, where a mail log cannot say it."""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

__all__ = ["Site", "networks_of"]


@dataclass(frozen=True, slots=True)
class Site:
    """`copies` get copies of other mail; mail of hosts in `networks` is outbound."""

    copies: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


def networks_of(texts: Collection[str]) -> list[IPv4Network | IPv6Network]:
    """Read addresses and networks.

    Raises:
        ValueError: one is none.
    """
    return [ipaddress.ip_network(text, strict=False) for text in texts]
