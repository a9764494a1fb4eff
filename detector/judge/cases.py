"""Cases: victims under examination, with exact sliding windows to the second.

A case is opened when the coarse counters of a victim could mean a flood, and fed from the evidence
log, so that it knows the last ten minutes whole. What it says depends on the rows and the minute
alone, never on when inside the minute it was opened.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.events.numbering import Numbering

__all__ = ["LONG_S", "SHORT_S", "Case", "CaseRow", "Flood", "Part"]

SHORT_S: Final = 60
LONG_S: Final = 600


@dataclass(slots=True)
class CaseRow:
    """One tally row as a case sees it.

    `new` are messages that can make a flood and come from a stranger, `all` those from anybody,
    `attempts` whatever shows that the source takes part (also blocked messages), `deferred` those
    it was asked to repeat: a retry is no new message, so that they count only as having tried.
    `nulls` came from a null sender and count nowhere.
    """

    tick: int
    ip: int
    net: int
    group: int
    mailbox: int
    new: int
    all: int
    attempts: int
    deferred: int
    senders: int
    asn: int = -1
    nulls: int = 0

    @property
    def tried(self) -> int:
        """Attempts, deferred ones among them."""
        return self.attempts + self.deferred


_ROW_TYPES: Final = {
    column.name: np.uint64 if column.name in {"net", "group", "senders"} else np.int64
    for column in fields(CaseRow)
}


@dataclass(slots=True)
class Part:
    """What one source has sent into one flood; `deferred`: it was also told to come back.

    `net` and `group` are the hashes of its network and ASN group, `asn` the ASN or -1, as of its
    last row.
    """

    attempts: int
    first: int
    last: int
    deferred: bool
    net: int
    group: int
    asn: int
    met: bool = False
    """Judged as a stranger at least once (see `Flood.strangers`)."""


@dataclass(slots=True)
class Flood:
    """A flood in progress: who feeds it, by source, network and ASN group.

    `start` is the tick from which messages count as part of it, `found` the tick at which it was
    recognised.
    """

    start: int
    found: int
    limit: int
    count: int
    span_s: int
    normal: float | None
    usual: float
    """What strangers usually send the victim in ten minutes, at most."""
    share: float
    """The victim's usual share of all mail: what it may get of an ASN's volume."""
    expected: float
    """Strangers that may write in ten minutes without being a crowd."""
    total: int = 0
    parts: dict[int, Part] = field(default_factory=dict)
    nets: dict[int, int] = field(default_factory=dict)
    groups: dict[int, int] = field(default_factory=dict)
    spared: dict[int, dict[int, tuple[int, int]]] = field(default_factory=dict)
    """Sources not taken for part of it, by group, with (network, group): looked at again when
    their group grows."""
    strangers: list[int] = field(default_factory=lambda: [0, 0])
    """Sources of light ASNs beyond their relations: those nobody knows, those who wrote before."""
    crowds: list[bool] = field(default_factory=lambda: [False, False])
    """Which of these are a crowd."""
    senders: int = 0
    members: dict[int, int] = field(default_factory=dict)
    """Sources by ASN group."""

    def add(self, row: CaseRow) -> None:
        """Count one row."""
        self.total += row.attempts
        self.senders |= row.senders
        part = self.parts.get(row.ip)
        if part is None:
            self.parts[row.ip] = Part(
                row.attempts, row.tick, row.tick, row.deferred > 0, row.net, row.group, row.asn
            )
            self.members[row.group] = self.members.get(row.group, 0) + 1
        else:
            if part.group != row.group:
                self.spared.get(part.group, {}).pop(row.ip, None)
                self.members[part.group] -= 1
                self.members[row.group] = self.members.get(row.group, 0) + 1
                part.group, part.asn = row.group, row.asn
            part.attempts += row.attempts
            part.first = min(part.first, row.tick)
            part.last = max(part.last, row.tick)
            part.deferred |= row.deferred > 0
        self.nets[row.net] = self.nets.get(row.net, 0) + row.attempts
        self.groups[row.group] = self.groups.get(row.group, 0) + row.attempts

    def forget(self, ip: int) -> None:
        """Take a source's share out: it was removed, and starts with a clean sheet."""
        part = self.parts.pop(ip, None)
        if part is not None:
            self.total -= part.attempts
            self.nets[part.net] -= part.attempts
            self.groups[part.group] -= part.attempts
            self.members[part.group] -= 1
            self.spared.get(part.group, {}).pop(ip, None)

    def state(self, ips: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs, in the order of names and hashes."""
        state = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _TABLES}
        slots = np.array(list(self.parts), np.int64)
        numbers = ips.numbers(slots)
        order = np.argsort(numbers)
        parts = [self.parts[slot] for slot in slots[order].tolist()]
        spared = sorted(
            (group, int(ips.numbers(np.array([ip]))[0]), *place)
            for group, members in self.spared.items()
            for ip, place in members.items()
        )
        return state | {
            "parts": {
                "ip": numbers[order],
                **{
                    name: np.array([getattr(part, name) for part in parts], kind)
                    for name, kind in _PART_TYPES.items()
                },
            },
            "nets": _pairs(self.nets),
            "groups": _pairs(self.groups),
            "spared": np.array(spared, np.uint64).reshape(-1, 4),
        }

    @classmethod
    def restored(cls, state: dict[str, Any], ips: Numbering) -> "Flood":
        """Take back what `state` gave."""
        flood = cls(**{name: value for name, value in state.items() if name not in _TABLES})
        parts = state["parts"]
        columns = [parts[name].tolist() for name in _PART_TYPES]
        for ip, *values in zip(ips.slots(parts["ip"]).tolist(), *columns, strict=True):
            part = flood.parts[ip] = Part(*values)
            flood.members[part.group] = flood.members.get(part.group, 0) + 1
        for name in ("nets", "groups"):
            pairs = zip(*(column.tolist() for column in state[name].values()), strict=True)
            setattr(flood, name, dict(pairs))
        spared = state["spared"]
        slots = ips.slots(spared[:, 1].astype(np.int64)).tolist()
        for (group, _, *place), ip in zip(spared.tolist(), slots, strict=True):
            flood.spared.setdefault(group, {})[ip] = (place[0], place[1])
        return flood


_PART_TYPES: Final = {
    column.name: {"net": np.uint64, "group": np.uint64, "deferred": np.bool_, "met": np.bool_}.get(
        column.name, np.int64
    )
    for column in fields(Part)
}
_TABLES: Final = frozenset({"parts", "nets", "groups", "spared", "members"})


def _pairs(counts: dict[int, int]) -> dict[str, Any]:
    """Give counts by hash as two columns."""
    keys = sorted(counts)
    count = np.array([counts[key] for key in keys], np.int64)
    return {"hash": np.array(keys, np.uint64), "count": count}


class Case:
    """One victim (a mailbox or a domain slot) under examination."""

    def __init__(self, scope: str, slot: int, memory_s: int) -> None:
        self.scope = scope
        self.slot = slot
        self.flood: Flood | None = None
        self.patience = self.spare = 0
        """Messages that must come before the case is worth judging again in this minute; and before
        it can be a flood in it at all: judging sooner changes nothing, so no snapshot has that."""
        self.awaited: tuple[int, frozenset[tuple[int, int]]] = (-1, frozenset())
        """See `Present.awaited`, as of the minute that began with a tick."""
        self._memory = max(memory_s, LONG_S)
        self._now = -1
        self.rows: deque[CaseRow] = deque()
        self._empty()

    def _empty(self) -> None:
        """Begin with empty windows."""
        self._new, self._all, self._tried = ([0] * self._memory for _ in range(3))
        self.new_short = self.new_long = self.tried_long = 0
        self.all_short = self.all_long = self.all_memory = 0

    @property
    def now(self) -> int:
        """The tick at which the windows end."""
        return self._now

    def advance(self, tick: int) -> None:
        """Move the windows to end with `tick`; what leaves them is subtracted."""
        if tick == self._now:
            return
        if self._now < 0:
            self._now = tick
            return
        if tick - self._now >= self._memory:
            self._empty()
            self._now = tick
        new, all_, tried, memory = self._new, self._all, self._tried, self._memory
        while self._now < tick:
            self._now += 1
            short = (self._now - SHORT_S) % memory
            long = (self._now - LONG_S) % memory
            self.new_short -= new[short]
            self.all_short -= all_[short]
            self.new_long -= new[long]
            self.all_long -= all_[long]
            self.tried_long -= tried[long]
            place = self._now % memory
            self.all_memory -= all_[place]
            new[place] = all_[place] = tried[place] = 0
        oldest = tick - memory
        while self.rows and self.rows[0].tick <= oldest:
            self.rows.popleft()

    def add(self, row: CaseRow) -> bool:
        """Count a row in the windows that still cover its tick (call `advance` first).

        Says whether any did; one that comes too late for all of them counts nowhere.
        """
        age = self._now - row.tick
        if age >= self._memory:
            return False
        place = row.tick % self._memory
        self._new[place] += row.new
        self._all[place] += row.all
        self._tried[place] += row.attempts
        self.all_memory += row.all
        if self.patience or self.spare:
            self.patience = max(0, self.patience - row.all)
            self.spare = max(0, self.spare - row.all)
        self.rows.append(row)
        if age < LONG_S:
            self.new_long += row.new
            self.all_long += row.all
            self.tried_long += row.attempts
            if age < SHORT_S:
                self.new_short += row.new
                self.all_short += row.all
        if self.flood is not None and (row.attempts or row.deferred):
            self.flood.add(row)
        return True

    def total(self, span_s: int, *, strangers: bool) -> int:
        """Count the messages of the last `span_s` seconds (at most the memory)."""
        return self._sum(self._new if strangers else self._all, 0, span_s)

    def _sum(self, counts: list[int], youngest: int, oldest: int) -> int:
        """Sum the ticks of ages `[youngest, oldest)`, at most the memory."""
        memory = self._memory
        stop = (self._now - youngest) % memory + 1
        start = stop - (min(oldest, memory) - youngest)
        if start >= 0:
            return sum(counts[start:stop])
        return sum(counts[start:]) + sum(counts[:stop])

    def recent(self, span_s: int) -> list[CaseRow]:
        """Give the rows of the last `span_s` seconds, at most LONG_S."""
        oldest = self._now - span_s
        return [row for row in self.rows if row.tick > oldest]

    def drop(self, ip: int, upto: int) -> None:
        """Take a removed source's rows up to a tick out of the windows."""
        self._leave_out(lambda row: row.ip == ip and row.tick <= upto)

    def exclude(self, mailbox: int) -> None:
        """Take a mailbox out of its domain's windows: it has a flood of its own."""
        self._leave_out(lambda row: row.mailbox == mailbox)

    def _leave_out(self, is_gone: Callable[[CaseRow], bool]) -> None:
        self.spare = 0
        for row in filter(is_gone, self.rows):
            self._subtract(row)
        self.rows = deque(row for row in self.rows if not is_gone(row))

    def _subtract(self, row: CaseRow) -> None:
        age = self._now - row.tick
        if age >= self._memory:
            return
        place = row.tick % self._memory
        self._new[place] -= row.new
        self._all[place] -= row.all
        self._tried[place] -= row.attempts
        self.all_memory -= row.all
        if age < LONG_S:
            self.new_long -= row.new
            self.all_long -= row.all
            self.tried_long -= row.attempts
        if age < SHORT_S:
            self.new_short -= row.new
            self.all_short -= row.all

    def onset(self, span_s: int, usual_10min: float) -> int:
        """Give the tick from which the flood in the last `span_s` seconds can be seen.

        Going back minute by minute, as long as there is a quarter of the busiest minute, and
        clearly more than usual.
        """
        minutes = [
            self._sum(self._all, m * SHORT_S, (m + 1) * SHORT_S)
            for m in range(max(2, span_s // SHORT_S))
        ]
        least = max(2.0, max(minutes) / 4, 1.5 * usual_10min * SHORT_S / LONG_S)
        back = max((m for m, count in enumerate(minutes) if count >= least), default=0)
        for m in range(back + 1):
            if minutes[m] < least and (m + 1 > back or minutes[m + 1] < least):
                back = m
                break
        return self._now - (back + 1) * SHORT_S + 1

    def timeline(self) -> list[int]:
        """Give all messages of the last ten minutes, minute by minute, oldest first."""
        return [
            self._sum(self._all, minute * SHORT_S, (minute + 1) * SHORT_S)
            for minute in range(LONG_S // SHORT_S - 1, -1, -1)
        ]

    def slots_in_use(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the ip and mailbox slots that rows and the flood refer to."""
        ips = [*(row.ip for row in self.rows), *(self.flood.parts if self.flood else ())]
        return np.array(ips, np.int64), np.array([row.mailbox for row in self.rows], np.int64)

    def state(self, ips: Numbering, mailboxes: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs, but for the victim; the windows follow from the rows."""
        rows = [row for row in self.rows if self._now - row.tick < self._memory]
        columns: dict[str, NDArray[Any]] = {
            name: np.array([getattr(row, name) for row in rows], kind)
            for name, kind in _ROW_TYPES.items()
        }
        columns["ip"] = ips.numbers(columns["ip"])
        columns["mailbox"] = mailboxes.numbers(columns["mailbox"])
        return {
            "memory": self._memory,
            "now": self._now,
            "patience": self.patience,
            "rows": columns,
            "flood": None if self.flood is None else self.flood.state(ips),
        }

    @classmethod
    def restored(
        cls, scope: str, slot: int, state: dict[str, Any], ips: Numbering, mailboxes: Numbering
    ) -> "Case":
        """Take back what `state` gave."""
        case = cls(scope, slot, state["memory"])
        case._now = state["now"]
        columns = dict(state["rows"])
        columns["ip"] = ips.slots(columns["ip"])
        columns["mailbox"] = mailboxes.slots(columns["mailbox"])
        for values in zip(*(columns[name].tolist() for name in _ROW_TYPES), strict=True):
            case.add(CaseRow(*values))
        case.patience = state["patience"]
        if state["flood"] is not None:
            case.flood = Flood.restored(state["flood"], ips)
        return case
