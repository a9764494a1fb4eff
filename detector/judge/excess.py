"""What is beyond explanation among the messages of a victim's window.

Relations, the usual number of strangers and an ASN's general volume explain messages; the rules
judge by what is left.
"""

import math
from dataclasses import dataclass
from typing import Final

from detector.judge.cases import LONG_S, SHORT_S, Case, CaseRow
from detector.judge.scene import Scene, Victim
from detector.policy.settings import RelationTerms, VictimRule

__all__ = [
    "AWAIT_S",
    "CAP_LEAST",
    "MOST_SHARE",
    "REPEAT_SHARE",
    "SYSTEM_BURST",
    "SYSTEM_LEAST",
    "SYSTEM_SHARE",
    "Excess",
    "allowance",
    "base_limit",
    "beside_volume",
    "burst_of",
    "excess",
    "summed",
    "unexpected",
    "weighed",
]

AWAIT_S: Final = 1_200
"""So long a retry is expected: the evidence reaches back no further."""
TOP_SHARE: Final = 0.5
MOST_SHARE: Final = 0.5
EXPLAINED: Final = 1.5
"""Times its fair share of an ASN's general volume that a victim may get."""
REPEAT_SHARE: Final = 0.08
"""Messages behind the first to each mailbox; a newsletter has none, a flood over victims many."""
NEARLY: Final = 0.999
"""Of a limit: sums in another order differ by less."""
BURSTS: Final = 1.5
"""Times more than its relation allows that an ASN may send one mailbox: systems write in bursts."""
SYSTEM_BURST: Final = 60.0
"""Times its usual ten minutes that a ticket or monitoring system may send a mailbox in a burst."""
SYSTEM_LEAST: Final = 1
"""Messages that a system usually sends a mailbox in ten minutes, at least."""
SYSTEM_SHARE: Final = 0.3
"""Of what its ASN sends there, so much comes from a network of a system; a provider has many."""
CAP_LEAST: Final = 3.0


@dataclass(frozen=True, slots=True)
class Excess:
    """Messages of strangers that no ASN's general volume explains.

    `diverse` counts them with each network capped, `repeats` those behind the first to each
    mailbox, `steady` those of networks that repeat themselves: a newsletter or a mailing list goes
    to each mailbox once.
    """

    total: int
    count: float
    diverse: float
    repeats: float
    steady: float


def allowance(usual: float, terms: RelationTerms, *, known: bool) -> float:
    """Give what a source that usually sends `usual` may send: its volume, and chance on top."""
    return (terms.floor if known else 0) + terms.factor * usual + 2 * math.sqrt(usual)


def burst_of(usual: float) -> float:
    """Give what a network that usually sends so much in ten minutes may in a burst, as a system."""
    return SYSTEM_BURST * usual if usual >= SYSTEM_LEAST else 0.0


def base_limit(case: Case, rule: VictimRule, span_s: int) -> int:
    """Give the published limit of a span, for a victim of which nothing is known."""
    if case.scope == "domain":
        return rule.domain_per_min if span_s <= SHORT_S else rule.domain_per_10min
    return rule.mailbox_per_min if span_s <= SHORT_S else rule.mailbox_per_10min


def excess(
    case: Case, victim: Victim, span_s: int, limit: float, rule: VictimRule, scene: Scene,
    usual_10min: float, *, least: float = 0.0, most: float = math.inf, what: str = "all",
) -> Excess | None:  # fmt: skip
    """Count what is beyond explanation in a window; None where it is no flood by its shape.

    `usual_10min` are the messages that strangers usually send in ten minutes. Where the count is
    well below `least` or above `most`, the rest is not worked out.
    Where most of what a victim gets are bounces, so is what came without a sender's name. When an
    ASN sends more to everybody (its queue after our outage, a newsletter, a busy day), a
    victim's usual share of that is no attack.
    """
    recent = case.recent(span_s)
    bounced = sum([row.nulls for row in recent]) > sum([row.all for row in recent])
    rows = [
        (row, count)
        for row in recent
        if (count := getattr(row, what)) and (row.senders or not bounced)
    ]
    if case.scope == "domain":
        rows = _not_awaited(case, rows, scene)
    groups = summed(rows, "group")
    total = sum(groups.values())
    if total == 0:
        return None
    if case.scope == "domain":
        mailboxes = summed(rows, "mailbox")
        if len(mailboxes) < rule.domain_mailboxes or max(mailboxes.values()) > TOP_SHARE * total:
            return None
    activity = scene.activity(case, span_s) if case.flood is None else 1.0
    allowed = _allowed(case, victim, span_s, groups, scene, activity)
    systems: dict[int, list[float]] = {}
    for (*_, group), (count, burst) in _systems(rows, scene).items():
        systems.setdefault(group, []).append(min(count, burst))
    allowed |= {group: max(math.fsum(systems[group]), allowed[group]) for group in systems}
    strangers = sum(count for group, count in groups.items() if not allowed[group])
    usual = usual_10min * max(span_s * activity, span_s + scene.catch_up_s) / LONG_S
    stranger = 1.0 - (EXPLAINED * usual + 2 * math.sqrt(usual)) / max(strangers, 1)
    left = {
        group: max(0.0, 1.0 - allowed[group] / count if allowed[group] else stranger)
        for group, count in groups.items()
    }
    share = min(scene.share(case, span_s), MOST_SHARE)
    if share > 0:
        beside = beside_volume(groups, scene.volumes(span_s), EXPLAINED * share / (1 - share))
        left = {group: min(part, beside[group]) for group, part in left.items()}
    rough = math.fsum(count * left[group] for group, count in groups.items())
    if not NEARLY * least <= rough <= most / NEARLY:
        return Excess(total, rough, 0.0, 0.0, 0.0)
    nets = weighed(rows, left, "net")
    cap = max(CAP_LEAST, limit / rule.diverse_networks)
    weights = weighed(rows, left, "mailbox")
    return Excess(
        total,
        math.fsum(nets.values()),
        math.fsum(min(count, cap) for count in nets.values()),
        math.fsum(max(0.0, weight - 1.0) for weight in weights.values()),
        math.fsum(nets[net] for net in _repeating(rows)),
    )


def _allowed(
    case: Case, victim: Victim, span_s: int, groups: dict[int, int], scene: Scene, activity: float
) -> dict[int, float]:
    """Give the messages that the relation of each group allows; 0 for strangers.

    The relation is scaled by how much busier everybody is, what our outage has kept away, or how
    much more than usual the group sends to others.
    """
    mailbox = case.scope == "mailbox"
    burst_s, bursts = (LONG_S, BURSTS) if mailbox else (span_s, 1.0)
    chance = mailbox or case.flood is not None
    busier = max(activity, (burst_s + scene.catch_up_s) / burst_s)
    allowed = {}
    for group, count in groups.items():
        allows = bursts * scene.allowed(victim, group, burst_s, busier, chance=chance)
        if 0 < allows < count:
            others = max(0, scene.volumes(span_s).get(group, 0) - count)
            surge = max(busier, scene.surge(group, others, span_s))
            allows = bursts * scene.allowed(victim, group, burst_s, surge, chance=chance)
        allowed[group] = allows
    return allowed


def _systems(
    rows: list[tuple[CaseRow, int]], scene: Scene
) -> dict[tuple[int, int, int], tuple[int, float]]:
    """Give by (mailbox, network, group) of a system what it sent, and what it may in a burst.

    It has always written to the mailbox, and is a large part of what its group sends there.
    """
    sent: dict[tuple[int, int, int], int] = {}
    in_all: dict[tuple[int, int], int] = {}
    for row, count in rows:
        place, whole = (row.mailbox, row.net, row.group), (row.mailbox, row.group)
        sent[place] = sent.get(place, 0) + count
        in_all[whole] = in_all.get(whole, 0) + count
    out = {}
    for (mailbox, net, group), count in sent.items():
        if count >= max(CAP_LEAST, SYSTEM_SHARE * in_all[mailbox, group]):
            burst = burst_of(scene.usual(mailbox, net, LONG_S))
            if burst:
                out[mailbox, net, group] = count, burst
    return out


def unexpected(
    case: Case, rows: list[tuple[CaseRow, int]], scene: Scene
) -> list[tuple[CaseRow, int]]:
    """Leave out of a domain's rows what one of its mailboxes explains alone.

    That are a queue that we told to come again, and the bursts of a system.
    """
    rows = _not_awaited(case, rows, scene)
    found = _systems(rows, scene).items()
    systems = {place for place, (count, burst) in found if count <= burst}
    return [one for one in rows if (one[0].mailbox, one[0].net, one[0].group) not in systems]


def _not_awaited(
    case: Case, rows: list[tuple[CaseRow, int]], scene: Scene
) -> list[tuple[CaseRow, int]]:
    """Leave out of a domain's rows a queue that we told to come again."""
    awaited = scene.awaited(case)
    return [(row, count) for row, count in rows if (row.mailbox, row.group) not in awaited]


def summed(rows: list[tuple[CaseRow, int]], by: str) -> dict[int, int]:
    """Sum messages by the value of one field of their rows."""
    sums: dict[int, int] = {}
    for row, count in rows:
        key = getattr(row, by)
        sums[key] = sums.get(key, 0) + count
    return sums


def beside_volume(groups: dict[int, int], volumes: dict[int, int], fair: float) -> dict[int, float]:
    """Give the part of each group's messages that its others (`volumes` has all) do not explain.

    For each message to others, `fair` to the victim are no wonder.
    """
    return {
        group: max(0.0, 1.0 - fair * max(0, volumes.get(group, 0) - count) / count)
        for group, count in groups.items()
    }


def _repeating(rows: list[tuple[CaseRow, int]]) -> list[int]:
    """Give the networks of which a part of the messages are not the first to their mailbox."""
    sent = summed(rows, "net")
    reached: dict[int, int] = dict.fromkeys(sent, 0)
    for net, _ in {(row.net, row.mailbox) for row, _ in rows}:
        reached[net] += 1
    return [net for net in sent if sent[net] - reached[net] >= REPEAT_SHARE * sent[net]]


def weighed(rows: list[tuple[CaseRow, int]], left: dict[int, float], by: str) -> dict[int, float]:
    """Sum messages by a field of their rows, each weighed by what is unexplained of its group.

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
