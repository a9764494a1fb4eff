"""The block list as a weapon: a customer has all of a large provider's addresses bomb himself."""

from typing import Final

import numpy as np
from numpy.random import Generator

from benchmarks.scenes.added import with_floods
from pipelines.simulate import SimulationSpec, TrafficResult, simulate
from pipelines.simulate.columns import Draft, IntArray, Rows, as_ints
from pipelines.simulate.sources import deal, pool_hosts
from pipelines.simulate.timing import MINUTE_MS, log_uniform, spread

__all__ = ["AIMS", "POOLS", "draw_weapon"]

HOUR_MS: Final = 60 * MINUTE_MS
DAY_H: Final = 24
AIMS: Final = ("mailbox", "domain")
POOLS: Final = ("large", "middle")
"""Whose pools: those of the largest providers, `LARGE` of all mail together; or of one provider,
the largest with less than `MIDDLE`."""
LARGE: Final = 0.15
MIDDLE: Final = 0.08
MOST_MESSAGES: Final = 12_000
MAILBOXES: Final = 12
"""Mailboxes of his domain that the customer uses, one after another, each with its addresses."""


def draw_weapon(
    seed: int, events_a_day: int, hour: float, aim: str, pool: str = "large"
) -> TrafficResult:
    """Draw a log whose only flood begins at `hour`: a day, or 12 h more where that is later."""
    hours = DAY_H if hour < DAY_H else 1.5 * DAY_H
    events = int(events_a_day * hours / DAY_H)
    traffic = simulate(SimulationSpec(seed=seed, events=events, hours=hours, shapes=()))
    rng = np.random.default_rng([seed, *b"weapon"])
    start = traffic.horizon.start_ms + int((hour + rng.uniform(0, 0.25)) * HOUR_MS)
    return with_floods(rng, traffic, [_bomb(rng, traffic, start, aim, pool)])


def _providers(traffic: TrafficResult, pool: str) -> tuple[list[str], float]:
    """Choose providers by their share of all mail."""
    pools, shares = traffic.world.pools, {}
    counts = np.bincount(traffic.rows.ip, minlength=len(traffic.world.network.ips))
    for name in sorted({pools.name[at] for at in [*pools.mailbox, *pools.esp]}):
        hosts = np.concatenate([pools.of(at) for at in _pools_of(traffic, [name])])
        shares[name] = float(counts[np.unique(hosts)].sum() / counts.sum())
    order = sorted(shares, key=lambda one: -shares[one])
    if pool == "middle":
        name = next(one for one in order if shares[one] < MIDDLE)
        return [name], shares[name]
    chosen: list[str] = []
    while sum(shares[one] for one in chosen) < LARGE:
        chosen.append(order[len(chosen)])
    return chosen, sum(shares[one] for one in chosen)


def _pools_of(traffic: TrafficResult, names: list[str]) -> list[int]:
    pools = traffic.world.pools
    return [at for at in [*pools.mailbox.tolist(), *pools.esp.tolist()] if pools.name[at] in names]


def _bomb(rng: Generator, traffic: TrafficResult, start: int, aim: str, pool: str) -> Draft:
    """Draw the flood: some messages of each address of the providers."""
    world = traffic.world
    names, share = _providers(traffic, pool)
    pools = _pools_of(traffic, names)
    hosts = pool_hosts(rng, world, as_ints(pools), MOST_MESSAGES)
    count = min(int(len(hosts) * rng.uniform(3, 8)) + 200, MOST_MESSAGES)
    span = count / log_uniform(rng, 60, 400) * MINUTE_MS
    times = spread(rng, count, start, span)
    boxes, domain = _mailboxes(rng, traffic, aim)
    part = np.arange(count) * len(boxes) // count  # each mailbox in turn, with its own addresses
    ip = np.empty(count, np.int64)
    for at, mine in enumerate(np.array_split(hosts, len(boxes))):
        here = np.flatnonzero(part == at)
        ip[here] = deal(rng, as_ints(mine), len(here))
    sender = world.fresh_senders(rng, count, max(1, count // 2))
    recipient = world.customers.mailbox[boxes[part]]
    whose = " and ".join(names)
    detail = f"{len(hosts)} addresses of {whose} with {share:.1%} of the mail, {aim}"
    victims = tuple(world.texts.texts[at] for at in world.customers.mailbox[boxes].tolist())
    rows = Rows.build(times, ip, recipient, sender)
    return Draft("weapon", f"weapon: {detail}", rows, victims, domain)


def _mailboxes(rng: Generator, traffic: TrafficResult, aim: str) -> tuple[IntArray, str | None]:
    """Give the mailboxes that their owner has bombed, and the domain where it is all his."""
    customers = traffic.world.customers
    if aim == "mailbox":
        return as_ints([rng.integers(len(customers.mailbox))]), None
    large = np.flatnonzero(customers.count >= MAILBOXES)
    domain = int(rng.choice(large))
    boxes = rng.permutation(customers.of_domain(domain))[:MAILBOXES]
    return as_ints(boxes), customers.domains[domain]
