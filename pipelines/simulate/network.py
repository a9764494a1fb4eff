"""The synthetic internet: autonomous systems, their address space, and the hosts in it."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import numpy as np
from numpy.random import Generator

from pipelines.simulate.columns import IntArray, as_ints

__all__ = ["Network", "System"]

_SPECIAL_FIRST: Final = frozenset({0, 10, 100, 127, 169, 172, 192, 198, 203})
_LAST_UNICAST: Final = 223
_V6_ROOTS: Final = (0x2A00, 0x2600, 0x2400, 0x2800, 0x2C00)


@dataclass(slots=True)
class System:
    """One autonomous system. `v4` holds `(first, size)` blocks, `v6` the first of its /32."""

    asn: int
    name: str
    country: str
    v4: list[tuple[int, int]]
    v6: int
    used: set[int] = field(default_factory=set)
    reserved: int = 0


@dataclass(slots=True)
class Network:
    """Hands out address space and hosts; hosts are known by their index.

    `ips[i]` and `asns[i]` belong to host `i`. No address is handed out twice, special-purpose
    IPv4 ranges (private, documentation, multicast and so on) are never used.
    """

    systems: list[System] = field(default_factory=list)
    ips: list[str] = field(default_factory=list)
    asns: list[int] = field(default_factory=list)
    _free16: list[int] = field(default_factory=list)
    _slice: tuple[int, int] = (0, 0)

    @classmethod
    def draw(cls, rng: Generator) -> "Network":
        """Make an empty network with its /16 blocks in random order."""
        tops = [
            (first << 8 | second) << 16
            for first in range(1, _LAST_UNICAST + 1)
            if first not in _SPECIAL_FIRST
            for second in range(0, 256, 3)
        ]
        rng.shuffle(tops)
        return cls(_free16=tops)

    def add_system(
        self, rng: Generator, asn: int, name: str, country: str, sizes: list[int]
    ) -> System:
        """Add a system with one IPv4 block for each prefix length in `sizes` (16 to 24)."""
        blocks = [self._block(length) for length in sizes]
        root = int(rng.choice(_V6_ROOTS)) << 112
        v6 = root | (len(self.systems) * 41 + int(rng.integers(1, 40))) << 96
        system = System(asn, name, country, blocks, v6)
        self.systems.append(system)
        return system

    def hosts_v4(self, rng: Generator, system: System, count: int) -> IntArray:
        """Take `count` unused IPv4 hosts anywhere in the system (fewer when it is full)."""
        return self._add(system, self._unused(rng, system, count, system.v4))

    def near_v4(self, rng: Generator, system: System, count: int, length: int) -> IntArray:
        """Take `count` unused IPv4 hosts within one prefix of `length` of the system."""
        first, size = system.v4[int(rng.integers(len(system.v4)))]
        width = min(1 << (32 - length), size)
        start = first + int(rng.integers(size // width)) * width
        return self._add(system, self._unused(rng, system, count, [(start, width)]))

    def subnet_v4(self, rng: Generator, system: System, count: int) -> IntArray:
        """Take `count` (at most 254) IPv4 hosts of one /24 that nobody else used so far."""
        for first, size in system.v4:
            subnets = np.arange(first, first + size, 256)
            rng.shuffle(subnets)
            for subnet in subnets.tolist():
                if not any(subnet + low in system.used for low in range(256)):
                    chosen = subnet + 1 + rng.permutation(254)[:count]
                    system.used.update(chosen.tolist())
                    return self._add(system, [str(IPv4Address(int(a))) for a in chosen])
        return self.hosts_v4(rng, system, count)

    def hosts_v6(self, rng: Generator, system: System, count: int) -> IntArray:
        """Take `count` IPv6 hosts, each in a /64 of its own."""
        nets = rng.integers(1, 1 << 31, count)
        low = rng.integers(1, 1 << 12, count)
        texts = []
        for net, host in zip(nets.tolist(), low.tolist(), strict=True):
            while net in system.used:
                net = (net * 5 + 7) % (1 << 31)  # noqa: PLW2901
            system.used.add(net)
            texts.append(str(IPv6Address(system.v6 | net << 64 | host)))
        return self._add(system, texts)

    def rotation_v6(self, rng: Generator, system: System, count: int) -> IntArray:
        """Take `count` different IPv6 hosts inside one new /64."""
        net = int(rng.integers(1, 1 << 31))
        while net in system.used:
            net = int(rng.integers(1, 1 << 31))
        system.used.add(net)
        low = np.unique(rng.integers(1, 1 << 63, count))
        rng.shuffle(low)
        return self._add(
            system, [str(IPv6Address(system.v6 | net << 64 | h)) for h in low.tolist()]
        )

    def _add(self, system: System, texts: list[str]) -> IntArray:
        first = len(self.ips)
        self.ips.extend(texts)
        self.asns.extend([system.asn] * len(texts))
        return as_ints(np.arange(first, len(self.ips)))

    @staticmethod
    def _unused(
        rng: Generator, system: System, count: int, blocks: list[tuple[int, int]]
    ) -> list[str]:
        found: list[str] = []
        room = sum(size for _, size in blocks) * 9 // 10
        for _ in range(16):
            if len(found) >= min(count, room):
                break
            picks = rng.integers(len(blocks), size=count - len(found)).tolist()
            spots = rng.random(len(picks)).tolist()
            for pick, spot in zip(picks, spots, strict=True):
                first, size = blocks[pick]
                address = first + int(spot * size)
                if address & 255 in (0, 255) or address in system.used:
                    continue
                system.used.add(address)
                found.append(str(IPv4Address(address)))
        return found

    def _block(self, length: int) -> tuple[int, int]:
        size = 1 << (32 - length)
        if size >= 1 << 16:
            return self._free16.pop(), 1 << 16
        start, left = self._slice
        start = (start + size - 1) // size * size
        if left < start + size:
            start = self._free16.pop()
            left = start + (1 << 16)
        self._slice = (start + size, left)
        return start, size
