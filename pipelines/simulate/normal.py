"""The background: ordinary mail on a daily wave, with all the noise that ordinary mail has."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from detector.events.contract import OUTBOUND, Outcome
from pipelines.simulate.columns import OWN, IntArray, Rows, as_ints
from pipelines.simulate.names import local_parts, tokens
from pipelines.simulate.outcomes import mixed
from pipelines.simulate.sources import scattered_hosts
from pipelines.simulate.timing import MINUTE_MS, Wave
from pipelines.simulate.world import World

__all__ = ["Habits", "draw_normal", "known_mail", "pick_mailboxes", "unknown_mailboxes"]


@dataclass(frozen=True, slots=True)
class Habits:
    """Shares of the background, drawn once a seed; the rest is mail between acquaintances."""

    strangers: float
    spam: float
    unknown_user: float
    connect: float
    outbound: float
    copies: float
    greylisted: float
    thread: float
    skew: float

    @classmethod
    def draw(cls, rng: Generator) -> "Habits":
        """Draw the shares."""
        return cls(
            strangers=rng.uniform(*((0.03, 0.22) if rng.random() < 0.8 else (0.3, 0.7))),  # noqa: PLR2004
            spam=rng.uniform(0.01, 0.1),
            unknown_user=rng.uniform(0.005, 0.05),
            connect=rng.uniform(0.0, 0.05),
            outbound=rng.uniform(0.005, 0.06),
            copies=rng.uniform(0.005, 0.06),
            greylisted=float(rng.choice([0.0, 0.0, 0.4, 0.8])),
            thread=rng.uniform(0.0, 0.25),
            skew=rng.uniform(1.0, 3.0),
        )


def pick_mailboxes(rng: Generator, world: World, count: int) -> IntArray:
    """Draw positions of mailboxes, the busy ones more often."""
    edges = np.cumsum(world.customers.weight)
    return as_ints(np.minimum(np.searchsorted(edges, rng.random(count)), len(edges) - 1))


def unknown_mailboxes(rng: Generator, world: World, domains: IntArray) -> IntArray:
    """Add one address that does not exist for each entry of `domains`."""
    local, mark = local_parts(rng, len(domains)), tokens(rng, len(domains), 3)
    names = world.customers.domains
    return world.texts.add_all(
        [f"{a}.{m}@{names[d]}" for a, m, d in zip(local, mark, domains.tolist(), strict=True)]
    )


def known_mail(
    rng: Generator, world: World, times: IntArray, boxes: IntArray, habits: Habits
) -> Rows:
    """Draw mail of stable correspondents to the mailboxes at positions `boxes`."""
    people = world.people
    room = people.contact_at[boxes + 1] - people.contact_at[boxes]
    which = as_ints(room * rng.random(len(boxes)) ** habits.skew)
    who = people.contact[people.contact_at[boxes] + which]
    outcome = mixed(rng, len(boxes), {Outcome.REJECT_CONTENT: 0.004, Outcome.DEFER_OTHER: 0.003})
    return Rows.build(
        times, world.hosts_of(rng, who), world.customers.mailbox[boxes], people.sender[who], outcome
    )


def draw_normal(rng: Generator, world: World, wave: Wave, habits: Habits, count: int) -> Rows:
    """Draw exactly `count` events of background."""
    parts = [
        _strangers(rng, world, wave, int(count * habits.strangers), habits),
        _spam(rng, world, wave, int(count * habits.spam)),
        _unknown(rng, world, wave, int(count * habits.unknown_user)),
        _connects(rng, world, wave, int(count * habits.connect)),
        _outbound(rng, world, wave, int(count * habits.outbound)),
    ]
    left = max(count - sum(len(part) for part in parts), 0)
    fresh = max(int(left * (1 - habits.copies)), 0)
    parts.append(_conversations(rng, world, wave, fresh, habits))
    parts.append(_copies(rng, world, parts[-1], left - fresh))
    rows = Rows.join(parts)
    return rows.take(as_ints(np.arange(count))) if len(rows) > count else rows


def _conversations(rng: Generator, world: World, wave: Wave, count: int, habits: Habits) -> Rows:
    times, boxes = wave.times(rng, count), pick_mailboxes(rng, world, count)
    rows = known_mail(rng, world, times, boxes, habits)
    # Part of the mail answers the message before it: same pair, minutes later.
    again = np.flatnonzero(rng.random(count) < habits.thread)
    again = again[again > 0]
    gap = as_ints(rng.exponential(8 * MINUTE_MS, len(again)))
    end = wave.horizon.end_ms - 1
    rows.time_ms[again] = np.minimum(rows.time_ms[again - 1] + gap, end)
    for column in (rows.ip, rows.recipient, rows.sender):
        column[again] = column[again - 1]
    return rows


def _copies(rng: Generator, world: World, source: Rows, count: int) -> Rows:
    if count <= 0 or len(source) == 0:
        return Rows.empty()
    of = np.unique(rng.integers(len(source), size=count))
    of = np.concatenate([of, of[: count - len(of)]])
    of = np.concatenate([of, rng.integers(len(source), size=count - len(of))])
    source.message[of] = of
    copies = source.take(as_ints(of))
    customers = world.customers
    box = copies.recipient - customers.mailbox[0]
    domain = customers.domain[box]
    other = customers.first[domain] + as_ints(rng.random(count) * customers.count[domain])
    return Rows.build(
        copies.time_ms, copies.ip, customers.mailbox[other], copies.sender, 0, copies.message
    )


def _strangers(rng: Generator, world: World, wave: Wave, count: int, habits: Habits) -> Rows:
    people = world.people
    fresh = count // 2
    times, boxes = wave.times(rng, count), pick_mailboxes(rng, world, count)
    order = rng.permutation(count)
    times, boxes = times[order], boxes[order]
    who = rng.integers(len(people.sender), size=count)
    sender = people.sender[who].copy()
    sender[:fresh] = world.fresh_senders(rng, fresh, max(fresh // 2, 1))
    outcome = mixed(rng, count, {Outcome.REJECT_CONTENT: 0.03})
    rows = Rows.build(
        times, world.hosts_of(rng, who), world.customers.mailbox[boxes], sender, outcome
    )
    # Greylisting: the first attempt of some strangers is deferred and comes again.
    late = np.flatnonzero(rng.random(count) < habits.greylisted / 2)
    first = rows.take(as_ints(late))
    delay = as_ints(rng.lognormal(np.log(6 * MINUTE_MS), 0.9, len(late)))
    retried = first.with_time(np.minimum(first.time_ms + delay, wave.horizon.end_ms - 1))
    rows.outcome[late] = int(Outcome.DEFER_OTHER)
    moved = np.flatnonzero(rng.random(len(late)) < 0.4)  # noqa: PLR2004
    retried.ip[moved] = world.hosts_of(rng, as_ints(who[late][moved]))
    return Rows.join([rows, retried])


def _spam(rng: Generator, world: World, wave: Wave, count: int) -> Rows:
    hosts = scattered_hosts(rng, world, max(count // 3, 1))
    times, boxes = wave.times(rng, count), pick_mailboxes(rng, world, count)
    outcome = mixed(
        rng,
        count,
        {
            Outcome.REJECT_CONTENT: rng.uniform(0.1, 0.5),
            Outcome.REJECT_BLOCKLIST: rng.uniform(0.05, 0.3),
            Outcome.DEFER_OTHER: 0.05,
            Outcome.DISCARD: 0.02,
        },
    )
    sender = world.fresh_senders(rng, count, max(count // 8, 1))
    ip = hosts[rng.integers(len(hosts), size=count)]
    return Rows.build(times, ip, world.customers.mailbox[boxes], sender, outcome)


def _unknown(rng: Generator, world: World, wave: Wave, count: int) -> Rows:
    who = rng.integers(len(world.people.sender), size=count)
    domains = world.customers.domain[pick_mailboxes(rng, world, count)]
    stale = unknown_mailboxes(rng, world, domains)
    # Old addresses are tried again and again.
    stale = stale[as_ints(count * rng.random(count) ** 2)] if count else stale
    return Rows.build(
        wave.times(rng, count),
        world.hosts_of(rng, who),
        stale,
        world.people.sender[who],
        int(Outcome.REJECT_UNKNOWN_USER),
    )


def _connects(rng: Generator, world: World, wave: Wave, count: int) -> Rows:
    hosts = scattered_hosts(rng, world, max(count // 6, 1))
    ip = hosts[as_ints(len(hosts) * rng.random(count) ** 2)]
    outcome = np.where(rng.random(count) < 0.8, Outcome.REJECT_BLOCKLIST, Outcome.REJECT_RATE)  # noqa: PLR2004
    return Rows.build(wave.times(rng, count), ip, OWN, OWN, as_ints(outcome))


def _outbound(rng: Generator, world: World, wave: Wave, count: int) -> Rows:
    who = rng.integers(len(world.people.sender), size=count)
    sender = world.customers.mailbox[pick_mailboxes(rng, world, count)]
    outcome = mixed(
        rng,
        count,
        {Outcome.REJECT_BLOCKLIST: 0.01, Outcome.REJECT_OTHER: 0.02, Outcome.DEFER_RATE: 0.05},
    )
    return Rows.build(
        wave.times(rng, count),
        world.hosts_of(rng, who),
        world.people.sender[who],
        sender,
        outcome + OUTBOUND,
    )
