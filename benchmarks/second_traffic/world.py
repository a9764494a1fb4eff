"""One world of a seed: the site, its mailboxes, the time it covers, the outage in it."""

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from benchmarks.second_traffic.columns import IntArray
from benchmarks.second_traffic.networks import Networks, make_networks

__all__ = ["HOUR_MS", "MINUTE_MS", "Names", "Site", "World", "make_world"]

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
MONDAY_MS = 1_770_595_200_000  # 2026-02-09T00:00Z, a Monday
LOCALS = 4_096
ROLES = (
    "noreply", "newsletter", "alerts", "cron", "ci", "jira", "calendar", "security", "mailer",
    "support", "billing", "list", "root", "info", "shop", "backup",
)  # fmt: skip
FIRST = (
    "anna", "ben", "clara", "dario", "elif", "finn", "greta", "hugo", "ines", "jan", "kim", "lea",
    "milo", "nora", "omar", "pia", "quinn", "rosa", "sami", "tess", "ugo", "vera", "wim", "yara",
)  # fmt: skip
LAST = ("berg", "costa", "diaz", "ek", "falk", "gross", "horn", "ito", "jung", "kurz", "lind")
ZONES_MIN = (-480, -300, 0, 60, 120, 330, 540)
MIN_HOURS = 6.0


class Names:
    """Sender domains, local parts and list names; a sender is one number for its two parts."""

    def __init__(self) -> None:
        self.domains: list[str] = []
        self.lists: list[str] = []
        people = [f"{FIRST[i % 24]}.{LAST[i // 24 % 11]}{i // 264 or ''}" for i in range(LOCALS)]
        self.locals = [*ROLES, *people][:LOCALS]

    def domain(self, text: str) -> int:
        """Append a sender domain."""
        self.domains.append(text)
        return len(self.domains) - 1

    def list_id(self, text: str) -> int:
        """Append a list name."""
        self.lists.append(text)
        return len(self.lists) - 1

    @staticmethod
    def sender(domain: IntArray | int, local: IntArray | int | str) -> IntArray:
        """Give the senders `local@domain`; a text names a role."""
        part = ROLES.index(local) if isinstance(local, str) else local
        return np.asarray(domain, dtype=np.int64) * LOCALS + part

    def sender_text(self, sender: int) -> str:
        """Give the address of a sender."""
        return f"{self.locals[sender % LOCALS]}@{self.domains[sender // LOCALS]}"


@dataclass(slots=True)
class Site:
    """The customer's mail: domains, mailboxes and how much mail each mailbox gets.

    `weight`: (mailboxes,) float64 sums to 1; `domain_of`: (mailboxes,) int64; `business` and
    `zone_min`: one entry a domain. Mailboxes that a scenario adds later have no weight.
    """

    per_day: float
    domains: list[str]
    business: np.ndarray
    zone_min: IntArray
    mailboxes: list[str]
    domain_of: IntArray
    weight: np.ndarray
    hosts: list[str]
    catch_all: int

    @property
    def known(self) -> int:
        """Give the number of mailboxes with everyday mail."""
        return len(self.weight)

    def add(self, domain: int, local_parts: list[str]) -> IntArray:
        """Append recipients of a domain that get no everyday mail."""
        first = len(self.mailboxes)
        self.mailboxes += [f"{one}@{self.domains[domain]}" for one in local_parts]
        return np.arange(first, len(self.mailboxes), dtype=np.int64)

    def quiet(self, rng: np.random.Generator, n: int) -> IntArray:
        """Give `n` different mailboxes outside the busiest, as many as there are."""
        skip = max(4, self.known // 20)
        return skip + rng.permutation(self.known - skip)[:n]

    def busy(self, rng: np.random.Generator) -> int:
        """Give one of the busiest mailboxes."""
        return int(rng.integers(min(12, self.known)))


@dataclass(slots=True)
class World:
    """Everything that a scenario draws from; `stream` gives it its own random numbers."""

    seed: int
    names: Names
    networks: Networks
    site: Site
    start_ms: int
    end_ms: int
    outage: tuple[int, int]

    def stream(self, *key: object) -> np.random.Generator:
        """Give the generator of a key: the same for the same seed, whatever else is drawn."""
        return np.random.default_rng([self.seed, crc32(repr(key).encode())])

    @property
    def span_ms(self) -> int:
        """Give the length of the log."""
        return self.end_ms - self.start_ms

    def place(self, rng: np.random.Generator, length_ms: int) -> int:
        """Give a start for something of this length that stays clear of the outage if it can."""
        before = (self.start_ms, self.outage[0] - length_ms)
        after = (self.outage[1] + 15 * MINUTE_MS, self.end_ms - length_ms)
        choices = [(low, high) for low, high in (before, after) if high > low]
        if not choices:
            return self.outage[1] + 15 * MINUTE_MS
        room = np.array([high - low for low, high in choices], dtype=np.float64)
        low, high = choices[int(rng.choice(len(choices), p=room / room.sum()))]
        return int(rng.integers(low, high))


def _site(rng: np.random.Generator, per_day: float) -> Site:
    """Give a site of this size: one domain or thousands, some private and some business."""
    count = 1 if rng.random() < 0.15 else int(np.exp(rng.uniform(0, np.log(5000))))
    known = int(np.clip(per_day / rng.uniform(4, 20), 400, 60_000))
    count = min(count, known // 4)
    ranks = 1.0 / (np.arange(count) + 2.0)
    domain_of = rng.choice(count, size=known, p=ranks / ranks.sum())
    weight = 1.0 / (np.arange(known) + rng.uniform(3, 12)) ** rng.uniform(1.1, 1.35)
    domains = [f"{FIRST[i % 24]}{LAST[i % 11]}{i or ''}.example" for i in range(count)]
    zones = rng.choice(ZONES_MIN, size=int(rng.integers(1, 5)), replace=False)
    people = Names().locals
    mailboxes = [
        f"{people[len(ROLES) + i % 3_000]}{i // 3_000 or ''}@{domains[at]}"
        for i, at in enumerate(domain_of.tolist())
    ]
    return Site(
        per_day=per_day,
        domains=domains,
        business=rng.random(count) < rng.uniform(0.2, 0.8),
        zone_min=rng.choice(zones, size=count),
        mailboxes=mailboxes,
        domain_of=domain_of,
        weight=weight / weight.sum(),
        hosts=[f"mx{i + 1}" for i in range(int(rng.integers(2, 6)))],
        catch_all=int(rng.integers(count)),
    )


def make_world(seed: int, events: int, hours: float | None) -> World:
    """Give the world of a seed. Without `hours`, the site's own size fixes the length of the log.

    A log of at least 6 h holds every scenario at its full length; a shorter one cuts them off.
    """
    rng = np.random.default_rng([seed, 1])
    drawn = float(np.exp(rng.uniform(np.log(30_000), np.log(1_000_000))))
    per_day = min(drawn, events * 24 / MIN_HOURS) if hours is None else events * 24 / hours
    length_ms = int(events / per_day * 24 * HOUR_MS)
    start_ms = MONDAY_MS + int(rng.integers(7 * 24 * 60)) * MINUTE_MS
    outage_ms = start_ms + int(length_ms * rng.uniform(0.12, 0.25))
    names = Names()
    return World(
        seed=seed,
        names=names,
        networks=make_networks(np.random.default_rng([seed, 2]), names.domain),
        site=_site(np.random.default_rng([seed, 3]), per_day),
        start_ms=start_ms,
        end_ms=start_ms + length_ms,
        outage=(outage_ms, outage_ms + min(40 * MINUTE_MS, length_ms // 8)),
    )
