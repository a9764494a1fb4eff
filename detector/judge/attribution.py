"""Who takes part in a flood: the probability that a source would have written anyway.

Of a network (an ASN group) so many innocent messages are expected in the flood's time, and so many
newcomers of the flood: the odds of a newcomer are their ratio, lowered by how much it sends.
"""

import math
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from detector.judge.floods import ACQUAINTED, FRESH, Flood, Part
from detector.judge.rows import HOUR_S, LONG_S, SHORT_S
from detector.judge.usual import Usual
from detector.policy.constants import UNSEEN
from detector.policy.settings import VictimRule

__all__ = ["Crowd", "Source", "innocent", "is_part"]

MANY: Final = 200


class Source(NamedTuple):
    """A source to be judged: its slot, its hash, the hash of its group.

    `others` are its messages to victims that are not flooded, those learned included; `recent`
    those of the last ten or twenty minutes.
    """

    ip: int
    hash: int
    group: int
    others: int
    recent: int


@dataclass(slots=True)
class Crowd:
    """A flood at one close, as its sources are judged by it."""

    flood: Flood
    usual: Usual
    now: int
    press: float
    """Of its mean pace, so much is left in the last ten minutes."""
    fresh: float
    """Of innocent newcomers, so many are new to the whole log."""
    coming: float
    """Messages of newcomers that the victim gets in ten minutes anyway."""
    surprise: float
    """Of the policy: what is exceeded in one of ten to the power of this windows is none."""
    to_day: float = 1.0
    """Times what is known of a source's mail to others is a day's, 1 or more."""
    evidence: dict[str, object] | None = None
    """What an offence says of the flood itself, once there is one."""
    slots: float = field(init=False)
    """Slots of ten minutes since it began."""
    every_s: int = field(init=False)
    """The span of everybody's volume that is nearest to that."""

    def __post_init__(self) -> None:
        """Say how long the flood has been going on."""
        span_s = max(self.now - self.flood.start + 1, SHORT_S)
        self.slots = span_s / LONG_S
        self.every_s = LONG_S if span_s < 2 * LONG_S else HOUR_S


class Expected(NamedTuple):
    """Innocent messages expected in a flood's time: of all newcomers, of a group, of a source."""

    newcomers: float
    group: float
    source: float


def expected(at: Crowd, source: Source) -> Expected:
    """Give the innocent messages that a flood's time would have brought anyway."""
    flood, usual, slots, every_s = at.flood, at.usual, at.slots, at.every_s
    come = at.coming * slots
    volume = usual.traffic.volume(source.group, every_s)
    longer = max(1.0, slots / usual.traffic.length(every_s))
    others = max(0.0, volume * longer - flood.groups[source.group])
    mean = usual.mean(source.group)
    busier = 1.0
    if mean and usual.known:
        busier = usual.traffic.busier(source.group, every_s, flood.groups[source.group], mean)
    of_group = max(
        usual.odds * others, come * usual.traffic.share(source.group), mean * slots * busier
    )
    itself = max(usual.mean(source.hash) * slots, usual.odds * source.recent * max(1.0, slots / 2))
    return Expected(come, of_group, itself)


def _tail(times: float) -> float:
    """Give the part of innocents that send so many times more than is usual: x ** -2.5.

    In steps that are rounded alike on every processor.
    """
    return 1.0 if times <= 1.0 else 1.0 / (times * times * math.sqrt(times))


def _all_expected(mean: float, count: int) -> float:
    """Give mean**count / count!, which lowers the odds that so many are all expected; 1 at most.

    Of many (Stirling's formula) it is next to nothing, or they are fewer than expected.
    """
    if count <= mean:
        return 1.0
    if count > MANY:
        return 0.0 if math.e * mean < count else 1.0
    chance = 1.0
    for number in range(1, count + 1):
        chance *= mean / number
    return min(chance, 1.0)


def innocent(at: Crowd, source: Source, part: Part, due: Expected) -> float:
    """Give the probability that a source of a flood would have written anyway.

    `e**(c + 1) / (c! u) + e / (u + c - e)` bounds the odds that c newcomers of a network are all
    innocent where e innocent messages and u of the flood are expected (Poisson; Good-Turing for u).
    """
    flood, usual = at.flood, at.usual
    sent = flood.evidence(part)
    if not sent:
        return 1.0
    every = len(flood.parts)
    newcomer = part.kind != ACQUAINTED
    met = flood.newcomers.get(source.group, 0)
    crowd = max(0, met - newcomer) * at.press
    share = usual.traffic.share(source.group)
    singles = flood.singles - (met == 1 and newcomer)
    unseen = max(UNSEEN, singles * at.press - due.newcomers) * share
    fresh = part.kind == FRESH
    of_kind = flood.fresh if fresh else every - flood.fresh
    kind = (at.fresh if fresh else 1.0 - at.fresh) * (every + 2) / (of_kind + 1)
    busy = 1.0 if fresh else max(1.0, (1 + source.others) / (1 + usual.traffic.each(source.group)))
    chance = due.group / unseen * _all_expected(due.group, int(crowd))
    left = unseen + max(0.0, crowd - due.group)
    if crowd > due.group:
        chance += due.group / left
    # what it sent before may be little by chance: at least its part of its group
    itself = max(due.source, due.group / max(1, flood.members[source.group]))
    usually = 1.0 + 2.0 * itself
    if not newcomer:
        kind = max(1.0, kind)
        usually = max(usually, usual.most_of(source.hash, due.source, at.slots, at.surprise))
    tail = _tail(sent / usually)
    odds = max(chance * kind * busy, (due.source if newcomer else itself) / left) * tail
    if sent > 2:  # noqa: PLR2004 - how many send as much says nothing of a message or two
        heavy = max(1.0, flood.as_heavy(sent) * at.press)
        by_size = 1.0
        if newcomer:
            by_size = max(due.newcomers / heavy, due.group / min(heavy, crowd + 1.0))
        odds = min(odds, by_size * kind * busy * tail)
    return odds / (1.0 + odds)


def is_part(
    rule: VictimRule, at: Crowd, source: Source, part: Part, due: Expected, probability: float
) -> bool:
    """Say whether a source is listed: innocent mail lost against flood mail stopped.

    A regular sender of a mailbox, such as a ticket or monitoring system, may write in bursts.
    Whoever else sends as much as the limit of a minute beyond its own usual is part of it, however
    much it sends others.
    """
    usual = at.usual
    if not at.flood.wide and usual.is_regular(source.hash, rule.regular_slots):
        return part.attempts > rule.system_burst * usual.mean(source.hash)
    sent = at.flood.evidence(part)
    if sent >= rule.mailbox_per_min:
        likely = usual.most_of(source.hash, due.source, at.slots, at.surprise)
        if sent - max(2.0 * due.source, likely) >= rule.mailbox_per_min:
            return True
    return probability * (1.0 + rule.cost * source.others * at.to_day) < rule.innocent
