"""Which keys the detector still needs: all others may be let go, and a snapshot leaves them out.

Key tables remember every text they have seen, tracked or not. Letting go is only a cache's
business: it changes no decision, so that it may happen at any time, in any copy of the detector.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detector.events.interning import KeyTable, KeyTables
from detector.judge.cases import Case
from detector.listing.collateral import Collateral
from detector.listing.listings import Listings
from detector.log.closing import LogCloser
from detector.memory.evidence import EvidenceLog
from detector.memory.learning import Learner
from detector.memory.tracking import Sources, Victims
from detector.networks.enrich import AsnLookup
from detector.policy.settings import Policy

__all__ = [
    "EngineState",
    "LiveKeys",
    "live_keys",
    "release_due",
    "release_keys",
    "release_texts",
    "tables_due",
]

Slots = NDArray[Any]


class EngineState(Protocol):
    """What the engine knows, part by part."""

    policy: Policy
    tables: KeyTables
    lookup: AsnLookup | None
    offered: dict[str, AsnLookup]
    closer: LogCloser
    sources: Sources
    mailboxes: Victims
    domain_table: KeyTable
    domains: Victims
    learner: Learner
    evidence: EvidenceLog
    collateral: Collateral
    listings: Listings
    cases: dict[tuple[str, int], Case]
    flooded: dict[tuple[str, int], Case]
    floods_found: int
    observed: int
    log_start: int | None
    last_rows_at: int
    outbound: dict[int, list[int]]


@dataclass(frozen=True, slots=True)
class LiveKeys:
    """By slot of each table, (slots,) bool: whether the detector still refers to the key."""

    ips: NDArray[np.bool_]
    mailboxes: NDArray[np.bool_]
    domains: NDArray[np.bool_]


def live_keys(engine: EngineState) -> LiveKeys:
    """Give the keys that are tracked, or that a row, a case, a listing or a removal refers to."""
    ips = _known(engine.sources.known, engine.tables.ips)
    mailboxes = _known(engine.mailboxes.known, engine.tables.mailboxes)
    domains = _known(engine.domains.known, engine.domain_table)
    domains[0] = True
    listings = engine.listings
    listed = [listing.slot for listing in listings.lifecycle.listings.values()]
    _mark(ips, [np.array([*listed, *listings.forgiven], np.int64)])
    for part in (engine.closer, engine.evidence):
        rows = part.slots_in_use()
        _mark(ips, [rows[0]])
        _mark(mailboxes, [rows[1]])
    _mark(domains, [engine.mailboxes.domain[engine.evidence.slots_in_use()[1]]])
    for (scope, slot), case in engine.cases.items():
        owners = mailboxes if scope == "mailbox" else domains
        owners[slot] = True
        sources, victims = case.slots_in_use()
        _mark(ips, [sources])
        _mark(mailboxes, [victims])
    return LiveKeys(ips, mailboxes, domains)


def release_due(engine: EngineState) -> bool:
    """Say whether a key table remembers twice as many texts as may be tracked, or as were live.

    Ask after each `accept`: it costs nothing. Then a table holds at most twice the larger of
    `memory.keys` and the keys in evidence (at most `memory.evidence_rows`), and one batch more.
    """
    return tables_due(engine.tables, engine.policy.memory.keys)


def tables_due(tables: KeyTables, keys: int) -> bool:
    """Say whether key tables remember more than twice `keys` texts, or twice what was live."""
    both = (tables.ips, tables.mailboxes)
    return any(table.texts > 2 * max(keys, table.settled) for table in both)


def release_texts(tables: KeyTables, ips: Iterable[Slots], mailboxes: Iterable[Slots]) -> None:
    """Forget every key outside of these slots, in tables that no engine shares."""
    for table, parts in ((tables.ips, ips), (tables.mailboxes, mailboxes)):
        live = np.zeros(len(table), np.bool_)
        _mark(live, parts)
        table.release(live)


def release_keys(engine: EngineState, ips: Iterable[Slots], mailboxes: Iterable[Slots]) -> int:
    """Forget every key that nobody needs; give how many slots became free.

    `ips` and `mailboxes` are the slots that stages beside the engine refer to: open, late and held
    rows of each partition (`PartitionTally.slots_in_use`) and tallies that are on their way. No
    decoded batch may be waiting. Cost: about a microsecond a live key.
    """
    live = live_keys(engine)
    _mark(live.ips, ips)
    _mark(live.mailboxes, mailboxes)
    engine.learner.release((live.mailboxes, live.domains))
    return (
        engine.tables.ips.release(live.ips)
        + engine.tables.mailboxes.release(live.mailboxes)
        + engine.domain_table.release(live.domains)
    )


def _known(known: NDArray[np.bool_], table: KeyTable) -> NDArray[np.bool_]:
    """Give the tracked slots of a table, which may have grown since."""
    live = np.zeros(len(table), np.bool_)
    size = min(live.size, known.size)
    live[:size] = known[:size]
    return live


def _mark(live: NDArray[np.bool_], parts: Iterable[Slots]) -> None:
    for slots in parts:
        live[slots[slots >= 0]] = True
