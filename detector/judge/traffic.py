"""What everybody sends now: the volume of each network, exact to the tick."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.judge.rows import HOUR_S, LONG_S, SHORT_S
from detector.models.base import Normal
from detector.models.baseline import Baseline
from detector.policy.constants import SMOOTH
from detector.policy.settings import MINUTE_S
from detector.state import State

__all__ = ["Traffic"]

_EVERY: Final = slice(None)


class Traffic:
    """Volumes by the place of a group: whole minutes from the rings, and this one so far.

    Victims that were flooded when a minute ended do not count in it, else a flood at several
    victims would explain itself.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.tick = -1
        self._minute = -1
        self._live_from = 0
        """The first tick that `_live` does not hold yet."""
        self._victims = {"mailbox": 0, "domain": 0}
        self._live: NDArray[np.int64] = np.zeros(0, np.int64)
        self._boxes: dict[int, tuple[NDArray[np.int32], NDArray[np.int64]]] = {}
        """By group: mailboxes of the ten minutes before this one, and their messages."""
        self._site: dict[int, int] = {}
        self._singles: dict[int, int] = {}
        self._normals: dict[int | None, float] = {}
        self._shares: dict[int, float] = {}
        self._each: dict[int, float] = {}
        self._learned_of: tuple[object, ...] = ()
        """What `_normals`, `_shares`, `_each`, `_learned` and `_addresses` follow from."""
        self._learned: NDArray[np.int64] = np.zeros(1, np.int64)
        self._addresses: NDArray[np.int64] = np.zeros(1, np.int64)
        self.learned_all = 0
        """Clean messages learned from all addresses."""

    def at(self, tick: int) -> None:
        """Move to a tick: what counted up to its close is known."""
        if tick == self.tick:
            return
        state = self._state
        minute = tick // MINUTE_S * MINUTE_S
        if minute != self._minute:
            self._minute = self._live_from = minute
            size = len(state.sources.places) + 1
            self._live = np.zeros(size, np.int64)
            self._boxes = {}
            self._take_learned()
            for scope in self._victims:
                victims = state.victims(scope)
                known = victims.known & (victims.since < minute)
                self._victims[scope] = int(np.count_nonzero(known))
        self.tick = tick
        self._site, self._singles = {}, {}

    def _now(self) -> NDArray[np.int64]:
        """Give what came in this minute, by place."""
        if self._live_from <= self.tick:
            sources = self._state.sources
            ip, sent = self._state.evidence.sent(self._live_from, self.tick + 1)
            self._live_from = self.tick + 1
            size = len(sources.places) + 1
            if size > self._live.size:
                self._live = np.append(self._live, np.zeros(size - self._live.size, np.int64))
            place = sources.place[ip].astype(np.intp)
            np.add.at(self._live, place, sent.astype(np.int64))
        return self._live

    def _take_learned(self) -> None:
        """Sum what was learned of sources by group, when it has changed."""
        state = self._state
        of = state.learner.edition, state.sources.evicted, state.collateral.total, state.lookup
        if of != self._learned_of:
            self._learned_of = of
            self._learned, self._addresses = state.sources.learned()
            self.learned_all = int(self._learned.sum())
            self._normals, self._shares, self._each = {}, {}, {}

    def victims(self, scope: str) -> int:
        """Count the victims that were known when the minute began, 1 at least."""
        return max(1, self._victims[scope])

    def length(self, span_s: int) -> float:
        """Give how many slots of ten minutes the volume of a span covers."""
        step_s = LONG_S if span_s > LONG_S else MINUTE_S
        return (span_s + self.tick % step_s + 1) / LONG_S

    def _whole(self, span_s: int, places: NDArray[np.intp] | slice = _EVERY) -> NDArray[np.uint32]:
        """Give of places what came in the whole minutes of a span."""
        sources = self._state.sources
        if span_s <= SHORT_S:
            return sources.volume.of_step(self._minute // MINUTE_S - 1)[places].astype(np.uint32)
        return (sources.volume if span_s <= LONG_S else sources.volume_h).total[places]

    def volume(self, group: int, span_s: int) -> int:
        """Give what a group (by hash) sent in a span and the minute that is filling."""
        sources = self._state.sources
        place = sources.places.get(group, 0)
        if span_s <= SHORT_S:
            ring = sources.volume
            whole = ring.counts.item((self._minute // MINUTE_S - 1) % ring.steps, place)
        else:
            whole = (sources.volume if span_s <= LONG_S else sources.volume_h).total.item(place)
        live = self._live if self._live_from > self.tick else self._now()
        return whole + (live.item(place) if place < live.size else 0)

    def volumes(self, groups: Sequence[int], span_s: int) -> NDArray[np.float64]:
        """Give what `volume` gives of each group: (n,) float64."""
        get = self._state.sources.places.get
        places = np.array([get(group, 0) for group in groups], np.intp)
        out: NDArray[np.float64] = self._whole(span_s, places).astype(np.float64)
        now = self._now()
        live = np.flatnonzero(places < now.size)
        out[live] += now[places[live]]
        return out

    def site(self, span_s: int) -> int:
        """Give what everybody sent."""
        if span_s not in self._site:
            self._site[span_s] = int(self._whole(span_s).sum(dtype=np.int64) + self._now().sum())
        return self._site[span_s]

    def singles(self, span_s: int) -> int:
        """Count the groups that sent a single message."""
        if span_s not in self._singles:
            now = self._now()
            both = self._whole(span_s)[: now.size].astype(np.int64)
            both = both + now[: both.size]
            self._singles[span_s] = int(np.count_nonzero(both == 1))
        return self._singles[span_s]

    def usual(self, group: int | None) -> float:
        """Give what a group (None: everybody) usually sends in ten minutes.

        The lower of the long mean, by which relations are measured too, and the normal of the last
        hours: after an outage of ours the queues come on top of what little came meanwhile.
        """
        if group not in self._normals:
            learner, sources = self._state.learner, self._state.sources
            mean = learner.mean_volume()
            model: Baseline | None = learner.volume
            if group is not None:
                mean *= self.share(group)
                place = sources.places.get(group, 0)
                model = learner.groups.get(int(sources.group[place])) if place else None
            normal = None if model is None else model.normal()
            if isinstance(normal, Normal):
                mean = min(mean, normal.mean)
            self._normals[group] = mean
        return self._normals[group]

    def share(self, group: int) -> float:
        """Give the part of all mail that a group sends, smoothed."""
        share = self._shares.get(group)
        if share is not None:
            return share
        if self.learned_all:
            place = self._state.sources.places.get(group, 0)
            learned = int(self._learned[place]) if place < self._learned.size else 0
            share = self._shares[group] = (learned + 1.0) / (self.learned_all + 100.0)
            return share
        return (self.volume(group, HOUR_S) + 1.0) / (self.site(HOUR_S) + 100.0)

    def each(self, group: int) -> float:
        """Give the clean messages learned of an address of a group, on the average."""
        each = self._each.get(group)
        if each is None:
            place = self._state.sources.places.get(group, 0)
            each = 0.0
            if place < self._learned.size:
                each = float(self._learned[place]) / max(1, int(self._addresses[place]))
            self._each[group] = each
        return each

    def spread(self, group: int, scope: str, victim: int, each: float) -> float:
        """Give the part of a group's messages that no mailbox got more than `each` of.

        In the ten minutes before this one, without those to a victim and to what was flooded then:
        what goes to few mailboxes is no common cause.
        """
        if group not in self._boxes:
            state, stop = self._state, max(0, self._minute)
            rows, _ = state.evidence.between(stop - LONG_S, stop)
            sent = state.evidence.messages(stop - LONG_S, stop)
            number = state.sources.group[state.sources.places.get(group, 0)]
            found = [
                key for key, case in state.flooded.items()
                if case.flood is not None and case.flood.found < self._minute
            ]  # fmt: skip
            bad = state.is_hit(state.masks(found), rows.rcpt)
            mine = np.flatnonzero((rows.asn == number) & (sent > 0) & ~bad)
            boxes, at = np.unique(rows.rcpt[mine], return_inverse=True)
            counts = np.zeros(boxes.size, np.int64)
            np.add.at(counts, at, sent[mine].astype(np.int64))
            self._boxes[group] = boxes, counts
        boxes, counts = self._boxes[group]
        owner = boxes if scope == "mailbox" else self._state.mailboxes.domain[boxes]
        counts = counts[owner != victim]
        total, over = int(counts.sum()), counts > each
        few = int(counts[~over].sum()) + each * int(np.count_nonzero(over))
        return few / total if total else 1.0

    def all_busier(
        self, groups: Sequence[int], span_s: int, usual_own: NDArray[np.float64],
        others: NDArray[np.float64],
    ) -> NDArray[np.float64]:  # fmt: skip
        """Give what `busier` gives of each group, which sent `others` elsewhere."""
        usual = self._usual_of(groups)
        expected = np.maximum(0.0, usual - usual_own) * self.length(span_s)
        up = (others + SMOOTH) / (expected + SMOOTH)
        return np.where(usual > 0.0, np.maximum(1.0, up), 1.0)

    def _usual_of(self, groups: Sequence[int]) -> NDArray[np.float64]:
        """Give what `usual` gives of each group."""
        normals = self._normals
        return np.array(
            [normals[one] if one in normals else self.usual(one) for one in groups], np.float64
        )

    def busier(self, group: int | None, span_s: int, own: int, usual_own: float) -> float:
        """Say how many times its usual a group (None: everybody) sends to others now, 1 or more.

        `own` messages of the span went to the victim, which usually gets `usual_own` of it in ten
        minutes.
        """
        usual = self._normals.get(group)
        if usual is None:
            usual = self.usual(group)
        if usual <= 0.0:
            return 1.0
        smooth = 6 * SMOOTH if group is None else SMOOTH
        now = self.site(span_s) if group is None else self.volume(group, span_s)
        expected = max(0.0, usual - usual_own) * self.length(span_s)
        return max(1.0, (max(0, now - own) + smooth) / (expected + smooth))
