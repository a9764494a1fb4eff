"""Who exists: providers with their pools, small companies, customers, and who writes to whom."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipelines.simulate.columns import IntArray, as_ints
from pipelines.simulate.names import ROLES, Namer, local_parts, tokens
from pipelines.simulate.network import Network, System
from pipelines.simulate.pools import Pools, draw_pools

__all__ = ["Correspondents", "Customers", "Texts", "World", "draw_world"]


@dataclass(slots=True)
class Texts:
    """Addresses by index; index 0 is the empty text (the null sender)."""

    texts: list[str] = field(default_factory=lambda: [""])

    def add(self, text: str) -> int:
        """Keep one text and give its index."""
        self.texts.append(text)
        return len(self.texts) - 1

    def add_all(self, texts: list[str]) -> IntArray:
        """Keep texts and give their indexes, consecutive."""
        first = len(self.texts)
        self.texts.extend(texts)
        return as_ints(np.arange(first, len(self.texts)))


@dataclass(frozen=True, slots=True)
class Customers:
    """The mailboxes we protect, by domain.

    `mailbox` (n,) holds text indexes, `domain` (n,) the domain's position, `weight` (n,) how much
    ordinary mail a mailbox gets (sums to 1); `first` and `count` say which positions a domain has.
    """

    domains: list[str]
    mailbox: IntArray
    domain: IntArray
    weight: NDArray[np.float64]
    first: IntArray
    count: IntArray

    def of_domain(self, domain: int) -> IntArray:
        """Give the positions of a domain's mailboxes."""
        return as_ints(np.arange(self.first[domain], self.first[domain] + self.count[domain]))


@dataclass(frozen=True, slots=True)
class Correspondents:
    """People and programs who write: their address, and from where in which pool.

    `bulk` are the positions of senders that write to many (shops, networks, newsletters).
    `contact` lists the stable correspondents of mailbox m at `[contact_at[m], contact_at[m + 1])`.
    """

    sender: IntArray
    pool: IntArray
    base: IntArray
    reach: IntArray
    bulk: IntArray
    contact_at: IntArray
    contact: IntArray


@dataclass(frozen=True, slots=True)
class World:
    """Everything that exists before the first message.

    `always_busy` holds the positions of the mailboxes of the patterns `busy_mailbox`, `ticket` and
    `monitoring`, at which some floods aim as well.
    """

    network: Network
    texts: Texts
    namer: Namer
    pools: Pools
    customers: Customers
    people: Correspondents
    isps: list[System]
    rentable: list[System]
    always_busy: IntArray

    def hosts_of(self, rng: Generator, people: IntArray) -> IntArray:
        """Draw the host from which each of `people` (positions) sends this time."""
        of = self.people
        return self.pools.draw(rng, of.pool[people], of.base[people], of.reach[people])

    def fresh_senders(self, rng: Generator, count: int, domains: int) -> IntArray:
        """Add `count` sender addresses never seen before, over `domains` new domains."""
        names = self.namer.domains(max(domains, 1))
        if count == len(names):
            chosen = names
        else:
            chosen = [names[i] for i in rng.integers(len(names), size=count).tolist()]
        local = local_parts(rng, count)
        mark = tokens(rng, count, 5)
        style = int(rng.integers(3))
        if style == 0:
            return self.texts.add_all([f"{a}@{b}" for a, b in zip(local, chosen, strict=True)])
        if style == 1:
            return self.texts.add_all(
                [f"{m}{a}@{b}" for m, a, b in zip(mark, local, chosen, strict=True)]
            )
        return self.texts.add_all(
            [f"bounce+{m}-{a}@{b}" for m, a, b in zip(mark, local, chosen, strict=True)]
        )


_TOP_SHARE: Final = 0.012


def draw_world(rng: Generator, events: int) -> World:
    """Draw a world fit for about `events` events."""
    network, texts, namer = Network.draw(rng), Texts(), Namer(rng)
    pools, isps, rentable = draw_pools(rng, network, companies=max(300, events // 120))
    customers = _draw_customers(rng, texts, namer, events)
    people = _draw_people(rng, texts, namer, pools, customers)
    always_busy = as_ints(rng.choice(len(customers.mailbox), size=3, replace=False))
    return World(network, texts, namer, pools, customers, people, isps, rentable, always_busy)


def _draw_customers(rng: Generator, texts: Texts, namer: Namer, events: int) -> Customers:
    boxes = int(np.clip(events / rng.uniform(18, 60), 400, 60_000))
    domains = int(np.clip(boxes / rng.uniform(20, 120), 12, 600))
    size = np.arange(1, domains + 1) ** -rng.uniform(0.6, 1.15)
    count = np.maximum(as_ints(size / size.sum() * boxes), 3)
    names = namer.domains(domains, None if rng.random() < 0.5 else "example")  # noqa: PLR2004
    rows: list[str] = []
    for name, many in zip(names, count.tolist(), strict=True):
        wanted = [*ROLES[: min(4, many)]]
        seen = set(wanted)
        for local in local_parts(rng, many):
            if len(wanted) >= many:
                break
            unique = local
            while unique in seen:
                unique = f"{local}{int(rng.integers(1, 9999))}"
            seen.add(unique)
            wanted.append(unique)
        while len(wanted) < many:
            wanted.append(f"user{len(wanted)}")
        rows.extend(f"{local}@{name}" for local in wanted)
    total = len(rows)
    rank = rng.permutation(total) + 1.0 + rng.uniform(0, 20)
    weight = rank ** -rng.uniform(0.5, 1.0)
    weight = np.minimum(weight / weight.sum(), _TOP_SHARE)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    return Customers(
        domains=names,
        mailbox=texts.add_all(rows),
        domain=as_ints(np.repeat(np.arange(domains), count)),
        weight=weight / weight.sum(),
        first=as_ints(first),
        count=count,
    )


def _draw_people(
    rng: Generator, texts: Texts, namer: Namer, pools: Pools, customers: Customers
) -> Correspondents:
    boxes = len(customers.mailbox)
    total = int(boxes * rng.uniform(2.5, 6)) + 500
    kind_share = rng.dirichlet([8.0, 7.0, 1.2])
    kinds = rng.choice(3, size=total, p=kind_share / kind_share.sum())
    mailbox_pool = rng.choice(pools.mailbox, size=total, p=pools.share_of(pools.mailbox))
    esp_pool = rng.choice(pools.esp, size=total, p=pools.share_of(pools.esp))
    company_pool = rng.choice(pools.company, size=total, p=pools.share_of(pools.company))
    pool = np.choose(kinds, [mailbox_pool, company_pool, esp_pool])
    size = pools.size[pool]
    reach = np.minimum(rng.choice([1, 4, 16, 64, 256, 4096], size=total), size)
    # An ESP rotates its pool; a company has what it has.
    reach = np.where(kinds == 1, size, reach)
    base = as_ints(rng.random(total) * size)
    domain_names = np.array(namer.domains(max(total // 3, 200)), dtype=object)
    of_pool = rng.integers(len(domain_names), size=total)
    # A company's senders share its domain; a freemail provider has one domain for most.
    of_pool = np.where(kinds == 1, pool % len(domain_names), of_pool)
    freemail = (kinds == 0) & (rng.random(total) < rng.uniform(0.3, 0.7))
    of_pool = np.where(freemail, (pool * 7) % min(40, len(domain_names)), of_pool)
    local = local_parts(rng, total)
    sender = texts.add_all(
        [f"{a}@{d}" for a, d in zip(local, domain_names[of_pool].tolist(), strict=True)]
    )
    bulk = np.flatnonzero(kinds == 2)  # noqa: PLR2004
    if len(bulk) == 0:
        bulk = np.arange(20)
    # Contacts: a heavy-tailed number each, the busy having more.
    busy = np.sqrt(customers.weight * boxes)
    many = np.clip(as_ints(rng.lognormal(1.8, 0.8, boxes) * np.maximum(busy, 0.4)), 1, 400)
    at = np.concatenate([[0], np.cumsum(many)])
    contact = rng.integers(total, size=at[-1])
    popular = as_ints(len(bulk) * rng.random(at[-1]) ** rng.uniform(2, 4))
    is_bulk = rng.random(at[-1]) < rng.uniform(0.15, 0.5)
    contact = np.where(is_bulk, bulk[np.minimum(popular, len(bulk) - 1)], contact)
    return Correspondents(
        sender, as_ints(pool), base, as_ints(reach), as_ints(bulk), as_ints(at), as_ints(contact)
    )
