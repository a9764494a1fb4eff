"""The rules on victims: when a case is a flood, and which sources take part in it.

A flood is more than the published limits *and* more than the victim's normal, counted over
messages above its relations. A source takes part when it sends more than its relation allows; in
a flood that comes from a few ASNs a stranger from elsewhere is spared until it stands out.
"""

import math
from dataclasses import dataclass
from typing import Final, Protocol

from detector.cases import LONG_S, SHORT_S, Case, Flood
from detector.policy import Policy, VictimRule
from detector.relations import EVERYBODY, KNOWN, MESSAGE, Relations, mixed_one

__all__ = [
    "Finding", "Limits", "Offence", "Scene", "Victim",
    "hourly", "is_calm", "is_light", "judge", "suspects", "takes_part",
]  # fmt: skip

HEAVY_MESSAGES: Final = 3
HEAVY_SHARE: Final = 0.02
"""An ASN is a visible part of a flood from 3 messages and a fiftieth of it on."""
COLD_FACTOR: Final = 5
"""In the first seconds of a log only a rate of five times the limit is beyond doubt."""
HOUR_S: Final = 3_600
REPEAT_SHARE: Final = 0.2
"""Messages behind the first to each mailbox; a newsletter has none, a flood over victims many."""
TOP_SHARE: Final = 0.5
USUAL_FACTOR: Final = 3.0
MOST_SHARE: Final = 0.5
EXPLAINED: Final = 2.0
"""Times its fair share of an ASN's general volume that a victim may get."""
CAP_LEAST: Final = 3.0
HOURLY_PACE: Final = 12


@dataclass(frozen=True, slots=True)
class Limits:
    """What one victim may get from strangers now: per minute, 10 minutes, hour; and from all."""

    per_min: int
    per_10min: int
    per_hour: int
    all_10min: int
    normal_10min: float | None


@dataclass(frozen=True, slots=True)
class Victim:
    """A victim as the rules see it: its hash, for a mailbox also its domain's, its limits."""

    hash: int
    domain_hash: int | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a case is a flood: `count` messages in `span_s` seconds, where `limit` are allowed."""

    span_s: int
    count: int
    limit: int
    normal: float | None


@dataclass(frozen=True, slots=True)
class Offence:
    """A rule fired for the source in slot `ip`; `evidence` is enough to recompute it."""

    ip: int
    rule: str
    first_tick: int
    last_tick: int
    evidence: dict[str, object]


class Scene(Protocol):
    """What the rules must know beyond the case; asked only when a limit is passed."""

    @property
    def cold_s(self) -> int | None:
        """Seconds since the log's start while it is cold, then None."""

    def volumes(self, span_s: int) -> dict[int, int]:
        """Messages to everybody in the last seconds, by group hash."""

    def share(self, case: Case, span_s: int) -> float:
        """The victim's usual share of all mail, from before the last seconds."""


@dataclass(frozen=True, slots=True)
class _Excess:
    """Messages of strangers that no ASN's general volume explains.

    `diverse` counts them with each network capped, `repeats` those from few networks behind the
    first to each mailbox.
    """

    count: float
    diverse: float
    repeats: float


def judge(
    case: Case, victim: Victim, policy: Policy, relations: Relations, scene: Scene
) -> Finding | None:
    """Say whether a case is a flood at the close that the scene describes."""
    if scene.cold_s is not None:
        return _judge_cold(case, victim, policy.rules.victim_flood, scene.cold_s, scene)
    return _judge_warm(case, victim, policy, relations, scene)


def _excess(case: Case, span_s: int, limit: float, rule: VictimRule, scene: Scene) -> _Excess | None:
    """Count what is beyond explanation in a window; None where it is no flood by its shape.

    When an ASN sends more to everybody (its queue after our outage, a newsletter, a busy day), a
    victim's usual share of that is no attack.
    """
    every = case.recent(span_s)
    rows = [row for row in every if row.new]
    mailboxes: dict[int, int] = {}
    groups: dict[int, int] = {}
    totals: dict[int, int] = {}
    for row in every:
        totals[row.group] = totals.get(row.group, 0) + row.all
    for row in rows:
        mailboxes[row.mailbox] = mailboxes.get(row.mailbox, 0) + row.new
        groups[row.group] = groups.get(row.group, 0) + row.new
    total = sum(groups.values())
    if case.scope == "domain" and (
        len(mailboxes) < rule.domain_mailboxes or max(mailboxes.values()) > TOP_SHARE * total
    ):
        return None
    share = min(scene.share(case, span_s), MOST_SHARE)
    left: dict[int, float] = {}
    if share > 0:
        volumes = scene.volumes(span_s)
        fair = EXPLAINED * share / (1 - share)
        for group, count in groups.items():
            others = max(0, volumes.get(group, 0) - totals[group])
            left[group] = max(0.0, 1.0 - fair * others / count)
    sent: dict[int, dict[int, int]] = {}
    for row in rows:
        by_group = sent.setdefault(row.net, {})
        by_group[row.group] = by_group.get(row.group, 0) + row.new
    nets = {
        net: math.fsum(count * left.get(group, 1.0) for group, count in by_group.items())
        for net, by_group in sent.items()
    }
    cap = max(CAP_LEAST, limit / rule.diverse_networks)
    big = {net for net, count in nets.items() if count > cap}
    pairs = {(row.net, row.mailbox) for row in rows if row.net in big}
    return _Excess(
        math.fsum(nets.values()),
        math.fsum(min(count, cap) for count in nets.values()),
        math.fsum(nets[net] for net in big) - len(pairs),
    )


def _passed(
    case: Case, span_s: int, limit: float, rule: VictimRule, scene: Scene
) -> tuple[int, int] | None:
    """Give (count, limit) where a window holds a flood.

    Many networks: the limit holds as it is. Few: a mailbox must get `single_source_factor` times
    as much, and a domain's mailboxes must get more than a message each from them, because a
    newsletter to a whole domain looks the same otherwise.
    """
    excess = _excess(case, span_s, limit, rule, scene)
    if excess is None:
        return None
    if excess.diverse >= limit:
        return int(excess.diverse), math.ceil(limit)
    limit *= rule.single_source_factor
    if case.scope == "domain" and excess.repeats < REPEAT_SHARE * excess.count:
        return None
    return (int(excess.count), math.ceil(limit)) if excess.count >= limit else None


def hourly(case: Case, count: int, limit: int, rule: VictimRule, scene: Scene) -> bool:
    """Say whether strangers sent too much in an hour; the last ten minutes stand for its shape."""
    excess = _excess(case, LONG_S, limit, rule, scene)
    if excess is None or case.new_long <= 0:
        return False
    part = excess.diverse / case.new_long
    return count * part >= limit and excess.diverse >= limit / HOURLY_PACE


def _judge_warm(
    case: Case, victim: Victim, policy: Policy, relations: Relations, scene: Scene
) -> Finding | None:
    rule, limits = policy.rules.victim_flood, victim.limits
    spans = ((SHORT_S, case.new_short, limits.per_min), (LONG_S, case.new_long, limits.per_10min))
    for span_s, count, limit in spans:
        if count >= limit:
            passed = _passed(case, span_s, limit, rule, scene)
            if passed is not None:
                return Finding(span_s, *passed, limits.normal_10min)
    if case.all_long >= limits.all_10min and case.scope == "mailbox":
        over = _above_relations(case, victim, policy, relations)
        base = rule.mailbox_per_10min * rule.single_source_factor
        if over >= base:
            return Finding(LONG_S, over, math.ceil(base), limits.normal_10min)
    return None


def _above_relations(case: Case, victim: Victim, policy: Policy, relations: Relations) -> int:
    """Count the messages of ten minutes that no relation explains."""
    by_group: dict[int, int] = {}
    for row in case.recent(LONG_S):
        by_group[row.group] = by_group.get(row.group, 0) + row.all
    over = []
    for group, count in by_group.items():
        usual = relations.expected(mixed_one(victim.hash, group), LONG_S)
        over.append(max(0.0, count - policy.relations.floor - policy.relations.factor * usual))
    return int(math.fsum(over))


def _judge_cold(
    case: Case, victim: Victim, rule: VictimRule, elapsed_s: int, scene: Scene
) -> Finding | None:
    """Judge while nothing is known: a flood is what began after the log did.

    The part of the log before the window stands in for the normal; what has been as busy since
    the first second is taken for normal.
    """
    domain = case.scope == "domain"
    per_min = rule.domain_per_min if domain else rule.mailbox_per_min
    per_10min = rule.domain_per_10min if domain else rule.mailbox_per_10min
    if case.new_short < victim.limits.per_min and case.new_long < victim.limits.per_10min:
        return None
    if elapsed_s < SHORT_S * 3 // 2:
        limit = per_min * COLD_FACTOR
        if not domain and case.new_short >= limit:
            return Finding(SHORT_S, case.new_short, limit, None)
        return None
    for span_s, base in ((SHORT_S, per_min), (min(LONG_S, elapsed_s // 2), per_10min)):
        if span_s < SHORT_S:
            continue
        count = case.total(span_s, strangers=True)
        if count < base:
            continue
        before = case.all_memory - case.total(span_s, strangers=False)
        usual = before * span_s / (elapsed_s - span_s)
        spread = rule.baseline_sigmas * math.sqrt(usual + 1.0)
        beyond = max(base, rule.baseline_factor * usual, usual + spread)
        if count >= beyond:
            passed = _passed(case, span_s, beyond, rule, scene)
            if passed is not None:
                return Finding(span_s, *passed, usual * LONG_S / span_s)
    return None


def is_light(case: Case, flood: Flood, rule: VictimRule, now: int) -> bool:
    """Say whether much of a flood comes from ASNs of which each is a negligible part.

    That part must exceed what strangers usually send the victim, and the flood must still press:
    in its tail a stranger is more likely to be one who would have written anyway.
    """
    base = rule.domain_per_10min if case.scope == "domain" else rule.mailbox_per_10min
    if case.tried_long < base / 2 and now - flood.found > LONG_S:
        return False
    heavy = max(HEAVY_MESSAGES, HEAVY_SHARE * flood.total)
    light = sum(count for count in flood.groups.values() if count < heavy)
    usual = (flood.normal or 0.0) * max(now - flood.start + 1, SHORT_S) / LONG_S
    return light >= max(rule.light_share * flood.total, USUAL_FACTOR * usual)


def takes_part(
    flood: Flood, victim: Victim, policy: Policy, relations: Relations,
    source: tuple[int, int, int], volume_h: int, now: int,
) -> bool:  # fmt: skip
    """Say whether a source (slot, network hash, group hash) is part of a flood so far.

    `volume_h` is what its ASN sent to everybody in the last hour: of that a victim may get its
    usual share, so that a big provider's ordinary mail is no attack, nor its busy day.
    """
    ip, net, group = source
    part = flood.parts[ip]
    if not part.attempts and not part.deferred:
        return False
    terms = policy.relations
    span_s = max(now - flood.start + 1, LONG_S)
    share = min(flood.share, MOST_SHARE)
    others = max(0.0, volume_h * max(1.0, span_s / HOUR_S) - flood.groups[group])
    fair = share / (1 - share) * others
    for place, sent, least in ((net, flood.nets[net], 0.0), (group, flood.groups[group], fair)):
        known = relations.count(mixed_one(victim.hash, place))
        usual = least
        if known >= KNOWN:
            usual = max(least, known / MESSAGE * span_s / max(relations.learned_s, span_s))
        if usual and sent <= (terms.floor if known else 0) + terms.factor * usual:
            return False
    heavy = flood.groups[group] >= max(HEAVY_MESSAGES, HEAVY_SHARE * flood.total)
    if flood.nets[net] <= terms.floor:
        if victim.domain_hash is not None and relations.known(mixed_one(victim.domain_hash, net)):
            return False
        if not heavy and relations.known(mixed_one(EVERYBODY, net)):
            return False
    return heavy or flood.light


def suspects(flood: Flood, touched: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Give the sources to look at: those that just sent, and those spared so far beside them."""
    groups = None if flood.light else {group for _, group in touched.values()}
    out = dict(touched)
    for group, spared in flood.spared.items():
        if groups is None or group in groups:
            out.update(spared)
    return out


def is_calm(case: Case, policy: Policy) -> bool:
    """Say whether a flood is over: ten minutes with few attempts of its sources."""
    flood = case.flood
    if flood is None:
        return True
    spared = {ip for group in flood.spared.values() for ip in group}
    pressing = sum(row.attempts for row in case.recent(LONG_S) if row.ip not in spared)
    rule = policy.rules.victim_flood
    base = rule.domain_per_10min if case.scope == "domain" else rule.mailbox_per_10min
    return pressing < base * rule.calm_fraction
