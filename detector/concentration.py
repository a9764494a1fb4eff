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

from detector.evidence import EvidenceLog
from detector.models.base import Normal
from detector.models.baseline import Baseline
from detector.policy import BackscatterRule, ConcentrationRule
from detector.relations import KNOWN, Relations, mixed
from detector.summing import begins
from detector.tally import Rows, take_rows
from detector.tracking import Sources, Victims, group_hashes

__all__ = ["Concentration", "bounces", "concentrations"]

MINUTE_S: Final = 60
LONG_S: Final = 600
LEAST_PER_VICTIM: Final = 3
_LOW_BITS: Final = 0xFFFF


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


def strangers(
    rows: Rows, messages: NDArray[np.int64],
    sources: Sources, mailboxes: Victims, relations: Relations, forgiven: dict[int, int],
) -> NDArray[np.int64]:  # fmt: skip
    """Give for each row its messages from strangers: (rows,) int64.

    `forgiven` has by ip slot the tick of a removal: what came up to it counts nothing.
    """
    weight = (rows.count.astype(np.int64) - rows.nulls) * messages[rows.outcome]
    if forgiven:
        removed = np.full(sources.known.size, -1, np.int64)
        removed[list(forgiven)] = list(forgiven.values())
        weight[rows.tick <= removed[rows.ip]] = 0
    keys = mixed(mailboxes.hash[rows.rcpt], group_hashes(rows.asn))
    return np.where(relations.counts(keys) >= KNOWN, 0, weight)


def concentrations(
    rule: ConcentrationRule, tick: int, evidence: EvidenceLog,
    messages: NDArray[np.int64], sources: Sources, mailboxes: Victims, relations: Relations,
    models: dict[int, Baseline] | None, forgiven: dict[int, int],
) -> list[Concentration]:  # fmt: skip
    """Find the sources (`models` None) or ASN groups that flood few victims now.

    The last minute says whom to look at; each of them is measured over a minute, then over ten.
    """

    def sent(first: int, least: int, subjects: NDArray[np.int64] | None = None) -> _Sent:
        """Give the strangers' rows since `first` of those with `least` messages to anybody."""
        rows, _ = evidence.between(first, tick + 1)
        owner = rows.ip if models is None else rows.asn
        index = _busy(owner, rows.count - rows.nulls, least, subjects)
        if subjects is not None:
            index = index[rows.tick[index] >= first]
        own = take_rows(rows, index)
        weight = strangers(own, messages, sources, mailboxes, relations, forgiven)
        return _Sent(own.ip, own.rcpt, owner[index].astype(np.int64), weight)

    minute = tick + 1 - MINUTE_S
    pairs = sent(minute, rule.per_10min // 10).pairs()
    subjects, few, total = pairs.few(rule.victims, 1)
    subjects = subjects[(few >= rule.share * total) & (few >= rule.per_10min // 10)]
    out: dict[int, Concentration] = {}
    for span_s, least_count in ((MINUTE_S, rule.per_min), (LONG_S, rule.per_10min)):
        if not subjects.size:
            break
        rows = sent(tick + 1 - span_s, least_count, subjects)
        pairs = rows.pairs()
        least = max(rule.per_victim * span_s / LONG_S, LEAST_PER_VICTIM)
        found = zip(*(c.tolist() for c in pairs.few(rule.victims, least)), strict=True)
        for subject, count, all_ in found:
            normal = _normal(models, subject)
            beyond = 0.0 if normal is None else rule.baseline_factor * normal
            limit = max(least_count, math.ceil(beyond * span_s / LONG_S))
            if count < limit or count < rule.share * all_:
                continue
            top = pairs.top(subject, rule.victims, least, mailboxes.table.names)
            out[subject] = Concentration(
                subject, span_s, count, limit, count / all_, top, rows.counts(subject, top), normal
            )
        subjects = subjects[~np.isin(subjects, list(out))]
    return [out[subject] for subject in sorted(out)]


def _normal(models: dict[int, Baseline] | None, group: int) -> float | None:
    """Give what an ASN group usually sends in ten minutes, None where nothing is known."""
    answer = models[group].normal() if models is not None and group in models else None
    return answer.mean if isinstance(answer, Normal) else None


def _busy(
    owner: NDArray[np.int32] | NDArray[np.int64], count: NDArray[np.uint32], least: int,
    subjects: NDArray[np.int64] | None,
) -> NDArray[np.int64]:  # fmt: skip
    """Give the rows whose owner is one of `subjects` and has at least so many messages.

    Owners are told apart by 16 bits at first, so that a whole column costs a few array operations.
    """
    place = (owner & _LOW_BITS).astype(np.intp, copy=False)
    if subjects is None:
        index = None
    else:
        maybe = np.zeros(_LOW_BITS + 1, np.bool_)
        maybe[subjects & _LOW_BITS] = True
        index = np.flatnonzero(maybe[place])
        index = index[np.isin(owner[index], subjects)]
        place, count = place[index], count[index]
    sums = np.zeros(_LOW_BITS + 1, np.uint32)
    np.add.at(sums, place, count)
    enough = np.flatnonzero((sums >= least)[place])
    return enough if index is None else index[enough]


@dataclass(frozen=True, slots=True)
class _Sent:
    """Messages from strangers, row by row: owner (a subject), source, mailbox, weight."""

    ip: NDArray[np.int32]
    rcpt: NDArray[np.int32]
    owner: NDArray[np.int64]
    weight: NDArray[np.int64]

    def pairs(self) -> "_Pairs":
        """Sum them by owner and mailbox: sorted by owner, the most messages first."""
        kept = np.flatnonzero(self.weight)
        owner, rcpt, weight = self.owner[kept], self.rcpt[kept], self.weight[kept]
        if not kept.size:
            return _Pairs(owner, rcpt, weight)
        order = np.lexsort((rcpt, owner))
        owner, rcpt = owner[order], rcpt[order]
        starts = np.flatnonzero(begins(owner) | begins(rcpt))
        count = np.add.reduceat(weight[order], starts)
        order = np.lexsort((-count, owner[starts]))
        return _Pairs(owner[starts][order], rcpt[starts][order], count[order])

    def counts(self, subject: int, victims: tuple[int, ...]) -> dict[int, int]:
        """Give what each source of a subject sent to these victims."""
        out: dict[int, int] = {}
        own = np.flatnonzero((self.owner == subject) & (self.weight > 0))
        own = own[np.isin(self.rcpt[own], victims)]
        for ip, count in zip(self.ip[own].tolist(), self.weight[own].tolist(), strict=True):
            out[ip] = out.get(ip, 0) + count
        return out


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Messages by owner and mailbox, sorted by owner, the most messages first."""

    owner: NDArray[np.int64]
    rcpt: NDArray[np.int32]
    count: NDArray[np.int64]

    def few(
        self, victims: int, least: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Give the owners, their messages to the first `victims` with `least`, and all theirs."""
        begin = np.flatnonzero(begins(self.owner))
        if not begin.size:
            return self.owner, self.count, self.count
        size = self.owner.size
        rank = np.arange(size) - np.repeat(begin, np.diff(begin, append=size))
        top = np.where((rank < victims) & (self.count >= least), self.count, 0)
        return (
            self.owner[begin], np.add.reduceat(top, begin), np.add.reduceat(self.count, begin),
        )  # fmt: skip

    def top(self, owner: int, victims: int, least: float, names: list[str]) -> tuple[int, ...]:
        """Give the `victims` mailboxes with the most messages, `least` or more; then by name."""
        own = slice(*np.searchsorted(self.owner, (owner, owner + 1)).tolist())
        counts = dict(zip(self.rcpt[own].tolist(), self.count[own].tolist(), strict=True))
        order = sorted(counts, key=lambda slot: (-counts[slot], names[slot]))
        return tuple(slot for slot in order[:victims] if counts[slot] >= least)
