"""The book-keeping of listings against a slow and obvious model, second by second."""

from collections import deque
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from detector.listing.lifecycle import STANDING, TEMPORARY, Lifecycle, Listing
from detector.policy.settings import ListingTerms
from tests.days import HOUR, V4


def listing(at: int = 0, observed: int = 0) -> Listing:
    """Make a listing that begins now."""
    return Listing(
        subject=V4, slot=0, rule="victim_flood", tier=TEMPORARY, asn=-1, provider="",
        first_seen=at, last_seen=at, listed_at=at, observed_at=observed, repeats=0, told_at=at,
        victim="",
    )  # fmt: skip


TERMS = ListingTerms(
    temporary_quiet_s=600, temporary_removal_quiet_s=100, temporary_hard_s=7_200,
    standing_quiet_s=2_000, standing_removal_quiet_s=300, standing_hard_s=9_000,
    standing_listings=3, standing_flood_s=1_500, memory_s=20_000, most_quiet_s=1_000,
    connect_floor=2,
)  # fmt: skip


@dataclass
class Obvious:
    """One listing, second by second: a list of what each second was."""

    born: int
    repeats: int
    tier: str
    last: int
    quiet: int = 0
    knocks: deque[int] = field(default_factory=deque)

    def needed(self, *, on_request: bool) -> int:
        """Give the quiet in words: the base, doubled a repeat, to the most."""
        base = {
            (TEMPORARY, True): TERMS.temporary_removal_quiet_s,
            (TEMPORARY, False): TERMS.temporary_quiet_s,
            (STANDING, True): TERMS.standing_removal_quiet_s,
            (STANDING, False): TERMS.standing_quiet_s,
        }[self.tier, on_request]
        most = max(base, TERMS.most_quiet_s)
        for _ in range(self.repeats):
            base = min(2 * base, most)
        return base

    def is_loud(self, second: int) -> bool:
        """Say whether more knocks than the floor lie in the hour before a second."""
        return sum(second - HOUR <= at < second for at in self.knocks) > TERMS.connect_floor

    def pass_second(self, second: int, *, seen: bool) -> None:
        """Let one second pass."""
        if seen and not self.is_loud(second):
            self.quiet += 1


class ListingLife(RuleBasedStateMachine):
    """Time passes, seen or not; attempts, knocks and requests come; both say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Lifecycle(TERMS)
        self.now = self.observed = 0
        self.model: Obvious | None = None
        self.born: list[int] = []

    @precondition(lambda self: self.model is None)
    @rule()
    def list_it(self) -> None:
        """A flood lists the subject."""
        self.life.add(listing(self.now, self.observed), self.now)
        repeats = sum(at > self.now - TERMS.memory_s for at in self.born)
        tier = STANDING if repeats + 1 >= TERMS.standing_listings else TEMPORARY
        self.model = Obvious(self.now, repeats, tier, self.now)
        self.born.append(self.now)

    @precondition(lambda self: self.model is not None)
    @rule()
    def attempt(self) -> None:
        """The flood goes on."""
        assert self.model is not None
        self.life.attempt(self.life.listings[V4], self.now, self.observed)
        self.model.quiet, self.model.last = 0, self.now
        if self.now - self.model.born >= TERMS.standing_flood_s:
            self.model.tier = STANDING

    @precondition(lambda self: self.model is not None)
    @rule(count=st.integers(1, 4))
    def knock(self, count: int) -> None:
        """It knocks without a recipient."""
        assert self.model is not None
        self.life.connect(self.life.listings[V4], self.now, count)
        self.model.knocks.extend([self.now] * count)

    @rule(minutes=st.sampled_from((1, 1, 2, 5, 10, 30)))
    def watch(self, minutes: int) -> None:
        """Time passes under observation; ends are looked at once a minute."""
        self._pass(minutes, seen=True)

    @rule(minutes=st.sampled_from((1, 5, 30)))
    def look_away(self, minutes: int) -> None:
        """Time passes with a dead partition; a paused quiet is paused only once."""
        if self.model is not None and self.model.knocks:
            return
        self._pass(minutes, seen=False)

    def _pass(self, minutes: int, *, seen: bool) -> None:
        for _ in range(minutes):
            for _ in range(60):
                self.now += 1
                self.observed += seen
                if self.model is not None:
                    self.model.pass_second(self.now, seen=seen)
            ended = self.life.ended(self.now, self.observed)
            assert len(ended) == self._is_over()
            if ended:
                self.model = None

    def _is_over(self) -> bool:
        if self.model is None:
            return False
        needed = self.model.needed(on_request=False)
        hard = TERMS.standing_hard_s if self.model.tier == STANDING else TERMS.temporary_hard_s
        if self.now - self.model.last >= max(hard, needed):
            return True
        return self.model.quiet >= needed and not self.model.is_loud(self.now + 1)

    @precondition(lambda self: self.model is not None)
    @rule()
    def ask(self) -> None:
        """Its owner asks; what is granted was quiet for long enough, and the other way round."""
        assert self.model is not None
        answer = self.life.ask(self.life.listings[V4], self.now, self.observed)
        due = self.model.quiet >= self.model.needed(on_request=True)
        assert answer.granted == (due and not self.model.is_loud(self.now + 1))
        if answer.granted:
            self.life.remove(V4)
            self.model = None
        else:
            assert answer.earliest > self.now

    @invariant()
    def promises_hold(self) -> None:
        """A listing has one end ahead of it, and its tier is the model's."""
        assert (V4 in self.life.listings) == (self.model is not None)
        if self.model is not None:
            one = self.life.listings[V4]
            assert one.tier == self.model.tier
            until, hard = self.life.until(one, self.now, self.observed)
            assert hard == self.life.hard_until(one) >= until


ListingLife.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestListingLife = ListingLife.TestCase


def test_knocks_pause_also_when_an_attempt_comes_between() -> None:
    """An attempt begins the quiet anew; it does not lift a pause that lies ahead."""
    terms = ListingTerms()
    life, one = Lifecycle(terms), listing()
    life.add(one, 0)
    life.connect(one, 100, terms.connect_floor + 1)
    before = life.ask(one, 101, 101)
    life.attempt(one, 101, 101)
    after = life.ask(one, 101, 101)
    assert not after.granted
    assert after.earliest >= before.earliest


def test_unobserved_a_listing_ends_at_its_hard_end_to_the_tick() -> None:
    """Nothing is observed any more: at the tick of `hard_until` it ends, and not before."""
    life, one = Lifecycle(TERMS), listing()
    life.add(one, 0)
    hard = life.hard_until(one)
    assert hard == TERMS.temporary_hard_s
    for now in range(60, hard, 60):
        assert not life.ended(now, 0)
    assert life.ended(hard, 0) == [(one, "hard end")]
    assert not life.listings
