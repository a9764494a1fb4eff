"""The detector's state in one place: what is tracked, learned, examined and listed."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import AsnTableError, PolicyError
from detector.events.contract import Outcome
from detector.events.interning import KeyTable, KeyTables
from detector.judge.cases import Case
from detector.listing.collateral import Collateral
from detector.listing.listings import Listings
from detector.log.closing import BEFORE_ALL, LogCloser
from detector.memory.evidence import EvidenceLog
from detector.memory.learning import Learner, Masks
from detector.memory.tracking import Sources, Victims, evictable
from detector.networks.enrich import AsnLookup
from detector.networks.providers import ProviderRegistry
from detector.policy.settings import Policy
from detector.policy.text import policy_from_json

__all__ = ["ATTEMPTS", "DEFERRED", "DELIVERED", "MESSAGES", "State"]

_HIGHEST: Final = 16
NO_DOMAIN: Final = "\0"
"""Stands in slot 0, where the rows of evicted mailboxes in the evidence point to."""


def _weights(*outcomes: Outcome) -> NDArray[np.int64]:
    table = np.zeros(_HIGHEST, np.int64)
    table[list(outcomes)] = 1
    return table


MESSAGES: Final = _weights(
    Outcome.ACCEPT, Outcome.DISCARD, Outcome.REJECT_OTHER, Outcome.REJECT_RATE,
    Outcome.REJECT_CONTENT,
)  # fmt: skip
"""Outcomes that can make a flood. Not deferrals (a retry is no new message), not unknown users
(probes make no victim), not blocks (our own listing would prove itself)."""
ATTEMPTS: Final = MESSAGES + _weights(
    Outcome.REJECT_BLOCKLIST, Outcome.DEFER_BLOCKLIST, Outcome.DEFER_RATE, Outcome.DEFER_CONTENT
)
"""Outcomes that show a source taking part in a flood that is already known."""
DEFERRED: Final = _weights(Outcome.DEFER_OTHER)
DELIVERED: Final = _weights(Outcome.ACCEPT, Outcome.DISCARD) > 0
"""Outcomes of a mailbox that exists."""


class State:
    """Everything that decides, and that a snapshot holds. `lookup`, `providers` name sources."""

    def __init__(
        self, policy: Policy, tables: KeyTables, *,
        lookup: AsnLookup | None = None, providers: ProviderRegistry | None = None,
    ) -> None:  # fmt: skip
        self.policy = policy
        self.tables = tables
        self.lookup = lookup
        self.offered: dict[str, AsnLookup] = {}
        if lookup is not None:
            self.offered[lookup.digest] = lookup
        self.closer = LogCloser()
        self.sources = Sources(tables.ips)
        self.mailboxes = Victims(tables.mailboxes)
        self.domain_table = KeyTable("domain")
        self.domain_table.slot(NO_DOMAIN)
        self.domains = Victims(self.domain_table)
        self.learner = Learner(policy, self.sources, self.mailboxes, self.domains)
        self.evidence = EvidenceLog(policy.memory.evidence_rows)
        self.collateral = Collateral(policy.guard)
        self.listings = Listings(policy, self.sources, self.collateral, providers)
        self.cases: dict[tuple[str, int], Case] = {}
        self.flooded: dict[tuple[str, int], Case] = {}
        """Those of them with a flood."""
        self.floods_found = 0
        self.observed = 0
        self.log_start: int | None = None
        self.last_rows_at = BEFORE_ALL
        """The last close at which a row counted."""
        self.outbound: dict[int, list[int]] = {}
        """By ASN group: outbound messages of ours, and how many that provider refused."""

    def victims(self, scope: str) -> Victims:
        """Give the arrays of a scope: "mailbox" or "domain"."""
        return self.mailboxes if scope == "mailbox" else self.domains

    def name(self, scope: str, slot: int) -> str:
        """Give a victim's name."""
        return self.victims(scope).table.names[slot]

    def young_factor(self, scope: str, slot: int, tick: int) -> float:
        """Give how many times the limits hold now: a young log or domain asks for more."""
        terms = self.policy.learning
        is_young = tick - self.known_since(scope, slot) < terms.young_s
        return terms.young_factor if is_young else 1.0

    def domain_of(self, scope: str, slot: int) -> int:
        """Give the domain's slot of a victim."""
        return slot if scope == "domain" else int(self.mailboxes.domain[slot])

    def known_since(self, scope: str, slot: int) -> int:
        """Give the tick from which on a victim's domain is known, at the earliest the log's."""
        return max(self.log_start or 0, int(self.domains.since[self.domain_of(scope, slot)]))

    def take_policy(self, policy: Policy) -> None:
        """Take a new policy into force. The size of the relation table stays as it began."""
        self.policy = policy
        self.listings.take_policy(policy)
        self.learner.take_policy(policy)
        self.evidence.capacity = policy.memory.evidence_rows

    def take_policy_text(self, text: str, offset: int) -> None:
        """Take the policy of a control into force.

        One that cannot be used is left out and complained of: whoever follows the log must get
        past it, and all in the same way.
        """
        name = f"policy at log offset {offset}"
        try:
            policy = policy_from_json(text, name)
        except PolicyError as error:
            self.listings.complaints.append(f"{error} (the active policy stays)")
            return
        if policy.clock != self.policy.clock:
            said = "tick and lateness are those of the tallies, new ones need a new log"
            self.listings.complaints.append(f"{name}: changes [clock]: {said}")
            return
        self.take_policy(policy)

    def offer_table(self, lookup: AsnLookup) -> None:
        """Make an ASN table known; an `AsnTableChange` with its digest takes it into force."""
        self.offered[lookup.digest] = lookup

    def take_table(self, digest: str) -> None:
        """Look all sources up in an offered table; what it does not know stays as it was.

        Raises:
            AsnTableError: no such table was offered.
        """
        lookup = self.offered.get(digest)
        if lookup is None:
            raise AsnTableError(digest[:12], "the log asks for this table, which was not given")
        self.lookup = lookup
        slots = np.flatnonzero(self.sources.known)
        found = lookup.lookup([self.tables.ips.key(slot) for slot in slots.tolist()])
        self.sources.admit(slots, np.where(found >= 0, found, self.sources.asn(slots)), None)

    def flooded_mailboxes(self) -> set[int]:
        """Give the mailboxes that are flooded themselves (their mail is no matter of a domain)."""
        return {slot for scope, slot in self.flooded if scope == "mailbox"}

    def masks(self, victims: Iterable[tuple[str, int]]) -> Masks:
        """Give victims by slot, of mailboxes and of domains."""
        slots: dict[str, list[int]] = {"mailbox": [], "domain": []}
        for scope, slot in victims:
            slots[scope].append(slot)
        return self.mailboxes.mask(slots["mailbox"]), self.domains.mask(slots["domain"])

    def is_hit(self, masks: Masks, mailbox: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Say of mailboxes whether they, or their domains, are among the victims of masks."""
        hit: NDArray[np.bool_] = masks[0][mailbox] | masks[1][self.mailboxes.domain[mailbox]]
        return hit

    def bound_cases(self, tick: int) -> None:
        """Close the least busy cases without a flood when there are more than the bound.

        They open again while their counters ask for it, so that this bounds memory at the end of
        a minute and never what is decided.
        """
        excess = len(self.cases) - self.policy.memory.cases
        if excess <= 0:
            return
        calm = [key for key, case in self.cases.items() if case.flood is None]
        for key in calm:
            self.cases[key].advance(tick)
        calm.sort(key=lambda key: (self.cases[key].all_long, key[0], self.name(*key)))
        for scope, slot in calm[:excess]:
            del self.cases[scope, slot]
            self.victims(scope).hot[slot] = False

    def evict(self, tick: int) -> None:
        """Forget the longest unseen keys when there are more than the bound."""
        bound = self.policy.memory.keys
        if np.count_nonzero(self.sources.known) > bound:
            kept = self.listings.listed[: self.sources.known.size].copy()
            for case in self.cases.values():
                case.advance(tick)
                kept[case.slots_in_use()[0]] = True
            self.sources.forget(evictable(self.sources, bound, kept))
        gone = evictable(self.mailboxes, bound, self.mailboxes.hot)
        if not gone.size:
            return
        self.mailboxes.forget(gone)
        alive = self.domains.hot.copy()
        alive[self.mailboxes.domain[self.mailboxes.known]] = True
        gone = np.flatnonzero(self.domains.known & ~alive)
        self.domains.forget(gone)
