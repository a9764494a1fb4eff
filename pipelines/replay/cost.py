"""The mail that the listings would have cost, from tally rows alone.

No truth is known here. What a source sends after it was listed is the price, unless the victim is
being flooded, or is one for which the source was listed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.engine import Engine
from detector.events.contract import OUTBOUND
from detector.events.subjects import mailbox_masked
from detector.state import MESSAGES
from detector.tally.tally import Rows, join_rows, take_rows

__all__ = ["FloodCost"]

_NEVER: Final = 2**62
_BEGINS: Final = frozenset({"list", "release"})
_ENDS: Final = frozenset({"remove", "expire", "hold"})


class FloodCost:
    """Counts messages against the listings of an engine; one array entry a source and mailbox."""

    def __init__(self, engine: Engine) -> None:
        self.messages = 0
        """All inbound messages."""
        self.cost = 0
        """Messages of listed sources to others."""
        self._engine = engine
        self._since = np.zeros(0, np.int64)
        self._upto = np.zeros(0, np.int64)
        self._flooded = np.zeros(0, np.bool_)
        self._flooded_domains = np.zeros(0, np.bool_)
        self._marked: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * 4
        self._victims: dict[int, frozenset[str]] = {}
        self._waiting: list[Rows] = []

    def count(self, rows: Rows, changes: Sequence[Mapping[str, Any]]) -> None:
        """Count rows once their tick is closed; `changes` are what the detector said of them."""
        if len(rows):
            self._waiting.append(rows)
        self._note(changes)
        self._mark_floods()
        watermark = self._engine.watermark()
        if watermark is None or not self._waiting:
            return
        joined = join_rows(self._waiting)
        open_rows = joined.tick > watermark
        if open_rows.any():
            self._waiting = [take_rows(joined, open_rows)]
            joined = take_rows(joined, ~open_rows)
        else:
            self._waiting = []
        self._count(joined)

    def slots_in_use(self) -> tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]:
        """Give the ip and mailbox slots of rows whose tick is open."""
        return [rows.ip for rows in self._waiting], [rows.rcpt for rows in self._waiting]

    def let_go(self) -> None:
        """Forget what was kept under slots that have become free: others will get them."""
        tables = self._engine.tables
        sources = np.array(tables.ips.free, np.int64)
        self._since[sources[sources < self._since.size]] = _NEVER
        self._upto[sources[sources < self._upto.size]] = _NEVER
        for slot in self._victims.keys() & set(tables.ips.free):
            del self._victims[slot]
        for index, table in enumerate((tables.mailboxes, self._engine.domain_table) * 2):
            flags = self._flooded_domains if index % 2 else self._flooded
            free = np.array(table.free, np.int64)
            flags[free[free < flags.size]] = False
            self._marked[index] = np.setdiff1d(self._marked[index], free)

    def _note(self, changes: Sequence[Mapping[str, Any]]) -> None:
        """Keep from when to when a source is listed, and for whom."""
        ips = self._engine.tables.ips
        self._since = _sized(self._since, len(ips), _NEVER)
        self._upto = _sized(self._upto, len(ips), _NEVER)
        slots = ips.find_all([change["subject"] for change in changes])
        for change, slot in zip(changes, slots, strict=True):
            if slot < 0:
                continue
            kind, evidence = change["change"], change["evidence"]
            if kind in _BEGINS:
                self._since[slot], self._upto[slot] = change["time"], _NEVER
            elif kind in _ENDS:
                self._upto[slot] = change["time"]
            if "victim" in evidence:
                self._victims[slot] = frozenset(evidence.get("victims", [evidence["victim"]]))

    def _mark_floods(self) -> None:
        """Flag the victims in flood now; those of the call before stay flagged for this one."""
        engine = self._engine
        now: dict[str, list[int]] = {"mailbox": [], "domain": []}
        for scope, slot in engine.flooded:
            now[scope].append(slot)
        self._flooded = _sized(self._flooded, len(engine.tables.mailboxes), 0)
        self._flooded_domains = _sized(self._flooded_domains, len(engine.domain_table), 0)
        mailboxes, domains = (np.array(now[scope], np.int64) for scope in ("mailbox", "domain"))
        old_mailboxes, old_domains, *before = self._marked
        self._flooded[old_mailboxes] = False
        self._flooded_domains[old_domains] = False
        for flags, slots in (
            (self._flooded, (before[0], mailboxes)),
            (self._flooded_domains, (before[1], domains)),
        ):
            for some in slots:
                flags[some] = True
        self._marked = [*before, mailboxes, domains]

    def _count(self, rows: Rows) -> None:
        inbound = (rows.outcome < OUTBOUND) & (rows.rcpt >= 0)
        weight = rows.count * np.where(inbound, MESSAGES[rows.outcome & (OUTBOUND - 1)], 0)
        self.messages += int(weight.sum())
        time_ms = rows.tick * 1000
        listed = (time_ms >= self._since[rows.ip]) & (time_ms < self._upto[rows.ip]) & inbound
        index = np.flatnonzero(listed)
        if not index.size:
            return
        ip, rcpt = rows.ip[index], rows.rcpt[index]
        domain = self._engine.mailboxes.domain[rcpt]
        stopped = self._flooded[rcpt] | self._flooded_domains[domain]
        left = np.flatnonzero(~stopped)
        if left.size:
            names = self._engine.tables.mailboxes.names
            stopped[left] = [
                self._is_for(source, names[slot])
                for source, slot in zip(ip[left].tolist(), rcpt[left].tolist(), strict=True)
            ]
        self.cost += int(weight[index][~stopped].sum())

    def _is_for(self, source: int, mailbox: str) -> bool:
        """Say whether a source was listed for this mailbox or its domain."""
        victims = self._victims.get(source, frozenset())
        masked = mailbox_masked(mailbox)
        return masked in victims or masked.rpartition("@")[2] in victims


def _sized(array: NDArray[Any], size: int, fill: int) -> NDArray[Any]:
    """Give the array with room for `size` slots."""
    if array.size >= size:
        return array
    new = np.full(max(size, array.size * 3 // 2), fill, array.dtype)
    new[: array.size] = array
    return new
