"""Traffic that looks like a flood to somebody and must not be listed, one function a pattern."""

from collections.abc import Callable
from typing import Final

import numpy as np

from detector.events.contract import Outcome
from pipelines.simulate.columns import Draft, IntArray, Rows, as_ints
from pipelines.simulate.names import local_parts, tokens
from pipelines.simulate.normal import pick_mailboxes, unknown_mailboxes
from pipelines.simulate.outcomes import mixed
from pipelines.simulate.scene import Scene
from pipelines.simulate.sources import (
    company_hosts,
    deal,
    esp_hosts,
    pool_hosts,
    rented_hosts,
    scattered_hosts,
)
from pipelines.simulate.timing import MINUTE_MS, evenly, jittered, log_uniform, spread

__all__ = ["INNOCENTS"]


def newsletter(scene: Scene) -> Draft:
    """One sender, thousands of different mailboxes, once each; often all at one big customer."""
    rng, world = scene.rng, scene.world
    customers = world.customers
    everyone = rng.permutation(len(customers.mailbox))
    focus = rng.random() < 0.4  # noqa: PLR2004
    if focus:
        domain = int(rng.choice(np.argsort(-customers.count, kind="stable")[:3]))
        inside = rng.permutation(customers.of_domain(domain))
        inside = inside[: max(int(scene.size * rng.uniform(0.5, 1)), 20)]
        everyone = np.concatenate([inside, everyone[customers.domain[everyone] != domain]])
    boxes = everyone[: min(scene.size, len(everyone))]
    boxes = rng.permutation(boxes) if rng.random() < 0.7 else np.sort(boxes)  # noqa: PLR2004
    rate = log_uniform(rng, 40, 4_000)
    span = min(len(boxes) / rate * MINUTE_MS, scene.horizon.span_ms * 0.4)
    times = evenly(rng, len(boxes), scene.horizon.place(rng, span), span, rng.uniform(0, 5))
    how_many = int(log_uniform(rng, 1, 60))
    own = rng.random() < 0.25  # noqa: PLR2004
    hosts = rented_hosts(rng, world, how_many) if own else esp_hosts(rng, world, how_many, 1)
    recipient = customers.mailbox[boxes].copy()
    outcome = mixed(rng, len(boxes), {Outcome.REJECT_CONTENT: 0.002, Outcome.DEFER_RATE: 0.005})
    stale = np.flatnonzero(rng.random(len(boxes)) < rng.uniform(0, 0.06))
    recipient[stale] = unknown_mailboxes(rng, world, customers.domain[boxes[stale]])
    outcome[stale] = int(Outcome.REJECT_UNKNOWN_USER)
    (domain_name,) = world.namer.domains(1)
    sender: IntArray | int
    if rng.random() < 0.5:  # noqa: PLR2004
        sender = world.texts.add(f"news@{domain_name}")
    else:
        marks = tokens(rng, len(boxes), 8)
        sender = world.texts.add_all([f"bounce-{mark}@{domain_name}" for mark in marks])
    rows = Rows.build(times, deal(rng, hosts, len(boxes)), recipient, sender, outcome)
    where = f", mostly {customers.domains[domain]}" if focus else ""
    name = f"newsletter of {domain_name}: {len(boxes)} mailboxes, {len(hosts)} addresses{where}"
    return Draft("newsletter", name, rows, list_id=f"news.{domain_name}")


def monitoring(scene: Scene) -> Draft:
    """A monitoring mailbox that gets up to 2,000 messages an hour from one address, always."""
    rng, world, horizon = scene.rng, scene.world, scene.horizon
    hours = horizon.span_ms / 3_600_000
    count = int(min(scene.size, hours * log_uniform(rng, 400, 2_100)))
    pauses = rng.random() < 0.3  # noqa: PLR2004
    times = (
        spread(rng, count, horizon.start_ms, horizon.span_ms)
        if pauses
        else evenly(rng, count, horizon.start_ms, horizon.span_ms, rng.uniform(0, 1.5))
    )
    host = company_hosts(rng, world, 1)
    box = int(world.customers.mailbox[world.always_busy[2]])
    (domain,) = world.namer.domains(1)
    sender = world.texts.add(f"alerts@{domain}")
    rows = Rows.build(times, host[0], box, sender)
    return Draft("monitoring", f"monitoring: {count / hours:.0f}/h from one address", rows)


def ticket(scene: Scene) -> Draft:
    """A ticket mailbox: one system writes in bursts, customers answer it all day."""
    rng, world = scene.rng, scene.world
    automatic = int(scene.size * rng.uniform(0.4, 0.9))
    bursts = max(automatic // int(rng.integers(3, 25)), 1)
    begins = rng.choice(scene.wave.times(rng, bursts), size=automatic)
    times = np.sort(begins + as_ints(rng.exponential(40_000, automatic)))
    box = int(world.customers.mailbox[world.always_busy[1]])
    host = company_hosts(rng, world, int(rng.integers(1, 3)))
    (domain,) = world.namer.domains(1)
    system = Rows.build(
        times, deal(rng, host, automatic), box, world.texts.add(f"tickets@{domain}")
    )
    people = world.people
    circle = rng.integers(len(people.sender), size=max(scene.size // 12, 5))
    who = circle[as_ints(len(circle) * rng.random(scene.size - automatic) ** 1.5)]
    answers = Rows.build(
        scene.wave.times(rng, len(who)), world.hosts_of(rng, who), box, people.sender[who]
    )
    return Draft("ticket", f"ticket mailbox: {automatic} automatic", Rows.join([system, answers]))


def big_provider(scene: Scene) -> Draft:
    """A big provider in a busy hour: high volume from few of its addresses to many mailboxes."""
    rng, world = scene.rng, scene.world
    name = str(rng.choice(["google", "microsoft", "yahoo", "apple"]))
    pools = as_ints([p for p, whose in enumerate(world.pools.name) if whose == name])
    hosts = pool_hosts(rng, world, pools, int(log_uniform(rng, 3, 60)))
    rate = log_uniform(rng, 30, 600)
    count, start, span = scene.window(rate)
    boxes = pick_mailboxes(rng, world, count)
    # Every mailbox only once in a while: busy ones come up more often, as they do all day.
    people = world.people
    room = people.contact_at[boxes + 1] - people.contact_at[boxes]
    who = people.contact[people.contact_at[boxes] + as_ints(room * rng.random(count))]
    rows = Rows.build(
        spread(rng, count, start, span),
        deal(rng, hosts, count, rng.uniform(0, 0.8)),
        world.customers.mailbox[boxes],
        people.sender[who],
        mixed(rng, count, {Outcome.REJECT_CONTENT: 0.01, Outcome.DEFER_OTHER: 0.005}),
    )
    return Draft("big_provider", f"{name}: {count} messages, {rate:.0f}/min", rows)


def greylist_retries(scene: Scene) -> Draft:
    """Deferred senders that try again, some stubbornly, some from another address each time."""
    rng, world = scene.rng, scene.world
    parts, left = [], scene.size
    while left > 0:
        stubborn = rng.random() < 0.3  # noqa: PLR2004
        messages = int(rng.integers(1, 20 if stubborn else 4))
        attempts = int(rng.integers(5, 40) if stubborn else rng.integers(2, 7))
        gap = log_uniform(rng, 1, 10) if stubborn else log_uniform(rng, 3, 40)
        begin = scene.horizon.place(rng, min(attempts * gap * MINUTE_MS, 3_600_000))
        count = min(messages * attempts, left)
        index = np.arange(count)
        turn = index // messages
        waits = turn * gap * MINUTE_MS * (1 if stubborn else 1 + turn / 2)
        times = as_ints(begin + waits + rng.exponential(3_000, count))
        who = int(rng.integers(len(world.people.sender)))
        chosen = np.full(count if rng.random() < 0.4 else 1, who)  # noqa: PLR2004
        ip = np.broadcast_to(world.hosts_of(rng, as_ints(chosen)), (count,))
        box = pick_mailboxes(rng, world, 1)[0]
        deferred = Outcome.DEFER_OTHER if rng.random() < 0.8 else Outcome.DEFER_RATE  # noqa: PLR2004
        last = turn == turn[-1]
        outcome = np.where(last & (rng.random() < 0.8), 0, int(deferred))  # noqa: PLR2004
        parts.append(
            Rows.build(
                times,
                as_ints(ip),
                world.customers.mailbox[box],
                world.people.sender[who],
                as_ints(outcome),
            )
        )
        left -= count
    return Draft("greylist_retries", f"{len(parts)} deferred senders that retry", Rows.join(parts))


def backscatter(scene: Scene) -> Draft:
    """Bounces of hundreds of innocent servers to a mailbox whose address somebody forged."""
    rng, world = scene.rng, scene.world
    rate = log_uniform(rng, 5, 250)
    count, start, span = scene.window(rate)
    hosts = company_hosts(rng, world, max(int(count * rng.uniform(0.2, 0.9)), 30))
    hosts = np.concatenate([hosts, pool_hosts(rng, world, world.pools.mailbox, len(hosts) // 3)])
    box = scene.victims(1)
    rows = Rows.build(
        spread(rng, count, start, span),
        deal(rng, hosts, count, rng.uniform(0, 0.6)),
        scene.at(np.repeat(box, count)),
        0,
        mixed(rng, count, {Outcome.REJECT_CONTENT: rng.uniform(0, 0.1)}),
    )
    name = f"backscatter at {rate:.0f}/min from {len(np.unique(rows.ip))} servers"
    return Draft("backscatter", name, rows, scene.names(box))


def harvesting(scene: Scene) -> Draft:
    """Probes of guessed addresses: unknown users, which make no victim."""
    rng, world = scene.rng, scene.world
    rate = log_uniform(rng, 10, 400)
    count, start, span = scene.window(rate)
    many = int(log_uniform(rng, 1, 80))
    hosts = scattered_hosts(rng, world, many)
    domain = int(rng.integers(min(len(world.customers.domains), 40)))
    guesses = local_parts(rng, count)
    mark = tokens(rng, count, 2)
    name = world.customers.domains[domain]
    recipient = world.texts.add_all([f"{a}{m}@{name}" for a, m in zip(guesses, mark, strict=True)])
    rows = Rows.build(
        spread(rng, count, start, span),
        deal(rng, hosts, count),
        recipient,
        world.fresh_senders(rng, 3, 3)[rng.integers(3, size=count)],
        int(Outcome.REJECT_UNKNOWN_USER),
    )
    return Draft("harvesting", f"probes of {name} from {len(hosts)} addresses", rows)


def busy_mailbox(scene: Scene) -> Draft:
    """A mailbox that is always busy: many correspondents, known and new, all day."""
    rng, world = scene.rng, scene.world
    people, count = world.people, scene.size
    circle = rng.permutation(len(people.sender))[: max(count // int(rng.integers(3, 30)), 20)]
    who = circle[as_ints(len(circle) * rng.random(count) ** rng.uniform(1, 2.5))]
    new = rng.random(count) < rng.uniform(0.05, 0.5)
    who = np.where(new, rng.integers(len(people.sender), size=count), who)
    sender = people.sender[who].copy()
    strange = np.flatnonzero(new)
    sender[strange] = world.fresh_senders(rng, len(strange), max(len(strange) // 2, 1))
    order = rng.permutation(count)
    rows = Rows.build(
        scene.wave.times(rng, count),
        world.hosts_of(rng, as_ints(who))[order],
        int(world.customers.mailbox[world.always_busy[0]]),
        sender[order],
        mixed(rng, count, {Outcome.REJECT_CONTENT: 0.03}),
    )
    return Draft("busy_mailbox", f"busy mailbox: {count} messages, new writers among them", rows)


def mailing_list(scene: Scene) -> Draft:
    """Threads of a mailing list: each post goes to every subscriber from the list's server."""
    rng, world = scene.rng, scene.world
    readers = scene.victims(int(rng.integers(8, 150)), popular=0.2)
    posts = max(scene.size // len(readers), 1)
    threads = max(posts // int(rng.integers(5, 60)), 1)
    begins = rng.choice(scene.wave.times(rng, threads), size=posts)
    post_at = np.sort(begins + as_ints(rng.exponential(rng.uniform(10, 90) * MINUTE_MS, posts)))
    times = np.repeat(post_at, len(readers)) + np.tile(
        np.sort(as_ints(rng.uniform(0, 20_000, len(readers)))), posts
    )
    host = company_hosts(rng, world, int(rng.integers(1, 3)))
    (domain,) = world.namer.domains(1)
    sender = world.texts.add(f"team-bounces@lists.{domain}")
    rows = Rows.build(
        times,
        np.repeat(deal(rng, host, posts), len(readers)),
        np.tile(world.customers.mailbox[readers], posts),
        sender,
    )
    name = f"mailing list: {posts} posts to {len(readers)} subscribers"
    return Draft("mailing_list", name, rows, list_id=f"team.lists.{domain}")


def login_codes(scene: Scene) -> Draft:
    """Login codes and password resets of a shop: many mailboxes, one to four messages each."""
    rng, world = scene.rng, scene.world
    rate = log_uniform(rng, 15, 500)
    count, start, span = scene.window(rate)
    count = min(count, len(world.customers.mailbox) * 2)
    asked = rng.permutation(len(world.customers.mailbox))[: (count + 1) // 2]
    boxes = np.concatenate([asked, asked])[:count]
    times = np.concatenate([np.sort(rng.uniform(0, span, len(asked)))] * 2)[:count]
    times[len(asked) :] += rng.exponential(40_000, count - len(asked))
    hosts = esp_hosts(rng, world, int(rng.integers(1, 25)), 1)
    (domain,) = world.namer.domains(1)
    rows = Rows.build(
        jittered(rng, as_ints(start + times), 50),
        deal(rng, hosts, count),
        world.customers.mailbox[boxes],
        world.texts.add(f"no-reply@{domain}"),
    )
    return Draft("login_codes", f"login codes of {domain}: {count} messages", rows)


INNOCENTS: Final[dict[str, Callable[[Scene], Draft]]] = {
    "newsletter": newsletter,
    "monitoring": monitoring,
    "ticket": ticket,
    "big_provider": big_provider,
    "greylist_retries": greylist_retries,
    "backscatter": backscatter,
    "harvesting": harvesting,
    "busy_mailbox": busy_mailbox,
    "mailing_list": mailing_list,
    "login_codes": login_codes,
}
"""How to draw each pattern; the outage and the late lump rearrange mail that is already there."""
