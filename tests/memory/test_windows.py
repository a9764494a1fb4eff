"""Sliding windows: a ring counts what counting every event again would."""

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from detector.memory.windows import Ring, grown

SLOTS = 5
STEPS = 4
COUNT = st.integers(1, 9) | st.sampled_from((32_768, 65_535, 65_536, 100_000))
"""Above 65,535 counts need wider cells."""


class RingLife(RuleBasedStateMachine):
    """Steps pass, one or many; events come in time, late, too late and for new slots."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = Ring(STEPS, 60)
        self.ring.ensure(SLOTS)
        self.step = 100
        self.ring.advance(self.step)
        self.events: Counter[tuple[int, int]] = Counter()

    @rule(ahead=st.sampled_from((0, 1, 1, 2, 3, 4, 5, 50)))
    def advance(self, ahead: int) -> None:
        """Time goes on; what leaves the window is gone."""
        self.step += ahead
        self.ring.advance(self.step)

    @rule(
        drawn=st.lists(st.tuples(st.integers(0, SLOTS - 1), COUNT, st.integers(0, 6)), max_size=6)
    )
    def add(self, drawn: list[tuple[int, int, int]]) -> None:
        """Count events, up to six steps late."""
        slots, counts, late = (
            np.array(c, np.int64) for c in (zip(*drawn, strict=True) if drawn else ((), (), ()))
        )
        self.ring.add(slots.astype(np.int32), counts, self.step - late)
        for slot, count, behind in drawn:
            self.events[slot, self.step - behind] += count * (behind < STEPS)

    @rule(ahead=st.integers(1, 3), slot=st.integers(0, SLOTS - 1))
    def from_the_future(self, ahead: int, slot: int) -> None:
        """A step that has not begun counts nowhere."""
        self.ring.add(np.array([slot], np.int32), np.array([7]), np.array([self.step + ahead]))

    @rule(slot=st.integers(0, SLOTS - 1))
    def evict(self, slot: int) -> None:
        """A slot is let go."""
        self.ring.clear(np.array([slot]))
        for key in list(self.events):
            if key[0] == slot:
                del self.events[key]

    @rule(size=st.integers(0, 3_000))
    def grow(self, size: int) -> None:
        """Room is made for more slots."""
        self.ring.ensure(size)

    @rule()
    def come_back(self) -> None:
        """The ring is written to a snapshot and read into other slots."""
        slots = np.arange(self.ring.total.size)[::-1].copy()
        again = Ring(STEPS, 60)
        again.ensure(slots.size)
        again.restore(self.ring.state(np.arange(SLOTS)), np.arange(SLOTS))
        assert np.array_equal(again.total[:SLOTS], self.ring.total[:SLOTS])
        self.ring = again

    @invariant()
    def totals_are_those_of_the_window(self) -> None:
        """Half-open: the current step and the three before it, no more."""
        for slot in range(SLOTS):
            steps = [self.events[slot, self.step - back] for back in range(STEPS - 1, -1, -1)]
            backs = range(STEPS - 1, -1, -1)
            assert [int(self.ring.of_step(self.step - b)[slot]) for b in backs] == steps
            assert int(self.ring.total[slot]) == sum(steps)


RingLife.TestCase.settings = settings(max_examples=80, stateful_step_count=25)
TestRingLife = RingLife.TestCase


def test_an_array_grows_with_zeros_and_is_left_alone_where_it_fits() -> None:
    """Growth is by an eighth at least, so that it happens seldom."""
    small: np.ndarray[Any, np.dtype[np.uint32]] = np.arange(6, dtype=np.uint32).reshape(2, 3)
    assert grown(small, 3) is small
    big = grown(small, 4)
    assert big.shape == (2, 1_024)
    assert big[:, :3].tolist() == small.tolist()
    assert not big[:, 3:].any()
    assert grown(big, 1_025).shape == (2, 1_152)
