"""`source_flood` and `asn_flood`: much mail from one IP or ASN at a few victims, minute by minute.

A list owner's server also sends a lot, but to thousands of mailboxes; what tells a flood apart is
that most of it goes to a handful. Both rules look at messages above relations only, once a minute,
and only at sources whose last minute already looks like that.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.evidence import EvidenceLog
from detector.models.base import Normal
from detector.models.baseline import Baseline
from detector.policy import BackscatterRule, ConcentrationRule
from detector.relations import KNOWN, Relations, mixed
from detector.tally import Rows
from detector.tracking import Sources, Victims, group_hashes

__all__ = ["Concentration", "bounces", "concentrations"]

MINUTE_S: Final = 60
LONG_S: Final = 600
LEAST_PER_VICTIM: Final = 3


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
    """Find the sources (`models` None) or ASN groups that flood few victims now."""
    rows, _ = evidence.between(tick + 1 - MINUTE_S, tick + 1)
    if not len(rows):
        return []
    owner = rows.ip.astype(np.int64) if models is None else rows.asn
    subjects, where = np.unique(owner, return_inverse=True)
    weight = (rows.count.astype(np.int64) - rows.nulls) * messages[rows.outcome]
    sums = np.zeros(subjects.size, np.int64)
    np.add.at(sums, where, weight)
    looks = sums >= min(rule.per_min, rule.per_10min // 10)
    if not looks.any():
        return []
    picked = np.flatnonzero(looks[where])
    weight = strangers(_pick(rows, picked), messages, sources, mailboxes, relations, forgiven)
    short = _few(rule, owner[picked], rows.rcpt[picked], weight)
    out = []
    flagged = {subject for subject, total in short.items() if total >= rule.per_10min // 10}
    for subject in sorted(flagged):
        found = _examine(
            rule,
            subject,
            tick,
            evidence,
            messages,
            sources,
            mailboxes,
            relations,
            models,
            forgiven,
        )
        if found is not None:
            out.append(found)
    return out


def _pick(rows: Rows, index: NDArray[np.int64]) -> Rows:
    return Rows(*(c[index] if c.size == len(rows) else c for c in rows.columns()))


def _few(
    rule: ConcentrationRule, owner: NDArray[np.int64], rcpt: NDArray[np.int32],
    weight: NDArray[np.int64],
) -> dict[int, int]:  # fmt: skip
    """Give the subjects whose messages go mostly to few victims, with the messages that do."""
    kept = weight > 0
    owner, rcpt, weight = owner[kept], rcpt[kept], weight[kept]
    order = np.lexsort((rcpt, owner))
    owner, rcpt, weight = owner[order], rcpt[order], weight[order]
    if not owner.size:
        return {}
    first = np.r_[True, (owner[1:] != owner[:-1]) | (rcpt[1:] != rcpt[:-1])]
    starts = np.flatnonzero(first)
    pair = np.add.reduceat(weight, starts)
    pair_owner = owner[starts]
    order = np.lexsort((-pair, pair_owner))
    pair, pair_owner = pair[order], pair_owner[order]
    owners, begin = np.unique(pair_owner, return_index=True)
    rank = np.arange(pair.size) - np.repeat(begin, np.diff(np.r_[begin, pair.size]))
    total = np.add.reduceat(pair, begin)
    top = np.add.reduceat(np.where(rank < rule.victims, pair, 0), begin)
    few = top >= rule.share * total
    return dict(zip(owners[few].tolist(), top[few].tolist(), strict=True))


def _examine(
    rule: ConcentrationRule, subject: int, tick: int, evidence: EvidenceLog,
    messages: NDArray[np.int64], sources: Sources, mailboxes: Victims, relations: Relations,
    models: dict[int, Baseline] | None, forgiven: dict[int, int],
) -> Concentration | None:  # fmt: skip
    """Look at one subject's last ten minutes exactly."""
    normal = None
    beyond = 0.0
    if models is not None and subject in models:
        answer = models[subject].normal()
        if isinstance(answer, Normal):
            normal = answer.mean
            beyond = rule.baseline_factor * answer.mean
    for span_s, least_count in ((MINUTE_S, rule.per_min), (LONG_S, rule.per_10min)):
        limit = max(least_count, int(np.ceil(beyond * span_s / LONG_S)))
        rows, _ = evidence.between(tick + 1 - span_s, tick + 1)
        owner = rows.ip if models is None else rows.asn
        own = _pick(rows, np.flatnonzero((owner == subject) & (rows.tick > tick - span_s)))
        weight = strangers(own, messages, sources, mailboxes, relations, forgiven)
        by_victim: dict[int, int] = {}
        for rcpt, count in zip(own.rcpt.tolist(), weight.tolist(), strict=True):
            by_victim[rcpt] = by_victim.get(rcpt, 0) + count
        total = sum(by_victim.values())
        names = mailboxes.table.names
        top = sorted(by_victim, key=lambda slot: (-by_victim[slot], names[slot]))[: rule.victims]
        least = max(rule.per_victim * span_s / LONG_S, LEAST_PER_VICTIM)
        top = [slot for slot in top if by_victim[slot] >= least]
        count = sum(by_victim[slot] for slot in top)
        if count < limit or count < rule.share * total:
            continue
        counts: dict[int, int] = {}
        for ip, rcpt, one in zip(own.ip.tolist(), own.rcpt.tolist(), weight.tolist(), strict=True):
            if one and rcpt in top:
                counts[ip] = counts.get(ip, 0) + one
        return Concentration(
            subject, span_s, count, limit, count / total, tuple(top), counts, normal
        )
    return None
