"""Learning: every ten minutes what was clean becomes relation, baseline and limit.

    10 min   | learned now | held back | in progress
             b-1200      b-600         b

A period is learned one period late, so that a flood found meanwhile taints what led up to it: its
victims' mail, and that of victims that rose far above their normal, teaches nothing.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.cases import LONG_S, SHORT_S
from detector.evidence import EvidenceLog
from detector.grouping import summed_by
from detector.models.base import NotReady
from detector.models.baseline import Baseline
from detector.models.columns import BaselineColumns
from detector.numbering import Numbering
from detector.policy import Policy
from detector.relations import Relations, mixed
from detector.tracking import Sources, Victims, group_hashes

__all__ = ["PERIOD_S", "Learner", "VictimNormals"]

PERIOD_S: Final = 600
DAY_PERIODS: Final = 144
ELEVATED: Final = 3.0
ELEVATED_LEAST: Final = 15
MOST_BREADTH: Final = 10.0
NEVER: Final = 2**32 - 1


class VictimNormals:
    """Baselines of the busy victims of one scope, and the limits that follow from them."""

    def __init__(self, victims: Victims, policy: Policy, *, domain: bool) -> None:
        self.victims = victims
        self._domain = domain
        self.take_policy(policy)
        self._models = BaselineColumns(), BaselineColumns()
        """Of messages from strangers, and of all; in the order of `_slots`."""
        self._slots = np.zeros(0, np.int64)
        self._place = np.zeros(0, np.int32)
        """By slot, where its models stand: -1 nowhere."""
        self._new: list[NDArray[np.float64]] = [np.zeros(0), np.zeros(0)]
        self._all: list[NDArray[np.float64]] = [np.zeros(0), np.zeros(0)]
        self._cold: list[tuple[int, NDArray[np.uint32]]] = []
        self._day_before: NDArray[np.int64] = np.zeros(0, np.int64)
        self._day_periods = 1

    @property
    def base(self) -> tuple[int, int]:
        """The limits a minute and in ten minutes of a victim without a history."""
        return self.base_min, self.base_10min

    def take_policy(self, policy: Policy) -> None:
        """Go on with the numbers of another policy."""
        rule = policy.rules.victim_flood
        self._policy = policy
        self.base_min = rule.domain_per_min if self._domain else rule.mailbox_per_min
        self.base_10min = rule.domain_per_10min if self._domain else rule.mailbox_per_10min
        self.base_hour = round(rule.mailbox_per_hour * self.base_10min / rule.mailbox_per_10min)

    def learn(self, frozen: set[int], steps: int, breadth: float, minute: int) -> NDArray[np.bool_]:
        """Learn the period that ends now; give which victims (slots,) bool it tainted.

        `frozen` are in a flood, `steps` the periods since the log's start.
        """
        victims, policy = self.victims, self._policy
        size = victims.known.size
        oldest = (minute - 10) % victims.all.steps
        all_ = victims.all.total[:size].astype(np.int64) - victims.all.counts[oldest, :size]
        new = victims.new.total[:size].astype(np.int64) - victims.new.counts[oldest, :size]
        mean = victims.day.total[:size] / min(max(steps, 1), DAY_PERIODS)
        self._day_before = victims.day.total[:size].astype(np.int64) - all_
        self._day_periods = min(max(steps - 1, 1), DAY_PERIODS)
        if self._slots.size:
            mean[self._slots] = self._all[0]
        tainted = all_ > np.maximum(ELEVATED_LEAST, ELEVATED * breadth * mean)
        young = steps <= policy.baseline.cold_start_s // PERIOD_S
        if young:
            tainted[:] = False
        tainted[list(frozen)] = True
        busy = all_ >= policy.baseline.busy_per_10min
        busy[self._slots] = True
        busy[list(frozen)] = False
        modelled = np.zeros(size, np.bool_)
        modelled[self._slots] = True
        fresh = np.flatnonzero(busy & ~modelled)
        start = None if young else mean[fresh]
        first = None if start is None else np.minimum(new[fresh].astype(np.float64), start)
        for models, founded in zip(self._models, (first, start), strict=True):
            models.begin(fresh.size, policy.baseline.fading, founded)
        self._slots = np.concatenate([self._slots, fresh])
        learns = np.flatnonzero(busy[self._slots])
        for models, counts in zip(self._models, (new, all_), strict=True):
            if counts is all_ or not young:
                models.learn(learns, counts[self._slots[learns]])
        self._keep(victims.day.total[self._slots] > 0)
        return tainted

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Drop the models of evicted victims."""
        self._keep(~np.isin(self._slots, slots))
        by_slot: list[NDArray[Any]] = [self._day_before, *(counts for _, counts in self._cold)]
        for counts in by_slot:
            counts[slots[slots < counts.size]] = 0

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        """Keep some models, in the order of their slots, and put their answers into arrays.

        Before strangers can be told, all count for them.
        """
        places = np.flatnonzero(kept)
        places = places[np.argsort(self._slots[places])]
        self._slots = self._slots[places]
        self._place = np.full(self.victims.known.size, -1, np.int32)
        self._place[self._slots] = np.arange(places.size)
        for models in self._models:
            models.take(places)
        *new, ready = self._models[0].normals()
        self._all = list(self._models[1].normals()[:2])
        self._new = [np.where(ready, *pair) for pair in zip(new, self._all, strict=True)]

    def usual(self, slot: int) -> float:
        """Give the messages in ten minutes that a victim had in the day before this period."""
        known = slot < self._day_before.size
        return float(self._day_before[slot]) / self._day_periods if known else 0.0

    def normal(self, slot: int) -> float | None:
        """Give the learned messages from strangers in ten minutes, None where nothing is known."""
        return self._usual(self._new[0], slot)

    def normal_all(self, slot: int) -> float | None:
        """Give the learned messages from anybody in ten minutes, None where nothing is known."""
        return self._usual(self._all[0], slot)

    def _usual(self, means: NDArray[np.float64], slot: int) -> float | None:
        place = self._place[slot] if slot < self._place.size else -1
        return None if place < 0 else float(means[place])

    def set_limits(self, breadth: float) -> None:
        """Set the limits of the coming minute from the published ones and the normal.

        `breadth` says how many more mailboxes than usual are active (the daily wave, a queue
        flushed after an outage): the normal is scaled by it. A flood does not move it, since it
        reaches few mailboxes.
        """
        rule = self._policy.rules.victim_flood
        victims = self.victims
        victims.limit_min[:] = self.base_min
        victims.limit_10min[:] = self.base_10min
        victims.limit_hour[:] = self.base_hour
        victims.limit_all[:] = self.base_10min
        victims.limit_all_min[:] = self.base_min
        if not self._slots.size:
            return
        factor, sigmas = rule.baseline_factor, rule.baseline_sigmas

        def limit(base: int, mean: NDArray[np.float64], spread: NDArray[np.float64]) -> Any:
            beyond = np.maximum(factor * mean, mean + sigmas * spread)
            return np.minimum(np.ceil(np.maximum(base, beyond)), 4e9).astype(np.uint32)

        new, spread = self._new[0] * breadth, self._new[1] * breadth
        minute = new / 10
        victims.limit_min[self._slots] = limit(self.base_min, minute, np.sqrt(minute + spread / 10))
        victims.limit_10min[self._slots] = limit(self.base_10min, new, spread)
        victims.limit_hour[self._slots] = limit(self.base_hour, new * 6, spread * 2.5)
        every, spread = self._all[0] * breadth, self._all[1] * breadth
        victims.limit_all[self._slots] = limit(self.base_10min, every, spread)
        minute = every / 10
        root = np.sqrt(minute + spread / 10)
        victims.limit_all_min[self._slots] = limit(self.base_min, minute, root)

    def set_cold_limits(self, elapsed_s: int) -> None:
        """Set lower bounds of what `rules` asks for in the cold start (see `_judge_cold`).

        What came in the first half of the elapsed time must be exceeded in the second; the limit of
        the longer window is therefore one of all messages since the log's start.
        """
        victims = self.victims
        factor = self._policy.rules.victim_flood.baseline_factor
        self._cold.append((elapsed_s, victims.hour.total.copy()))
        victims.limit_min[:] = self.base_min
        victims.limit_10min[:] = self.base_10min
        victims.limit_hour[:] = victims.limit_all[:] = victims.limit_all_min[:] = NEVER
        for limit, span_s in (
            (victims.limit_min, SHORT_S),
            (victims.limit_10min, min(LONG_S, elapsed_s // 2)),
        ):
            before = [counts for when, counts in self._cold if when <= elapsed_s - span_s]
            if before:
                share = factor * span_s / (elapsed_s + SHORT_S - span_s)
                least = np.floor(before[-1] * share).astype(np.uint32)
                np.maximum(limit[: least.size], least, out=limit[: least.size])
                if limit is victims.limit_10min:
                    limit[: least.size] += before[-1]
        if not self._domain:
            rule = self._policy.rules.victim_flood
            for limit, factor, base in (
                (victims.limit_min, rule.cold_diverse_factor, self.base_min),
                (victims.limit_10min, rule.cold_factor, self.base_10min),
            ):
                np.minimum(limit, np.uint32(math.ceil(factor * base)), out=limit)

    def end_cold(self) -> None:
        """Drop what only the cold start needs."""
        self._cold = []

    def state(self, names: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs."""
        numbers = names.numbers(self._slots)
        order = np.argsort(numbers)
        return {
            "busy": numbers[order],
            "new": self._models[0].state(order),
            "all": self._models[1].state(order),
            "cold_s": [elapsed_s for elapsed_s, _ in self._cold],
            "cold": {str(i): _sparse(counts, names) for i, (_, counts) in enumerate(self._cold)},
            "day_before": _sparse(self._day_before, names),
            "day_periods": self._day_periods,
        }

    def restore(self, state: dict[str, Any], names: Numbering) -> None:
        """Take back what `state` gave, after that of the victims."""
        size = self.victims.known.size
        self._slots = names.slots(state["busy"]).astype(np.int64)
        for models, name in zip(self._models, ("new", "all"), strict=True):
            models.restore(state[name])
        self._keep(np.ones(self._slots.size, np.bool_))
        self._cold = [
            (elapsed_s, _dense(state["cold"][str(i)], names, size, np.uint32))
            for i, elapsed_s in enumerate(state["cold_s"])
        ]
        self._day_before = _dense(state["day_before"], names, size, np.int64)
        self._day_periods = state["day_periods"]


def _sparse(counts: NDArray[Any], names: Numbering) -> dict[str, Any]:
    """Give the counts by slot that are not 0, in the order of the names."""
    slots = np.flatnonzero(counts)
    numbers = names.numbers(slots)
    order = np.argsort(numbers)
    return {"numbers": numbers[order], "counts": counts[slots[order]]}


def _named(slots: NDArray[np.int64], names: Numbering) -> NDArray[np.int32]:
    """Give the numbers of those slots whose names are written at all, in order."""
    numbers = np.sort(names.numbers(slots))
    return numbers[numbers >= 0]


def _dense(state: dict[str, Any], names: Numbering, size: int, kind: type) -> NDArray[Any]:
    counts: NDArray[Any] = np.zeros(size, kind)
    counts[names.slots(state["numbers"])] = state["counts"]
    return counts


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
        self._tainted: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None

    def take_policy(self, policy: Policy) -> None:
        """Go on with the numbers of another policy; models keep the speed they began with."""
        self._policy = policy
        self.relations.set_half_life(policy.relations.half_life_days)
        for normals in (self.mailbox_normals, self.domain_normals):
            normals.take_policy(policy)

    def usually_active(self, span_s: int) -> float:
        """Give how many mailboxes usually get mail in a minute or in ten, 0.0 while unknown."""
        normal = (self.active_min if span_s <= SHORT_S else self.active).normal()
        return 0.0 if isinstance(normal, NotReady) else normal.mean

    def breadth(self) -> float:
        """Say how many times more mailboxes than usual are active, 1.0 at least."""
        normal = self.active.normal()
        if isinstance(normal, NotReady) or normal.mean < 1.0:
            return 1.0
        now = float(np.count_nonzero(self._mailboxes.all.total))
        return min(max(now / normal.mean, 1.0), MOST_BREADTH)

    def period(
        self, tick: int, log_start: int, evidence: EvidenceLog,
        frozen: tuple[set[int], set[int]], listed: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Learn at the close of a period's last tick."""
        steps = (tick - log_start) // PERIOD_S + 1
        minute = tick // 60
        breadth = self.breadth()
        now = (
            self.mailbox_normals.learn(frozen[0], steps, breadth, minute),
            self.domain_normals.learn(frozen[1], steps, breadth, minute),
        )
        self._relations(tick, evidence, now, listed)
        self._learn_groups(tick, evidence, now)
        self.active.learn_one(int(np.count_nonzero(self._mailboxes.all.total)))
        minutes = [self._mailboxes.all.of_step(minute - age) for age in range(10)]
        self.active_min.learn_one(sum(int(np.count_nonzero(one)) for one in minutes) // 10)
        self._tainted = now

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
        clean = (weight > 0) & ~listed[rows.ip] & ~bad_mailbox[rows.rcpt] & ~bad_domain[domain]
        self.relations.learned_s += PERIOD_S
        index = np.flatnonzero(clean)
        if not index.size:
            return
        sent, ip = weight[index].astype(np.int64), rows.ip[index]
        mailbox = self._mailboxes.hash[rows.rcpt[index]]
        domain_hash = self._domains.hash[domain[index]]
        net, group = self._sources.net_hash[ip], group_hashes(rows.asn[index])
        for victim in (mailbox, domain_hash):
            for source in (net, group):
                self.relations.learn(mixed(victim, source), sent)
        known = self._sources.known[ip]
        np.add.at(self._sources.normal, ip[known].astype(np.intp), weight[index[known]])

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
