"""Learning: every ten minutes what was clean becomes relation, baseline and limit.

    10 min   | learned now | held back | in progress
             b-1200      b-600         b

A period is learned one period late, so that a flood found meanwhile taints what led up to it: its
victims' mail, and that of victims that rose far above their normal, teaches nothing.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.events.numbering import Numbering
from detector.judge.cases import SHORT_S
from detector.memory.evidence import EvidenceLog
from detector.memory.grouping import grouped, summed_by
from detector.memory.normals import PERIOD_S, VictimNormals
from detector.memory.relations import MESSAGE, Relations, mixed
from detector.memory.tracking import Sources, Victims, group_hashes
from detector.models.backlog import Backlog
from detector.models.base import Normal, NotReady
from detector.models.baseline import Baseline
from detector.policy.settings import Policy
from detector.tally.rows import Rows

__all__ = ["Learner", "times_usual"]

MOST_BREADTH: Final = 10.0


def times_usual(now: float, usual: float) -> float:
    """Say how many times the usual there is now, 1.0 at least and where too little is usual."""
    return min(max(now / usual, 1.0), MOST_BREADTH) if usual >= 1.0 else 1.0


class Learner:
    """Turns clean periods into relations and baselines."""

    def __init__(
        self, policy: Policy, sources: Sources, mailboxes: Victims, domains: Victims
    ) -> None:
        self._policy = policy
        self.relations = Relations(policy.memory.relation_cells, policy.relations.half_life_days)
        self._sources, self._mailboxes, self._domains = sources, mailboxes, domains
        self.mailbox_normals = VictimNormals(mailboxes, policy, domain=False)
        self.domain_normals = VictimNormals(domains, policy, domain=True)
        self.groups: dict[int, Baseline] = {}
        """What ASNs send to strangers in ten minutes, by ASN group."""
        self.active = Baseline(policy.baseline.fading)
        """Mailboxes that get mail in ten minutes."""
        self.active_min = Baseline(policy.baseline.fading)
        """Mailboxes that get mail in a minute."""
        self.volume = Baseline(policy.baseline.fading)
        """All messages in ten minutes, without those of floods."""
        self.backlog = Backlog()
        self._tainted: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None

    def take_policy(self, policy: Policy) -> None:
        """Go on with the numbers of another policy; models keep the speed they began with."""
        self._policy = policy
        self.relations.set_half_life(policy.relations.half_life_days)
        for normals in (self.mailbox_normals, self.domain_normals):
            normals.take_policy(policy)

    def end_minute(self, messages: int) -> None:
        """Learn how many messages came to anybody in the minute that ends."""
        normal = self.volume.normal()
        self.backlog.learn_one(messages, normal.mean / 10 if isinstance(normal, Normal) else 0.0)

    def usually_active(self, span_s: int) -> float:
        """Give how many mailboxes usually get mail in a minute or in ten, 0.0 while unknown."""
        normal = (self.active_min if span_s <= SHORT_S else self.active).normal()
        return 0.0 if isinstance(normal, NotReady) else normal.mean

    def breadth(self) -> float:
        """Say how many times more mailboxes than usual are active, 1.0 at least."""
        now = int(np.count_nonzero(self._mailboxes.all.total))
        return times_usual(now, self.usually_active(PERIOD_S))

    def period(
        self, tick: int, log_start: int, evidence: EvidenceLog,
        frozen: tuple[dict[int, float], dict[int, float]], listed: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Learn at the close of a period's last tick.

        The log's first period is seldom whole, and would teach too low a normal.
        """
        seconds = tick + 1 - log_start
        minute = tick // 60
        breadth = self.breadth()
        now = (
            self.mailbox_normals.learn(frozen[0], seconds, breadth, minute),
            self.domain_normals.learn(frozen[1], seconds, breadth, minute),
        )
        self._relations(tick, evidence, now, listed)
        self._tainted = now
        if seconds < PERIOD_S:
            return
        self._learn_groups(tick, evidence, now)
        self.active.learn_one(int(np.count_nonzero(self._mailboxes.all.total)))
        minutes = [self._mailboxes.all.of_step(minute - age) for age in range(10)]
        self.active_min.learn_one(sum(int(np.count_nonzero(one)) for one in minutes) // 10)

    def release(self, live: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
        """Drop what slots that are let go (mailboxes, domains) would pass on to the next owner."""
        for tainted, kept in zip(self._tainted or (), live, strict=False):
            tainted[: kept.size] &= kept[: tainted.size]

    def state(self, mailboxes: Numbering, domains: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs."""
        tainted = None
        if self._tainted is not None:
            tainted = {
                scope: _named(np.flatnonzero(taint), names)
                for scope, taint, names in zip(
                    ("mailbox", "domain"), self._tainted, (mailboxes, domains), strict=True
                )
            }
        return {
            "relations": self.relations.state(),
            "mailboxes": self.mailbox_normals.state(mailboxes),
            "domains": self.domain_normals.state(domains),
            "groups": [[group, self.groups[group].state()] for group in sorted(self.groups)],
            "active": self.active.state(),
            "active_min": self.active_min.state(),
            "volume": self.volume.state(),
            "backlog": self.backlog.state(),
            "tainted": tainted,
        }

    def restore(self, state: dict[str, Any], mailboxes: Numbering, domains: Numbering) -> None:
        """Take back what `state` gave, after that of the victims."""
        self.relations.restore(state["relations"])
        self.mailbox_normals.restore(state["mailboxes"], mailboxes)
        self.domain_normals.restore(state["domains"], domains)
        self.groups = {group: Baseline.restored(one) for group, one in state["groups"]}
        self.active = Baseline.restored(state["active"])
        self.active_min = Baseline.restored(state["active_min"])
        self.volume = Baseline.restored(state["volume"])
        self.backlog = Backlog.restored(state["backlog"])
        if state["tainted"] is not None:
            taints = []
            for scope, names, victims in (
                ("mailbox", mailboxes, self._mailboxes), ("domain", domains, self._domains),
            ):  # fmt: skip
                taint = np.zeros(victims.known.size, np.bool_)
                taint[names.slots(state["tainted"][scope])] = True
                taints.append(taint)
            self._tainted = taints[0], taints[1]

    def _relations(
        self, tick: int, evidence: EvidenceLog, now: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        listed: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Learn who writes to whom from the period before the one that ends now."""
        delay = self._policy.relations.learn_delay_s
        first, stop = tick + 1 - PERIOD_S - delay, tick + 1 - delay
        rows, _ = evidence.between(first, stop)
        if not len(rows):
            return
        weight = evidence.messages(first, stop)
        domain = self._mailboxes.domain[rows.rcpt]
        bad_mailbox, bad_domain = now[0].copy(), now[1].copy()
        if self._tainted is not None:
            bad_mailbox[: self._tainted[0].size] |= self._tainted[0]
            bad_domain[: self._tainted[1].size] |= self._tainted[1]
        taught = (weight > 0) & ~bad_domain[domain]
        clean = taught & ~listed[rows.ip] & ~bad_mailbox[rows.rcpt]
        self._stand_in(rows, weight, taught, clean, bad_mailbox)
        self.relations.learned_s += PERIOD_S
        self._domains.missed_s[: bad_domain.size][bad_domain] += PERIOD_S
        lost = bad_mailbox | bad_domain[self._mailboxes.domain[: bad_mailbox.size]]
        self._mailboxes.missed_s[: lost.size][lost] += PERIOD_S
        index = np.flatnonzero(clean)
        if not index.size:
            return
        sent, ip = weight[index].astype(np.int64), rows.ip[index]
        mailbox = self._mailboxes.hash[rows.rcpt[index]]
        domain_hash = self._domains.hash[domain[index]]
        net, group = self._sources.net_hash[ip], group_hashes(rows.asn[index])
        own = self._sources.hash[ip]
        for victim, kinds in ((mailbox, (own, net, group)), (domain_hash, (own, group))):
            for source in kinds:
                self.relations.learn(mixed(victim, source), sent)
        known = self._sources.known[ip]
        np.add.at(self._sources.normal, ip[known].astype(np.intp), weight[index[known]])

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
        own, net = self._sources.hash[ip], self._sources.net_hash[ip]
        for place in (own, net, group_hashes(rows.asn[index])):
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
            if place is not net:
                self.relations.learn(mixed(domain, place)[first], more, unit=1)

    def _learn_groups(
        self, tick: int, evidence: EvidenceLog, now: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    ) -> None:  # fmt: skip
        """Learn what each ASN sends in ten minutes."""
        rows, _ = evidence.between(tick + 1 - PERIOD_S, tick + 1)
        messages = evidence.messages(tick + 1 - PERIOD_S, tick + 1)
        weight = np.where(now[0][rows.rcpt], 0, messages).astype(np.int64)
        self.volume.learn_one(int(weight.sum()))
        first, sums = summed_by(rows.asn, weight)
        seen = dict(zip(rows.asn[first].tolist(), sums.tolist(), strict=True))
        least = self._policy.baseline.busy_per_10min
        for group in sorted(set(self.groups) | {g for g, n in seen.items() if n >= least}):
            model = self.groups.get(group)
            if model is None:
                model = self.groups[group] = Baseline(self._policy.baseline.fading)
            model.learn_one(seen.get(group, 0))


def _named(slots: NDArray[np.int64], names: Numbering) -> NDArray[np.int32]:
    """Give the numbers of those slots whose names are written at all, in order."""
    numbers = np.sort(names.numbers(slots))
    return numbers[numbers >= 0]
