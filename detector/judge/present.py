"""The present close as the rules see it."""

import math

import numpy as np
from numpy.typing import NDArray

from detector.judge.cases import LONG_S, Case
from detector.judge.excess import AWAIT_S, MOST_SHARE, allowance
from detector.judge.scene import Victim
from detector.memory.grouping import grouped
from detector.memory.learning import times_usual
from detector.memory.relations import mixed, mixed_one
from detector.memory.tracking import group_hashes
from detector.models.base import NotReady
from detector.state import AWAITED, MINUTE_S, State

__all__ = ["Present"]


class Present:
    """What `rules` asks about one close, worked out once and only when asked."""

    def __init__(self, state: State, tick: int) -> None:
        self._state = state
        self.tick = tick
        self._volumes: dict[int, dict[int, int]] = {}
        self._active: dict[int, NDArray[np.intp]] = {}

    @property
    def cold_s(self) -> int | None:
        """Seconds since the log's start while it is cold, then None."""
        state = self._state
        if not state.cold or state.log_start is None:
            return None
        return self.tick - state.log_start + 1

    @property
    def catch_up_s(self) -> float:
        """Seconds of usual mail that come late now, after our own outage."""
        return self._state.learner.backlog.catch_up_s

    def volumes(self, span_s: int) -> dict[int, int]:
        """Messages to everybody in the last seconds, by group hash."""
        if span_s not in self._volumes:
            state = self._state
            since, stop = self.tick + 1 - span_s, self.tick + 1
            rows, _ = state.evidence.between(since, stop)
            messages = state.evidence.messages(since, stop)
            self._volumes[span_s] = state.sources.summed(rows.ip, rows.asn, messages)
        return self._volumes[span_s]

    def active(self, span_s: int) -> NDArray[np.intp]:
        """Give the mailboxes that got mail in the last seconds."""
        if span_s not in self._active:
            state = self._state
            since, stop = self.tick + 1 - span_s, self.tick + 1
            rows, _ = state.evidence.between(since, stop)
            got = state.evidence.messages(since, stop) > 0
            seen: NDArray[np.bool_] = np.zeros(state.mailboxes.known.size, np.bool_)
            seen[rows.rcpt[got]] = True
            self._active[span_s] = np.flatnonzero(seen)
        return self._active[span_s]

    def activity(self, case: Case, span_s: int) -> float:
        """How many times more other mailboxes than usual got mail lately, 1 or more.

        While the log is young, how many times more mail came for others than before.
        """
        state = self._state
        elapsed_s = self.cold_s
        if elapsed_s is not None:
            own = case.total(span_s, strangers=False)
            now = state.evidence.total(self.tick + 1 - span_s, self.tick + 1) - own
            before = self._before(span_s) - (case.all_memory - own)
            usual = before * span_s / max(elapsed_s - span_s, 1)
            return times_usual(now, usual)
        active = self.active(span_s)
        others = active.size - 1
        usual = state.learner.usually_active(span_s)
        if case.scope == "domain":
            own = int(np.count_nonzero(state.mailboxes.domain[active] == case.slot))
            others = active.size - own
            usual *= 1.0 - min(self.share(case, span_s), MOST_SHARE)
        return times_usual(others, usual)

    def surge(self, group: int, others: int, span_s: int) -> float:
        """How many times more than usual a group sends to others, 1 or more."""
        sources = self._state.sources
        place = sources.places.get(group, 0)
        model = self._state.learner.groups.get(int(sources.group[place])) if place else None
        normal = None if model is None else model.normal()
        if normal is None or isinstance(normal, NotReady):
            return 1.0
        return times_usual(others - 2 * math.sqrt(others), normal.mean * span_s / LONG_S)

    def awaited(self, case: Case) -> frozenset[tuple[int, int]]:
        """Give the (mailbox, group) of a domain that were told to come again lately.

        Of a group that came more often than it was deferred nothing is awaited: that is no queue.
        Up to the begin of this minute, so that it is worked out once a minute.
        """
        minute = self.tick // MINUTE_S * MINUTE_S
        if case.awaited[0] != minute:
            state = self._state
            rows, _ = state.evidence.between(minute - AWAIT_S, minute)
            index = np.flatnonzero(state.mailboxes.domain[rows.rcpt] == case.slot)
            came = state.evidence.messages(minute - AWAIT_S, minute)[index].astype(np.int64)
            deferred = np.where(AWAITED[rows.outcome[index]], rows.count[index].astype(np.int64), 0)
            rcpt, group = rows.rcpt[index], group_hashes(rows.asn[index].astype(np.int64))
            first, pair = grouped(mixed(state.mailboxes.hash[rcpt], group))
            told: NDArray[np.bool_] = np.zeros(first.size, np.bool_)
            told[pair[deferred > 0]] = True
            queue, number = grouped(group)
            more = np.zeros(queue.size, np.int64)
            np.add.at(more, number, np.where(told[pair], deferred - came, 0))
            waits = first[told & (more >= 0)[number[first]]]
            pairs = zip(rcpt[waits].tolist(), group[waits].tolist(), strict=True)
            case.awaited = minute, frozenset(pairs)
        return case.awaited[1]

    def usual(self, mailbox: int, place: int, span_s: int) -> float:
        """Messages that a network or group usually sends a mailbox (its slot) in a span."""
        mailboxes = self._state.mailboxes
        key, missed_s = mixed_one(int(mailboxes.hash[mailbox]), place), mailboxes.missed_s[mailbox]
        return self._state.learner.relations.expected(key, span_s, int(missed_s))

    def allowed(
        self, victim: Victim, group: int, span_s: int, activity: float, *, chance: bool
    ) -> float:
        """Messages that the victim's relation with a group allows in a span; 0 for strangers."""
        key = mixed_one(victim.hash, group)
        relations = self._state.learner.relations
        if not relations.known(key):
            return 0.0
        usual = relations.expected(key, span_s, victim.missed_s) * activity
        return allowance(usual, self._state.policy.relations, known=chance)

    def share(self, case: Case, span_s: int) -> float:
        """The victim's usual share of all mail, from before the last seconds."""
        learner = self._state.learner
        if self._state.cold and self._state.log_start is not None:
            everything = self._before(span_s)
            own = case.all_memory - case.total(span_s, strangers=False)
            return own / everything if everything else 0.0
        every = learner.volume.normal()
        if isinstance(every, NotReady) or every.mean < 1.0:
            return 0.0
        return max(self.usual_all(case), 0.0) / every.mean

    def usual_all(self, case: Case) -> float:
        """What a victim usually gets in ten minutes."""
        normals = self._state.normals(case.scope)
        answer = normals.normal_all(case.slot)
        return normals.usual(case.slot) if answer is None else answer

    def _before(self, span_s: int) -> int:
        """All messages since the log's start, without those of the last seconds."""
        state = self._state
        return state.evidence.total(state.log_start or 0, self.tick + 1 - span_s)
