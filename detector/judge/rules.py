"""The rules on victims: when a case is a flood, and which sources take part in it.

A flood is more than the published limits *and* more than the victim's normal, counted over
messages above its relations. A source takes part when it sends more than its relation allows; in
a flood that comes from a few ASNs a stranger from elsewhere is spared until it stands out.
"""

import math
from collections.abc import Callable
from typing import Final

from detector.judge.cases import LONG_S, SHORT_S, Case, Flood
from detector.judge.excess import (
    CAP_LEAST,
    MOST_SHARE,
    REPEAT_SHARE,
    SYSTEM_SHARE,
    Excess,
    allowance,
    base_limit,
    beside_volume,
    burst_of,
    excess,
    summed,
    unexpected,
    weighed,
)
from detector.judge.scene import Finding, Scene, Source, Victim
from detector.memory.relations import Relations, mixed_one
from detector.policy.settings import Policy, RelationTerms, VictimRule

__all__ = ["aimed", "crowds", "hourly", "is_calm", "judge", "suspects", "takes_part"]

HEAVY_MESSAGES: Final = 3
HEAVY_SHARE: Final = 0.02
"""An ASN is a visible part of a flood from 3 messages and a fiftieth of it on."""
LIGHT_SHARE: Final = 0.03
"""The other ASNs are a part of a flood when they send so much of it together."""
HOUR_S: Final = 3_600
BUSY_SHARE: Final = 2.5e-4
BUSY_LEAST: Final = 4
CROWD: Final = 3.0
"""Times as many sources of an ASN as it usually sends messages make a first message theirs."""
PASSING: Final = 0.02
PASSING_MOST: Final = 5
"""Into a flood a source may send this share of its mail, but no more than so many messages: who
sends more is part of it, however much else it sends."""
AIMED: Final = 0.5
AIMED_ALL: Final = 0.75
"""So much of what a source sends a flooded domain goes to its mailboxes that are flooded, where so
much of what all listed ones send does."""
NOISE: Final = 3.0
"""Square roots of all messages that the unexplained ones must exceed: less is chance."""
PATIENCE: Final = 0.05
"""More messages, as a part of those there are, that may change the shape of what was refused."""
COLD_SHARE: Final = 0.25
"""Of what an ASN sends to others, so much to one mailbox is no wonder while nothing is known."""
COLD_PART: Final = 0.3
"""Of a flood, so much at least is beyond such explanation."""
SUDDEN_S: Final = 300
AGEING_S: Final = 7_200
"""In each so many seconds of a flood its acquaintances may send once more above their relations:
nothing is learned meanwhile, and a busy mailbox's day may begin."""
HOURLY_PACE: Final = 12


def judge(case: Case, victim: Victim, policy: Policy, scene: Scene) -> Finding | None:
    """Say whether a case is a flood at the close that the scene describes.

    Where it is not although a limit is passed, `case.patience` says for how many more messages of
    this minute it is no use to ask again. Where none can be passed sooner, `case.spare` says so.
    """
    if scene.cold_s is not None:
        return _judge_cold(case, victim, policy.rules.victim_flood, scene.cold_s, scene)
    return _judge_warm(case, victim, policy.rules.victim_flood, scene)


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
    base = base_limit(case, rule, span_s)
    if scene.cold_s is None:
        domain = case.scope == "domain"  # that may get what a mailing list sends its members
        many, few = 1.0, rule.domain_source_factor if domain else rule.single_source_factor
    elif case.scope == "domain":  # whose queue is flushed, or who gets a newsletter
        many = few = rule.cold_factor
    else:
        burst = span_s == SHORT_S and _wrote_before(case, span_s)
        many, few = 1.0, rule.cold_factor * (1.0 if burst else 0.5)
    least = base * min(many, few)
    beyond = excess(case, victim, span_s, base, rule, scene, usual_10min, least=least)
    if beyond is None:
        return PATIENCE * count
    if beyond.count >= max(least, NOISE * math.sqrt(beyond.total)) and _repeats(case, beyond):
        if beyond.diverse >= base * many:
            return count, math.ceil(max(limit, base * many))
        if beyond.steady >= base * few:
            return count, math.ceil(max(limit, base * few))
    return max(least - beyond.count, PATIENCE * count)


def _repeats(case: Case, beyond: Excess) -> bool:
    """Say whether a domain's mailboxes get more than a message each: a newsletter is no flood."""
    return case.scope != "domain" or beyond.repeats >= REPEAT_SHARE * beyond.count


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
    beyond = excess(case, victim, LONG_S, base_limit(case, rule, LONG_S), rule, scene, usual)
    if beyond is None or case.new_long <= 0:
        return None
    part = beyond.diverse / case.new_long
    if count * part < limit or beyond.diverse < limit / HOURLY_PACE:
        return None
    if not _repeats(case, beyond):
        return None
    return Finding(HOUR_S, count, limit, victim.limits.normal_10min)


def _judge_warm(case: Case, victim: Victim, rule: VictimRule, scene: Scene) -> Finding | None:
    limits = victim.limits
    usual = limits.normal_10min or 0.0
    missing: list[float] = []
    spare: list[int] = []
    for span_s, new, limit_new, every, limit_all in (
        (SHORT_S, case.new_short, limits.per_min, case.all_short, limits.all_per_min),
        (LONG_S, case.new_long, limits.per_10min, case.all_long, limits.all_10min),
    ):
        spare += (limit_new - new, limit_all - every)
        count, limit = (new, limit_new) if new >= limit_new else (every, limit_all)
        if count >= limit:
            passed = _passed(case, victim, span_s, count, limit, rule, scene, usual)
            if isinstance(passed, tuple):
                return Finding(span_s, *passed, limits.normal_10min)
            missing.append(passed)
    if missing:
        case.patience = math.floor(min(missing))
    else:
        case.spare = min(spare)
    return None


def _judge_cold(
    case: Case, victim: Victim, rule: VictimRule, elapsed_s: int, scene: Scene
) -> Finding | None:
    """Judge while nothing is known: a flood is what began after the log did.

    The part of the log before the window stands in for the normal; what has been as busy since
    the first second is taken for normal.
    """
    per_min, per_10min = base_limit(case, rule, SHORT_S), base_limit(case, rule, LONG_S)
    if case.new_short < per_min and case.new_long < per_10min:
        case.spare = min(per_min - case.new_short, per_10min - case.new_long)
        return None
    if case.scope == "mailbox":
        beyond_doubt = _beyond_doubt(case, rule, elapsed_s, scene)
        if beyond_doubt is not None:
            return beyond_doubt
    if elapsed_s < SHORT_S * 3 // 2:
        return None
    spare: list[float] = []
    for span_s, base in ((SHORT_S, per_min), (min(LONG_S, elapsed_s // 2), per_10min)):
        if span_s < SHORT_S:
            spare.append(0)
            continue
        count = case.total(span_s, strangers=True)
        before = case.all_memory - case.total(span_s, strangers=False)
        usual = before * span_s / (elapsed_s - span_s)
        beyond = _beyond(base, usual, rule)
        # In this minute windows only begin later, so that what was before them only grows.
        spare.append(_beyond(base, before * span_s / (elapsed_s + SHORT_S - span_s), rule) - count)
        if count >= beyond:
            beyond = _beyond(base, usual * scene.activity(case, span_s), rule)
        if count >= beyond:
            usual *= LONG_S / span_s
            passed = _passed(case, victim, span_s, count, beyond, rule, scene, usual)
            if isinstance(passed, tuple):
                return Finding(span_s, *passed, usual)
    if case.scope == "domain":
        case.spare = max(0, math.floor(min(spare)))
    return None


def _beyond(base: int, usual: float, rule: VictimRule) -> float:
    """Give what a flood must exceed where `usual` messages are expected."""
    spread = rule.baseline_sigmas * math.sqrt(usual + 1.0)
    return max(base, rule.baseline_factor * usual, usual + spread)


def _beyond_doubt(case: Case, rule: VictimRule, elapsed_s: int, scene: Scene) -> Finding | None:
    """Find in the cold start what no mailbox is taken to get always, however it began.

    What an ASN sends to others speaks for its messages: an always busy mailbox gets a part of what
    everybody sends. From many addresses less is enough, because a monitoring or ticket mailbox has
    few senders.
    """
    windows = [(LONG_S, case.new_long, rule.cold_10min_factor, CAP_LEAST)]
    if elapsed_s < SUDDEN_S:  # later on, what is sudden shows beside what came before
        windows += [
            (SHORT_S, case.new_short, rule.cold_factor, math.inf),
            (SHORT_S, case.new_short, rule.cold_diverse_factor, CAP_LEAST),
        ]
    for span_s, count, factor, least in windows:
        base = base_limit(case, rule, span_s)
        limit = math.ceil(factor * base)
        if count < limit:
            continue
        rows = [(row, row.new) for row in case.recent(span_s) if row.new]
        left = beside_volume(summed(rows, "group"), scene.volumes(span_s), COLD_SHARE)
        cap = max(least, base // rule.diverse_networks)
        sent_by = weighed(rows, left, "ip").values()
        if math.fsum(min(sent, cap) for sent in sent_by) >= max(limit, COLD_PART * count):
            few = least == math.inf
            usual = (count - math.fsum(sent_by)) * LONG_S / min(span_s, elapsed_s) if few else None
            return Finding(span_s, count, limit, usual)
    return None


def crowds(case: Case, flood: Flood, rule: VictimRule, now: int) -> list[bool]:
    """Say whether more strangers than usual write, and more of those that have written to others.

    Where they do, a first message is one of theirs; else it is likely that of somebody who would
    have written anyway. The flood must still press: in its tail everybody writes as usual.
    """
    if case.tried_long < base_limit(case, rule, LONG_S) / 2 and now - flood.found > LONG_S:
        return [False, False]
    heavy = max(HEAVY_MESSAGES, HEAVY_SHARE * flood.total)
    light = sum([count for count in flood.groups.values() if count < heavy])
    if light < LIGHT_SHARE * flood.total:
        return [False, False]
    expected = flood.expected * max(now - flood.start + 1, SHORT_S) / LONG_S
    return [count >= rule.light_messages + expected for count in flood.strangers]


def takes_part(
    flood: Flood, victim: Victim, policy: Policy, relations: Relations, source: Source, now: int
) -> bool:
    """Say whether a source is part of a flood so far.

    A first message is a proof where there is a crowd: many sources of the ASN, or many strangers
    of its kind. Else it takes more than an acquaintance may always send; and where nothing is
    known of who usually writes to the victim, nothing of a light ASN is enough.
    """
    part, group = flood.parts[source.ip], source.group
    if not part.attempts and not part.deferred:
        return False
    usual = _usual(flood, victim, policy.relations, relations, source, now)
    if usual is None:
        return False
    heavy = flood.groups[group] >= max(HEAVY_MESSAGES, HEAVY_SHARE * flood.total)
    acquainted = source.learned > 0
    if not part.met and not heavy:
        part.met = True
        flood.strangers[acquainted] += 1
    if source.others >= source.busy and part.attempts <= 1:
        return False
    if part.attempts <= min(PASSING_MOST, PASSING * source.others):
        return False
    least = policy.relations.floor
    lone = flood.members[group] < HEAVY_MESSAGES + CROWD * usual
    if heavy and not lone:
        least = 0
    elif not heavy and flood.crowds[acquainted]:
        least = int(acquainted and lone)
    elif not heavy and relations.learned_s <= victim.missed_s:
        return False
    return part.attempts > least


def _usual(
    flood: Flood, victim: Victim, terms: RelationTerms, relations: Relations, source: Source,
    now: int,
) -> float | None:  # fmt: skip
    """Give what a source's ASN usually sends in a flood's time; None where that explains it.

    Or what the source or its network does. Of what an ASN sends to everybody a victim may get its
    usual share, so that a big provider's ordinary mail is no attack, nor its busy day; but not
    from one address alone, unless that sends as much to everybody itself. A system that always
    wrote to a mailbox, and is most of what its ASN sends there, writes in bursts.
    """
    net, group, attempts = source.net, source.group, flood.parts[source.ip].attempts
    span_s = max(now - flood.start + 1, 2 * SHORT_S)
    share = min(flood.share, MOST_SHARE)
    part_of_others = share / (1 - share)
    missed_s = victim.missed_s
    own_h = relations.expected(mixed_one(victim.hash, group), HOUR_S, missed_s)
    others = max(0.0, (source.volume_h - own_h) * max(1.0, span_s / HOUR_S) - flood.groups[group])
    own, fair = part_of_others * max(0, source.others), part_of_others * others
    if attempts > HEAVY_MESSAGES + allowance(own, terms, known=False):
        fair = 0.0
    mailbox = victim.domain_hash is not None
    aged = max(0, span_s - LONG_S) / AGEING_S if mailbox else 0.0
    acquainted = relations.known(mixed_one(victim.hash, source.hash))
    usual = 0.0
    for place, sent, least in (
        (source.hash, attempts, 0.0 if acquainted else own), (net, flood.nets[net], 0.0),
        (group, flood.groups[group], fair),
    ):  # fmt: skip
        key = mixed_one(victim.hash, place)
        known = relations.known(key)
        usual = max(least, relations.expected(key, span_s, missed_s)) if known else least
        more = aged * terms.factor * usual if known else 0.0
        floor = known and place == source.hash
        if usual and sent <= allowance(usual, terms, known=floor) + more:
            return None
    if mailbox and flood.nets[net] >= SYSTEM_SHARE * flood.groups[group]:
        of_net = relations.expected(mixed_one(victim.hash, net), LONG_S, missed_s)
        if flood.nets[net] <= burst_of(of_net):
            return None
    return usual


def aimed(case: Case, is_listed: Callable[[int], bool], scene: Scene) -> set[int]:
    """Give the sources that write to the mailboxes of a domain that are flooded.

    Those are the ones that have got more than a message in the last ten minutes, if most of what
    listed sources send goes there. A newsletter that comes in mid-flood writes to all alike. What
    we told to come again does not count.
    """
    rows = unexpected(case, [(row, row.attempts) for row in case.recent(LONG_S)], scene)
    got = summed(rows, "mailbox")
    hits = [(row, count) for row, count in rows if got[row.mailbox] > 1]
    sent, hit = summed(rows, "ip"), summed(hits, "ip")
    listed = {ip for ip in sent if is_listed(ip)}
    if sum(hit.get(ip, 0) for ip in listed) <= AIMED_ALL * sum(sent[ip] for ip in listed):
        return set(sent)
    aims = {}
    for place in ("ip", "group"):
        sent, hit = summed(rows, place), summed(hits, place)
        aims[place] = {one for one, count in hit.items() if count >= AIMED * sent[one]}
    return {row.ip for row, _ in hits if row.ip in aims["ip"] and row.group in aims["group"]}


def suspects(
    flood: Flood, touched: dict[int, tuple[int, int]], now: int, *, everybody: bool
) -> dict[int, tuple[int, int]]:
    """Give the sources to look at: those that just sent, and those spared so far beside them.

    `everybody` that was spared is looked at when strangers have just become a crowd. Who
    has sent nothing for ten minutes is not: it may have been part of no crowd.
    """
    out = dict(touched)
    groups = flood.spared if everybody else {group for _, group in touched.values()}
    for group in groups:
        spared = flood.spared.get(group, {}).items()
        out |= {ip: place for ip, place in spared if now - flood.parts[ip].last < LONG_S}
    return out


def is_calm(case: Case, victim: Victim, policy: Policy, scene: Scene) -> bool:
    """Say whether a flood is over: ten minutes with few attempts beyond explanation.

    Blocked and deferred ones count too; what relations, general volume and the usual number of
    strangers explain does not.
    """
    flood, rule = case.flood, policy.rules.victim_flood
    if flood is None:
        return True
    usual = max(flood.usual, victim.limits.normal_10min or 0.0)
    if case.tried_long < rule.baseline_factor * usual:
        return True
    base = base_limit(case, rule, LONG_S)
    least = base * rule.calm_fraction
    beyond = excess(
        case, victim, LONG_S, base, rule, scene, usual, least=least, most=least, what="tried"
    )
    return beyond is None or beyond.count < least
