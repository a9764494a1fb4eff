"""Candidates: which victims need a close look, and the rows of those that have it.

Coarse counters say cheaply that most victims cannot be flooded. Only what passes them is looked at
row by row, as a case that is fed from the evidence log.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.judge.cases import Case
from detector.judge.rows import HOUR_S, LONG_S, CaseRow
from detector.memory.tracking import UNKNOWN_ASN, group_hashes
from detector.state import ATTEMPTS, DEFERRED, DELIVERED, MESSAGES, State
from detector.tally.rows import Rows, take_rows

__all__ = [
    "Counted",
    "HotRows",
    "earlier_rows",
    "hot_rows",
    "is_forgiven",
    "open_cases",
    "passes",
    "refill",
]

_made: Final[Callable[[tuple[Any, ...]], CaseRow]] = partial(tuple.__new__, CaseRow)
"""Make a row of its values, without a call of Python."""
_FEW: Final = 4
"""So many slots are faster compared one by one than looked up."""
HotRows = dict[int, list[tuple[CaseRow, Case, Case | None]]]


def passes(state: State, scope: str, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say of victims whether their counters could mean a flood."""
    victims = state.victims(scope)
    out: NDArray[np.bool_] = victims.all.total[slots] >= victims.gate_all[slots]
    out |= victims.new.total[slots] >= victims.gate_new[slots]
    return out


@dataclass(frozen=True, slots=True)
class Counted:
    """The rows of a segment as the counters of one scope took them, (rows,) each.

    `slots` are the victims, `every` all messages, `new` those from strangers, `minute` is that of
    the row's tick and `at` the close at which it counts.
    """

    slots: NDArray[np.intp]
    every: NDArray[np.uint32]
    new: NDArray[np.uint32]
    minute: NDArray[np.int64]
    at: NDArray[np.int64]


def open_cases(state: State, scope: str, counted: Counted) -> None:
    """Open a case for each victim whose counters could mean a flood.

    It wakes at the close at which they passed: that is the same in whatever segments rows come.
    """
    victims = state.victims(scope)
    got = np.zeros(victims.hot.size, np.bool_)
    got[counted.slots] = True
    calm = np.flatnonzero(got & ~victims.hot)
    opened = calm[passes(state, scope, calm)]
    if not opened.size:
        return
    victims.hot[opened] = True
    for slot, wake in zip(opened.tolist(), _wakes(state, scope, opened, counted), strict=True):
        state.cases[scope, slot] = Case(scope, slot, wake)


def _wakes(
    state: State, scope: str, opened: NDArray[np.int64], counted: Counted
) -> list[int]:  # fmt: skip
    """Give the close at which each victim's counters passed; `opened` are sorted slots."""
    victims = state.victims(scope)
    mine = np.zeros(victims.hot.size, np.bool_)
    mine[opened] = True
    index = np.flatnonzero(mine[counted.slots])
    index = index[np.argsort(counted.slots[index], kind="stable")]
    slots, at = counted.slots[index], counted.at[index]
    in_ring = counted.minute[index] > victims.all.step - victims.all.steps
    starts = np.searchsorted(slots, opened)
    passed = np.zeros(index.size, np.bool_)
    for messages, ring, gate in (
        (counted.every, victims.all, victims.gate_all),
        (counted.new, victims.new, victims.gate_new),
    ):
        sums = np.cumsum(messages[index] * in_ring, dtype=np.int64)
        stops = np.append(starts[1:], index.size) - 1
        before = ring.total[opened].astype(np.int64) - sums[stops]
        passed |= sums + np.repeat(before, np.diff(starts, append=index.size)) >= gate[slots]
    found = np.flatnonzero(passed)
    first = found[np.searchsorted(slots[found], opened)]
    out: list[int] = at[first].tolist()
    return out


def refill(state: State, cases: list[Case], first: int) -> None:
    """Fill the windows of cases of one scope from the evidence log, up to tick `first`."""
    if not cases:
        return
    scope = cases[0].scope
    victims = state.victims(scope)
    floods = [case.flood for case in cases]
    for case in cases:
        case.empty(first - 1)
    rows, at = state.evidence.between(first - HOUR_S, first)
    if scope == "mailbox" and len(cases) <= _FEW:
        index = np.flatnonzero(np.logical_or.reduce([rows.rcpt == case.slot for case in cases]))
    else:
        wanted = victims.mask([case.slot for case in cases])
        if scope == "domain":
            wanted = wanted[state.mailboxes.domain]
            wanted[list(state.flooded_mailboxes())] = False
        index = np.flatnonzero(wanted[rows.rcpt])
    owner = rows.rcpt[index] if scope == "mailbox" else state.mailboxes.domain[rows.rcpt[index]]
    tick = rows.tick[index]
    seen = (at[index] >= victims.since[owner]) & (tick > first - 1 - HOUR_S)
    for ip, removed in state.listings.forgiven.items():
        seen &= (rows.ip[index] != ip) | (tick > removed)
    young = tick >= first - LONG_S
    old = np.flatnonzero(seen & ~young)
    _fill_hours(state, scope, owner[old], take_rows(rows, index[old]))
    new = np.flatnonzero(seen & young)
    index, owner = index[new], owner[new]
    made = _case_rows(state, take_rows(rows, index), at[index], rows.asn[index])
    for row, own in zip(made, owner.tolist(), strict=True):
        state.cases[scope, own].add(row)
    for case, flood in zip(cases, floods, strict=True):
        case.flood = flood


def _fill_hours(state: State, scope: str, owner: NDArray[np.int32], rows: Rows) -> None:
    """Count rows that are older than ten minutes at the cases of their owners."""
    messages = rows.count.astype(np.int64) * MESSAGES[rows.outcome]
    some = np.flatnonzero(messages)
    for own, step, group, count in zip(
        owner[some].tolist(), (rows.tick[some] // LONG_S).tolist(),
        group_hashes(rows.asn[some]).tolist(), messages[some].tolist(), strict=True,
    ):  # fmt: skip
        state.cases[scope, own].add_hour(step, group, count)


def earlier_rows(state: State, case: Case, first: int, stop: int) -> list[CaseRow]:
    """Give the rows of a case's victim that counted in `[first, stop)`, as far as they are kept.

    A domain's are without those of its mailboxes that have a flood of their own.
    """
    rows, at = state.evidence.between(first, stop)
    owner = rows.rcpt if case.scope == "mailbox" else state.mailboxes.domain[rows.rcpt]
    index = np.flatnonzero(owner == case.slot)
    picked = take_rows(rows, index)
    apart = state.flooded_mailboxes() if case.scope == "domain" else ()
    made = _case_rows(state, picked, at[index], picked.asn)
    return [row for row in made if row.mailbox not in apart]


def _case_rows(
    state: State, rows: Rows, at: NDArray[np.int64], group: NDArray[np.int64]
) -> list[CaseRow]:
    """Turn rows into those of a case; `group` (rows,) are the ASN groups of their sources."""
    count = rows.count.astype(np.int64)
    names, number = np.unique(group.astype(np.int64), return_inverse=True)
    number = number.tolist()
    return list(map(_made, zip(
        _shared(rows.tick), rows.ip.tolist(),
        map(group_hashes(names).tolist().__getitem__, number),
        rows.rcpt.tolist(),
        (count * MESSAGES[rows.outcome]).tolist(),
        (count * ATTEMPTS[rows.outcome]).tolist(),
        (count * DEFERRED[rows.outcome]).tolist(),
        rows.senders.tolist(),
        map(np.maximum(names, UNKNOWN_ASN).tolist().__getitem__, number),
        (rows.nulls * MESSAGES[rows.outcome]).tolist(),
        ((at == state.mailboxes.since[rows.rcpt]) & DELIVERED[rows.outcome]).tolist(),
        strict=True,
    )))  # fmt: skip


def _shared(ticks: NDArray[np.int64]) -> Iterator[int]:
    """Give ticks, one object for all that are equal: a million listings remember them."""
    if not ticks.size or (last := int(ticks.max())) - (first := int(ticks.min())) > HOUR_S:
        return iter(ticks.tolist())
    every = range(first, last + 1)
    return map([*every].__getitem__, (ticks - first).tolist())


def hot_rows(state: State, rows: Rows, at: NDArray[np.int64], domain: NDArray[np.int32]) -> HotRows:
    """Turn rows at victims under examination into (row, case, own), by close.

    `own` is the case that the mailbox of a domain's row has itself.
    """
    out: HotRows = {}
    cases = state.cases
    made = _case_rows(state, rows, at, state.sources.groups(rows.ip))
    for columns, scope, owners in (
        (state.mailboxes.hot[rows.rcpt], "mailbox", rows.rcpt),
        (state.domains.hot[domain], "domain", domain),
    ):
        index = np.flatnonzero(columns)
        watched = (state.mailboxes.hot[rows.rcpt[index]] & (scope == "domain")).tolist()
        for row, tick, slot, is_watched in zip(
            map(made.__getitem__, index.tolist()), at[index].tolist(), owners[index].tolist(),
            watched, strict=True,
        ):  # fmt: skip
            own = cases["mailbox", row.mailbox] if is_watched else None
            found = out.get(tick)
            if found is None:
                found = out[tick] = []
            found.append((row, cases[scope, slot], own))
    return out


def is_forgiven(state: State, row: CaseRow) -> bool:
    """Say whether a row is from before its source's removal and counts nothing against it."""
    forgiven = state.listings.forgiven
    return row.ip in forgiven and row.tick <= forgiven[row.ip]
