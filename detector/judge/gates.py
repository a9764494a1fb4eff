"""The gates: which victims need a close look, and the rows of those that have it.

Coarse counters say cheaply that most victims cannot be in a flood. Only what passes them is
looked at row by row, as a case that is opened from the evidence log.
"""

import numpy as np
from numpy.typing import NDArray

from detector.judge.cases import SHORT_S, Case, CaseRow
from detector.memory.relations import KNOWN, mixed
from detector.memory.tracking import UNKNOWN_ASN, group_hashes
from detector.state import ATTEMPTS, DEFERRED, MESSAGES, State
from detector.tally.tally import Rows, take_rows

__all__ = ["HotRows", "hot_rows", "is_forgiven", "open_cases", "rests", "start_cases"]


HotRows = dict[int, list[tuple[CaseRow, Case, Case | None]]]


def open_cases(state: State, scope: str, slots: NDArray[np.int32], first: int) -> None:
    """Open a case for each victim whose counters could mean a flood; `first` is the segment's.

    The ten-minute rings bound their windows closely. The two minutes that bound a window of one
    are too coarse for busy victims: those are looked at to the second, still in columns.
    """
    victims = state.victims(scope)
    got = np.zeros(victims.hot.size, np.bool_)
    got[slots] = True
    calm = np.flatnonzero(got & ~victims.hot)
    long = victims.hour if state.cold else victims.new
    gate = long.total[calm] >= victims.limit_10min[calm]
    gate |= victims.all.total[calm] >= victims.limit_all[calm]
    found = [calm[gate]]
    calm = calm[~gate]
    for ring, limit, strangers in (
        (victims.new, victims.limit_min, True),
        (victims.all, victims.limit_all_min, False),
    ):
        suspects = calm[ring.newest(calm) >= limit[calm]]
        if suspects.size:
            found.append(_bursting(state, scope, suspects, limit, first, strangers=strangers))
    opened = np.unique(np.concatenate(found))
    if opened.size:
        start_cases(state, scope, opened.astype(np.int32), first)


def _bursting(
    state: State, scope: str, slots: NDArray[np.int64], limit: NDArray[np.uint32], first: int,
    *, strangers: bool,
) -> NDArray[np.int64]:  # fmt: skip
    """Give those of `slots` with a minute at or above their limit since tick `first`.

    Late rows are taken as if they had come in time, so that this never says too little.
    """
    victims = state.victims(scope)
    rows, _ = state.evidence.between(first - SHORT_S, 2**62)
    picked = np.zeros(victims.hot.size, np.bool_)
    picked[slots] = True
    index = np.flatnonzero(_of_victims(state, scope, picked)[rows.rcpt])
    index = index[rows.tick[index] > first - SHORT_S]
    owner, tick = rows.rcpt[index].astype(np.int64), rows.tick[index]
    if scope == "domain":
        owner = state.mailboxes.domain[owner].astype(np.int64)
    weight = state.evidence.messages(first - SHORT_S, 2**62)[index].astype(np.int64)
    if strangers:
        keys = mixed(victims.hash[owner], group_hashes(rows.asn[index]))
        weight = np.where(state.learner.relations.counts(keys) >= KNOWN, 0, weight)
    key = owner << 34 | tick
    order = np.argsort(key)
    key, owner, sums = key[order], owner[order], np.cumsum(weight[order])
    sums = np.concatenate([[0], sums])
    stop = np.searchsorted(key, key, side="right")
    start = np.searchsorted(key, key - (SHORT_S - 1), side="left")
    return np.unique(owner[sums[stop] - sums[start] >= limit[owner]])


def start_cases(state: State, scope: str, slots: NDArray[np.int32], first: int) -> None:
    """Open cases and feed them what the evidence log holds from before tick `first`."""
    victims = state.victims(scope)
    victims.hot[slots] = True
    memory = state.memory_s()
    fresh = np.zeros(victims.hot.size, np.bool_)
    fresh[slots] = True
    for slot in slots.tolist():
        case = Case(scope, slot, memory)
        case.advance(first - 1)
        state.cases[scope, slot] = case
    rows, at = state.evidence.between(first - memory, first)
    index = np.flatnonzero(_of_victims(state, scope, fresh)[rows.rcpt])
    domain = state.mailboxes.domain[rows.rcpt[index]]
    owner = rows.rcpt[index] if scope == "mailbox" else domain
    seen = (at[index] >= victims.since[owner]) & (rows.tick[index] > first - 1 - memory)
    index, domain, owner = index[seen], domain[seen], owner[seen]
    if not index.size:
        return
    picked = take_rows(rows, index)
    group = group_hashes(picked.asn)
    victim = state.mailboxes.hash[picked.rcpt] if scope == "mailbox" else state.domains.hash[domain]
    strange = state.learner.relations.counts(mixed(victim, group)) < KNOWN
    new = np.where(strange, state.evidence.messages(first - memory, first)[index], 0)
    made = _case_rows(state, picked, picked.asn, new)
    apart = state.flooded_mailboxes() if scope == "domain" else ()
    for row, own in zip(made, owner.tolist(), strict=True):
        if row.mailbox not in apart and not is_forgiven(state, row):
            state.cases[scope, own].add(row)


def _of_victims(state: State, scope: str, picked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Give by mailbox whether it is one of the victims that are `picked` by slot, or in one."""
    return picked if scope == "mailbox" else picked[state.mailboxes.domain]


def _case_rows(
    state: State, rows: Rows, group: NDArray[np.int64], new: NDArray[np.int64]
) -> list[CaseRow]:
    """Turn rows into those of a case; `group` (rows,) are the ASN groups of their sources."""
    clean = (rows.count - rows.nulls).astype(np.int64)
    return [
        CaseRow(*values)
        for values in zip(
            rows.tick.tolist(), rows.ip.tolist(),
            state.sources.net_hash[rows.ip].tolist(), group_hashes(group).tolist(),
            rows.rcpt.tolist(), new.tolist(),
            (clean * MESSAGES[rows.outcome]).tolist(),
            (clean * ATTEMPTS[rows.outcome]).tolist(),
            (clean * DEFERRED[rows.outcome]).tolist(),
            rows.senders.tolist(), np.maximum(group, UNKNOWN_ASN).tolist(),
            (rows.nulls * MESSAGES[rows.outcome]).tolist(),
            strict=True,
        )
    ]  # fmt: skip


def hot_rows(
    state: State, rows: Rows, at: NDArray[np.int64], domain: NDArray[np.int32],
    new: NDArray[np.int64], new_domain: NDArray[np.int64],
) -> HotRows:  # fmt: skip
    """Turn rows at victims under examination into (row, case, own), by close.

    `own` is the case that the mailbox of a domain's row has itself.
    """
    out: HotRows = {}
    cases = state.cases
    for columns, scope, owners, fresh in (
        (state.mailboxes.hot[rows.rcpt], "mailbox", rows.rcpt, new),
        (state.domains.hot[domain], "domain", domain, new_domain),
    ):
        index = np.flatnonzero(columns)
        if not index.size:
            continue
        mine = take_rows(rows, index)
        made = _case_rows(state, mine, state.sources.groups(mine.ip), fresh[index])
        watched = (state.mailboxes.hot[mine.rcpt] & (scope == "domain")).tolist()
        for row, tick, slot, is_watched in zip(
            made, at[index].tolist(), owners[index].tolist(), watched, strict=True
        ):
            own = cases["mailbox", row.mailbox] if is_watched else None
            out.setdefault(tick, []).append((row, cases[scope, slot], own))
    return out


def rests(case: Case) -> bool:
    """Say whether there is nothing to judge yet."""
    return case.flood is None and (case.patience > 0 or case.spare > 0)


def is_forgiven(state: State, row: CaseRow) -> bool:
    """Say whether a row is from before its source's removal and counts nothing against it."""
    forgiven = state.listings.forgiven
    return row.ip in forgiven and row.tick <= forgiven[row.ip]
