"""When listings ended, beside what the truth says of floods: early ends and late ends."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from benchmarks.quality_listings import DAY_MS, HOUR_MS, MINUTE_MS
from benchmarks.quality_traffic import (
    BoolArray,
    IntArray,
    Traffic,
    json_lines,
    listed_subject,
    milliseconds,
)

__all__ = ["Ends", "Span", "attempts", "judged", "read_spans"]

QUIET_MS: Final = {"temporary": DAY_MS, "standing": 7 * DAY_MS}
MOST_QUIET_MS: Final = 7 * DAY_MS
MEMORY_MS: Final = 30 * DAY_MS
TOLD_MS: Final = HOUR_MS
"""An attempt may be told so much later than it counts."""
SLACK_MS: Final = 2 * MINUTE_MS
"""Ends are looked for each minute, behind the lateness."""
DECIDED_MS: Final = 3_000
"""A decision's time lies so far behind what it knows: a second and the lateness."""
SILENCE_MS: Final = MINUTE_MS
"""A log that is silent for so long is not observed meanwhile."""
MAILBOX_HOUR, DOMAIN_HOUR = 30, 60
BY_THEMSELVES: Final = ("quiet", "hard end")
BITS: Final = 44


@dataclass(slots=True)
class Span:
    """One listing: from `list` or `release` to its end (None: it was there when the log ended)."""

    subject: str
    start_ms: int
    tier: str
    repeats: int
    last_seen_ms: int
    until_ms: int
    end_ms: int | None = None
    reason: str = ""
    extended: int = 0

    @property
    def quiet_ms(self) -> int:
        """Give the quiet that ends it: doubled with each repeat, up to a week."""
        base = QUIET_MS[self.tier]
        return min(base << self.repeats, max(base, MOST_QUIET_MS))


@dataclass(slots=True)
class Ends:
    """What became of the listings of a log; `withdrawn` ones count as neither early nor late.

    `examples` has the first wrong ends in words.
    """

    listings: int = 0
    ended: int = 0
    withdrawn: int = 0
    standing: int = 0
    extended: int = 0
    early: int = 0
    late: int = 0
    shapes: dict[str, int] = field(default_factory=dict)
    """Early ends by the shape of the flood."""
    examples: list[str] = field(default_factory=list)


def read_spans(path: Path) -> list[Span]:
    """Read the listings of a decision file; shadow, held and refused ones are left out.

    Raises: OSError; KeyError or ValueError for what is no decision.
    """
    spans: list[Span] = []
    running: dict[str, Span] = {}
    earlier: defaultdict[str, list[int]] = defaultdict(list)
    for _, line in json_lines(path):
        one = cast("dict[str, Any]", line)
        if one["shadow"]:
            continue
        subject, now = listed_subject(one["subject"]), milliseconds(one["time"])
        if one["change"] in {"list", "release"}:
            repeats = sum(now - then < MEMORY_MS for then in earlier[subject])
            span = Span(subject, now, one["tier"], repeats, one["last_seen"], one["until"])
            running[subject] = span
            spans.append(span)
            earlier[subject].append(now)
        elif one["change"] in {"extend", "expire", "remove", "hold"} and subject in running:
            span = running[subject]
            span.tier, span.last_seen_ms = one["tier"], one["last_seen"]
            if one["change"] == "extend":
                span.until_ms = one["until"]
                span.extended += 1
                continue
            span.end_ms, span.reason = now, str(one["evidence"].get("reason", "held"))
            del running[subject]
            if span.reason == "withdrawn":
                earlier[subject].remove(span.start_ms)
    return spans


def _in_last_hour(key: IntArray, time_ms: IntArray) -> IntArray:
    """Count for each row those of its key in the hour up to it: (rows,) int64."""
    base = int(time_ms.min(initial=0))
    joined = (key << BITS) + (time_ms - base)
    ordered = np.sort(joined)
    until = np.searchsorted(ordered, joined, side="right")
    return cast("IntArray", until - np.searchsorted(ordered, joined - HOUR_MS, side="right"))


def attempts(traffic: Traffic) -> BoolArray:
    """Mark the flood messages at a victim that got enough of them in the hour up to them.

    Enough are 30 at a mailbox; at a domain 60, where a flood is at a whole one.
    """
    flood = np.flatnonzero(traffic.is_flood())
    wide = np.array([bool(group.victim_domain) for group in traffic.groups], dtype=np.bool_)
    times, group = traffic.time_ms[flood], traffic.group[flood]
    hot = _in_last_hour(traffic.mailbox[flood], times) >= MAILBOX_HOUR
    hot |= wide[group] & (_in_last_hour(group, times) >= DOMAIN_HOUR)
    marks = np.zeros(len(traffic.time_ms), dtype=np.bool_)
    marks[flood[hot]] = True
    return marks


def judged(traffic: Traffic, spans: Iterable[Span]) -> Ends:
    """Judge the ends of listings by the truth of their log."""
    rows = np.flatnonzero(attempts(traffic))
    by_source: defaultdict[int, list[int]] = defaultdict(list)
    for row, source in zip(rows.tolist(), traffic.source[rows].tolist(), strict=True):
        by_source[source].append(row)
    position = {subject: at for at, subject in enumerate(traffic.subjects)}
    log_end_ms = int(traffic.time_ms[-1])
    silence = _silences(traffic)
    found, shapes = Ends(), Counter[str]()
    for span in spans:
        found.listings += 1
        found.standing += span.tier == "standing"
        found.extended += span.extended > 0
        found.withdrawn += span.reason == "withdrawn"
        found.ended += span.reason in BY_THEMSELVES
        if _is_late(span, log_end_ms, silence):
            found.late += 1
            found.examples.append(f"late: {_words(span)}")
        if span.reason not in BY_THEMSELVES or span.end_ms is None:
            continue
        mine = by_source.get(position.get(span.subject, -1), [])
        times = traffic.time_ms[mine]
        known = times < span.end_ms - DECIDED_MS
        inside = known & (times > span.end_ms - span.quiet_ms)
        if inside.any():
            row = mine[int(np.flatnonzero(inside)[-1])]
            group = traffic.groups[int(traffic.group[row])]
            shapes[group.shape] += 1
            found.early += 1
            ago = (span.end_ms - int(traffic.time_ms[row])) / HOUR_MS
            words = f"early: {_words(span)}; attempt {ago:.2f} h before its end, {group.name}"
            found.examples.append(words)
    found.shapes = dict(sorted(shapes.items()))
    found.examples = found.examples[:20]
    return found


def _silences(traffic: Traffic) -> tuple[IntArray, IntArray]:
    """Give the ends and lengths of silences in a log: that time is not observed."""
    gaps = np.diff(traffic.time_ms)
    at = np.flatnonzero(gaps >= SILENCE_MS)
    return traffic.time_ms[at + 1], gaps[at]


def _is_late(span: Span, log_end_ms: int, silence: tuple[IntArray, IntArray]) -> bool:
    """Tell whether it lasted longer than its quiet after the last attempt that was counted."""
    ends, lengths = silence
    until_ms = log_end_ms if span.end_ms is None else span.end_ms
    silent_ms = int(lengths[(ends > span.last_seen_ms) & (ends - lengths < until_ms)].sum())
    if span.end_ms is None:
        return log_end_ms > span.until_ms + TOLD_MS + SLACK_MS + silent_ms
    if span.reason not in BY_THEMSELVES:
        return False
    return span.end_ms > span.last_seen_ms + span.quiet_ms + SLACK_MS + silent_ms


def _words(span: Span) -> str:
    lasted = "on" if span.end_ms is None else f"{(span.end_ms - span.start_ms) / HOUR_MS:.2f} h"
    return f"{span.subject} {span.tier} from {span.start_ms} {lasted} {span.reason}".rstrip()
