"""Learning: every ten minutes what was clean becomes what is usual.

    10 min   | learned now | held back | in progress
             b-1200      b-600         b

A slot is learned one slot late, so that a flood found meanwhile keeps what led up to it from being
learned: mail of flooded victims and of listed sources teaches nothing new.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.events.numbering import Numbering
from detector.memory.chance import gamma, most
from detector.memory.evidence import EvidenceLog
from detector.memory.grouping import grouped, summed_by
from detector.memory.relations import KNOWN, MESSAGE, Relations, mixed
from detector.memory.tracking import Sources, Victims, group_hashes
from detector.models.baseline import Baseline
from detector.policy.constants import CROWD_SLOTS, EACH, LEARNED_MOST, PAIR_SLOTS
from detector.policy.settings import Policy
from detector.tally.rows import Rows

__all__ = ["PERIOD_S", "SLOTS_KNOWN", "Learner", "Masks"]

PERIOD_S: Final = 600
CROWD_EACH: Final = int(EACH * MESSAGE)
SLOTS_KNOWN: Final = 2.0
"""From so many learned slots on, what was learned is what decides."""
_SURE: Final = 0.99
"""`most` is at least so much of the mean."""
BUSY: Final = 10
"""Messages in a slot from which on an AS gets a normal of its own."""

Masks = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""By slot of mailboxes, and of domains."""


class Learner:
    """Turns clean slots into relations, rates of victims and normals of ASes."""

    def __init__(
        self, policy: Policy, sources: Sources, mailboxes: Victims, domains: Victims
    ) -> None:
        self._policy = policy
        self.relations = Relations(policy.memory.relation_cells, policy.learning.half_life_days)
        self._sources, self._mailboxes, self._domains = sources, mailboxes, domains
        self.groups: dict[int, Baseline] = {}
        """What ASes send to victims that are not flooded in ten minutes, by ASN group."""
        self.volume = Baseline(policy.learning.fading)
        """The same of everybody."""
        self.total = np.zeros(3, np.int64)
        """Messages learned in all; those from newcomers to a mailbox, and to a domain. Fading."""
        self.newcomers = np.zeros(2, np.int64)
        """Newcomers' messages from addresses new to the log, and from known ones. Fading."""
        self._tainted: Masks | None = None
        self.edition = 0
        """Counts when something was learned or faded: what was read before may be out of date."""
        self._day = -1

    def take_policy(self, policy: Policy) -> None:
        """Continue with the numbers of another policy; models keep the speed they began with."""
        self._policy = policy
        self.relations.set_half_life(policy.learning.half_life_days)

    @property
    def slots(self) -> float:
        """Slots of ten minutes that were learned, fading like what was learned in them."""
        return self.relations.learned_s / PERIOD_S

    def mean_volume(self) -> float:
        """Give the clean messages that came in ten minutes on the average, 0.0 while unknown."""
        return int(self.total[0]) / MESSAGE / self.slots if self.slots else 0.0

    def fresh_share(self) -> float:
        """Give the part of newcomers' messages that comes from addresses new to the log."""
        new, known = self.newcomers.tolist()
        return (new / MESSAGE + 1.0) / ((new + known) / MESSAGE + 2.0)

    def decay(self, day: int) -> None:
        """Let everything learned fade by one day for each day since the last call."""
        if day == self._day:
            return
        self._day = day
        self.edition += 1
        columns = [*self._mailboxes.fading(), *self._domains.fading(), self.total, self.newcomers]
        self.relations.decay(day, *columns)

    def period(
        self, tick: int, log_start: int, evidence: EvidenceLog, flooded: Masks,
        listed: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Learn at the close of a slot's last tick; `flooded` victims were so in this slot."""
        delay = self._policy.learning.delay_s
        first, stop = max(tick + 1 - PERIOD_S - delay, log_start), tick + 1 - delay
        self.edition += 1
        if stop > first:
            self._learn(first, stop, evidence, flooded, listed)
        self._tainted = flooded
        self._sources.end_slot()
        if tick + 1 - log_start >= PERIOD_S:  # the first slot is seldom whole
            self._learn_groups(tick, evidence, flooded)

    def _learn(
        self, first: int, stop: int, evidence: EvidenceLog, flooded: Masks,
        listed: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        rows, at = evidence.between(first, stop)
        if not len(rows):
            return
        weight = evidence.messages(first, stop)
        mailboxes, domains = self._mailboxes, self._domains
        domain = mailboxes.domain[rows.rcpt]
        bad_mailbox, bad_domain = _either(flooded, self._tainted)
        taught = (weight > 0) & ~bad_domain[domain]
        clean = taught & ~listed[rows.ip] & ~bad_mailbox[rows.rcpt]
        self._stand_in(rows, weight, taught, clean, bad_mailbox)
        self.relations.learned_s += stop - first
        domains.missed_s[: bad_domain.size][bad_domain] += stop - first
        lost = bad_mailbox | bad_domain[mailboxes.domain[: bad_mailbox.size]]
        mailboxes.missed_s[: lost.size][lost] += stop - first
        index = np.flatnonzero(clean)
        if not index.size:
            return
        sent, ip, rcpt = weight[index].astype(np.int64), rows.ip[index], rows.rcpt[index]
        domain, group = domain[index].astype(np.intp), group_hashes(rows.asn[index])
        self.total[0] += int(sent.sum()) * MESSAGE
        news = at[index] == mailboxes.since[rcpt]
        np.add.at(domains.firsts, domain[news], sent[news] * MESSAGE)
        own = self._sources.hash[ip]
        both: tuple[tuple[Victims, NDArray[np.intp]], ...] = (
            (mailboxes, rcpt.astype(np.intp)), (domains, domain.astype(np.intp, copy=False)),
        )  # fmt: skip
        for number, (victims, slot) in enumerate(both):
            keys = mixed(victims.hash[slot], group)
            if number == 0:
                strange = self.relations.counts(keys) < KNOWN
                unknown = self._sources.normal[ip] == 0
                self.newcomers[0] += int(sent[strange & unknown].sum()) * MESSAGE
                self.newcomers[1] += int(sent[strange & ~unknown].sum()) * MESSAGE
            self.total[1 + number] += self._rates(victims, slot, keys, sent)
            self.relations.learn(mixed(victims.hash[slot], own), sent)
        known = self._sources.known[ip]
        np.add.at(self._sources.normal, ip[known].astype(np.intp), weight[index[known]])

    def _rates(
        self, victims: Victims, slot: NDArray[np.intp], keys: NDArray[np.uint64],
        sent: NDArray[np.int64],
    ) -> int:  # fmt: skip
        """Learn what victims get of each group, and of it what relations do not explain.

        Gives the messages of newcomers. A network adds `EACH` messages to the crowd at most. What a
        slot says of the scatter of a rate is capped at what is no surprise: one burst is no habit,
        else a flood that grows slowly would explain itself.
        """
        first, pair = grouped(keys)
        keys = keys[first]
        count = np.zeros(first.size, np.int64)
        np.add.at(count, pair, sent)
        owner = slot[first]
        learned = self.relations.counts(keys).astype(np.int64)
        missed_s = victims.missed_s[owner]
        scatter = count.copy()
        some = np.flatnonzero(count > EACH)
        known, squares = self.relations.rates(keys[some])
        slots = (self.relations.learned_s - missed_s[some]) / PERIOD_S
        more = count[some] > EACH + _SURE * known / (PAIR_SLOTS + slots)
        some = some[more]
        columns = known[more], squares[more], slots[more], count[some]
        for index, known, squares, behind, sent_now in zip(
            some.tolist(), *(column.tolist() for column in columns), strict=True
        ):
            likely = most(*gamma(known, squares, behind, PAIR_SLOTS), LEARNED_MOST)
            scatter[index] = min(sent_now, int(EACH + likely))
        self.relations.learn(keys, count, scatter=scatter)
        count *= MESSAGE
        np.add.at(victims.got, owner, count)
        observed_s = np.maximum(self.relations.learned_s - missed_s, PERIOD_S)
        came = np.where(learned < KNOWN, count, 0)
        np.add.at(victims.came, owner, came)
        beyond = np.clip(count - learned * PERIOD_S // observed_s, 0, CROWD_EACH)
        crowd = np.zeros(victims.known.size, np.int64)
        np.add.at(crowd, owner, beyond)
        some = np.flatnonzero(crowd)
        gained = self._capped(victims, some, crowd[some])
        victims.crowd[some] += gained
        victims.crowd_squares[some] += gained * gained
        return int(came.sum())

    def _capped(
        self, victims: Victims, slot: NDArray[np.intp], gained: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Cap what victims gain in a slot at what is exceeded in one slot of a few."""
        slots = (self.relations.learned_s - victims.missed_s[slot]) / PERIOD_S
        large = np.flatnonzero((gained > 2 * CROWD_EACH) & (slots >= SLOTS_KNOWN))
        known = victims.crowd[slot[large]] / MESSAGE / (CROWD_SLOTS + slots[large])
        large = large[gained[large] > MESSAGE * _SURE * known]
        crowd = victims.crowd[slot[large]], victims.crowd_squares[slot[large]], slots[large]
        for index, known, squares, behind in zip(
            large.tolist(), *(column.tolist() for column in crowd), strict=True
        ):
            mean, shape = gamma(known / MESSAGE, squares / MESSAGE**2, behind, CROWD_SLOTS)
            limit = int(most(mean, shape, LEARNED_MOST) * MESSAGE)
            gained[index] = min(int(gained[index]), max(limit, 2 * CROWD_EACH))
        return gained

    def _stand_in(
        self, rows: Rows, weight: NDArray[np.uint32], taught: NDArray[np.bool_],
        clean: NDArray[np.bool_], bad_mailbox: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Learn of what is `taught` but not clean as much as was usual: relations outlast it.

        Else a system's relation would fade while it is listed, and that of a domain while one of
        its mailboxes is flooded, and their ordinary mail would be a flood afterwards. Of a
        flooded mailbox's own relations `missed_s` takes care.
        """
        touched = np.zeros(bad_mailbox.size, np.bool_)
        touched[rows.rcpt[taught & ~clean]] = True
        index = np.flatnonzero(taught & touched[rows.rcpt])
        if not index.size:
            return
        ip, rcpt, good = rows.ip[index], rows.rcpt[index], clean[index]
        sent = weight[index].astype(np.int64) * MESSAGE
        mailbox = self._mailboxes.hash[rcpt]
        domain = self._domains.hash[self._mailboxes.domain[rcpt]]
        for place in (self._sources.hash[ip], group_hashes(rows.asn[index])):
            keys = mixed(mailbox, place)
            first, number = grouped(keys)
            learned, spoiled = np.zeros(first.size, np.int64), np.zeros(first.size, np.int64)
            np.add.at(learned, number, np.where(good, sent, 0))
            np.add.at(spoiled, number, np.where(good, 0, sent))
            missed_s = self._mailboxes.missed_s[rcpt[first]]
            usual = self.relations.usual(keys[first], PERIOD_S, missed_s)
            more = np.minimum(np.maximum(usual - learned, 0), spoiled)
            first, more = first[more > 0], more[more > 0]
            kept = ~bad_mailbox[rcpt[first]]
            self.relations.learn(keys[first[kept]], more[kept], unit=1)
            self.relations.learn(mixed(domain, place)[first], more, unit=1)

    def _learn_groups(self, tick: int, evidence: EvidenceLog, flooded: Masks) -> None:
        """Learn what each AS sends in ten minutes."""
        rows, _ = evidence.between(tick + 1 - PERIOD_S, tick + 1)
        messages = evidence.messages(tick + 1 - PERIOD_S, tick + 1)
        bad = flooded[0] | flooded[1][self._mailboxes.domain[: flooded[0].size]]
        weight = np.where(bad[rows.rcpt], 0, messages).astype(np.int64)
        self.volume.learn_one(int(weight.sum()))
        first, sums = summed_by(rows.asn, weight)
        seen = dict(zip(rows.asn[first].tolist(), sums.tolist(), strict=True))
        for group in sorted(set(self.groups) | {g for g, n in seen.items() if n >= BUSY}):
            model = self.groups.get(group)
            if model is None:
                model = self.groups[group] = Baseline(self._policy.learning.fading)
            model.learn_one(seen.get(group, 0))

    def release(self, live: Masks) -> None:
        """Drop what slots that are let go (mailboxes, domains) would pass on to the next owner."""
        for mask, kept in zip(self._tainted or (), live, strict=False):
            mask[: kept.size] &= kept[: mask.size]

    def state(self, mailboxes: Numbering, domains: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs."""
        return {
            "relations": self.relations.state(),
            "groups": [[group, self.groups[group].state()] for group in sorted(self.groups)],
            "volume": self.volume.state(),
            "total": self.total.tolist(),
            "newcomers": self.newcomers.tolist(),
            "tainted": _written(self._tainted, (mailboxes, domains)),
        }

    def restore(self, state: dict[str, Any], mailboxes: Numbering, domains: Numbering) -> None:
        """Take back what `state` gave, after that of the victims."""
        self.relations.restore(state["relations"])
        self.groups = {group: Baseline.restored(one) for group, one in state["groups"]}
        self.volume = Baseline.restored(state["volume"])
        self.total[:] = state["total"]
        self.newcomers[:] = state["newcomers"]
        names, victims = (mailboxes, domains), (self._mailboxes, self._domains)
        self._tainted = _read(state["tainted"], names, victims)


def _either(now: Masks, before: Masks | None) -> Masks:
    """Give what is masked now or was so before."""
    out = now[0].copy(), now[1].copy()
    for mask, earlier in zip(out, before or (), strict=False):
        mask[: earlier.size] |= earlier
    return out


def _written(masks: Masks | None, names: tuple[Numbering, Numbering]) -> dict[str, Any] | None:
    if masks is None:
        return None
    pairs = zip(("mailbox", "domain"), masks, names, strict=True)
    return {scope: _named(np.flatnonzero(mask), name) for scope, mask, name in pairs}


def _read(
    state: dict[str, Any] | None, names: tuple[Numbering, Numbering],
    victims: tuple[Victims, Victims],
) -> Masks | None:  # fmt: skip
    if state is None:
        return None
    masks = [np.zeros(one.known.size, np.bool_) for one in victims]
    for mask, name, scope in zip(masks, names, ("mailbox", "domain"), strict=True):
        mask[name.slots(state[scope])] = True
    return masks[0], masks[1]


def _named(slots: NDArray[np.int64], names: Numbering) -> NDArray[np.int32]:
    """Give the numbers of those slots whose names are written at all, in order."""
    numbers = np.sort(names.numbers(slots))
    return numbers[numbers >= 0]
