"""Cases: victims under examination, with exact sliding windows to the second.

A case is opened when the coarse counters of a victim could mean a flood, and fed from the evidence
log, so that it knows the last ten minutes whole. What it says depends on the rows and the minute
alone, never on when inside the minute it was opened.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["LONG_S", "SHORT_S", "Case", "CaseRow", "Flood", "Part"]

SHORT_S: Final = 60
LONG_S: Final = 600


@dataclass(slots=True)
class CaseRow:
    """One tally row as a case sees it.

    `new` are messages that can make a flood and come from a stranger, `all` those from anybody,
    `attempts` whatever shows that the source takes part (also blocked messages), `deferred` those
    it was asked to repeat: a retry is no new message, so that they count only as having tried.
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


@dataclass(slots=True)
class Part:
    """What one source has sent into one flood; `deferred`: it was also told to come back."""

    attempts: int
    first: int
    last: int
    deferred: bool


@dataclass(slots=True)
class Flood:
    """A flood in progress: who feeds it, by source, network and ASN group.

    `start` is the tick from which messages count as part of it, `found` the tick at which it was
    recognised, `pressed` the last tick with an attempt above the relations.
    """

    start: int
    found: int
    pressed: int
    limit: int
    count: int
    span_s: int
    normal: float | None
    total: int = 0
    parts: dict[int, Part] = field(default_factory=dict)
    nets: dict[int, int] = field(default_factory=dict)
    groups: dict[int, int] = field(default_factory=dict)
    spared: dict[int, dict[int, tuple[int, int]]] = field(default_factory=dict)
    """Sources not taken for part of it, by group, with (network, group): looked at again when
    their group grows."""
    light: bool = False
    senders: int = 0

    def add(self, row: CaseRow) -> None:
        """Count one row."""
        self.total += row.attempts
        self.senders |= row.senders
        part = self.parts.get(row.ip)
        if part is None:
            self.parts[row.ip] = Part(row.attempts, row.tick, row.tick, row.deferred > 0)
        else:
            part.attempts += row.attempts
            part.first = min(part.first, row.tick)
            part.last = max(part.last, row.tick)
            part.deferred |= row.deferred > 0
        self.nets[row.net] = self.nets.get(row.net, 0) + row.attempts
        self.groups[row.group] = self.groups.get(row.group, 0) + row.attempts

    def forget(self, ip: int, net: int, group: int) -> None:
        """Take a source's share out: it was removed, and starts with a clean sheet."""
        part = self.parts.pop(ip, None)
        if part is not None:
            self.total -= part.attempts
            self.nets[net] -= part.attempts
            self.groups[group] -= part.attempts
            self.spared.get(group, {}).pop(ip, None)


class Case:
    """One victim (a mailbox or a domain slot) under examination."""

    def __init__(self, scope: str, slot: int, memory_s: int) -> None:
        self.scope = scope
        self.slot = slot
        self.flood: Flood | None = None
        self._memory = max(memory_s, LONG_S)
        self._new = [0] * self._memory
        self._all = [0] * self._memory
        self._now = -1
        self.new_short = self.new_long = 0
        self.all_short = self.all_long = self.all_memory = 0
        self.rows: deque[CaseRow] = deque()

    def advance(self, tick: int) -> None:
        """Move the windows to end with `tick`; what leaves them is subtracted."""
        if self._now < 0:
            self._now = tick
            return
        if tick - self._now >= self._memory:
            self._new = [0] * self._memory
            self._all = [0] * self._memory
            self.new_short = self.new_long = 0
            self.all_short = self.all_long = self.all_memory = 0
            self._now = tick
        new, all_, memory = self._new, self._all, self._memory
        while self._now < tick:
            self._now += 1
            short = (self._now - SHORT_S) % memory
            long = (self._now - LONG_S) % memory
            self.new_short -= new[short]
            self.all_short -= all_[short]
            self.new_long -= new[long]
            self.all_long -= all_[long]
            place = self._now % memory
            self.all_memory -= all_[place]
            new[place] = all_[place] = 0
        oldest = tick - LONG_S
        while self.rows and self.rows[0].tick <= oldest:
            self.rows.popleft()

    def add(self, row: CaseRow) -> None:
        """Count a row in the windows that still cover its tick (call `advance` first)."""
        age = self._now - row.tick
        if age < self._memory:
            place = row.tick % self._memory
            self._new[place] += row.new
            self._all[place] += row.all
            self.all_memory += row.all
            if age < LONG_S:
                self.new_long += row.new
                self.all_long += row.all
                self.rows.append(row)
                if age < SHORT_S:
                    self.new_short += row.new
                    self.all_short += row.all
        if self.flood is not None and (row.attempts or row.deferred):
            self.flood.add(row)

    def total(self, span_s: int, *, strangers: bool) -> int:
        """Count the messages of the last `span_s` seconds (at most the memory)."""
        counts = self._new if strangers else self._all
        return sum(counts[(self._now - age) % self._memory] for age in range(min(span_s, self._memory)))

    def recent(self, span_s: int) -> list[CaseRow]:
        """Give the rows of the last `span_s` seconds, at most LONG_S."""
        oldest = self._now - span_s
        return [row for row in self.rows if row.tick > oldest]

    def drop(self, ip: int, upto: int) -> None:
        """Take a removed source's rows up to a tick out of the windows."""
        kept: deque[CaseRow] = deque()
        for row in self.rows:
            if row.ip != ip or row.tick > upto:
                kept.append(row)
                continue
            self._subtract(row)
        self.rows = kept

    def exclude(self, mailbox: int) -> None:
        """Take a mailbox out of its domain's windows: it has a flood of its own."""
        kept: deque[CaseRow] = deque()
        for row in self.rows:
            if row.mailbox == mailbox:
                self._subtract(row)
            else:
                kept.append(row)
        self.rows = kept

    def _subtract(self, row: CaseRow) -> None:
        age = self._now - row.tick
        if age >= self._memory:
            return
        place = row.tick % self._memory
        self._new[place] -= row.new
        self._all[place] -= row.all
        self.all_memory -= row.all
        if age < LONG_S:
            self.new_long -= row.new
            self.all_long -= row.all
        if age < SHORT_S:
            self.new_short -= row.new
            self.all_short -= row.all

    def timeline(self) -> list[int]:
        """Give all messages of the last ten minutes, minute by minute, oldest first."""
        return [
            sum(
                self._all[(self._now - minute * SHORT_S - age) % self._memory]
                for age in range(SHORT_S)
            )
            for minute in range(LONG_S // SHORT_S - 1, -1, -1)
        ]

    def state(self) -> dict[str, Any]:
        """Give what a snapshot needs (slots as they are: the engine turns them into names)."""
        flood = None
        if self.flood is not None:
            f = self.flood
            flood = {
                "start": f.start, "found": f.found, "pressed": f.pressed, "limit": f.limit,
                "count": f.count, "span_s": f.span_s, "normal": f.normal, "total": f.total,
                "parts": [[ip, p.attempts, p.first, p.last, p.deferred] for ip, p in f.parts.items()],
                "nets": list(f.nets.items()), "groups": list(f.groups.items()),
                "spared": [[g, list(s.items())] for g, s in f.spared.items()], "light": f.light, "senders": f.senders,
            }  # fmt: skip
        return {
            "scope": self.scope, "slot": self.slot, "memory": self._memory, "now": self._now,
            "new": self._new, "all": self._all, "flood": flood,
            "rows": [
                [
                    r.tick, r.ip, r.net, r.group, r.mailbox,
                    r.new, r.all, r.attempts, r.deferred, r.senders,
                ]
                for r in self.rows
            ],
        }  # fmt: skip

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Case":
        """Take back what `state` gave."""
        case = cls(state["scope"], state["slot"], state["memory"])
        case._now = state["now"]
        case._new, case._all = list(state["new"]), list(state["all"])
        case.new_short, case.all_short = (case.total(SHORT_S, strangers=s) for s in (True, False))
        case.new_long, case.all_long = (case.total(LONG_S, strangers=s) for s in (True, False))
        case.all_memory = case.total(case._memory, strangers=False)
        case.rows = deque(CaseRow(*row) for row in state["rows"])
        if state["flood"] is not None:
            f = dict(state["flood"])
            f["parts"] = {ip: Part(*rest) for ip, *rest in f["parts"]}
            f["nets"], f["groups"] = dict(f["nets"]), dict(f["groups"])
            f["spared"] = {g: {ip: tuple(rest) for ip, rest in s} for g, s in f["spared"]}
            case.flood = Flood(**f)
        return case
