"""Floods: each is sized by its attacker, whatever the site's size.

Flood `number` of a shape has the same number of messages at every site of a seed. Two things cut
it: the end of a log shorter than 6 h, and the end of any log for `list_bomb_tail`, whose tail lasts
until then (at most 48 h).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.second_traffic.background import outcomes, people
from benchmarks.second_traffic.columns import NULL_SENDER, Events, IntArray, events
from benchmarks.second_traffic.networks import Network, v6_texts
from benchmarks.second_traffic.rhythm import spread
from benchmarks.second_traffic.world import HOUR_MS, LOCALS, MINUTE_MS, World

__all__ = ["SHAPES", "Flood", "flood_size", "make_flood"]

MEDIAN, SIGMA, LEAST, MOST = 1_500, 0.85, 100, 15_000
LONGEST_MS = int(3.4 * HOUR_MS)
TAIL_PER_HOUR = 60
TAIL_LIMIT_MS = 48 * HOUR_MS
# Fewer messages than this do not make the shape.
FEWEST = {"snowshoe24": 400, "null_bomb": 1_000, "botnet": 300, "domain_spread": 400, "spray": 400}


@dataclass(frozen=True, slots=True)
class Flood:
    """The messages of one flood, times from 0, and whom it is aimed at."""

    events: Events
    victims: IntArray
    domain: int | None = None


Shape = Callable[[World, np.random.Generator, int], Flood]


def flood_size(world: World, shape: str, number: int) -> int:
    """Draw the size of the flood `number` of a shape: log-normal, a median of 1,500 messages."""
    rng = world.stream("size", shape, number)
    size = int(np.clip(rng.lognormal(np.log(MEDIAN), SIGMA), LEAST, MOST))
    return max(size, FEWEST.get(shape, LEAST))


def _evenly(rng: np.random.Generator, n: int, per_min: tuple[float, float]) -> IntArray:
    """Give `n` times at a rate drawn log-uniformly from `per_min`, within the longest flood."""
    rate = float(np.exp(rng.uniform(*np.log(per_min))))
    return spread(rng, n, 0, min(int(n / rate * MINUTE_MS), LONGEST_MS))


def _victims(world: World, rng: np.random.Generator, most: int) -> IntArray:
    """Give one to `most` victims, now and then a mailbox that is always busy."""
    chosen = world.site.quiet(rng, int(rng.integers(1, most + 1)))
    if rng.random() < 0.12:
        chosen[0] = world.site.busy(rng)
    return np.unique(chosen)


def _hosts(world: World, rng: np.random.Generator, n: int) -> tuple[IntArray, Network]:
    """Give `n` addresses of one hoster; a third of the time shared ones that send wanted mail."""
    hosters = world.networks.of("hoster")
    network = hosters[int(rng.integers(len(hosters)))]
    if rng.random() < 0.35:
        return rng.choice(network.pool, size=n), network
    return world.networks.fresh(rng, network, n, 0.2), network


def _scattered(
    world: World, rng: np.random.Generator, kinds: tuple[str, ...], n: int, v6_share: float
) -> IntArray:
    """Give `n` fresh addresses over a random half of the networks of some kinds."""
    networks = world.networks.of(*kinds)
    chosen = rng.permutation(len(networks))[: max(3, len(networks) // 2)]
    counts = rng.multinomial(n, rng.dirichlet(np.full(len(chosen), 0.6)))
    parts = [
        world.networks.fresh(rng, networks[at], count, v6_share)
        for at, count in zip(chosen.tolist(), counts.tolist(), strict=True)
        if count
    ]
    return rng.permutation(np.concatenate(parts))


def _each_up_to(rng: np.random.Generator, sources: IntArray, n: int, most: int) -> IntArray:
    """Give `n` sources in random order, each of those used 1 to `most` times.

    There must be at least `n / most` sources.
    """
    sources = rng.permutation(np.unique(sources))
    times = rng.integers(1, most + 1, size=len(sources))
    drawn = np.repeat(sources, times)[:n]
    spare = rng.permutation(np.repeat(sources, most - times))[: n - len(drawn)]
    return rng.permutation(np.concatenate([drawn, spare]))


def _any_sender(world: World, rng: np.random.Generator, n: int) -> IntArray:
    """Give a sender for each message, of one domain or of hundreds."""
    networks = world.networks.of("hoster", "company", "mailbox")
    if rng.random() < 0.4:
        return people(rng, networks[int(rng.integers(len(networks)))], n)
    domains = rng.choice(np.concatenate([one.domains for one in networks]), size=n)
    return domains * LOCALS + rng.integers(LOCALS, size=n)


def _direct(world: World, rng: np.random.Generator, n: int) -> Flood:
    victims = _victims(world, rng, 2)
    hosts, _ = _hosts(world, rng, int(rng.integers(1, 3)))
    times = _evenly(rng, n, (100, 1_500))
    sender = _any_sender(world, rng, n)
    return Flood(events(times, rng.choice(hosts, n), rng.choice(victims, n), sender), victims)


def _few_hosts(world: World, rng: np.random.Generator, n: int) -> Flood:
    victims = _victims(world, rng, 3)
    count = int(rng.integers(3, 13))
    hosts = np.concatenate([_hosts(world, rng, -(-count // 3))[0] for _ in range(3)])
    times = _evenly(rng, n, (25, 250))
    sender = _any_sender(world, rng, n)
    return Flood(events(times, rng.choice(hosts, n), rng.choice(victims, n), sender), victims)


def _botnet(world: World, rng: np.random.Generator, n: int) -> Flood:
    victims = _victims(world, rng, 3)
    bots = _scattered(world, rng, ("isp",), max(n // 3, 1), 0.1)
    source = _each_up_to(rng, bots, n, 5)
    times = _evenly(rng, n, (12, 400))
    sender = _any_sender(world, rng, n)
    return Flood(events(times, source, rng.choice(victims, n), sender), victims)


def _esp_mail(world: World, rng: np.random.Generator, n: int) -> tuple[IntArray, IntArray]:
    """Give a source and a sender for each confirmation: many providers, 1-10 an address."""
    esps = world.networks.of("esp", "mailbox")
    chosen = [esps[at] for at in rng.permutation(len(esps))[: int(rng.integers(3, 8))].tolist()]
    counts = rng.multinomial(n, rng.dirichlet(np.full(len(chosen), 1.5)))
    sources, senders = [], []
    for network, count in zip(chosen, counts.tolist(), strict=True):
        fresh = world.networks.fresh(rng, network, max(1, count // 8), 0.05)
        pool = np.concatenate([fresh, rng.permutation(network.pool)[: max(1, count // 10)]])
        sources.append(_each_up_to(rng, pool, count, 9))
        role = rng.choice([0, 1, 9, 13], size=count)
        first = len(world.names.domains)
        world.names.domains += [f"shop{first + at}.example" for at in range(count // 2 + 1)]
        senders.append((first + rng.integers(count // 2 + 1, size=count)) * LOCALS + role)
    order = rng.permutation(n)
    return np.concatenate(sources)[order], np.concatenate(senders)[order]


def _list_bomb(world: World, rng: np.random.Generator, n: int) -> Flood:
    victims = _victims(world, rng, 1)
    source, sender = _esp_mail(world, rng, n)
    times = _evenly(rng, n, (1_200 / 60, 6_000 / 60))
    return Flood(events(times, source, rng.choice(victims, n), sender), victims)


def _list_bomb_tail(world: World, rng: np.random.Generator, n: int) -> Flood:
    victims = _victims(world, rng, 1)
    burst = _evenly(rng, n, (1_200 / 60, 6_000 / 60))
    rest_ms = min(world.span_ms, TAIL_LIMIT_MS)
    tail = spread(rng, TAIL_PER_HOUR * rest_ms // HOUR_MS, int(burst[-1]), rest_ms)
    times = np.concatenate([burst, tail])
    source, sender = _esp_mail(world, rng, len(times))
    return Flood(events(times, source, rng.choice(victims, len(times)), sender), victims)


def _snowshoe24(world: World, rng: np.random.Generator, n: int) -> Flood:
    victims = _victims(world, rng, 4)
    hosters = world.networks.of("hoster")
    network = hosters[int(rng.integers(len(hosters)))]
    first, bits = network.v4[0]
    base = first + int(rng.integers(1 << 24 - bits)) * 256
    hosts = rng.permutation(np.arange(1, 255))[: int(rng.integers(100, 240))]
    prefix = f"{base >> 24}.{base >> 16 & 255}.{base >> 8 & 255}"
    sources = world.networks.add([f"{prefix}.{host}" for host in hosts.tolist()])
    times = _evenly(rng, n, (6, 60))
    source = np.resize(rng.permutation(sources), n)
    sender = people(rng, network, n)
    return Flood(events(times, source, rng.choice(victims, n), sender), victims)


def _pulse(world: World, rng: np.random.Generator, n: int) -> Flood:
    victims = _victims(world, rng, 2)
    period = int(rng.uniform(4.5, 6) * MINUTE_MS)
    pulses = max(int(rng.integers(6, 36)), 2)
    source = rng.choice(_hosts(world, rng, int(rng.integers(1, 25)))[0], n)
    times = rng.integers(pulses, size=n) * period + rng.integers(30_000, size=n)
    sender = _any_sender(world, rng, n)
    return Flood(events(np.sort(times), source, rng.choice(victims, n), sender), victims)


def _v6_rotation(world: World, rng: np.random.Generator, n: int) -> Flood:
    victims = _victims(world, rng, 2)
    networks = world.networks.of("hoster", "isp")
    network = networks[int(rng.integers(len(networks)))]
    nets = 1 if rng.random() < 0.8 else 4
    hosts = rng.integers(1, 1 << 62, size=n)
    source = world.networks.add(v6_texts(network.v6, rng, nets, hosts))
    times = _evenly(rng, n, (20, 300))
    sender = people(rng, network, n)
    return Flood(events(times, source, rng.choice(victims, n), sender), victims)


def _domain_spread(world: World, rng: np.random.Generator, n: int) -> Flood:
    site = world.site
    domain = int(site.domain_of[int(rng.integers(site.known))])
    own = rng.permutation(np.flatnonzero(site.domain_of == domain))[: int(rng.integers(150, 500))]
    more = max(150 - len(own), 0)
    added = site.add(domain, [f"staff{at}.{rng.integers(1 << 20):x}" for at in range(more)])
    victims = np.concatenate([own, added])
    hosts = _scattered(world, rng, ("isp", "hoster"), int(rng.integers(5, max(n // 4, 6))), 0.1)
    times = _evenly(rng, n, (30, 400))
    sender = _any_sender(world, rng, n)
    mailbox = rng.choice(victims, n)
    return Flood(events(times, rng.choice(hosts, n), mailbox, sender), victims, domain)


def _spray(world: World, rng: np.random.Generator, n: int) -> Flood:
    site = world.site
    known = rng.permutation(site.known)[: int(n * rng.uniform(0.3, 0.7))]
    domains = rng.choice(site.domain_of, size=n - len(known))
    parts = [f"{world.names.locals[one % LOCALS]}{one:x}" for one in rng.integers(1 << 24, size=n)]
    added = [site.add(one, [part]) for one, part in zip(domains.tolist(), parts, strict=False)]
    mailbox = rng.permutation(np.concatenate([known, *added]))
    network = world.networks.of("hoster", "isp")[int(rng.integers(40))]
    hosts = world.networks.fresh(rng, network, int(rng.integers(1, 5)), 0.15)
    times = _evenly(rng, n, (150, 1_500))
    unknown = mailbox >= site.known
    refused = unknown & (rng.random(n) < rng.choice([0.0, 0.5, 0.95]))
    sender = people(rng, network, n)
    return Flood(
        events(
            times, rng.choice(hosts, n), mailbox, sender,
            action=refused.astype(np.int64), cause=refused.astype(np.int64),
        ),
        np.unique(mailbox),
    )  # fmt: skip


def _provider_pool(world: World, rng: np.random.Generator, n: int) -> Flood:
    victims = _victims(world, rng, 2)
    network = world.networks.of("mailbox", "esp")[int(rng.integers(6))]
    fresh = world.networks.fresh(rng, network, max(n // 30, 4), 0.1)
    pool = np.concatenate([fresh, rng.permutation(network.pool)[: max(n // 15, 8)]])
    times = _evenly(rng, n, (10, 80))
    sender = people(rng, network, n)
    return Flood(events(times, rng.choice(pool, n), rng.choice(victims, n), sender), victims)


def _null_bomb(world: World, rng: np.random.Generator, n: int) -> Flood:
    victims = _victims(world, rng, 1)
    source = _scattered(world, rng, ("isp", "hoster"), n, 0.08)
    times = _evenly(rng, n, (40, 500))
    return Flood(events(times, source, int(victims[0]), NULL_SENDER), victims)


def _slow_ramp(world: World, rng: np.random.Generator, n: int) -> Flood:
    victims = _victims(world, rng, 2)
    length_ms = rng.uniform(1.5, 3.4) * HOUR_MS
    times = np.sort(rng.random(n) ** rng.uniform(0.25, 0.5) * length_ms).astype(np.int64)
    hosts, _ = _hosts(world, rng, int(rng.integers(2, 40)))
    sender = _any_sender(world, rng, n)
    return Flood(events(times, rng.choice(hosts, n), rng.choice(victims, n), sender), victims)


def _early(world: World, rng: np.random.Generator, n: int) -> Flood:
    return (_direct, _few_hosts, _botnet, _list_bomb)[int(rng.integers(4))](world, rng, n)


SHAPES: dict[str, Shape] = {
    "direct": _direct,
    "few_hosts": _few_hosts,
    "botnet": _botnet,
    "list_bomb": _list_bomb,
    "list_bomb_tail": _list_bomb_tail,
    "snowshoe24": _snowshoe24,
    "pulse": _pulse,
    "v6_rotation": _v6_rotation,
    "domain_spread": _domain_spread,
    "spray": _spray,
    "provider_pool": _provider_pool,
    "null_bomb": _null_bomb,
    "slow_ramp": _slow_ramp,
    "early": _early,
}
HELD = ((0, 0, 0.3), (1, 3, 0.4), (2, 3, 0.3))
FILTERED = ((0, 0, 0.75), (1, 2, 0.2), (3, 0, 0.05))


def _answered(rng: np.random.Generator, made: Events) -> None:
    """Let the site answer: it takes all, or filters some, or slows the flood down after a while."""
    mood, size = rng.random(), len(made)
    rows = np.flatnonzero((made.action == 0) & (np.arange(size) > size // 3 * (mood < 0.2)))
    if mood < 0.35:
        table = HELD if mood < 0.2 else FILTERED
        made.action[rows], made.cause[rows] = outcomes(rng, len(rows), table)


def make_flood(world: World, shape: str, number: int) -> Flood:
    """Give the flood `number` of a shape, at its place in the log."""
    rng = world.stream("flood", shape, number)
    flood = SHAPES[shape](world, rng, flood_size(world, shape, number))
    made = flood.events
    _answered(rng, made)
    length_ms = int(made.time_ms[-1])
    if shape == "early":
        start = world.start_ms + int(rng.uniform(0.1, 20) * MINUTE_MS)
    else:
        start = world.place(rng, min(length_ms, LONGEST_MS))
    made.time_ms[:] += start
    return Flood(made.take(made.time_ms < world.end_ms), flood.victims, flood.domain)
