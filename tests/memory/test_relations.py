"""Relations: a fixed table that remembers who writes to whom, against a plain dict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.memory.relations import KNOWN, MESSAGE, Relations, mixed, mixed_one, text_hash

HASHES = st.integers(0, 2**64 - 1)
CELLS = 1 << 12


def hashes(texts: list[str]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Give the hashes of texts."""
    return np.array([text_hash(text) for text in texts], np.uint64)


@given(st.lists(st.tuples(HASHES, HASHES), min_size=1, max_size=30))
def test_hashes_mix_alike_one_by_one_and_in_columns(pairs: list[tuple[int, int]]) -> None:
    """The same 64 bits from Python's integers and from numpy's."""
    left, right = (np.array(side, np.uint64) for side in zip(*pairs, strict=True))
    assert mixed(left, right).tolist() == [mixed_one(a, b) for a, b in pairs]


def test_a_text_has_the_same_hash_in_every_process() -> None:
    """Not Python's salted hash: these numbers stand in snapshots (from `b2sum -l 64`)."""
    assert text_hash("ann@example.org") == 0x52969F41AA828C71
    assert text_hash("") != text_hash("\ud800")


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 40), st.integers(0, 50)), max_size=15), max_size=6
    )
)  # fmt: skip
def test_what_was_learned_is_what_a_dict_would_hold(rounds: list[list[tuple[int, int]]]) -> None:
    """Counts add up, whatever comes twice or in which order; a stranger has 0."""
    table, model = Relations(CELLS, 14), dict.fromkeys(range(41), 0)
    for pairs in rounds:
        keys = hashes([str(key) for key, _ in pairs])
        table.learn(keys, np.array([count for _, count in pairs], np.int64))
        for key, count in pairs:
            model[key] += count * MESSAGE
    every = hashes([str(key) for key in model])
    assert table.counts(every).tolist() == list(model.values())
    assert [table.count(int(key)) for key in every] == list(model.values())
    assert [table.known(int(key)) for key in every] == [n >= KNOWN for n in model.values()]
    assert table.refused == 0


@given(st.integers(0, 2**32), st.integers(1, 200))
def test_order_changes_nothing_of_a_batch(seed: int, count: int) -> None:
    """A shuffled batch leaves the same table."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**64, count, np.uint64)
    messages = rng.integers(1, 9, count)
    order = rng.permutation(count)
    states = []
    for index in (np.arange(count), order):
        table = Relations(1_024, 14)
        table.learn(keys[index], messages[index])
        states.append(table.state())
    for name, value in states[0].items():
        assert np.array_equal(value, states[1][name]), name


def test_after_the_half_life_a_relation_counts_half() -> None:
    """And it is forgotten in the end; days that pass at once count like days one by one."""
    key = hashes(["a"])
    at_once, by_day = Relations(CELLS, 14), Relations(CELLS, 14)
    for table in (at_once, by_day):
        table.decay(100)
        table.learn(key, np.array([1_000]))
        table.learned_s = 1_000_000
    for day in range(101, 115):
        by_day.decay(day)
    at_once.decay(114)
    assert at_once.counts(key) == by_day.counts(key)
    assert int(at_once.counts(key)[0]) == pytest.approx(500 * MESSAGE, rel=0.02)
    assert at_once.learned_s == pytest.approx(500_000, rel=0.02)
    at_once.decay(113)
    assert at_once.counts(key) == by_day.counts(key)
    at_once.decay(114 + 400)
    assert not at_once.known(int(key[0]))


@pytest.mark.parametrize("days", [1, 3, 40, 365])
def test_days_that_pass_at_once_leave_the_same_table_as_one_by_one(days: int) -> None:
    at_once, by_day = Relations(CELLS, 14), Relations(CELLS, 14)
    keys = hashes([f"k{number}" for number in range(200)])
    for table in (at_once, by_day):
        table.decay(100)
        table.learn(keys, np.arange(1, 201) ** 2)
        table.learned_s = 1_000_000
    for day in range(101, 101 + days):
        by_day.decay(day)
    at_once.decay(100 + days)
    for (name, one), other in zip(at_once.state().items(), by_day.state().values(), strict=True):
        assert np.array_equal(one, other), name


def usual(table: Relations, text: str, span_s: int, missed_s: int = 0) -> int:
    """Give what a key usually sends in a span, in units of 1/MESSAGE."""
    return int(table.usual(hashes([text]), span_s, np.array([missed_s]))[0])


def test_usual_is_the_learned_pace_and_0_for_strangers() -> None:
    """Six hundred messages in a day of learning are a little more than 4 in ten minutes."""
    table, key = Relations(CELLS, 14), hashes(["a"])
    assert usual(table, "a", 600) == 0
    table.learn(key, np.array([600]))
    table.learned_s = 86_400
    assert usual(table, "a", 600) == 600 * MESSAGE * 600 // 86_400
    assert usual(table, "b", 600) == 0
    table.learned_s = 60
    assert usual(table, "a", 600) == 600 * MESSAGE


def test_seconds_that_taught_nothing_are_no_part_of_the_pace_and_fade_with_the_rest() -> None:
    """A victim flooded for half of a day: 600 messages are those of the other half."""
    table, key = Relations(CELLS, 14), hashes(["a"])
    table.learn(key, np.array([600]))
    table.learned_s, missed = 86_400, np.array([43_200, 0])
    assert usual(table, "a", 600, 43_200) == 600 * MESSAGE * 600 // 43_200
    table.decay(0, missed)
    table.decay(14, missed)
    assert missed == pytest.approx([table.learned_s / 2, 0], abs=14)
    assert usual(table, "a", 600, int(missed[0])) == pytest.approx(8.33 * MESSAGE, rel=0.01)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), max_size=15), max_size=6
    )
)  # fmt: skip
def test_squares_are_those_of_what_came_in_each_slot(
    slots: list[list[tuple[int, int]]],
) -> None:
    """A key that comes twice in a slot came with the sum; a stranger has 0 of everything."""
    table = Relations(CELLS, 14)
    sums, squares = [0.0] * 10, [0.0] * 10
    for pairs in slots:
        keys = hashes([str(key) for key, _ in pairs])
        table.learn(keys, np.array([count for _, count in pairs], np.int64))
        for key in range(10):
            came = sum(count for one, count in pairs if one == key)
            sums[key] += came
            squares[key] += came * came
    for key in range(10):
        assert table.rate(text_hash(str(key))) == (sums[key], squares[key] if sums[key] else 0.0)


def test_squares_may_count_less_and_fade_with_the_counts() -> None:
    """Of a burst of 100 messages 10 say how the rate scatters; after the half-life it is half."""
    table, key = Relations(CELLS, 14), hashes(["a"])
    table.decay(0)
    table.learn(key, np.array([100]), scatter=np.array([10]))
    assert table.rate(int(key[0])) == (100.0, 100.0)
    table.decay(14)
    assert table.rate(int(key[0])) == pytest.approx((50.0, 50.0), rel=0.02)
    table.decay(1_000)
    assert table.rate(int(key[0])) == (0.0, 0.0)


def test_a_crowd_of_strangers_pushes_no_acquaintance_out() -> None:
    """In a full table a hundred old friends keep their counts; who found no room is counted."""
    table = Relations(1_024, 14)
    friends = hashes([f"friend {i}" for i in range(100)])
    table.learn(friends, np.full(100, 50))
    before = table.counts(friends)
    held = before >= KNOWN
    for block in range(20):
        crowd = hashes([f"crowd {block} {i}" for i in range(1_000)])
        table.learn(crowd, np.full(1_000, 3))
    assert held.sum() > 90
    assert np.array_equal(table.counts(friends), before)
    assert table.refused > 10_000
    assert table.state()["used"].size <= 1_024


def test_counts_stop_at_the_top_instead_of_wrapping() -> None:
    """Four billion sixteenths are enough for anybody."""
    table, key = Relations(CELLS, 14), hashes(["a"])
    for _ in range(3):
        table.learn(key, np.array([2**28]))
    assert table.counts(key).tolist() == [2**32 - 1]


def test_a_table_comes_back_from_its_state() -> None:
    """Every key has what it had, and goes on alike."""
    table, again = Relations(CELLS, 14), Relations(1_024, 14)
    keys = hashes([str(i) for i in range(500)])
    table.decay(7)
    table.learn(keys, np.arange(500))
    again.restore(table.state())
    for one in (table, again):
        one.decay(8)
        one.learn(keys[:50], np.full(50, 2))
    assert np.array_equal(table.counts(keys), again.counts(keys))
    assert [table.rate(int(key)) for key in keys] == [again.rate(int(key)) for key in keys]
