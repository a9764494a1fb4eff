"""What a set of listings found, stopped and cost on traffic whose truth is known."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

import numpy as np

from benchmarks.quality_listings import MINUTE_MS, ORACLE_AFTER_MESSAGES, Listings
from benchmarks.quality_traffic import BoolArray, Group, IntArray, Traffic, mailbox_of

__all__ = ["Check", "FloodScore", "Score", "ShapeScore", "checks", "score", "shapes"]


@dataclass(frozen=True, slots=True)
class FloodScore:
    """One flood. Times are None where they do not exist.

    `listed_messages` come from sources that were listed at or after their first message in it;
    `first_listing_ms` is when the first of its sources was in force during the flood;
    `rate_per_min` counts its messages in the minute up to that moment.
    """

    id: int
    name: str
    shape: str
    fast: bool
    sources: int
    messages: int
    listed_messages: int
    stopped: int
    oracle_stopped: int
    passed_ms: int | None
    first_listing_ms: int | None
    rate_per_min: int | None

    @property
    def counts(self) -> bool:
        """Tell whether it has the 30 messages that make it a flood to be found."""
        return self.passed_ms is not None

    @property
    def found(self) -> bool:
        """Tell whether one of its sources was listed while it went on."""
        return self.first_listing_ms is not None

    @property
    def seconds(self) -> float:
        """Give the seconds from its 30th message to the first listing; infinite if none came."""
        if self.first_listing_ms is None or self.passed_ms is None:
            return inf
        return (self.first_listing_ms - self.passed_ms) / 1000


@dataclass(frozen=True, slots=True)
class ShapeScore:
    """The floods of one shape, or all of them. Shares are None where nothing could be shared."""

    shape: str
    floods: int
    found: int
    too_small: int
    messages: int
    listed_messages: int
    stopped: int
    oracle_stopped: int
    median_s: float | None
    worst_s: float | None
    worst_rate_per_min: float | None

    @property
    def oracle_share(self) -> float | None:
        """Give the messages stopped as a share of what the oracle stops."""
        return self.stopped / self.oracle_stopped if self.oracle_stopped else None


@dataclass(frozen=True, slots=True)
class Listed:
    """How many of a kind of innocents there are and how many of them were listed."""

    listed: int
    total: int

    @property
    def share(self) -> float:
        """Give the share of them that was listed; 0 of none is 0."""
        return self.listed / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of one set of listings.

    Innocents fall into three kinds: `must_not` (took part in an innocent pattern), `bystanders`
    (wrote to a flooded mailbox during its flood) and `far` (all others). `unseen` were listed and
    sent nothing. Blocked messages are legitimate ones, from innocents or from guilty sources.
    """

    name: str
    floods: tuple[FloodScore, ...]
    must_not: Listed
    must_not_patterns: dict[str, int]
    far: Listed
    bystanders: Listed
    unseen: int
    legitimate: int
    blocked_innocent: int
    blocked_guilty: int

    @property
    def blocked_innocent_share(self) -> float:
        """Give the blocked messages of innocents as a share of all legitimate messages."""
        return self.blocked_innocent / self.legitimate if self.legitimate else 0.0

    @property
    def blocked_guilty_share(self) -> float:
        """Give the blocked legitimate messages of guilty sources as a share of all legitimate."""
        return self.blocked_guilty / self.legitimate if self.legitimate else 0.0


@dataclass(frozen=True, slots=True)
class Check:
    """One target line: a figure, its limit, and whether it is kept (None: nothing to measure)."""

    name: str
    value: float | None
    target: str
    kept: bool | None
    percent: bool = False
    more_is_better: bool = False


def score(traffic: Traffic, listings: Listings, oracle: Listings) -> Score:
    """Score listings on traffic, beside the oracle's listings on the same traffic."""
    flood = traffic.is_flood()
    blocked = listings.blocks(traffic.source, traffic.time_ms)
    by_oracle = oracle.blocks(traffic.source, traffic.time_ms)
    ends = listings.last_end_ms(len(traffic.subjects))
    listed = ends >= 0
    innocent = ~traffic.guilty
    beside = _wrote_to_flooded(traffic) & innocent & ~traffic.must_not
    far = innocent & ~traffic.must_not & ~beside
    guilty_source = traffic.guilty[traffic.source]
    return Score(
        name=listings.name,
        floods=tuple(
            _flood_score(traffic, at, listings, ends=ends, blocked=blocked, by_oracle=by_oracle)
            for at, group in enumerate(traffic.groups)
            if group.kind == "flood"
        ),
        must_not=_listed(listed, traffic.must_not),
        must_not_patterns=_patterns(traffic, listed & traffic.must_not),
        far=_listed(listed, far),
        bystanders=_listed(listed, beside),
        unseen=len(listings.unseen),
        legitimate=int(np.count_nonzero(~flood)),
        blocked_innocent=int(np.count_nonzero(blocked & ~flood & ~guilty_source)),
        blocked_guilty=int(np.count_nonzero(blocked & ~flood & guilty_source)),
    )


def _listed(listed: BoolArray, kind: BoolArray) -> Listed:
    return Listed(int(np.count_nonzero(listed & kind)), int(np.count_nonzero(kind)))


def _patterns(traffic: Traffic, subjects: BoolArray) -> dict[str, int]:
    """Count the chosen subjects by the innocent pattern they took part in."""
    patterns: Counter[str] = Counter()
    for at, group in enumerate(traffic.groups):
        if group.kind == "innocent":
            sources = np.unique(traffic.source[traffic.group == at])
            patterns[group.shape] += int(np.count_nonzero(subjects[sources]))
    return {shape: count for shape, count in patterns.items() if count}


def _wrote_to_flooded(traffic: Traffic) -> BoolArray:
    """Mark subjects that wrote to a flooded mailbox from start to end of a flood: (subjects,)."""
    marks = np.zeros(len(traffic.subjects), dtype=np.bool_)
    for group in traffic.groups:
        if group.kind == "flood":
            during = (traffic.time_ms >= group.start_ms) & (traffic.time_ms <= group.end_ms)
            marks[traffic.source[during & _flooded(traffic, group)[traffic.mailbox]]] = True
    return marks


def _flooded(traffic: Traffic, group: Group) -> BoolArray:
    """Mark the mailboxes that a flood is aimed at: (mailboxes,) bool."""
    victims = {mailbox_of(victim) for victim in group.victims}
    suffix = f"@{group.victim_domain.lower()}" if group.victim_domain else None
    return np.array(
        [one in victims or (suffix and one.endswith(suffix)) for one in traffic.mailboxes],
        dtype=np.bool_,
    )


def _flood_score(
    traffic: Traffic,
    at: int,
    listings: Listings,
    *,
    ends: IntArray,
    blocked: BoolArray,
    by_oracle: BoolArray,
) -> FloodScore:
    """Score one flood; `ends` is when the last listing of each subject ended."""
    group = traffic.groups[at]
    rows = np.flatnonzero(traffic.group == at)
    time_ms = traffic.time_ms[rows]
    sources, first, messages = np.unique(
        traffic.source[rows], return_index=True, return_counts=True
    )
    passed = len(rows) >= ORACLE_AFTER_MESSAGES
    begun_ms = _first_listing_ms(listings, sources, time_ms, group.end_ms)
    rate = None
    if begun_ms is not None:
        rate = int(np.count_nonzero((time_ms > begun_ms - MINUTE_MS) & (time_ms <= begun_ms)))
    return FloodScore(
        id=group.id,
        name=group.name,
        shape=group.shape,
        fast=group.fast,
        sources=len(sources),
        messages=len(rows),
        listed_messages=int(messages[ends[sources] > time_ms[first]].sum()),
        stopped=int(np.count_nonzero(blocked[rows])),
        oracle_stopped=int(np.count_nonzero(by_oracle[rows])),
        passed_ms=int(time_ms[ORACLE_AFTER_MESSAGES - 1]) if passed else None,
        first_listing_ms=begun_ms,
        rate_per_min=rate,
    )


def _first_listing_ms(
    listings: Listings, sources: IntArray, time_ms: IntArray, end_ms: int
) -> int | None:
    """Give when one of the sources was first in force from the flood's first message to its end."""
    if not len(time_ms):
        return None
    first_ms, last_ms = int(time_ms[0]), max(int(time_ms[-1]), end_ms)
    during = (listings.end_ms > first_ms) & (listings.start_ms <= last_ms)
    starts = listings.start_ms[during & np.isin(listings.source, sources)]
    return max(first_ms, int(starts.min())) if len(starts) else None


def shapes(floods: Iterable[FloodScore]) -> tuple[ShapeScore, ...]:
    """Sum floods by shape, in order of the shapes' names, and over all of them (`all`) last."""
    every = list(floods)
    names = sorted({one.shape for one in every})
    by_shape = [_shape(name, [one for one in every if one.shape == name]) for name in names]
    return (*by_shape, _shape("all", every))


def _shape(shape: str, floods: list[FloodScore]) -> ShapeScore:
    large = [one for one in floods if one.counts]
    seconds = sorted(one.seconds for one in large)
    rates = [inf if one.rate_per_min is None else float(one.rate_per_min) for one in large]
    return ShapeScore(
        shape=shape,
        floods=len(large),
        found=sum(one.found for one in large),
        too_small=len(floods) - len(large),
        messages=sum(one.messages for one in floods),
        listed_messages=sum(one.listed_messages for one in floods),
        stopped=sum(one.stopped for one in floods),
        oracle_stopped=sum(one.oracle_stopped for one in floods),
        median_s=seconds[(len(seconds) - 1) // 2] if seconds else None,
        worst_s=seconds[-1] if seconds else None,
        worst_rate_per_min=max(rates, default=None),
    )


def checks(result: Score) -> tuple[Check, ...]:
    """Hold a score against the target lines. A flood never listed took infinitely long."""
    *by_shape, over_all = shapes(result.floods)
    large = [one for one in result.floods if one.counts]
    shares = [one.oracle_share for one in by_shape if one.oracle_share is not None]
    fast = [one.seconds for one in large if one.fast]
    bombs = [one.seconds for one in large if one.shape.startswith("list_bomb")]
    ramps = [
        inf if one.rate_per_min is None else one.rate_per_min
        for one in large
        if one.shape == "slow_ramp"
    ]
    return (
        _at_most("floods not found", over_all.floods - over_all.found, 0),
        _at_least("stopped, of the oracle's", over_all.oracle_share, 0.98),
        _at_least("the same, worst shape", min(shares, default=None), 0.92),
        _at_most("fast flood, s to listing", max(fast, default=None), 10),
        _at_most("list bomb, s to listing", max(bombs, default=None), 180),
        _below("slow ramp, rate/min at listing", max(ramps, default=None), 15),
        _at_most("must-not sources listed", result.must_not.listed, 0),
        _at_most("innocents far from floods listed", result.far.listed, 0),
        _at_most("bystanders listed", result.bystanders.share, 0.10, percent=True),
        _at_most(
            "legitimate blocked, from innocents",
            result.blocked_innocent_share,
            0.0005,
            percent=True,
        ),
        _at_most("listed but not in the traffic", result.unseen, 0),
    )


def _at_most(name: str, value: float | None, limit: float, *, percent: bool = False) -> Check:
    target = f"<= {limit * 100:g} %" if percent else f"<= {limit:g}"
    return Check(name, value, target, None if value is None else value <= limit, percent)


def _at_least(name: str, value: float | None, limit: float) -> Check:
    kept = None if value is None else value >= limit
    return Check(name, value, f">= {limit * 100:g} %", kept, percent=True, more_is_better=True)


def _below(name: str, value: float | None, limit: float) -> Check:
    return Check(name, value, f"< {limit:g}", None if value is None else value < limit)
