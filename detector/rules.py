"""The rules on victims: when a case is a flood, and which sources take part in it.

A flood is more than the published limits *and* more than the victim's normal, counted over
messages above its relations. A source takes part when it sends more than its relation allows; in
a flood that comes from a few ASNs a stranger from elsewhere is spared until it stands out.
"""

import math
from dataclasses import dataclass
from typing import Final

from detector.cases import LONG_S, SHORT_S, Case, Flood
from detector.policy import Policy, VictimRule
from detector.relations import KNOWN, MESSAGE, Relations, mixed_one

__all__ = ["Finding", "Limits", "Offence", "Victim", "is_calm", "judge", "suspects", "takes_part"]

HEAVY_MESSAGES: Final = 3
HEAVY_SHARE: Final = 0.02
"""An ASN is a visible part of a flood from 3 messages and a fiftieth of it on."""
COLD_FACTOR: Final = 5
"""In the first seconds of a log only a rate of five times the limit is beyond doubt."""
REPEAT_SHARE: Final = 0.3
"""Messages behind the first to each mailbox; a newsletter has none, a flood over victims many."""
TOP_SHARE: Final = 0.5


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


def judge(
    case: Case, victim: Victim, policy: Policy, relations: Relations, now: int, log_start: int
) -> Finding | None:
    """Say whether a case is a flood at the close of tick `now`."""
    rule = policy.rules.victim_flood
    if now - log_start < policy.baseline.cold_start_s:
        finding = _judge_cold(case, rule, now - log_start + 1)
    else:
        finding = _judge_warm(case, victim, policy, relations)
    return finding


def _factor(case: Case, rule: VictimRule, span_s: int) -> float | None:
    """Give the factor on the limits that the shape of the traffic asks for; None: no flood."""
    rows = [row for row in case.recent(span_s) if row.new]
    networks = len({row.net for row in rows})
    diverse = networks >= rule.diverse_networks
    if case.scope == "domain":
        by_mailbox: dict[int, int] = {}
        for row in rows:
            by_mailbox[row.mailbox] = by_mailbox.get(row.mailbox, 0) + row.new
        total = sum(by_mailbox.values())
        if len(by_mailbox) < rule.domain_mailboxes or max(by_mailbox.values()) > TOP_SHARE * total:
            return None
        if not diverse and total - len(by_mailbox) < REPEAT_SHARE * total:
            return None
    return 1.0 if diverse else rule.single_source_factor


def _judge_warm(
    case: Case, victim: Victim, policy: Policy, relations: Relations
) -> Finding | None:
    rule, limits = policy.rules.victim_flood, victim.limits
    spans = ((SHORT_S, case.new_short, limits.per_min), (LONG_S, case.new_long, limits.per_10min))
    for span_s, count, limit in spans:
        if count >= limit:
            factor = _factor(case, rule, span_s)
            if factor is not None and count >= limit * factor:
                return Finding(span_s, count, math.ceil(limit * factor), limits.normal_10min)
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
    over = 0.0
    for group, count in by_group.items():
        usual = relations.expected(mixed_one(victim.hash, group), LONG_S)
        over += max(0.0, count - policy.relations.floor - policy.relations.factor * usual)
    return int(over)


def _judge_cold(case: Case, rule: VictimRule, elapsed_s: int) -> Finding | None:
    """Judge while nothing is known: a flood is what began after the log did.

    The part of the log before the window stands in for the normal; what has been as busy since
    the first second is taken for normal.
    """
    domain = case.scope == "domain"
    per_min = rule.domain_per_min if domain else rule.mailbox_per_min
    per_10min = rule.domain_per_10min if domain else rule.mailbox_per_10min
    if case.new_short < per_min and case.new_long < per_10min:
        return None
    if elapsed_s < SHORT_S * 3 // 2:
        limit = per_min * COLD_FACTOR
        if case.new_short >= limit and _factor(case, rule, SHORT_S) is not None:
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
        beyond = max(rule.baseline_factor * usual, usual + spread)
        factor = _factor(case, rule, span_s)
        if factor is not None and count >= max(base * factor, beyond):
            limit = math.ceil(max(base * factor, beyond))
            return Finding(span_s, count, limit, usual * LONG_S / span_s)
    return None


def is_light(flood: Flood, rule: VictimRule) -> bool:
    """Say whether much of a flood comes from ASNs of which each is a negligible part."""
    heavy = max(HEAVY_MESSAGES, HEAVY_SHARE * flood.total)
    light = sum(count for count in flood.groups.values() if count < heavy)
    return light >= rule.light_share * flood.total


def takes_part(
    flood: Flood, victim: Victim, policy: Policy, relations: Relations,
    source: tuple[int, int, int], now: int,
) -> bool:  # fmt: skip
    """Say whether a source (slot, network hash, group hash) is part of a flood so far."""
    ip, net, group = source
    part = flood.parts[ip]
    if not part.attempts and not part.deferred:
        return False
    terms = policy.relations
    span_s = max(now - flood.start + 1, LONG_S)
    for place, sent in ((net, flood.nets[net]), (group, flood.groups[group])):
        known = relations.count(mixed_one(victim.hash, place))
        if known >= KNOWN:
            usual = known / MESSAGE * span_s / max(relations.learned_s, span_s)
            if sent <= terms.floor + terms.factor * usual:
                return False
    heavy = flood.groups[group] >= max(HEAVY_MESSAGES, HEAVY_SHARE * flood.total)
    if heavy:
        return True
    if not flood.light:
        return False
    if victim.domain_hash is not None and flood.nets[net] <= terms.floor:
        return not relations.known(mixed_one(victim.domain_hash, net))
    return True


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
