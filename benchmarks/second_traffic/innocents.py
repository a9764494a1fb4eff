"""Innocent patterns: bursts and odd days that must not be listed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.second_traffic.background import outcomes, people
from benchmarks.second_traffic.columns import NULL_SENDER, Events, IntArray, concat, events
from benchmarks.second_traffic.networks import Network
from benchmarks.second_traffic.rhythm import Rhythm, batch_times, spread
from benchmarks.second_traffic.world import HOUR_MS, LOCALS, MINUTE_MS, World

__all__ = ["LATER", "PATTERNS", "Pattern", "make_pattern"]

DEFER, OTHER = 2, 5
LATER = "outage_queue"
"""The pattern that is not drawn: everyday mail of the outage, which comes after it."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """The messages of one innocent pattern at their times, and the mailboxes it names."""

    events: Events
    mailboxes: IntArray


Maker = Callable[[World, np.random.Generator, int], Pattern]


def _one(world: World, rng: np.random.Generator, *kinds: str) -> Network:
    """Give one of the networks of some kinds."""
    networks = world.networks.of(*kinds)
    return networks[int(rng.integers(len(networks)))]


def _newsletter_once(world: World, rng: np.random.Generator, n: int) -> Pattern:
    network, known = _one(world, rng, "esp", "hoster"), world.site.known
    size = min(max(n, int(known * rng.uniform(0.2, 0.6))), 4 * n, known)
    length_ms = int(rng.uniform(4, 40) * MINUTE_MS)
    times = spread(rng, size, world.place(rng, length_ms), length_ms)
    to = rng.permutation(known)[:size]
    domain = int(rng.choice(network.domains))
    used = rng.choice(network.pool, size=int(rng.integers(1, 4)))
    name = world.names.list_id(f"news.{world.names.domains[domain]}")
    action, cause = outcomes(rng, size)
    sender = world.names.sender(domain, "newsletter")
    made = events(
        times, rng.choice(used, size), to, sender, action=action, cause=cause, list_id=name
    )
    return Pattern(made, to)


def _storming(
    kinds: tuple[str, ...],
    role: str,
    usual_per_hour: tuple[int, int],
    storm_min: tuple[float, float],
    hosts: int,
    mailboxes: int,
    most: int,
) -> Maker:
    """Give a pattern: a system that has always written, and for a while writes far more."""

    def maker(world: World, rng: np.random.Generator, n: int) -> Pattern:
        n = min(n, most)
        network = _one(world, rng, *kinds)
        to = world.site.quiet(rng, int(rng.integers(1, mailboxes + 1)))
        per_hour = int(rng.integers(*usual_per_hour))
        usual = min(per_hour * world.span_ms // HOUR_MS, n)
        length_ms = int(rng.uniform(*storm_min) * MINUTE_MS)
        storm = spread(rng, n, world.place(rng, length_ms), length_ms)
        times = np.concatenate([spread(rng, usual, world.start_ms, world.span_ms), storm])
        source = rng.choice(network.pool[: int(rng.integers(1, hosts + 1))], len(times))
        sender = world.names.sender(int(rng.choice(network.domains)), role)
        return Pattern(events(times, source, rng.choice(to, len(times)), sender), to)

    return maker


def _strangers(world: World, rng: np.random.Generator, n: int) -> tuple[IntArray, IntArray]:
    """Give sources and senders of ordinary people, most of them new to the mailbox."""
    networks = world.networks.of("mailbox", "isp", "company", "hoster")
    weight = np.array([one.weight for one in networks])
    counts = rng.multinomial(n, weight / weight.sum()).tolist()
    pairs = list(zip(networks, counts, strict=True))
    order = rng.permutation(n)
    source = np.concatenate([one.usual(rng, count) for one, count in pairs])
    sender = np.concatenate([people(rng, one, count) for one, count in pairs])
    return source[order], sender[order]


def _helpdesk_day(world: World, rng: np.random.Generator, n: int) -> Pattern:
    to = int(rng.integers(min(30, world.site.known)))
    length_ms = min(int(rng.uniform(5, 10) * HOUR_MS), world.span_ms * 3 // 4)
    start = world.place(rng, length_ms)
    hump = (rng.beta(2.0, 2.6, size=n) * length_ms).astype(np.int64)
    source, sender = _strangers(world, rng, n)
    return Pattern(events(np.sort(start + hump), source, to, sender), np.array([to]))


def _cron_hour(world: World, rng: np.random.Generator, n: int) -> Pattern:
    network, to = _one(world, rng, "company", "hoster"), world.site.quiet(rng, 1)
    at_ms = int(rng.integers(60)) * MINUTE_MS
    times = batch_times(rng, world, n, every_ms=HOUR_MS, at_ms=at_ms, within_ms=25_000)
    sender = world.names.sender(int(network.domains[0]), "cron")
    return Pattern(events(times, int(network.pool[0]), int(to[0]), sender), to)


def _list_thread(world: World, rng: np.random.Generator, n: int) -> Pattern:
    network = _one(world, rng, "hoster", "company")
    members = world.site.quiet(rng, int(rng.integers(15, 80)))
    posts = max(n // len(members), 2)
    length_ms = int(rng.uniform(1, 3.4) * HOUR_MS)
    starts = world.place(rng, length_ms) + rng.beta(1.2, 2.5, size=posts) * length_ms
    delay = rng.exponential(9_000, size=(posts, len(members)))
    domain = int(network.domains[0])
    name = world.names.list_id(f"talk.{world.names.domains[domain]}")
    made = events(
        (starts[:, None] + delay).astype(np.int64).ravel(), int(network.pool[0]),
        np.tile(members, posts), world.names.sender(domain, "list"), list_id=name,
    )  # fmt: skip
    return Pattern(made, members)


def _greylist(world: World, rng: np.random.Generator, n: int) -> Pattern:
    """A sender that is new to the site: deferred, then back after the usual retry times."""
    network, firsts = _one(world, rng, "company", "hoster"), max(n // 3, 30)
    hosts = world.networks.fresh(rng, network, int(rng.integers(1, 5)), 0.2)
    to = world.site.quiet(rng, int(rng.integers(3, 60)))
    start = world.place(rng, int(1.6 * HOUR_MS))
    first = spread(rng, firsts, start, int(rng.uniform(5, 50) * MINUTE_MS))
    source, mailbox = rng.choice(hosts, firsts), rng.choice(to, firsts)
    sender = people(rng, network, firsts)
    wait = (rng.choice([5.0, 15.0, 30.0], size=firsts) * MINUTE_MS).astype(np.int64)
    jitter = rng.integers(20_000, size=firsts)
    rows = np.flatnonzero(rng.random(firsts) < 0.4)
    again = events(
        first[rows] + wait[rows] // 3, source[rows], mailbox[rows], sender[rows],
        action=DEFER, cause=OTHER,
    )  # fmt: skip
    refused = events(first, source, mailbox, sender, action=DEFER, cause=OTHER)
    taken = events(first + wait + jitter, source, mailbox, sender)
    return Pattern(concat([refused, again, taken]), to)


def _backscatter(world: World, rng: np.random.Generator, n: int) -> Pattern:
    """Bounces of a forged campaign: many mail servers, a few each, over hours."""
    forged = world.site.quiet(rng, int(rng.integers(1, 6)))
    domain = int(world.site.domain_of[forged[0]])
    wrong = world.site.add(domain, [f"{rng.integers(1 << 24):x}" for _ in range(60)])
    source, _ = _strangers(world, rng, n)
    fresh = rng.random(n) < 0.5
    hosters = world.networks.of("company", "hoster")
    new = [
        world.networks.fresh(rng, hosters[int(at)], 4, 0.05)
        for at in rng.integers(len(hosters), size=-(-n // 8))
    ]
    source[fresh] = rng.choice(np.concatenate(new), size=int(fresh.sum()))
    unknown = rng.random(n) < 0.55
    mailbox = np.where(unknown, rng.choice(wrong, n), rng.choice(forged, n))
    length_ms = int(rng.uniform(2, 3.4) * HOUR_MS)
    fall = np.minimum(rng.exponential(0.35, size=n), 1.0) * length_ms
    times = world.place(rng, length_ms) + fall.astype(np.int64)
    made = events(
        times, source, mailbox, NULL_SENDER,
        action=unknown.astype(np.int64), cause=unknown.astype(np.int64),
    )  # fmt: skip
    return Pattern(made, forged)


def _harvest(world: World, rng: np.random.Generator, n: int) -> Pattern:
    network = _one(world, rng, "hoster", "isp")
    hosts = world.networks.fresh(rng, network, int(rng.integers(1, 6)), 0.2)
    domain = int(rng.integers(len(world.site.domains)))
    words = rng.integers(len(world.names.locals), size=n).tolist()
    to = world.site.add(domain, [f"{world.names.locals[one]}.{one % 97}" for one in words])
    length_ms = int(rng.uniform(10, 150) * MINUTE_MS)
    times = spread(rng, n, world.place(rng, length_ms), length_ms)
    sender = people(rng, network, n)
    made = events(times, rng.choice(hosts, n), to, sender, action=1, cause=1)
    return Pattern(made, to[:0])


def _migration(world: World, rng: np.random.Generator, n: int) -> Pattern:
    """A domain moves in: its old server forwards for an hour, its correspondents follow."""
    site = world.site
    size = int(np.clip(n // rng.uniform(4, 12), 20, 500))
    name = f"moved{rng.integers(1 << 16)}.example"
    first = len(site.mailboxes)
    site.mailboxes += [f"{world.names.locals[20 + at]}@{name}" for at in range(size)]
    to = np.arange(first, first + size)
    share = 1.0 / np.arange(3, size + 3)
    start = world.place(rng, min(2 * HOUR_MS, world.span_ms // 2))
    moved = int(n * rng.uniform(0.3, 0.7))
    old = _one(world, rng, "hoster")
    forwards = spread(rng, moved, start, int(rng.uniform(30, 90) * MINUTE_MS))
    flow = spread(rng, n - moved, start, world.end_ms - start)
    source, sender = _strangers(world, rng, n)
    source[:moved] = old.pool[0]
    mailbox = rng.choice(to, size=n, p=share / share.sum())
    return Pattern(events(np.concatenate([forwards, flow]), source, mailbox, sender), to)


def _big_provider_day(world: World, rng: np.random.Generator, n: int) -> Pattern:
    """One large provider sends twice as much as usual all day, to everybody."""
    network, site = world.networks.of("mailbox")[int(rng.integers(2))], world.site
    mailbox = rng.choice(site.known, size=3 * n, p=site.weight)
    times = Rhythm(world).times(rng, site.domain_of[mailbox])
    source = network.usual(rng, 3 * n)
    local = mailbox * 7 % (LOCALS - 16) + 16
    action, cause = outcomes(rng, 3 * n)
    sender = world.names.sender(int(network.domains[0]), local)
    made = events(times, source, mailbox, sender, action=action, cause=cause)
    return Pattern(made, mailbox[:0])


PATTERNS: dict[str, Maker | None] = {
    "newsletter_once": _newsletter_once,
    "monitoring_storm": _storming(
        ("company", "hoster"), "alerts", (20, 200), (15, 25), 2, 2, 3_000
    ),
    "ticket_burst": _storming(("esp", "hoster"), "jira", (10, 80), (5, 45), 3, 6, 1_500),
    "helpdesk_day": _helpdesk_day,
    "cron_hour": _cron_hour,
    "list_thread": _list_thread,
    "ci_burst": _storming(("esp",), "ci", (5, 40), (3, 12), 6, 25, 500),
    LATER: None,
    "greylist": _greylist,
    "backscatter": _backscatter,
    "harvest": _harvest,
    "migration": _migration,
    "big_provider_day": _big_provider_day,
}


def make_pattern(world: World, name: str, number: int, most: int) -> Pattern:
    """Give the pattern `number` of a name with about 150 to `most` messages."""
    rng = world.stream("pattern", name, number)
    maker = PATTERNS[name]
    if maker is None:
        raise ValueError(f"{name}: made of everyday mail, not drawn")
    size = int(np.clip(rng.lognormal(np.log(900), 0.8), min(150, most), most))
    pattern = maker(world, rng, size)
    made = pattern.events
    inside = (made.time_ms >= world.start_ms) & (made.time_ms < world.end_ms)
    return Pattern(made.take(inside), pattern.mailboxes)
