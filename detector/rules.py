"""The rules on victims: when a case is a flood, and which sources take part in it.

A flood is more than the published limits *and* more than the victim's normal, counted over
messages above its relations. A source takes part when it sends more than its relation allows; in
a flood that comes from a few ASNs a stranger from elsewhere is spared until it stands out.
"""

import math
from dataclasses import dataclass
from typing import Final

from detector.cases import LONG_S, SHORT_S, Case, CaseRow, Flood
from detector.policy import Policy, RelationTerms, VictimRule
from detector.relations import Relations, mixed_one
from detector.scene import Finding, Scene, Source, Victim

__all__ = ["allowance", "hourly", "is_calm", "is_light", "judge", "suspects", "takes_part"]

HEAVY_MESSAGES: Final = 3
HEAVY_SHARE: Final = 0.02
"""An ASN is a visible part of a flood from 3 messages and a fiftieth of it on."""
HOUR_S: Final = 3_600
REPEAT_SHARE: Final = 0.1
"""Messages behind the first to each mailbox; a newsletter has none, a flood over victims many."""
TOP_SHARE: Final = 0.5
BUSY_SHARE: Final = 2.5e-4
BUSY_LEAST: Final = 4
PASSING: Final = 0.01
PASSING_S: Final = 1_800
"""Into a long flood a source may send this share of its mail, while its ASN is no visible part."""
HISTORY_SHARE: Final = 0.4
"""While fewer of a flood's strangers than this have sent clean mail to anybody before, having done
so tells a bystander; in a list bomb through mail providers most have, and it tells nothing."""
MOST_SHARE: Final = 0.5
EXPLAINED: Final = 1.5
"""Times its fair share of an ASN's general volume that a victim may get."""
NOISE: Final = 3.0
"""Square roots of all messages that the unexplained ones must exceed: less is chance."""
NEARLY: Final = 0.999
"""Of a limit: sums in another order differ by less."""
PATIENCE: Final = 0.05
"""More messages, as a part of those there are, that may change the shape of what was refused."""
BURSTS: Final = 1.5
"""Times more than its relation allows that an ASN may send one mailbox: systems write in bursts."""
CAP_LEAST: Final = 3.0
COLD_SHARE: Final = 0.08
HOURLY_PACE: Final = 12


@dataclass(frozen=True, slots=True)
class _Excess:
    """Messages of strangers that no ASN's general volume explains.

    `diverse` counts them with each network capped, `repeats` those behind the first to each
    mailbox.
    """

    total: int
    count: float
    diverse: float
    repeats: float


def judge(case: Case, victim: Victim, policy: Policy, scene: Scene) -> Finding | None:
    """Say whether a case is a flood at the close that the scene describes.

    Where it is not although a limit is passed, `case.patience` says for how many more messages of
    this minute it is no use to ask again.
    """
    if scene.cold_s is not None:
        return _judge_cold(case, victim, policy.rules.victim_flood, scene.cold_s, scene)
    return _judge_warm(case, victim, policy.rules.victim_flood, scene)


def _excess(
    case: Case, victim: Victim, span_s: int, limit: float, rule: VictimRule, scene: Scene,
    usual_10min: float, *, least: float = 0.0, what: str = "all",
) -> _Excess | None:  # fmt: skip
    """Count what is beyond explanation in a window; None where it is no flood by its shape.

    `usual_10min` are the messages that strangers usually send in ten minutes. Where the count is
    well below `least`, the rest is not worked out.
    Where most of what a victim gets are bounces, so is what came without a sender's name. When an
    ASN sends more to everybody (its queue after our outage, a newsletter, a busy day), a
    victim's usual share of that is no attack.
    """
    recent = case.recent(span_s)
    bounced = sum(row.nulls for row in recent) > sum(row.all for row in recent)
    rows = [
        (row, count)
        for row in recent
        if (count := getattr(row, what)) and (row.senders or not bounced)
    ]
    mailboxes: dict[int, int] = {}
    groups: dict[int, int] = {}
    for row, count in rows:
        mailboxes[row.mailbox] = mailboxes.get(row.mailbox, 0) + count
        groups[row.group] = groups.get(row.group, 0) + count
    total = sum(groups.values())
    if total == 0:
        return None
    if case.scope == "domain" and (
        len(mailboxes) < rule.domain_mailboxes or max(mailboxes.values()) > TOP_SHARE * total
    ):
        return None
    activity = scene.activity(case, span_s) if case.flood is None else 1.0
    burst_s, bursts = (LONG_S, BURSTS) if case.scope == "mailbox" else (span_s, 1.0)
    chance = case.scope == "mailbox" or case.flood is not None
    known = max(activity, (burst_s + scene.catch_up_s) / burst_s)
    allowed = {
        group: bursts * scene.allowed(victim, group, burst_s, known, chance=chance)
        for group in groups
    }
    strangers = sum(count for group, count in groups.items() if not allowed[group])
    usual = usual_10min * max(span_s * activity, span_s + scene.catch_up_s) / LONG_S
    stranger = 1.0 - (EXPLAINED * usual + 2 * math.sqrt(usual)) / max(strangers, 1)
    left = {
        group: max(0.0, 1.0 - allowed[group] / count if allowed[group] else stranger)
        for group, count in groups.items()
    }
    share = min(scene.share(case, span_s), MOST_SHARE)
    if share > 0:
        volumes = scene.volumes(span_s)
        fair = EXPLAINED * share / (1 - share)
        for group, count in groups.items():
            others = max(0, volumes.get(group, 0) - count)
            left[group] = min(left[group], max(0.0, 1.0 - fair * others / count))
    rough = math.fsum(count * left[group] for group, count in groups.items())
    if rough < NEARLY * least:
        return _Excess(total, rough, 0.0, 0.0)
    nets = _weighed(rows, left, "net")
    cap = max(CAP_LEAST, limit / rule.diverse_networks)
    weights = _weighed(rows, left, "mailbox")
    return _Excess(
        total,
        math.fsum(nets.values()),
        math.fsum(min(count, cap) for count in nets.values()),
        math.fsum(max(0.0, weight - 1.0) for weight in weights.values()),
    )


def _weighed(rows: list[tuple[CaseRow, int]], left: dict[int, float], by: str) -> dict[int, float]:
    """Sum messages by network or mailbox, each weighed by what is unexplained of its group.

    Counts are summed before they are weighed: floats must not depend on the order of rows.
    """
    sent: dict[int, dict[int, int]] = {}
    for row, count in rows:
        counts = sent.setdefault(getattr(row, by), {})
        counts[row.group] = counts.get(row.group, 0) + count
    return {
        key: math.fsum(count * left[group] for group, count in counts.items())
        for key, counts in sent.items()
    }


def _base(case: Case, rule: VictimRule, span_s: int) -> int:
    """Give the published limit of a span, for a victim of which nothing is known."""
    if case.scope == "domain":
        return rule.domain_per_min if span_s <= SHORT_S else rule.domain_per_10min
    return rule.mailbox_per_min if span_s <= SHORT_S else rule.mailbox_per_10min


def _passed(
    case: Case, victim: Victim, span_s: int, count: int, limit: float, rule: VictimRule,
    scene: Scene, usual_10min: float,
) -> tuple[int, int] | float:  # fmt: skip
    """Give (count, limit) where a window of `count` messages, above its `limit`, holds a flood.

    Otherwise how many more messages it takes at least. What no ASN's general volume explains must
    alone exceed the published limit. Many networks: as it is. Few: `single_source_factor` times as
    much. A domain's mailboxes must get more than a message each, because a newsletter to a whole
    domain looks the same otherwise.
    """
    base = _base(case, rule, span_s)
    if scene.cold_s is None:
        many, few = 1.0, rule.single_source_factor
    elif case.scope == "domain":  # whose queue is flushed, or who gets a newsletter
        many = few = rule.cold_factor
    else:
        burst = span_s == SHORT_S and _wrote_before(case, span_s)
        many, few = 1.0, rule.cold_factor * (1.0 if burst else 0.5)
    least = base * min(many, few)
    excess = _excess(case, victim, span_s, base, rule, scene, usual_10min, least=least)
    if excess is None:
        return PATIENCE * count
    if excess.count >= max(least, NOISE * math.sqrt(excess.total)) and (
        case.scope != "domain" or excess.repeats >= REPEAT_SHARE * excess.count
    ):
        if excess.diverse >= base * many:
            return count, math.ceil(max(limit, base * many))
        if excess.count >= base * few:
            return count, math.ceil(max(limit, base * few))
    return max(least - excess.count, PATIENCE * count)


def _wrote_before(case: Case, span_s: int) -> bool:
    """Say whether who writes in a window wrote before it: a ticket system does, in bursts."""
    since = case.now - span_s
    nets = {row.net for row in case.rows if row.tick > since}
    return sum(row.all for row in case.rows if row.tick <= since and row.net in nets) >= CAP_LEAST


def hourly(
    case: Case, victim: Victim, count: int, limit: int, rule: VictimRule, scene: Scene
) -> Finding | None:
    """Judge what strangers sent in an hour; the last ten minutes stand for its shape."""
    usual = victim.limits.normal_10min or 0.0
    excess = _excess(case, victim, LONG_S, _base(case, rule, LONG_S), rule, scene, usual)
    if excess is None or case.new_long <= 0:
        return None
    part = excess.diverse / case.new_long
    if count * part < limit or excess.diverse < limit / HOURLY_PACE:
        return None
    return Finding(HOUR_S, count, limit, victim.limits.normal_10min)


def _judge_warm(case: Case, victim: Victim, rule: VictimRule, scene: Scene) -> Finding | None:
    limits = victim.limits
    usual = limits.normal_10min or 0.0
    missing = []
    for span_s, new, limit_new, every, limit_all in (
        (SHORT_S, case.new_short, limits.per_min, case.all_short, limits.all_per_min),
        (LONG_S, case.new_long, limits.per_10min, case.all_long, limits.all_10min),
    ):
        count, limit = (new, limit_new) if new >= limit_new else (every, limit_all)
        if count >= limit:
            passed = _passed(case, victim, span_s, count, limit, rule, scene, usual)
            if isinstance(passed, tuple):
                return Finding(span_s, *passed, limits.normal_10min)
            missing.append(passed)
    if missing:
        case.patience = math.floor(min(missing))
    return None


def _judge_cold(
    case: Case, victim: Victim, rule: VictimRule, elapsed_s: int, scene: Scene
) -> Finding | None:
    """Judge while nothing is known: a flood is what began after the log did.

    The part of the log before the window stands in for the normal; what has been as busy since
    the first second is taken for normal.
    """
    per_min, per_10min = _base(case, rule, SHORT_S), _base(case, rule, LONG_S)
    if case.new_short < per_min and case.new_long < per_10min:
        return None
    if case.scope == "mailbox":
        beyond_doubt = _beyond_doubt(case, rule, scene)
        if beyond_doubt is not None:
            return beyond_doubt
    if elapsed_s < SHORT_S * 3 // 2:
        return None
    for span_s, base in ((SHORT_S, per_min), (min(LONG_S, elapsed_s // 2), per_10min)):
        if span_s < SHORT_S:
            continue
        count = case.total(span_s, strangers=True)
        if count < base:
            continue
        before = case.all_memory - case.total(span_s, strangers=False)
        usual = before * span_s / (elapsed_s - span_s)
        beyond = _beyond(base, usual, rule)
        if count >= beyond:
            beyond = _beyond(base, usual * scene.activity(case, span_s), rule)
        if count >= beyond:
            usual *= LONG_S / span_s
            passed = _passed(case, victim, span_s, count, beyond, rule, scene, usual)
            if isinstance(passed, tuple):
                return Finding(span_s, *passed, usual)
    return None


def _beyond(base: int, usual: float, rule: VictimRule) -> float:
    """Give what a flood must exceed where `usual` messages are expected."""
    spread = rule.baseline_sigmas * math.sqrt(usual + 1.0)
    return max(base, rule.baseline_factor * usual, usual + spread)


def _beyond_doubt(case: Case, rule: VictimRule, scene: Scene) -> Finding | None:
    """Find in the cold start what no mailbox is taken to get always, however it began.

    From many networks less is enough, because a monitoring or ticket mailbox has few senders; but
    more where so much mail comes that a busy mailbox may get it.
    """
    for span_s, count, factor, least in (
        (SHORT_S, case.new_short, rule.cold_factor, math.inf),
        (SHORT_S, case.new_short, rule.cold_diverse_factor, CAP_LEAST),
        (LONG_S, case.new_long, rule.cold_factor, CAP_LEAST),
    ):
        base = _base(case, rule, span_s)
        if count < factor * base:
            continue
        busy = min(COLD_SHARE * sum(scene.volumes(span_s).values()), 2 * rule.cold_factor * base)
        limit = math.ceil(max(factor * base, busy))
        nets: dict[int, int] = {}
        for row in case.recent(span_s):
            nets[row.net] = nets.get(row.net, 0) + row.new
        cap = max(least, base // rule.diverse_networks)
        if sum(min(sent, cap) for sent in nets.values()) >= limit:
            return Finding(span_s, count, limit, None)
    return None


def is_light(case: Case, flood: Flood, rule: VictimRule, now: int) -> bool:
    """Say whether much of a flood comes from ASNs of which each is a negligible part.

    That part must exceed what strangers usually send the victim, and the flood must still press:
    in its tail a stranger is more likely to be one who would have written anyway.
    """
    if case.tried_long < _base(case, rule, LONG_S) / 2 and now - flood.found > LONG_S:
        return False
    heavy = max(HEAVY_MESSAGES, HEAVY_SHARE * flood.total)
    light = sum(count for count in flood.groups.values() if count < heavy)
    usual = flood.usual * max(now - flood.start + 1, SHORT_S) / LONG_S
    return light >= rule.light_messages + rule.light_factor * usual


def allowance(usual: float, terms: RelationTerms, *, known: bool) -> float:
    """Give what a source that usually sends `usual` may send: its volume, and chance on top."""
    return (terms.floor if known else 0) + terms.factor * usual + 2 * math.sqrt(usual)


def takes_part(
    flood: Flood, victim: Victim, policy: Policy, relations: Relations, source: Source, now: int
) -> bool:
    """Say whether a source is part of a flood so far.

    Of what its ASN sends to everybody a victim may get its usual share, so that a big provider's
    ordinary mail is no attack, nor its busy day.
    """
    net, group = source.net, source.group
    part = flood.parts[source.ip]
    if not part.attempts and not part.deferred:
        return False
    terms = policy.relations
    span_s = max(now - flood.start + 1, 2 * SHORT_S)
    share = min(flood.share, MOST_SHARE)
    own_h = relations.expected(mixed_one(victim.hash, group), HOUR_S)
    others = max(0.0, (source.volume_h - own_h) * max(1.0, span_s / HOUR_S) - flood.groups[group])
    fair = share / (1 - share) * others
    for place, sent, least in ((net, flood.nets[net], 0.0), (group, flood.groups[group], fair)):
        key = mixed_one(victim.hash, place)
        known = relations.known(key)
        usual = max(least, relations.expected(key, span_s)) if known else least
        if usual and sent <= allowance(usual, terms, known=known):
            return False
    heavy = flood.groups[group] >= max(HEAVY_MESSAGES, HEAVY_SHARE * flood.total)
    acquainted = source.learned > 0 or (
        victim.domain_hash is not None and relations.known(mixed_one(victim.domain_hash, net))
    )
    if not part.met:
        part.met = True
        flood.strangers += 1
        flood.with_history += acquainted
    if source.others >= source.busy and part.attempts <= 1:
        return False
    if heavy:
        return True
    if now - flood.start >= PASSING_S and part.attempts <= PASSING * source.others:
        return False
    if not flood.light:
        return False
    telling = flood.with_history < HISTORY_SHARE * flood.strangers
    return not (acquainted and telling and flood.nets[net] <= terms.floor)


def suspects(
    flood: Flood, touched: dict[int, tuple[int, int]], *, everybody: bool
) -> dict[int, tuple[int, int]]:
    """Give the sources to look at: those that just sent, and those spared so far beside them.

    `everybody` that was spared is looked at when the flood has just become one of many ASNs.
    """
    out = dict(touched)
    groups = flood.spared if everybody else {group for _, group in touched.values()}
    for group in groups:
        out.update(flood.spared.get(group, {}))
    return out


def is_calm(case: Case, victim: Victim, policy: Policy, scene: Scene) -> bool:
    """Say whether a flood is over: ten minutes with few attempts beyond explanation.

    Blocked and deferred ones count too; what relations, general volume and the usual number of
    strangers explain does not.
    """
    rule = policy.rules.victim_flood
    base = _base(case, rule, LONG_S)
    least = base * rule.calm_fraction
    usual = max(case.flood.usual if case.flood else 0.0, victim.limits.normal_10min or 0.0)
    if case.flood is None or case.tried_long < rule.baseline_factor * usual:
        return True
    excess = _excess(case, victim, LONG_S, base, rule, scene, usual, least=least, what="tried")
    return excess is None or excess.count < least
