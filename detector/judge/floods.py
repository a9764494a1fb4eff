"""Floods in progress: who feeds one, by source and network, in sums that are kept as rows come."""

from collections import deque
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.events.numbering import Numbering
from detector.judge.figures import Figures, flood_id
from detector.judge.rows import LONG_S, CaseRow, pairs, summed

__all__ = ["ACQUAINTED", "FRESH", "NOT_MET", "STRANGE", "Flood", "Part"]

NOT_MET: Final = -1
FRESH: Final = 0
"""New to the whole log."""
STRANGE: Final = 1
"""Known to the log, and no relation with the victim."""
ACQUAINTED: Final = 2
"""It wrote to the victim before."""
_MOST_SIZE: Final = 63
HOUR_STEPS: Final = 6
NOBODY: Final = -1


@dataclass(slots=True)
class Part:
    """What one source has sent into one flood; `deferred`: it was also told to come back.

    `group` is the hash of its ASN group, `asn` the ASN or -1, as of its last tick; `kind` says what
    was known of it at its first judgement; `hits` counts, in a domain's flood, its messages to
    mailboxes that got more than one or that nobody wrote to before.
    """

    attempts: int
    first: int
    last: int
    deferred: bool
    group: int
    asn: int
    kind: int = NOT_MET
    hits: int = 0
    early: int = 0
    """Messages to the victim in minutes that had ended when the flood was found."""


@dataclass(slots=True)
class Flood:
    """A flood in progress.

    `start` is the tick from which messages count as part of it, `found` the tick at which it was
    recognised, with `count` messages beyond the usual in `span_s` seconds, where `limit` are
    allowed. `slots` of ten minutes had been seen of the log before `start` while nothing was
    learned, else 0.0; `earlier` has what came in them by the hashes of sources and groups.
    """

    start: int
    found: int
    limit: int
    count: int
    span_s: int
    usual: float
    """What the victim usually gets in ten minutes."""
    wide: bool
    slots: float
    figures: Figures = field(default_factory=Figures)
    total: int = 0
    parts: dict[int, Part] = field(default_factory=dict)
    groups: dict[int, int] = field(default_factory=dict)
    spared: set[int] = field(default_factory=set)
    """Sources not taken for part of it: judged again as it grows."""
    looked: int = 0
    """Its messages when all spared ones were last judged."""
    senders: int = 0
    hits: int = 0
    earlier: dict[int, int] = field(default_factory=dict)
    boxes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of a domain's flood: messages by mailbox, and whose the only one was while it is no hit."""
    lately: deque[tuple[int, dict[int, int]]] = field(default_factory=deque)
    """Attempts of the last hour by group, in steps of ten minutes, the newest last."""
    tries: dict[int, int] = field(default_factory=dict)
    """By step of the last hour, the attempts whose sources were stopped already."""
    before: int = 0
    """The messages in `earlier`, where they stand by group and by source."""
    fewest: int = 0
    """The fewest messages of an hour at whose end it went on."""
    newcomers: dict[int, int] = field(default_factory=dict)
    """Sources by group that had no relation with the victim."""
    members: dict[int, int] = field(default_factory=dict)
    """All sources that were judged, by group."""
    sizes: list[int] = field(default_factory=lambda: [0] * (_MOST_SIZE + 1))
    """Sources by their messages: the last counts all that sent more."""
    singles: int = 0
    """Groups with one newcomer."""
    fresh: int = 0
    """Sources that nobody knew."""

    rates: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Rates that were looked up for it, as of an `edition` of what was learned."""
    edition: int = -1
    named: str = ""
    victim: str = ""
    """Its victim as outsiders may see it, once it was asked for; `named` is its `id`."""

    @property
    def id(self) -> str:
        """What names it, here and in its records."""
        if not self.named:
            self.named = flood_id(self.figures.number, self.found)
        return self.named

    def sources(self) -> int:
        """Count everybody who sent."""
        return len(self.parts.keys() | self.figures.beside.keys())

    def asns(self) -> int:
        """Count the ASN groups of everybody who sent."""
        return len(self.groups.keys() | set(self.figures.beside.values()))

    def meet(self, ip: int, kind: int) -> None:
        """Note what is known of a source, once."""
        part = self.parts[ip]
        part.kind = kind
        self._count(part, 1)

    def _count(self, part: Part, change: int) -> None:
        """Count a source that was met, or take it out."""
        if part.kind == NOT_MET:
            return
        self.fresh += change * (part.kind == FRESH)
        self.members[part.group] = self.members.get(part.group, 0) + change
        if part.kind != ACQUAINTED:
            before = self.newcomers.get(part.group, 0)
            self.newcomers[part.group] = before + change
            self.singles += (before + change == 1) - (before == 1)

    def as_heavy(self, sent: int) -> int:
        """Count the sources that sent so many messages or more."""
        return sum(self.sizes[min(sent, _MOST_SIZE) :])

    def add(self, row: CaseRow, *, stopped: bool = False) -> None:
        """Count one row; `stopped`: its source's listing had been published before."""
        tick, ip, group, _, _, attempts, deferred, senders, asn, _, _ = row
        self.senders |= senders
        part = self.parts.get(ip)
        if part is None:
            part = self.parts[ip] = Part(0, tick, tick, deferred > 0, group, asn)
        else:
            if part.group != group and (tick, group) > (part.last, part.group):
                self._count(part, -1)
                part.group, part.asn = group, asn
                self._count(part, 1)
            if tick < part.first:
                part.first = tick
            elif tick > part.last:
                part.last = tick
            if deferred:
                part.deferred = True
        self.groups[group] = self.groups.get(group, 0) + attempts
        if attempts:
            self.figures.add(row, stopped=stopped)
            self.total += attempts
            self._resize(part.attempts, part.attempts + attempts)
            part.attempts += attempts
            self._note(tick // LONG_S, group, attempts)
            if stopped:
                step = tick // LONG_S
                self.tries[step] = self.tries.get(step, 0) + attempts
            if self.wide:
                self._hit(row, part)

    def _note(self, step: int, group: int, attempts: int) -> None:
        """Count messages of a step of ten minutes in the last hour."""
        place = len(self.lately)
        while place and self.lately[place - 1][0] > step:
            place -= 1
        if not place or self.lately[place - 1][0] < step:
            self.lately.insert(place, (step, {}))
            place += 1
        counts = self.lately[place - 1][1]
        counts[group] = counts.get(group, 0) + attempts

    def stopped_lately(self, tick: int) -> int:
        """Count the attempts of the last hour whose sources were stopped already."""
        oldest = tick // LONG_S - HOUR_STEPS + 1
        self.tries = {step: count for step, count in self.tries.items() if step >= oldest}
        return sum(self.tries.values())

    def newest(self, tick: int) -> dict[int, int]:
        """Give the attempts by group of the step of ten minutes that ends with a tick."""
        step, counts = self.lately[-1] if self.lately else (-1, {})
        return counts if step == tick // LONG_S else {}

    def last_hour(self, tick: int) -> dict[int, int]:
        """Give the attempts of the last hour by group, at the close of a step of ten minutes."""
        oldest = tick // LONG_S - HOUR_STEPS + 1
        while self.lately and self.lately[0][0] < oldest:
            self.lately.popleft()
        return summed(counts for _, counts in self.lately)

    def _hit(self, row: CaseRow, part: Part) -> None:
        """Note what goes to mailboxes that get more than one message, or their first ever."""
        count, first = self.boxes.get(row.mailbox, (0, row.ip))
        now = count + row.attempts
        self.boxes[row.mailbox] = now, row.ip if now == 1 and not row.first else NOBODY
        if row.first or now > 1:
            part.hits += row.attempts
            self.hits += row.attempts
            if count == 1 and first in self.parts:  # it may have been removed
                self.parts[first].hits += 1
                self.hits += 1

    def evidence(self, part: Part) -> int:
        """Count the messages that speak against a source.

        Not those of a newsletter, which writes to all mailboxes of a domain alike, where the flood
        does not.
        """
        if not self.wide:
            return max(1, part.attempts)
        if 2 * part.hits >= part.attempts:
            return max(1, part.hits)
        return int(2 * self.hits < self.total)

    def _resize(self, before: int, after: int) -> None:
        sizes = self.sizes
        if before:
            sizes[min(_MOST_SIZE, before)] -= 1
        if after:
            sizes[min(_MOST_SIZE, after)] += 1

    def forget(self, ip: int) -> None:
        """Take a source's share out: it was removed, and starts with a clean sheet."""
        part = self.parts.pop(ip, None)
        if part is not None:
            self.figures.beside[ip] = part.group
            self.total -= part.attempts
            self.hits -= part.hits
            self.groups[part.group] -= part.attempts
            self._resize(part.attempts, 0)
            self._count(part, -1)
            self.spared.discard(ip)

    def slots_in_use(self) -> tuple[list[int], list[int]]:
        """Give the ip and mailbox slots that it refers to."""
        firsts = [ip for _, ip in self.boxes.values() if ip != NOBODY]
        return [*self.parts, *self.figures.beside, *firsts], [*self.boxes]

    def state(self, ips: Numbering, mailboxes: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs, in the order of names and hashes."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _TABLES}
        slots = np.array(list(self.parts), np.int64)
        numbers = ips.numbers(slots)
        order = np.argsort(numbers)
        parts = [self.parts[slot] for slot in slots[order].tolist()]
        boxes = np.array(list(self.boxes), np.int64)
        boxes = boxes[np.argsort(mailboxes.numbers(boxes))]
        got = [self.boxes[slot] for slot in boxes.tolist()]
        return plain | {
            "figures": self.figures.state(ips),
            "parts": {
                "ip": numbers[order],
                **{
                    name: np.array([getattr(part, name) for part in parts], kind)
                    for name, kind in _PART_TYPES.items()
                },
            },
            "boxes": {
                "mailbox": mailboxes.numbers(boxes),
                "count": np.array([count for count, _ in got], np.int64),
                "first": ips.numbers(np.array([ip for _, ip in got], np.int64)),
            },
            "groups": pairs(self.groups),
            "earlier": pairs(self.earlier),
            "lately": {
                "steps": [step for step, _ in self.lately],
                **{str(step): pairs(counts) for step, counts in self.lately},
            },
            "tries": sorted(self.tries.items()),
            "spared": np.sort(ips.numbers(np.array(list(self.spared), np.int64))),
        }

    @classmethod
    def restored(cls, state: dict[str, Any], ips: Numbering, mailboxes: Numbering) -> "Flood":
        """Take back what `state` gave."""
        plain = {name: value for name, value in state.items() if name not in _TABLES}
        flood = cls(**plain, figures=Figures.restored(state["figures"], ips))
        parts = state["parts"]
        columns = [parts[name].tolist() for name in _PART_TYPES]
        for ip, *values in zip(ips.slots(parts["ip"]).tolist(), *columns, strict=True):
            part = flood.parts[ip] = Part(*values)
            flood._resize(0, part.attempts)
            flood._count(part, 1)
        flood.groups, flood.earlier = _dict(state["groups"]), _dict(state["earlier"])
        boxes = state["boxes"]
        got = zip(boxes["count"].tolist(), ips.slots(boxes["first"]).tolist(), strict=True)
        flood.boxes = dict(zip(mailboxes.slots(boxes["mailbox"]).tolist(), got, strict=True))
        lately = state["lately"]
        flood.lately = deque((step, _dict(lately[str(step)])) for step in lately["steps"])
        flood.tries = dict(state["tries"])
        flood.spared = set(ips.slots(state["spared"]).tolist())
        return flood


_PART_TYPES: Final = {
    column.name: {"group": np.uint64, "deferred": np.bool_}.get(column.name, np.int64)
    for column in fields(Part)
}
_TABLES: Final = frozenset(
    {"parts", "groups", "spared", "newcomers", "members", "boxes", "sizes", "earlier", "lately",
     "singles", "fresh", "figures", "named", "victim",
     "tries", "rates", "edition"}
)  # fmt: skip


def _dict(columns: dict[str, NDArray[Any]]) -> dict[int, int]:
    return dict(zip(columns["hash"].tolist(), columns["count"].tolist(), strict=True))
