"""`source_flood` and `asn_flood`: much mail from one IP or ASN at a few victims, minute by minute.

A list owner's server also sends a lot, but to thousands of mailboxes; what tells a flood apart is
that most of it goes to a handful. Both rules look at messages above relations only, once a minute,
and only at sources whose last minute already looks like that.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.events.key_texts import KeyTexts
from detector.memory.evidence import EvidenceLog
from detector.memory.grouping import GOLDEN, grouped
from detector.memory.relations import KNOWN, Relations, mixed
from detector.memory.tracking import Sources, Victims, group_hashes
from detector.models.base import Normal
from detector.models.baseline import Baseline
from detector.policy.settings import BackscatterRule, ConcentrationRule
from detector.tally.summing import begins

__all__ = ["LEAST_PER_VICTIM", "Concentration", "bounces", "concentrations"]

MINUTE_S: Final = 60
LONG_S: Final = 600
LEAST_PER_VICTIM: Final = 5
_PLACE_BITS: Final = 16
_COUNT_BITS: Final = 39
_MOST: Final = 2**_COUNT_BITS - 1


@dataclass(frozen=True, slots=True)
class Concentration:
    """A subject (ip slot, ASN group, or bounced-at mailbox) far above its limit at few victims.

    `counts` are the messages of each source (ip slot) that takes part, `victims` the mailboxes.
    """

    subject: int
    span_s: int
    count: int
    limit: int
    share: float
    victims: tuple[int, ...]
    counts: dict[int, int]
    normal: float | None


def bounces(
    rule: BackscatterRule, tick: int, evidence: EvidenceLog, messages: NDArray[np.int64],
    mailboxes: Victims, forgiven: dict[int, int],
) -> list[Concentration]:  # fmt: skip
    """Find the mailboxes that null senders flood in the last minute, with who sends there."""
    rows, _ = evidence.between(tick + 1 - MINUTE_S, tick + 1)
    weight = rows.nulls * messages[rows.outcome]
    index = np.flatnonzero((weight > 0) & (rows.tick > tick - MINUTE_S))
    by_mailbox: dict[int, dict[int, int]] = {}
    for rcpt, ip, when, count in zip(
        rows.rcpt[index].tolist(), rows.ip[index].tolist(),
        rows.tick[index].tolist(), weight[index].tolist(), strict=True,
    ):  # fmt: skip
        if when > forgiven.get(ip, when - 1):
            counts = by_mailbox.setdefault(rcpt, {})
            counts[ip] = counts.get(ip, 0) + count
    return [
        Concentration(slot, MINUTE_S, total, rule.per_min, 1.0, (slot,), by_mailbox[slot], None)
        for slot in sorted(by_mailbox, key=mailboxes.table.names.__getitem__)
        if (total := sum(by_mailbox[slot].values())) >= rule.per_min
    ]


def concentrations(
    rule: ConcentrationRule, tick: int, evidence: EvidenceLog,
    sources: Sources, mailboxes: Victims, relations: Relations,
    models: dict[int, Baseline] | None, forgiven: dict[int, int],
) -> list[Concentration]:  # fmt: skip
    """Find the sources (`models` None) or ASN groups that flood few victims now.

    The last minute says whom to look at; each of them is measured over a minute, then over ten.
    `forgiven` has by ip slot the tick of a removal: what came up to it counts nothing.
    """

    def sent(span_s: int, subjects: NDArray[np.int64] | None, least: int) -> _Sent:
        """Give what strangers sent for those with `least` messages (None: of everybody)."""
        since = tick + 1 - span_s
        rows, _ = evidence.between(since, tick + 1)
        owner = rows.ip if models is None else rows.asn
        if subjects is None:
            fresh = evidence.fresh(since, tick + 1)
            index = _busy(owner, fresh, least)
            first, number = grouped(owner[index])
            subjects = owner[index[first]].astype(np.int64)
        else:
            index, number = _of(subjects, owner, evidence.messages(since, tick + 1), least)
            kept = np.flatnonzero(rows.tick[index] >= since)
            index, number = index[kept], number[kept]
        ip, rcpt = rows.ip[index], rows.rcpt[index]
        every = evidence.messages(since, tick + 1)[index].astype(np.int64)
        if span_s == MINUTE_S:
            weight = evidence.fresh(since, tick + 1)[index].astype(np.int64)
        else:
            weight = every.copy()
            keys = mixed(mailboxes.hash[rcpt], group_hashes(rows.asn[index]))
            weight[relations.counts(keys) >= KNOWN] = 0
        if forgiven:
            removed = np.full(sources.known.size, -1, np.int64)
            removed[list(forgiven)] = list(forgiven.values())
            gone = rows.tick[index] <= removed[ip]
            weight[gone] = every[gone] = 0
        return _Sent(subjects, number, ip, rcpt, weight, every)

    least_now = rule.per_10min // 10
    last = sent(MINUTE_S, None, least_now)
    few, total = last.few(rule.victims, 1)
    looks = (few >= rule.share * total) & (few >= least_now)
    subjects = np.sort(last.subjects[looks])
    out: dict[int, Concentration] = {}
    for span_s, least_count in ((MINUTE_S, rule.per_min), (LONG_S, rule.per_10min)):
        if not subjects.size:
            break
        own = sent(span_s, subjects, least_count)
        least = max(rule.per_victim * span_s / LONG_S, LEAST_PER_VICTIM)
        few, total = own.few(rule.victims, least)
        for place in np.flatnonzero((few >= least_count) & (few >= rule.share * total)).tolist():
            subject, count = int(subjects[place]), int(few[place])
            normal = _normal(models, subject)
            beyond = 0.0 if normal is None else rule.baseline_factor * normal
            limit = max(least_count, math.ceil(beyond * span_s / LONG_S))
            if count >= limit and subject not in out:
                top, counts = own.detail(place, rule.victims, least, mailboxes.table.names)
                share = count / int(total[place])
                out[subject] = Concentration(
                    subject, span_s, count, limit, share, top, counts, normal
                )
    return [out[subject] for subject in sorted(out)]


def _normal(models: dict[int, Baseline] | None, group: int) -> float | None:
    """Give what an ASN group usually sends in ten minutes, None where nothing is known."""
    answer = models[group].normal() if models is not None and group in models else None
    return answer.mean if isinstance(answer, Normal) else None


Owners = NDArray[np.int32] | NDArray[np.int64]


def _busy(owner: Owners, count: NDArray[np.uint32], least: int) -> NDArray[np.intp]:
    """Give the rows of owners with at least so many messages, and of a few others.

    Owners are told apart by their low bits only: a whole column costs a few array operations.
    """
    low_bits = (1 << min(_PLACE_BITS, owner.size.bit_length())) - 1
    place = (owner & low_bits).astype(np.intp, copy=False)
    sums = np.zeros(low_bits + 1, np.uint32)
    np.add.at(sums, place, count)
    return np.flatnonzero((sums >= least)[place])


def _of(
    subjects: NDArray[np.int64], owner: Owners, count: NDArray[np.uint32], least: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give the rows of `subjects` (sorted, some) and the place of each one's subject.

    Left out are those of subjects that have less than `least` messages.
    """
    low_bits = (1 << _PLACE_BITS) - 1
    maybe = np.zeros(low_bits + 1, np.bool_)
    maybe[subjects & low_bits] = True
    index = np.flatnonzero(maybe[owner & low_bits])
    mine = owner[index]
    places = np.zeros(low_bits + 1, np.intp)
    places[subjects & low_bits] = np.arange(subjects.size)
    place = places[mine & low_bits]
    other = np.flatnonzero(subjects[place] != mine)
    place[other] = np.minimum(np.searchsorted(subjects, mine[other]), subjects.size - 1)
    found = np.flatnonzero(subjects[place] == mine)
    index, place = index[found], place[found]
    sums = np.zeros(subjects.size, np.uint32)
    np.add.at(sums, place, count[index])
    enough = np.flatnonzero((sums >= least)[place])
    return index[enough], place[enough]


@dataclass(frozen=True, slots=True)
class _Sent:
    """What strangers sent, row by row; `number` is the place of its sender in `subjects`.

    `every` counts what went to acquaintances too.
    """

    subjects: NDArray[np.int64]
    number: NDArray[np.intp]
    ip: NDArray[np.int32]
    rcpt: NDArray[np.int32]
    weight: NDArray[np.int64]
    every: NDArray[np.int64]

    def few(self, victims: int, least: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give each subject's messages to its first `victims` mailboxes with `least`, and all."""
        few, total = np.zeros((2, self.subjects.size), np.int64)
        np.add.at(total, self.number, self.every)
        key, weight = self.number << 32 | self.rcpt, self.weight
        if least > 1:
            bits = min(_PLACE_BITS, key.size.bit_length())
            place = (key.view(np.uint64) * GOLDEN >> np.uint64(64 - bits)).view(np.int64)
            sums = np.zeros(1 << bits, np.int64)
            np.add.at(sums, place, weight)
            index = np.flatnonzero((sums >= least)[place])
            key, weight = key[index], weight[index]
        if not key.size:
            return few, total
        order = np.argsort(key)
        key = key[order]
        starts = np.flatnonzero(begins(key))
        count = np.add.reduceat(weight[order], starts)
        enough = np.flatnonzero(count >= least)
        if not enough.size:
            return few, total
        packed = np.sort((key[starts[enough]] >> 32 << _COUNT_BITS) | (_MOST - count[enough]))
        number, count = packed >> _COUNT_BITS, _MOST - (packed & _MOST)
        begin = np.flatnonzero(begins(number))
        rank = np.arange(number.size) - np.repeat(begin, np.diff(begin, append=number.size))
        few[number[begin]] = np.add.reduceat(np.where(rank < victims, count, 0), begin)
        return few, total

    def detail(
        self, place: int, victims: int, least: float, names: KeyTexts
    ) -> tuple[tuple[int, ...], dict[int, int]]:
        """Give the mailboxes that `few` counted for a subject, and what each source sent there."""
        own = np.flatnonzero((self.number == place) & (self.weight > 0))
        ip, rcpt, weight = (c[own].tolist() for c in (self.ip, self.rcpt, self.weight))
        by_victim: dict[int, int] = {}
        for slot, count in zip(rcpt, weight, strict=True):
            by_victim[slot] = by_victim.get(slot, 0) + count
        order = sorted(by_victim, key=lambda slot: (-by_victim[slot], names[slot]))
        top = tuple(slot for slot in order[:victims] if by_victim[slot] >= least)
        counts: dict[int, int] = {}
        for source, slot, count in zip(ip, rcpt, weight, strict=True):
            if slot in top:
                counts[source] = counts.get(source, 0) + count
        return top, counts
