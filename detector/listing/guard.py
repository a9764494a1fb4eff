"""The guard's first half: what is never listed, whatever it did (RFC 6471, 3.4).

A range is compared with the whole subject: an allowed host inside an IPv6 /64 keeps that /64 off
the list, because a listing would block it too.
"""

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

__all__ = ["RESERVED", "NeverList"]

RESERVED: Final = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
    "::/64", "fc00::/7", "fe80::/10", "ff00::/8",
)  # fmt: skip
"""Space that no mail comes from. Documentation ranges are absent: tests and demos list them."""

_CARRY_IPV4: Final = (0xFFFF << 32, 0x64FF9B << 96)
"""IPv4-mapped space and NAT64's 64:ff9b::/96: the IPv4 address is the rest."""
_SIX_TO_FOUR: Final = 0x2002


class NeverList:
    """Ranges of subjects, IPv4 addresses and IPv6 /64s, in sorted arrays.

    >>> guard = NeverList(["2001:db8:0:1::25", "198.51.100.0/30"])
    >>> guard.covers(bytes([127, 0, 0, 2])), guard.covers(bytes([198, 51, 100, 4]))
    (True, False)
    >>> guard.covers(bytes.fromhex("20010db800000001"))
    True
    """

    def __init__(self, ranges: Iterable[str] = ()) -> None:
        """Add `ranges` (CIDR or single addresses) to the reserved space."""
        spans: dict[int, list[tuple[int, int]]] = {4: [], 8: []}
        for text in (*RESERVED, *ranges):
            network = ipaddress.ip_network(text, strict=False)
            first, last = int(network.network_address), int(network.broadcast_address)
            if network.version == 4:  # noqa: PLR2004 - the protocol's version
                spans[4].append((first, last))
                continue
            spans[8].append((first >> 64, last >> 64))
            for base in _CARRY_IPV4:
                low, high = max(first, base), min(last, base + 2**32 - 1)
                if low <= high and network.prefixlen >= 96:  # noqa: PLR2004 - IPv4 is behind it
                    spans[4].append((low - base, high - base))
            if network.prefixlen >= 16 and first >> 112 == _SIX_TO_FOUR:  # noqa: PLR2004 - its own
                spans[4].append((first >> 80 & 0xFFFFFFFF, last >> 80 & 0xFFFFFFFF))
        self._starts: dict[int, list[int]] = {}
        self._ends: dict[int, list[int]] = {}
        for size, found in spans.items():
            found.sort()
            ends: list[int] = []
            for _, end in found:
                ends.append(max(end, ends[-1] if ends else 0))
            self._starts[size] = [start for start, _ in found]
            self._ends[size] = ends

    def covers(self, key: bytes) -> bool:
        """Say whether a subject's key (4 or 8 bytes) may never be listed."""
        number = int.from_bytes(key, "big")
        index = bisect_right(self._starts[len(key)], number) - 1
        return index >= 0 and self._ends[len(key)][index] >= number
