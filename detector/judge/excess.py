"""Is a victim flooded: what comes beyond its usual in a window, against the published limits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from detector.judge.cases import Case
from detector.judge.rows import HOUR_S, LONG_S, SHORT_S, CaseRow
from detector.judge.traffic import Traffic
from detector.judge.usual import Usual
from detector.memory.chance import NO_SCATTER, fewest, gamma, most, surprise
from detector.memory.relations import MESSAGE, mixed_one
from detector.policy.constants import EACH, PAIR_SLOTS, PATIENCE, TWICE
from detector.policy.settings import DAY_S, VictimRule
from detector.state import State

__all__ = ["SPANS_S", "Finding", "calm", "excess", "judge", "limit", "unlike"]

SPANS_S: Final = (SHORT_S, LONG_S, HOUR_S)


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a victim is flooded: `count` messages beyond its usual in `span_s` seconds."""

    span_s: int
    count: int
    limit: int
    usual: Usual


def limit(rule: VictimRule, scope: str, span_s: int) -> int:
    """Give the published limit of a span."""
    if scope == "domain":
        limits = rule.domain_per_min, rule.domain_per_10min, rule.domain_per_hour
    else:
        limits = rule.mailbox_per_min, rule.mailbox_per_10min, rule.mailbox_per_hour
    return limits[SPANS_S.index(span_s)]


def calm(rule: VictimRule, scope: str) -> int:
    """Give the messages of an hour beyond the usual below which a flood is over.

    So few that its pace, which scatters by chance, is below a fraction of the limit.
    """
    return max(1, fewest(limit(rule, scope, HOUR_S) * rule.over_fraction, rule.surprise) + 1)


def judge(state: State, traffic: Traffic, case: Case, tick: int) -> Finding | None:
    """Say whether a case is a flood at the close of a tick.

    Where it is not, `case.patience` says by window for how many more messages it is no use to ask
    again.
    """
    rule = state.policy.rules.victim_flood
    factor = state.young_factor(case.scope, case.slot, tick)
    for window, span_s in enumerate(SPANS_S):
        if case.patience[window]:
            continue
        least = math.ceil(limit(rule, case.scope, span_s) * factor)
        _, total = case.window(span_s)
        missing = float(least - total)
        if missing <= 0:
            usual = Usual.of(state, traffic, case, span_s, tick)
            if case.scope == "domain":  # it may be the whole site
                least = max(least, math.ceil(usual.whole(span_s)))
            count = excess(state, case, usual, span_s)
            if count >= least:
                return Finding(span_s, math.floor(count), least, usual)
            missing = max(least - count, PATIENCE * total)
        case.patience[window] = max(1, math.floor(missing))
    return None


def excess(
    state: State, case: Case, usual: Usual, span_s: int, counts: Mapping[int, int] | None = None
) -> float:
    """Count the messages of a window beyond what is usual.

    `counts` by group stand for the case's own, of a flood's last hour. What could be innocent by
    its shape (a newsletter, bounces, a system's burst) is asked only where the sum reaches the
    limit.
    """
    rule = state.policy.rules.victim_flood
    surprised = rule.surprise
    if counts is None:
        counts, _ = case.window(span_s)
    usual.measure_pace(counts, span_s, limit(rule, case.scope, span_s))
    total = sum(counts.values())
    crowd, loud = usual.beyond(counts, span_s, surprised)
    pool = max(0.0, math.fsum(crowd) - usual.crowd_most(total, span_s, surprised))
    beyond = math.fsum(loud.values()) + pool
    least = limit(rule, case.scope, span_s)
    if case.flood is not None:
        hour = span_s == HOUR_S
        least = calm(rule, case.scope) if hour else math.floor(least * rule.over_fraction)
    if usual.slots < rule.regular_slots and span_s == LONG_S and total >= least:
        beyond = max(beyond, unlike(case, usual, counts))
    if beyond < least and (case.scope == "mailbox" or case.first_long < least):
        return beyond
    rows = case.recent(min(span_s, LONG_S))
    if case.flood is None:
        rows = [row for row in rows if row.all]
    if case.scope == "domain" and _are_few(rows, rule.domain_mailboxes):
        return 0.0
    whole = max(1, sum([_sent(row, case) for row in rows]))
    part = 1.0 if span_s <= LONG_S else max(1.0, total / whole)
    if loud and usual.known:
        beyond -= _bursts(state, usual, rows, loud, case, part)
    if case.scope == "domain":
        beyond -= _letters(case, rows, loud, part, surprised)
        beyond = max(beyond, part * _first_letters(state, case, usual, rows, surprised))
    return beyond - part * _bounces(state, usual, rows)


def unlike(case: Case, usual: Usual, counts: Mapping[int, int]) -> float:
    """Give what a victim gets from other networks than the site's, before regulars are known.

    A mailbox that was always busy gets a part of what everybody sends; and a system has few
    addresses, so that of each one a few messages count.
    """
    few: dict[int, int] = {}
    by_source: dict[tuple[int, int], int] = {}
    for row in case.recent(LONG_S):
        if _sent(row, case):
            key = row.group, row.ip
            by_source[key] = by_source.get(key, 0) + _sent(row, case)
    for (group, _), count in by_source.items():
        few[group] = few.get(group, 0) + min(count, int(EACH))
    total = sum(counts.values())
    others = max(1, usual.traffic.site(HOUR_S) - total)
    beyond = 0.0
    for group, count in sorted(few.items()):
        elsewhere = max(0, usual.traffic.volume(group, HOUR_S) - counts.get(group, 0))
        beyond += max(0.0, count - most(total * elsewhere / others, NO_SCATTER, 1.0))
    novel = total * usual.traffic.singles(HOUR_S) / others
    return beyond - most(novel, NO_SCATTER, 1.0)


def _are_few(rows: list[CaseRow], mailboxes: int) -> bool:
    """Say whether rows went to fewer mailboxes than that."""
    seen = set()
    for row in rows:
        seen.add(row.mailbox)
        if len(seen) >= mailboxes:
            return False
    return True


def _sent(row: CaseRow, case: Case) -> int:
    return row.all if case.flood is None else row.attempts


def _bursts(
    state: State,
    usual: Usual,
    rows: list[CaseRow],
    loud: dict[int, float],
    case: Case,
    part: float,
) -> float:
    """Give what systems of loud groups sent: addresses that have written to a mailbox regularly.

    That is in `regular_slots` slots at least, which n**2 / q bounds. Together they may send
    `system_burst` times their usual slot, in whatever window: a ticket or monitoring system writes
    in bursts. Of the window the rows are one part in `part`.
    """
    sent: dict[tuple[int, int], dict[int, int]] = {}
    for row in rows:
        if row.group in loud:
            by_ip = sent.setdefault((row.mailbox, row.group), {})
            by_ip[row.ip] = by_ip.get(row.ip, 0) + _sent(row, case)
    rule = state.policy.rules.victim_flood
    explained: dict[int, list[float]] = {}
    relations, slots = state.learner.relations, PAIR_SLOTS + usual.slots
    for (mailbox, group), by_ip in sent.items():
        name, count, means = int(state.mailboxes.hash[mailbox]), 0, []
        for ip, messages in by_ip.items():
            known, squares = relations.rate(mixed_one(name, int(state.sources.hash[ip])))
            if known * known >= rule.regular_slots * squares > 0.0:
                count += messages
                means.append(known / slots)
        most_sent = rule.system_burst * math.fsum(means)
        explained.setdefault(group, []).append(min(part * count, most_sent))
    return math.fsum(min(loud[group], math.fsum(parts)) for group, parts in explained.items())


def _letters(
    case: Case, rows: list[CaseRow], loud: dict[int, float], part: float, surprised: float
) -> float:
    """Give what newsletters explain of the loud groups: one letter to each mailbox of a domain.

    Of a newsletter or a mailing list a few go to the same mailbox again (`TWICE`); a group of which
    surprisingly many do is none.
    """
    to: dict[int, dict[int, dict[int, int]]] = {group: {} for group in loud}
    for row in rows:
        if row.group in to:
            by_ip = to[row.group].setdefault(row.mailbox, {})
            by_ip[row.ip] = by_ip.get(row.ip, 0) + _sent(row, case)
    explained, lists = [], [0.0]
    for group, boxes in to.items():
        counts = [sum(by_ip.values()) for by_ip in boxes.values()]
        sent = sum(counts)
        again = sum(min(8, count) - 1 for count in counts if count)
        if not sent:  # of an hour only the last ten minutes are seen
            continue
        if surprise(again, TWICE * sent, NO_SCATTER) < surprised:
            explained.append(max(0.0, loud[group] - part * again))
        else:
            lists.append(min(loud[group], part * _posts(boxes, surprised)))
    return math.fsum(explained) + max(lists)


def _posts(boxes: dict[int, dict[int, int]], surprised: float) -> int:
    """Give what the busiest source of a group sent if it is a mailing list: a few posts at once.

    None of its readers gets more than `EACH`.
    """
    sources: dict[int, list[int]] = {}
    for by_ip in boxes.values():
        for ip, count in by_ip.items():
            sources.setdefault(ip, []).append(count)
    counts = max(sources.values(), key=lambda counts: (sum(counts), sorted(counts)))
    sent = sum(counts)
    more = sum(max(0, count - int(EACH)) for count in counts)
    return sent if surprise(more, TWICE * sent, NO_SCATTER) < surprised else 0


def _first_letters(
    state: State, case: Case, usual: Usual, rows: list[CaseRow], surprised: float
) -> float:
    """Give the letters to mailboxes that nobody ever wrote to, beyond how many are usual.

    At a domain that is known for less than a day most mailboxes are like that: there they count
    only from sources that nobody knows, and where they come ten times as fast as all its mail.
    """
    if not usual.known:
        return 0.0
    first = [row for row in rows if row.first]
    age_s = case.now + 1 - int(state.domains.since[case.slot])
    if age_s < DAY_S:
        first = [row for row in first if not state.sources.is_known(row.ip)]
    never = sum(_sent(row, case) for row in first)
    if age_s < DAY_S and never * usual.slots < 10.0 * usual.got:
        return 0.0
    firsts = int(state.domains.firsts[case.slot]) / MESSAGE
    return max(0.0, never - most(*gamma(firsts, 0.0, usual.slots, PAIR_SLOTS), surprised))


def _bounces(state: State, usual: Usual, rows: list[CaseRow]) -> float:
    """Give what bounces to a forged address explain: many mail servers, few bounces each.

    Mail servers are known: of them as many must have written to somebody before as half of the
    newcomers usually have. Hosts that send nothing but null senders are a flood like any other.
    """
    by_source: dict[int, int] = {}
    for row in rows:
        if row.nulls:
            by_source[row.ip] = by_source.get(row.ip, 0) + row.nulls
    if not by_source:
        return 0.0
    few = math.fsum(min(count, usual.box_limit) for count in by_source.values())
    known = sum(1 for ip in by_source if state.sources.is_known(ip))
    expected = (1.0 - state.learner.fresh_share()) * len(by_source)
    return few * min(1.0, 2.0 * known / max(expected, 1.0))
