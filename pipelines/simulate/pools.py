"""Pools of sending hosts: big providers with many rotating addresses, companies with one or two."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipelines.simulate.columns import IntArray, as_ints
from pipelines.simulate.network import Network, System
from pipelines.simulate.providers import PROVIDERS, ProviderSeed

__all__ = ["Pools", "draw_pools"]

_COUNTRIES: Final = ("DE", "FR", "US", "GB", "NL", "PL", "IT", "ES", "BR", "IN", "JP", "VN", "TR")
_PRIVATE_16: Final = 64_512
_PRIVATE_32: Final = 4_200_000_000


@dataclass(frozen=True, slots=True)
class Pools:
    """Pools by position: `hosts[at[p] : at[p] + size[p]]` are the hosts of pool p.

    `weight` says how much mail of its kind a pool carries; `mailbox`, `esp`, `company` list the
    pools of each kind, `name` and `asn` say whose they are.
    """

    hosts: IntArray
    at: IntArray
    size: IntArray
    weight: NDArray[np.float64]
    name: list[str]
    mailbox: IntArray
    esp: IntArray
    company: IntArray

    def draw(self, rng: Generator, pool: IntArray, base: IntArray, reach: IntArray) -> IntArray:
        """Draw a host of each `pool`, at most `reach` places behind `base`."""
        step = as_ints(rng.random(len(pool)) * reach)
        return self.hosts[self.at[pool] + (base + step) % self.size[pool]]

    def of(self, pool: int) -> IntArray:
        """Give the hosts of one pool."""
        return self.hosts[self.at[pool] : self.at[pool] + self.size[pool]]

    def share_of(self, pools: IntArray) -> NDArray[np.float64]:
        """Give the shares of mail of `pools` (sum 1)."""
        weight = self.weight[pools]
        return np.asarray(weight / weight.sum(), dtype=np.float64)


def draw_pools(
    rng: Generator, network: Network, companies: int
) -> tuple[Pools, list[System], list[System]]:
    """Draw all systems and pools; give also the internet providers and the rentable hosters."""
    parts: list[IntArray] = []
    weight: list[float] = []
    name: list[str] = []
    kinds: dict[str, list[int]] = {"mailbox": [], "esp": [], "company": []}

    def keep(kind: str, whose: str, hosts: IntArray, much: float) -> None:
        kinds[kind].append(len(parts))
        parts.append(hosts)
        weight.append(much)
        name.append(whose)

    rentable: list[System] = []
    for seed in PROVIDERS:
        much = seed.weight * rng.lognormal(0, 0.5)
        systems = [
            network.add_system(rng, asn, seed.name, "US", [16, 16, 18][: int(rng.integers(1, 4))])
            for asn in seed.asns
        ]
        if seed.kind == "rentable":
            rentable.extend(systems)
            continue
        kind = "esp" if seed.kind == "esp" else "mailbox"
        for system in systems:
            for hosts in _provider_pools(rng, network, seed, system):
                keep(kind, seed.name, hosts, much * rng.uniform(0.2, 1) / len(systems))
            if seed.kind == "esp" and rng.random() < 0.3:  # noqa: PLR2004
                rentable.append(system)
    isps = _draw_isps(rng, network)
    for index in range(int(rng.integers(3, 14))):
        blocks = [int(rng.choice([16, 18, 20, 22]))]
        asn = _PRIVATE_16 + 800 + index
        rentable.append(network.add_system(rng, asn, f"Rent-a-Host {index}", "NL", blocks))
    homes = [isps, rentable]
    heavy = rng.random(len(isps)) ** 3
    for system_at in rng.choice(len(isps), size=companies, p=heavy / heavy.sum()).tolist():
        rented = rng.random() < 0.35  # noqa: PLR2004
        system = homes[1][int(rng.integers(len(rentable)))] if rented else isps[system_at]
        count = 1 + int(rng.random() < 0.3) + int(rng.random() < 0.05)  # noqa: PLR2004
        v6 = rng.random() < 0.2  # noqa: PLR2004
        hosts = network.near_v4(rng, system, count, 29)
        if v6 or len(hosts) == 0:
            hosts = np.concatenate([hosts[:1], network.hosts_v6(rng, system, 1)])
        keep("company", system.name, hosts, rng.pareto(1.3) + 0.2)
    size = as_ints([len(part) for part in parts])
    pools = Pools(
        hosts=np.concatenate(parts),
        at=as_ints(np.concatenate([[0], np.cumsum(size)[:-1]])),
        size=size,
        weight=np.array(weight),
        name=name,
        mailbox=as_ints(kinds["mailbox"]),
        esp=as_ints(kinds["esp"]),
        company=as_ints(kinds["company"]),
    )
    return pools, isps, rentable


def _provider_pools(
    rng: Generator, network: Network, seed: ProviderSeed, system: System
) -> list[IntArray]:
    found = []
    for _ in range(int(rng.integers(1, 4))):
        low, high = (24, 500) if seed.kind == "esp" else (40, 1200)
        count = int(np.exp(rng.uniform(np.log(low), np.log(high))))
        length = int(rng.choice([20, 20, 21, 22, 24]))
        hosts = network.near_v4(rng, system, count, length)
        if seed.has_v6:
            extra = network.hosts_v6(rng, system, max(2, int(count * rng.uniform(0.2, 0.8))))
            hosts = np.concatenate([hosts, extra])
            rng.shuffle(hosts)
        if len(hosts):
            found.append(hosts)
    return found


def _draw_isps(rng: Generator, network: Network) -> list[System]:
    found = []
    for index in range(int(rng.integers(220, 700))):
        asn = _PRIVATE_16 + index if rng.random() < 0.6 else _PRIVATE_32 + index * 17  # noqa: PLR2004
        sizes = [int(length) for length in rng.choice([17, 18, 19, 20, 21, 22], size=2)]
        country = str(rng.choice(_COUNTRIES))
        found.append(network.add_system(rng, asn, f"Access {country} {index}", country, sizes))
    return found
