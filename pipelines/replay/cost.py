"""The mail that the listings would have cost, from tally rows alone.

No truth is known here. What a source sends after it was listed is the price, unless the victim is
being flooded, or is the one for which the source was listed. Victims are compared by their keys:
many mailboxes share a masked name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.engine import Engine
from detector.events.contract import OUTBOUND, Outcome
from detector.judge.flood_records import OVER
from detector.state import MESSAGES
from detector.tally.tally import Rows, join_rows, take_rows
from pipelines.replay.spans import NONE, Spans

__all__ = ["FloodCost"]

_BEGINS: Final = frozenset({"list", "release"})
_ENDS: Final = frozenset({"remove", "expire", "hold"})


class FloodCost:
    """Counts messages against the listings of an engine.

    Whether a message counts follows from its time, so that the way in which records come together
    changes nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self.messages = 0
        """All inbound messages."""
        self.cost = 0
        """Messages of listed sources to others."""
        self._outcomes = np.zeros(2 * OUTBOUND, np.int64)
        self._engine = engine
        self._listed = Spans()
        self._floods = {"mailbox": Spans(), "domain": Spans()}
        self._victims: dict[str, tuple[str, int]] = {}
        """Scope and slot of the victims of open floods, by the floods' ids."""
        self._waiting: list[Rows] = []

    def count(self, rows: Rows, changes: Sequence[Mapping[str, Any]]) -> None:
        """Count rows once their tick is closed; `changes` are what the detector said of them."""
        if len(rows):
            self._waiting.append(rows)
        over = self._note_floods()
        self._note(changes)
        for id_ in over:
            del self._victims[id_]
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

    def refused(self) -> dict[str, int]:
        """Count the refused inbound attempts by outcome (`reject_blocklist`), the most first."""
        counts = {
            one.name.lower(): int(self._outcomes[one])
            for one in Outcome
            if one not in {Outcome.ACCEPT, Outcome.DISCARD} and self._outcomes[one]
        }
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def slots_in_use(self) -> tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]:
        """Give the ip and mailbox slots of rows whose tick is open."""
        return [rows.ip for rows in self._waiting], [rows.rcpt for rows in self._waiting]

    def let_go(self) -> None:
        """Forget what was kept under slots that have become free: others will get them."""
        tables = self._engine.tables
        self._listed.forget(tables.ips.free)
        for scope, table in (("mailbox", tables.mailboxes), ("domain", self._engine.domain_table)):
            self._floods[scope].forget(table.free)
            self._listed.forget_victims(scope, table.free)

    def _note_floods(self) -> set[str]:
        """Keep from when to when a victim is flooded; give the floods that are over."""
        over = set()
        engine = self._engine
        for record, victim in zip(engine.flood_records, engine.flood_victims, strict=True):
            scope, slot = victim
            if record["id"] not in self._victims:
                self._victims[record["id"]] = victim
                self._floods[scope].begin(slot, record["found"])
            if record["state"] == OVER:
                self._floods[scope].end(slot, (record["tick"] + 1) * 1000)
                over.add(record["id"])
        return over

    def _note(self, changes: Sequence[Mapping[str, Any]]) -> None:
        """Keep from when to when a source is listed, and for whom."""
        slots = self._engine.tables.ips.find_all([change["subject"] for change in changes])
        for change, slot in zip(changes, slots, strict=True):
            if slot < 0:
                continue
            kind, time_ms = change["change"], change["time"]
            victim = self._victims.get(change["evidence"].get("flood", ""))
            if kind in _BEGINS or victim is not None:
                self._listed.begin(slot, time_ms, victim)
            if kind in _ENDS:
                self._listed.end(slot, time_ms)

    def _count(self, rows: Rows) -> None:
        np.add.at(self._outcomes, rows.outcome, rows.count)
        inbound = (rows.outcome < OUTBOUND) & (rows.rcpt >= 0)
        weight = rows.count * np.where(inbound, MESSAGES[rows.outcome & (OUTBOUND - 1)], 0)
        self.messages += int(weight.sum())
        index = np.flatnonzero(inbound)
        span = self._listed.at(rows.ip[index], rows.tick[index] * 1000)
        index, span = index[span != NONE], span[span != NONE]
        if not index.size:
            return
        mailbox, time_ms = rows.rcpt[index], rows.tick[index] * 1000
        domain = self._engine.mailboxes.domain[mailbox]
        stopped = self._listed.is_for(span, mailbox, domain)
        for scope, slots in (("mailbox", mailbox), ("domain", domain)):
            stopped |= self._floods[scope].at(slots, time_ms) != NONE
        self.cost += int(weight[index][~stopped].sum())
