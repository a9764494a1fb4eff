"""Where unwanted mail comes from: bots, rented hosts, and the shared pools of reputable senders."""

import numpy as np
from numpy.random import Generator

from pipelines.simulate.columns import IntArray, as_ints
from pipelines.simulate.network import System
from pipelines.simulate.world import World

__all__ = [
    "company_hosts",
    "deal",
    "deal_few",
    "esp_hosts",
    "pick_system",
    "pool_hosts",
    "rented_hosts",
    "scattered_hosts",
]


def pick_system(rng: Generator, systems: list[System]) -> System:
    """Draw one system."""
    return systems[int(rng.integers(len(systems)))]


def scattered_hosts(rng: Generator, world: World, count: int, v6_share: float = 0.0) -> IntArray:
    """Take `count` new hosts all over the internet providers, in some far more than others."""
    network = world.network
    reach = max(1, int(len(world.isps) * rng.uniform(0.2, 1.0)))
    homes = rng.choice(len(world.isps), size=reach, replace=False)
    heavy = rng.random(reach) ** rng.uniform(1, 4)
    many_v6 = int(count * v6_share)
    taken: list[IntArray] = []
    for wanted, take in ((count - many_v6, network.hosts_v4), (many_v6, network.hosts_v6)):
        share = rng.multinomial(wanted, heavy / heavy.sum())
        busy = np.flatnonzero(share)
        taken.extend(take(rng, world.isps[homes[i]], int(share[i])) for i in busy.tolist())
    taken.append(network.hosts_v6(rng, world.isps[int(homes[0])], 1))
    found = np.concatenate(taken)
    return found[:count] if len(found) > count else found


def rented_hosts(rng: Generator, world: World, count: int, systems: int = 1) -> IntArray:
    """Take `count` new hosts at `systems` hosters, next to the ordinary customers there."""
    share = rng.multinomial(count, rng.dirichlet([1.0] * systems))
    share[0] += share.sum() == 0
    taken = []
    for many in share.tolist():
        system = pick_system(rng, world.rentable)
        if many and rng.random() < 0.15:  # noqa: PLR2004
            taken.append(world.network.hosts_v6(rng, system, many))
        elif many:
            hosts = world.network.hosts_v4(rng, system, many)
            taken.append(hosts if len(hosts) else world.network.hosts_v6(rng, system, many))
    return np.concatenate(taken)


def pool_hosts(rng: Generator, world: World, pools: IntArray, count: int) -> IntArray:
    """Choose at most `count` different hosts of `pools`, which carry ordinary mail too."""
    hosts = np.unique(np.concatenate([world.pools.of(int(pool)) for pool in pools]))
    rng.shuffle(hosts)
    return hosts[:count]


def esp_hosts(rng: Generator, world: World, count: int, providers: int) -> IntArray:
    """Choose at most `count` hosts in the pools of several mailing services."""
    names = sorted({world.pools.name[pool] for pool in world.pools.esp.tolist()})
    chosen = set(rng.choice(names, size=min(providers, len(names)), replace=False).tolist())
    pools = [pool for pool in world.pools.esp.tolist() if world.pools.name[pool] in chosen]
    return pool_hosts(rng, world, as_ints(pools), count)


def company_hosts(rng: Generator, world: World, count: int) -> IntArray:
    """Choose at most `count` hosts of small companies (web forms, stolen accounts)."""
    pools = world.pools.company
    chosen = rng.choice(pools, size=min(count, len(pools)), replace=False)
    return as_ints(world.pools.hosts[world.pools.at[chosen]])


def deal(rng: Generator, hosts: IntArray, count: int, skew: float = 0.0) -> IntArray:
    """Assign each of `count` messages a host; `skew` 0 is even, larger favours few hosts."""
    share = (np.arange(len(hosts)) + 1.0) ** -skew
    return hosts[rng.choice(len(hosts), size=count, p=share / share.sum())]


def deal_few(
    rng: Generator, hosts: IntArray, count: int, low: int, high: int, rolling: float
) -> IntArray:
    """Assign hosts so that each sends `low` to `high` messages, until `count` are dealt.

    `rolling` 0 mixes all hosts over the whole time; towards 1 each host comes and goes. Hosts
    beyond the last message stay unused; where they are too few, all of them get more.
    """
    each = rng.integers(low, high + 1, len(hosts))
    if each.sum() < count:
        each = as_ints(np.ceil(each * (count / each.sum())))
    dealt = np.repeat(hosts, each)[:count]
    noise = rng.random(count) * (1.0 - rolling) * count
    return dealt[np.argsort(np.arange(count) * (rolling > 0) + noise, kind="stable")]
