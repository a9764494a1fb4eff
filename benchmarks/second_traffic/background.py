"""Everyday mail: each habit of senders gives its share of the events."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.second_traffic.columns import (
    NO_MAILBOX,
    NO_SENDER,
    NULL_SENDER,
    Events,
    IntArray,
    concat,
    events,
)
from benchmarks.second_traffic.networks import Network
from benchmarks.second_traffic.rhythm import Rhythm, batch_times, spread
from benchmarks.second_traffic.world import HOUR_MS, LOCALS, MINUTE_MS, ROLES, World

__all__ = ["background", "outcomes", "people"]

ACCEPT, REJECT, DEFER, DISCARD = range(4)
UNKNOWN_USER, CONTENT, RATE, BLOCKLIST, OTHER = range(1, 6)
USUAL = ((ACCEPT, 0, 0.945), (REJECT, CONTENT, 0.012), (REJECT, OTHER, 0.008),
         (REJECT, UNKNOWN_USER, 0.006), (DEFER, OTHER, 0.014), (DISCARD, 0, 0.015))  # fmt: skip
JUNK = ((ACCEPT, 0, 0.22), (REJECT, CONTENT, 0.25), (REJECT, BLOCKLIST, 0.28),
        (REJECT, UNKNOWN_USER, 0.12), (REJECT, RATE, 0.04), (DISCARD, 0, 0.09))  # fmt: skip
HELPDESK_PER_DAY = 150_000
GREYLIST_MIN = (5.0, 12.0, 31.0)

Table = tuple[tuple[int, int, float], ...]
Habit = Callable[["World", Rhythm, np.random.Generator, int], Events]


def outcomes(rng: np.random.Generator, n: int, table: Table = USUAL) -> tuple[IntArray, IntArray]:
    """Draw an action and a cause for each message."""
    share = np.array([one[2] for one in table])
    at = rng.choice(len(table), size=n, p=share / share.sum())
    columns = np.array([one[:2] for one in table], dtype=np.int64)
    return columns[at, 0], columns[at, 1]


def people(rng: np.random.Generator, network: Network, n: int) -> IntArray:
    """Give senders of a network's own domains, each with a person's local part."""
    domains = rng.choice(network.domains, size=n)
    return domains * LOCALS + rng.integers(len(ROLES), LOCALS, size=n)


def _hashed(values: IntArray) -> npt.NDArray[np.float64]:
    """Map integers to [0, 1), the same each time (the finalizer of SplitMix64)."""
    mixed = values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53


def _recipients(world: World, rhythm: Rhythm, rng: np.random.Generator, n: int) -> IntArray:
    """Give recipients by their usual share, less of those whose domain sleeps."""
    site = world.site
    weight = site.weight * rhythm.levels(site.domain_of)
    return rng.choice(site.known, size=n, p=weight / weight.sum())


def _correspondence(world: World, rhythm: Rhythm, rng: np.random.Generator, n: int) -> Events:
    """Personal and business mail; most of it between people who wrote before."""
    mailbox = _recipients(world, rhythm, rng, n)
    rank = np.minimum(rng.geometric(0.22, size=n), 60)
    pair = mailbox * 64 + rank + world.seed % 1_000 * 10_000_000
    stranger = rng.random(n) < 0.07
    pair[stranger] = rng.integers(1 << 40, 1 << 41, size=int(stranger.sum()))
    networks = world.networks.all
    weight = np.array([0.15 * one.weight if one.kind == "esp" else one.weight for one in networks])
    ends = np.cumsum(weight) / weight.sum()
    at = np.searchsorted(ends, _hashed(pair), side="right")
    source, sender = np.empty(n, np.int64), np.empty(n, np.int64)
    for number in np.unique(at).tolist():
        rows, network = np.flatnonzero(at == number), networks[number]
        large = network.kind == "mailbox"
        where = rng.random(len(rows)) if large else _hashed(pair[rows] + (1 << 42))
        source[rows] = network.pool[
            np.searchsorted(np.cumsum(network.share)[:-1], where, side="right")
        ]
        domain = network.domains[
            (_hashed(pair[rows] + (1 << 43)) * len(network.domains)).astype(np.int64)
        ]
        local = (_hashed(pair[rows] + (1 << 44)) * (LOCALS - len(ROLES))).astype(np.int64)
        sender[rows] = domain * LOCALS + local + len(ROLES)
    action, cause = outcomes(rng, n)
    times = rhythm.times(rng, world.site.domain_of[mailbox])
    return events(times, source, mailbox, sender, action=action, cause=cause)


def _newsletters(world: World, rhythm: Rhythm, rng: np.random.Generator, n: int) -> Events:
    """Campaigns of 2 to 40 minutes, each to subscribers of its own."""
    parts, left = [], n
    esps = world.networks.of("esp", "hoster")[:16]
    share = np.array([one.weight for one in esps])
    most = max(20, min(n // 6, world.site.known // 2))
    while left:
        size = min(left, int(np.clip(rng.lognormal(4.6, 1.1), 8, most)))
        network = esps[int(rng.choice(len(esps), p=share / share.sum()))]
        domain = int(rng.choice(network.domains))
        used = rng.choice(network.pool, size=int(rng.integers(1, 5)))
        start = int(rhythm.times(rng, rng.integers(len(world.site.domains), size=1))[0])
        start -= start % (15 * MINUTE_MS) if rng.random() < 0.5 else 0
        mailbox = rng.choice(world.site.known, size=size, replace=size > world.site.known)
        action, cause = outcomes(rng, size)
        parts.append(
            events(
                spread(rng, size, start, int(rng.uniform(2, 40) * MINUTE_MS)),
                rng.choice(used, size=size),
                mailbox,
                world.names.sender(domain, "newsletter"),
                action=action,
                cause=cause,
                list_id=world.names.list_id(f"news.{world.names.domains[domain]}"),
            )
        )
        left -= size
    return concat(parts)


def _notices(world: World, rhythm: Rhythm, rng: np.random.Generator, n: int) -> Events:
    """Password resets, receipts and login notices: one message at a time, day and night."""
    mailbox = _recipients(world, rhythm, rng, n)
    esps = world.networks.of("esp")
    at = rng.integers(len(esps), size=n)
    source, sender = np.empty(n, np.int64), np.empty(n, np.int64)
    for number, network in enumerate(esps):
        rows = np.flatnonzero(at == number)
        source[rows] = network.usual(rng, len(rows))
        role = rng.choice([0, 7, 10, 14], size=len(rows))
        sender[rows] = rng.choice(network.domains, size=len(rows)) * LOCALS + role
    times = rhythm.times(rng, world.site.domain_of[mailbox])
    return events(times, source, mailbox, sender)


def _lists(world: World, rhythm: Rhythm, rng: np.random.Generator, n: int) -> Events:
    """Mailing lists: a post reaches all subscribers within two minutes."""
    hosts, parts, left = world.networks.of("hoster", "company"), [], n
    lists = []
    for _ in range(int(rng.integers(3, 14))):
        network = hosts[int(rng.integers(len(hosts)))]
        members = world.site.quiet(rng, int(rng.integers(3, 40)))
        domain = int(network.domains[0])
        name = world.names.list_id(f"list.{world.names.domains[domain]}")
        lists.append((int(network.pool[0]), domain, members, name))
    while left:
        source, domain, members, name = lists[int(rng.integers(len(lists)))]
        to = members[:left]
        start = int(rhythm.times(rng, world.site.domain_of[to[:1]])[0])
        times = spread(rng, len(to), start, int(rng.uniform(10, 120) * 1000))
        sender = world.names.sender(domain, "list")
        parts.append(events(times, source, to, sender, list_id=name))
        left -= len(to)
    return concat(parts)


def _machines(
    kind: tuple[str, ...], role: str, every_ms: int, within_ms: int, systems: int
) -> Habit:
    """Give a habit: systems that each write to one or few mailboxes at fixed minutes."""

    def habit(world: World, _: Rhythm, rng: np.random.Generator, n: int) -> Events:
        networks = world.networks.of(*kind)
        shares = 1.0 / np.arange(1, systems + 1)
        sizes = rng.multinomial(n, shares / shares.sum())
        parts = []
        for size in sizes.tolist():
            network = networks[int(rng.integers(len(networks)))]
            to = world.site.quiet(rng, int(rng.integers(1, 6)))
            at_ms = int(rng.integers(60)) * MINUTE_MS
            times = batch_times(
                rng, world, size, every_ms=every_ms, at_ms=at_ms, within_ms=within_ms
            )
            source = rng.choice(network.pool[:2], size=size)
            sender = world.names.sender(int(rng.choice(network.domains)), role)
            parts.append(events(times, source, rng.choice(to, size=size), sender))
        return concat(parts)

    return habit


def _helpdesk(world: World, rhythm: Rhythm, rng: np.random.Generator, n: int) -> Events:
    """Helpdesk mailboxes that hear from many strangers, more such mailboxes at a large site."""
    count = int(rng.integers(1, 4) + world.site.per_day // HELPDESK_PER_DAY)
    mailboxes = rng.integers(min(60, world.site.known), size=count)
    mailbox = rng.choice(mailboxes, size=n)
    networks = world.networks.all
    weight = np.array([one.weight * (one.kind != "esp") for one in networks])
    counts = rng.multinomial(n, weight / weight.sum())
    source, sender = [], []
    for network, count in zip(networks, counts.tolist(), strict=True):
        fresh = int(rng.binomial(count, 0.2)) if network.kind != "mailbox" else 0
        source += [network.usual(rng, count - fresh)]
        source += [world.networks.fresh(rng, network, fresh, 0.1)]
        sender.append(people(rng, network, count))
    order = rng.permutation(n)
    times = rhythm.times(rng, world.site.domain_of[mailbox])
    return events(times, np.concatenate(source)[order], mailbox, np.concatenate(sender)[order])


def _catch_all(world: World, rhythm: Rhythm, rng: np.random.Generator, n: int) -> Events:
    """Mail at invented recipients of the domain that accepts them all."""
    domain = world.site.catch_all
    recipients = world.site.add(domain, [f"c{one:x}" for one in rng.integers(1 << 40, size=n)])
    base = _junk(world, rhythm, rng, n)
    return events(base.time_ms, base.source, recipients, base.sender)


def _junk(world: World, rhythm: Rhythm, rng: np.random.Generator, n: int) -> Events:
    """Ordinary spam from hosts all over, most of it turned away; unknown users among it."""
    networks = world.networks.of("isp", "hoster")
    counts = rng.multinomial(n, np.full(len(networks), 1 / len(networks)))
    source = [
        np.repeat(world.networks.fresh(rng, network, -(-count // 3), 0.08), 3)[:count]
        for network, count in zip(networks, counts.tolist(), strict=True)
    ]
    sender = [people(rng, one, count) for one, count in zip(networks, counts.tolist(), strict=True)]
    mailbox = rng.integers(world.site.known, size=n)
    order = rng.permutation(n)
    action, cause = outcomes(rng, n, JUNK)
    times = rhythm.times(rng, world.site.domain_of[mailbox])
    return events(
        times, np.concatenate(source)[order], mailbox, np.concatenate(sender)[order],
        action=action, cause=cause,
    )  # fmt: skip


def _connects(world: World, _: Rhythm, rng: np.random.Generator, n: int) -> Events:
    """Rejects at connect, before any recipient."""
    networks = world.networks.of("isp")
    network = networks[int(rng.integers(len(networks)))]
    source = rng.choice(world.networks.fresh(rng, network, max(n // 3, 1)), size=n)
    cause = rng.choice([BLOCKLIST, RATE, OTHER], size=n)
    times = spread(rng, n, world.start_ms, world.span_ms)
    return events(times, source, NO_MAILBOX, NO_SENDER, action=REJECT, cause=cause)


def _outbound(world: World, rhythm: Rhythm, rng: np.random.Generator, n: int) -> Events:
    """Mail that the site's own users send: `sender` is who gets it, `mailbox` who sends it."""
    base = _correspondence(world, rhythm, rng, n)
    action, cause = outcomes(rng, n)
    return events(
        base.time_ms, base.source, base.mailbox, base.sender,
        action=action, cause=cause, outbound=1,
    )  # fmt: skip


def _greylisted(world: World, rhythm: Rhythm, rng: np.random.Generator, n: int) -> Events:
    """Strangers that are deferred at first and accepted on a retry."""
    firsts = -(-n // 2)
    base = _helpdesk(world, rhythm, rng, firsts)
    mailbox = _recipients(world, rhythm, rng, firsts)
    wait = (rng.choice(GREYLIST_MIN, size=firsts) * rng.uniform(1, 1.1) * MINUTE_MS).astype(int)
    first = events(base.time_ms, base.source, mailbox, base.sender, action=DEFER, cause=OTHER)
    retry = events(base.time_ms + wait, base.source, mailbox, base.sender)
    return concat([first, retry]).take(np.arange(n))


def _bounces(world: World, rhythm: Rhythm, rng: np.random.Generator, n: int) -> Events:
    """A trickle of bounces from mail servers all over."""
    base = _correspondence(world, rhythm, rng, n)
    return events(base.time_ms, base.source, base.mailbox, NULL_SENDER)


HABITS: tuple[tuple[float, Habit], ...] = (
    (16.0, _newsletters),
    (9.0, _notices),
    (5.0, _lists),
    (5.0, _machines(("hoster", "company"), "alerts", MINUTE_MS, MINUTE_MS, 4)),
    (3.0, _machines(("hoster", "company"), "cron", HOUR_MS, 20_000, 25)),
    (2.0, _machines(("company", "hoster"), "backup", 24 * HOUR_MS, 5 * MINUTE_MS, 12)),
    (3.0, _machines(("esp", "hoster"), "jira", 10 * MINUTE_MS, 10 * MINUTE_MS, 5)),
    (3.0, _machines(("esp",), "ci", 3 * HOUR_MS, 4 * MINUTE_MS, 6)),
    (2.0, _machines(("mailbox",), "calendar", 30 * MINUTE_MS, 40_000, 60)),
    (4.0, _helpdesk),
    (2.0, _catch_all),
    (9.0, _junk),
    (1.0, _connects),
    (4.0, _outbound),
    (1.5, _greylisted),
    (0.7, _bounces),
)
CORRESPONDENCE = 40.0


def background(world: World, n: int) -> Events:
    """Give `n` events of everyday mail; the shares of its habits differ from seed to seed."""
    rng, rhythm = world.stream("background"), Rhythm(world)
    share = np.array([CORRESPONDENCE, *(one for one, _ in HABITS)])
    share *= rng.lognormal(0.0, 0.35, size=len(share))
    counts = rng.multinomial(n, share / share.sum()).tolist()
    habits: list[Habit] = [_correspondence, *(habit for _, habit in HABITS)]
    parts = [
        habit(world, rhythm, world.stream("habit", at), count)
        for at, (habit, count) in enumerate(zip(habits, counts, strict=True))
        if count
    ]
    every = concat(parts)
    # What would come after the end of the log comes at its start, as a rest of the day before.
    every.time_ms[:] = world.start_ms + (every.time_ms - world.start_ms) % world.span_ms
    return every
