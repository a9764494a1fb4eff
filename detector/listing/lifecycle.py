"""Listings: clear → listed → (extended) → quiet → removable on request → cleared.

Pure bookkeeping over event time. Quiet is counted in *observed* ticks since the last attempt at a
flooded victim; what nobody watched is not good behaviour.
"""

import heapq
from collections import deque
from collections.abc import Callable, ValuesView
from dataclasses import dataclass
from typing import Any, Final

from detector.policy.settings import HOUR_S, ListingTerms

__all__ = ["NEVER", "STANDING", "TEMPORARY", "Answer", "Lifecycle", "Listing"]

TEMPORARY: Final = "temporary"
STANDING: Final = "standing"
NEVER: Final = 2**62
"""The tick of what does not happen."""


@dataclass(slots=True)
class Listing:
    """One listed (or held) subject. Ticks are event time in seconds."""

    subject: str
    slot: int
    rule: str
    tier: str
    asn: int
    provider: str
    first_seen: int
    last_seen: int
    listed_at: int
    observed_at: int
    """Observed ticks at the last attempt: quiet is what was observed since."""
    repeats: int
    told_at: int
    victim: str
    domain: str = ""
    """The domain of the victim it was listed for."""
    network: int = -1
    """The ASN group of its source."""
    cost: int = 0
    """Messages of its source to others, fading as normal mail does."""
    released: bool = False
    """An operator released it: it is not held again."""
    policy: str = ""
    published: bool = False
    """Whether it was ever active (or in shadow mode); one that was only held never was."""
    held: bool = False
    shadow: bool = False
    flood: int = 0
    """The number of the flood it was listed for."""
    stops_from: int = NEVER
    """The tick from which its attempts are stopped: it is published by then."""
    part: int = 0
    """Its messages into the flood it is listed for, at most those into one."""
    sent: int = 0
    """Its messages to others since it was listed, where it was listed in a young log."""
    paused_s: int = 0
    paused_until: int = 0
    connects: deque[int] | None = None
    """Attempts without a recipient; None before the first, because an empty deque takes 600 B."""

    def quiet_s(self, observed: int) -> int:
        """Count the observed seconds of good behaviour; negative while a pause lies ahead."""
        return observed - self.observed_at - self.paused_s


@dataclass(frozen=True, slots=True)
class Answer:
    """What a removal request gets: granted, or the earliest tick at which it could be."""

    granted: bool
    earliest: int


class Lifecycle:
    """All active listings, the memory of earlier ones, and when to look at each again."""

    def __init__(self, terms: ListingTerms) -> None:
        self.terms = terms
        self.listings: dict[str, Listing] = {}
        self.history: dict[str, tuple[int, ...]] = {}
        """By subject: when it was listed inside the memory."""
        self._now: tuple[int, ...] = ()
        """The first listings of a tick share their history."""
        self._due: list[int] = []
        """A heap of the ticks in `_due_at`."""
        self._due_at: dict[int, list[str]] = {}
        """The subjects to look at by tick."""

    def take_terms(self, terms: ListingTerms, now: int) -> None:
        """Take new terms into force; every listing is looked at under them at the next close."""
        self.terms = terms
        self._due, self._due_at = [], {}
        for subject in sorted(self.listings):
            self._look(now + 1, subject)

    def all(self) -> ValuesView[Listing]:
        """Give all listings, held ones too."""
        return self.listings.values()

    def in_force(self) -> int:
        """Count what is listed and published: neither held nor in the shadow."""
        return sum(not (one.held or one.shadow) for one in self.listings.values())

    def quiet_needed(self, listing: Listing, *, on_request: bool) -> int:
        """Give the observed quiet that ends a listing, or that a request needs."""
        terms = self.terms
        if listing.tier == STANDING:
            base = terms.standing_removal_quiet_s if on_request else terms.standing_quiet_s
        else:
            base = terms.temporary_removal_quiet_s if on_request else terms.temporary_quiet_s
        return min(base << min(listing.repeats, 32), max(terms.most_quiet_s, base))

    def hard_until(self, listing: Listing) -> int:
        """Give the tick at which readers drop the listing, whatever happens."""
        standing = listing.tier == STANDING
        span = self.terms.standing_hard_s if standing else self.terms.temporary_hard_s
        return listing.last_seen + max(span, self.quiet_needed(listing, on_request=False))

    def until(self, listing: Listing, now: int, observed: int) -> tuple[int, int]:
        """Give the tick at which it ends if it stays quiet from now on, and its hard end."""
        left = self.quiet_needed(listing, on_request=False) - listing.quiet_s(observed)
        hard = self.hard_until(listing)
        return min(now + max(0, left), hard), hard

    def add(self, listing: Listing, now: int) -> None:
        """Start a new listing; earlier ones decide its tier and how long it lasts."""
        memory = [t for t in self.history.get(listing.subject, ()) if t > now - self.terms.memory_s]
        listing.repeats = len(memory)
        if len(memory) + 1 >= self.terms.standing_listings:
            listing.tier = STANDING
        if self._now != (now,):
            self._now = (now,)
        self.history[listing.subject] = (*memory, now) if memory else self._now
        self.listings[listing.subject] = listing
        self._watch(listing, now)

    def next_due(self) -> int | None:
        """Give the tick at which a listing has to be looked at next."""
        return self._due[0] if self._due else None

    def _watch(self, listing: Listing, now: int) -> None:
        self._look(now + 60, listing.subject)

    def _look(self, tick: int, subject: str) -> None:
        """Look at a listing again at a tick."""
        if tick not in self._due_at:
            self._due_at[tick] = []
            heapq.heappush(self._due, tick)
        self._due_at[tick].append(subject)

    def attempt(self, listing: Listing, tick: int, observed: int) -> None:
        """Note an attempt at a flooded victim: quiet restarts, behind a pause yet to come.

        `observed` are the observed ticks when it came.
        """
        listing.last_seen = max(listing.last_seen, tick)
        listing.observed_at = max(listing.observed_at, observed)
        listing.paused_s = max(0, listing.paused_until - tick)
        long_flood = listing.last_seen - listing.first_seen >= self.terms.standing_flood_s
        if listing.tier == TEMPORARY and long_flood:
            listing.tier = STANDING

    def connect(self, listing: Listing, tick: int, count: int) -> None:
        """Note attempts without a recipient; above the floor in an hour they pause the quiet."""
        floor = self.terms.connect_floor
        connects = deque() if listing.connects is None else listing.connects
        listing.connects = connects
        for _ in range(min(count, floor + 1)):
            connects.append(tick)
        while len(connects) > floor + 1:
            connects.popleft()
        if len(connects) == floor + 1:
            until = connects[0] + HOUR_S
            begin = max(tick, listing.paused_until)
            if until > begin:
                listing.paused_s += until - begin
                listing.paused_until = until

    def ask(self, listing: Listing, now: int, observed: int) -> Answer:
        """Answer a removal request at the close of tick `now`."""
        left = self.quiet_needed(listing, on_request=True) - listing.quiet_s(observed)
        left = max(left, listing.paused_until - now)
        return Answer(left <= 0, now + max(0, left))

    def remove(self, subject: str) -> Listing:
        """Take a listing out of force."""
        return self.listings.pop(subject)

    def unmake(self, listing: Listing) -> None:
        """Forget that a listing ever was: it was a mistake, or never active, so no repeat."""
        times = self.history.get(listing.subject, ())
        if listing.listed_at in times:
            index = times.index(listing.listed_at)
            self.history[listing.subject] = times[:index] + times[index + 1 :]

    def ended(self, now: int, observed: int) -> list[tuple[Listing, str]]:
        """Take out the listings that end by themselves now, with the reason, by subject."""
        out: list[tuple[Listing, str]] = []
        seen: set[str] = set()
        looked_at: list[str] = []
        while self._due and self._due[0] <= now:
            looked_at += self._due_at.pop(heapq.heappop(self._due))
        for subject in looked_at:
            listing = self.listings.get(subject)
            if listing is None or subject in seen:
                continue
            seen.add(subject)
            hard = self.hard_until(listing)
            left = self.quiet_needed(listing, on_request=False) - listing.quiet_s(observed)
            if now >= hard:
                out.append((listing, "hard end"))
            elif left <= 0 and listing.paused_until <= now:
                out.append((listing, "quiet"))
            else:
                again = min(hard, max(now + left, listing.paused_until, now + 1))
                self._look(again, subject)
        out.sort(key=lambda item: item[0].subject)
        for listing, _ in out:
            del self.listings[listing.subject]
        return out

    def fade(self, now: int) -> None:
        """Forget what lies beyond the memory."""
        oldest = now - self.terms.memory_s
        self.history = {
            s: kept
            for s, ts in self.history.items()
            if (kept := tuple(t for t in ts if t > oldest))
        }

    def state(self) -> dict[str, Any]:
        """Give what a snapshot needs."""
        fields = [name for name in Listing.__dataclass_fields__ if name != "slot"]
        return {
            "listings": [
                {name: getattr(item, name) for name in fields}
                | {"connects": [*(item.connects or ())]}
                for _, item in sorted(self.listings.items())
            ],
            "history": {s: [*ts] for s, ts in sorted(self.history.items())},
            "due": sorted((due, one) for due, some in self._due_at.items() for one in some),
        }

    def restore(self, state: dict[str, Any], slot_of: Callable[[str], int]) -> None:
        """Take back what `state` gave; `slot_of` gives a subject's slot, which may be another."""
        self.listings = {}
        for item in state["listings"]:
            again = {"connects": deque(item["connects"]) or None, "slot": slot_of(item["subject"])}
            listing = Listing(**{"published": not item["held"], **item, **again})
            self.listings[listing.subject] = listing
        self.history = {s: tuple(ts) for s, ts in state["history"].items()}
        self._due, self._due_at = [], {}
        for due, subject in state["due"]:
            self._look(due, subject)
