"""Who was listed when: by a decision file, by the oracle, and by four naive references.

A listing is the interval `(start, end]`: every change acts on messages strictly later than it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np

from benchmarks.quality_traffic import (
    BadInputError,
    BoolArray,
    IntArray,
    Traffic,
    json_lines,
    listed_subject,
    milliseconds,
)

__all__ = ["Listings", "oracle", "read_decisions", "references"]

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
OPEN_MS = 1 << 60
KEY_BITS = 40

ORACLE_AFTER_MESSAGES = 30
ORACLE_DELAY_MS = 1_000
NAIVE_PER_MIN = 30
FAIL2BAN_MESSAGES = 5
FAIL2BAN_SPAN_MS = 600_000
LEAK_CAPACITY = 5
LEAK_MS = 10_000


@dataclass(frozen=True, slots=True)
class Listings:
    """Disjoint listings in order of (source, start); `unseen` were listed but sent nothing.

    `source` (position in the traffic's subjects), `start_ms`, `end_ms`: (listings,) int64.
    """

    name: str
    source: IntArray
    start_ms: IntArray
    end_ms: IntArray
    unseen: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, name: str, intervals: Iterable[tuple[int, int, int]], unseen: Iterable[str] = ()
    ) -> "Listings":
        """Make listings of (source, start, end) in any order; overlapping ones become one."""
        merged: list[tuple[int, int, int]] = []
        for source, start_ms, end_ms in sorted(intervals):
            if merged and merged[-1][0] == source and start_ms <= merged[-1][2]:
                merged[-1] = (source, merged[-1][1], max(merged[-1][2], end_ms))
            elif end_ms > start_ms:
                merged.append((source, start_ms, end_ms))
        table = np.array(merged, dtype=np.int64).reshape(-1, 3)
        return cls(name, table[:, 0], table[:, 1], table[:, 2], tuple(sorted(unseen)))

    def blocks(self, source: IntArray, time_ms: IntArray) -> BoolArray:
        """Tell which messages come strictly after a listing of their source and by its end."""
        if not len(self.source):
            return np.zeros(len(source), dtype=np.bool_)
        base_ms = int(self.start_ms.min()) - 1
        at = np.searchsorted(
            _keys(self.source, self.start_ms, base_ms), _keys(source, time_ms, base_ms), side="left"
        )
        last = np.maximum(at - 1, 0)
        begun = (at > 0) & (self.source[last] == source)
        return cast("BoolArray", begun & (time_ms <= self.end_ms[last]))

    def last_end_ms(self, subjects: int) -> IntArray:
        """Give by subject when its last listing ends; -1 if there was none: (subjects,) int64."""
        ends = np.full(subjects, -1, dtype=np.int64)
        np.maximum.at(ends, self.source, self.end_ms)
        return ends


def _keys(source: IntArray, time_ms: IntArray, base_ms: int) -> IntArray:
    """Join source and time into one ordered number (34 years above the base are enough)."""
    return (source << KEY_BITS) + np.clip(time_ms - base_ms, 0, (1 << KEY_BITS) - 1)


@dataclass(slots=True)
class _Running:
    """A listing in force while a decision file is read."""

    start_ms: int
    until_ms: int
    hard_until_ms: int


def read_decisions(path: Path, traffic: Traffic, name: str = "floodwatch") -> Listings:
    """Read who was in force when from a decision file.

    `list` (or `release` of what was held) begins, `remove` and `expire` end a listing; at
    `hard_until` it ends in any case, and where the file ends without its end, at `until`.
    `hold` ends one too. Shadow changes and `refuse` list nobody.

    Raises: BadInputError for a line that is no decision; OSError.
    """
    running: dict[str, _Running] = {}
    held: set[str] = set()
    ended: list[tuple[str, int, int]] = []
    for number, decision in json_lines(path):
        try:
            change, subject, time_ms, until_ms, hard_ms, shadow = _parts(decision)
        except (KeyError, ValueError, TypeError) as error:
            allowed = "a decision with time, change, subject (an address or an IPv6 /64)"
            raise BadInputError(f"{path}:{number}", str(decision), allowed) from error
        if shadow:
            continue
        now = running.get(subject)
        if now and now.hard_until_ms < time_ms:
            ended.append((subject, now.start_ms, now.hard_until_ms))
            del running[subject]
            now = None
        if change == "hold":
            held.add(subject)
            if now:
                ended.append((subject, now.start_ms, time_ms))
                del running[subject]
        elif change == "list" or (change == "release" and subject in held):
            held.discard(subject)
            running[subject] = _Running(now.start_ms if now else time_ms, until_ms, hard_ms)
        elif change == "extend" and now:
            now.until_ms, now.hard_until_ms = until_ms, hard_ms
        elif change in {"remove", "expire"}:
            held.discard(subject)
            if now:
                ended.append((subject, now.start_ms, time_ms))
                del running[subject]
    ended += [
        (subject, one.start_ms, min(one.until_ms, one.hard_until_ms))
        for subject, one in running.items()
    ]
    position = {subject: at for at, subject in enumerate(traffic.subjects)}
    seen = [(position[who], start, end) for who, start, end in ended if who in position]
    return Listings.of(name, seen, {who for who, _, _ in ended if who not in position})


def _parts(decision: object) -> tuple[str, str, int, int, int, bool]:
    """Give change, subject, time, until, hard_until and shadow; a missing end is far away."""
    if not isinstance(decision, dict):
        raise TypeError(decision)
    until, hard = decision.get("until"), decision.get("hard_until")
    return (
        str(decision["change"]),
        listed_subject(decision["subject"]),
        milliseconds(decision["time"]),
        OPEN_MS if until is None else milliseconds(until),
        OPEN_MS if hard is None else milliseconds(hard),
        bool(decision.get("shadow")),
    )


def oracle(
    traffic: Traffic,
    after_messages: int = ORACLE_AFTER_MESSAGES,
    delay_ms: int = ORACLE_DELAY_MS,
) -> Listings:
    """List every source of a flood a second after its first message, from the 30th on.

    A source that was there before the flood's 30th message is listed a second after that one.
    A flood of fewer messages lists nobody. Listings of the oracle do not end.
    """
    intervals: list[tuple[int, int, int]] = []
    for at, group in enumerate(traffic.groups):
        rows = np.flatnonzero(traffic.group == at)
        if group.kind != "flood" or len(rows) < after_messages:
            continue
        passed_ms = int(traffic.time_ms[rows[after_messages - 1]])
        sources, first = np.unique(traffic.source[rows], return_index=True)
        starts = np.maximum(traffic.time_ms[rows[first]], passed_ms) + delay_ms
        intervals += [
            (source, start, OPEN_MS)
            for source, start in zip(sources.tolist(), starts.tolist(), strict=True)
        ]
    return Listings.of("oracle", intervals)


def references(traffic: Traffic) -> tuple[Listings, ...]:
    """Run the naive references on all messages; each of their listings lasts 24 h."""
    return (
        _ip_per_minute(traffic),
        _victim_per_minute(traffic),
        _fail2ban(traffic),
        _leak(traffic),
    )


def _for_a_day(name: str, source: IntArray, time_ms: IntArray) -> Listings:
    """List each source at its first trigger, and again at the first one after that listing."""
    intervals: list[tuple[int, int, int]] = []
    order = np.lexsort((time_ms, source))
    for who, when in zip(source[order].tolist(), time_ms[order].tolist(), strict=True):
        if not intervals or intervals[-1][0] != who or when > intervals[-1][2]:
            intervals.append((who, when, when + DAY_MS))
    return Listings.of(name, intervals)


def _crossings(key: IntArray, time_ms: IntArray, messages: int, span_ms: int) -> BoolArray:
    """Mark rows (in order of key, then time) at which `(time - span, time]` holds that many."""
    marks = np.zeros(len(key), dtype=np.bool_)
    back = messages - 1
    if len(key) > back:
        near = time_ms[back:] - time_ms[: len(key) - back] < span_ms
        marks[back:] = near & (key[back:] == key[: len(key) - back])
    return marks


def _per_source(traffic: Traffic, name: str, messages: int, span_ms: int) -> Listings:
    """List a source at the message that makes so many within the span."""
    order = np.argsort(traffic.source, kind="stable")
    source, time_ms = traffic.source[order], traffic.time_ms[order]
    marks = _crossings(source, time_ms, messages, span_ms)
    return _for_a_day(name, source[marks], time_ms[marks])


def _ip_per_minute(traffic: Traffic) -> Listings:
    return _per_source(traffic, "IP > 30/min", NAIVE_PER_MIN + 1, MINUTE_MS)


def _fail2ban(traffic: Traffic) -> Listings:
    return _per_source(traffic, "fail2ban 5 in 10 min", FAIL2BAN_MESSAGES, FAIL2BAN_SPAN_MS)


def _victim_per_minute(traffic: Traffic) -> Listings:
    """List all sources of a mailbox's last minute whenever that minute holds more than 30."""
    order = np.argsort(traffic.mailbox, kind="stable")
    mailbox, time_ms = traffic.mailbox[order], traffic.time_ms[order]
    marks = _crossings(mailbox, time_ms, NAIVE_PER_MIN + 1, MINUTE_MS)
    rows = np.arange(len(order))
    following = np.minimum.accumulate(np.where(marks, rows, len(order))[::-1])[::-1]
    taken = np.flatnonzero(following < len(order))
    at = following[taken]
    taken = taken[(mailbox[at] == mailbox[taken]) & (time_ms[at] - time_ms[taken] < MINUTE_MS)]
    return _for_a_day("victim > 30/min", traffic.source[order][taken], time_ms[following[taken]])


def _leak(traffic: Traffic) -> Listings:
    """List a source whose message overflows a leaky counter of 5 that loses one in 10 s.

    The level is kept in milliseconds of leaking, so that it stays an integer.
    """
    order = np.argsort(traffic.source, kind="stable")
    source, time_ms = traffic.source[order], traffic.time_ms[order]
    full_ms, level_ms = LEAK_CAPACITY * LEAK_MS, 0
    marks = np.zeros(len(order), dtype=np.bool_)
    rows = list(zip(source.tolist(), time_ms.tolist(), strict=True))
    for at, ((before, then), (who, when)) in enumerate(pairwise([(-1, 0), *rows])):
        level_ms = max(0, level_ms - (when - then)) if who == before else 0
        if level_ms + LEAK_MS > full_ms:
            marks[at] = True
        else:
            level_ms += LEAK_MS
    return _for_a_day("leak of 5, one in 10 s", source[marks], time_ms[marks])
