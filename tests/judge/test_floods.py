"""Floods: the sums that are kept as rows come are those of counting all rows again."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from detector.judge.floods import ACQUAINTED, FRESH, HOUR_STEPS, STRANGE, Flood
from detector.judge.rows import LONG_S, CaseRow

FOUND = 1_000_000_200
"""Ten minutes and a bit after a slot began: late rows fall into the slot before."""


def flood(*, wide: bool) -> Flood:
    """Begin a flood."""
    return Flood(FOUND - LONG_S, FOUND, 20, 20, 60, 0.0, wide, 0.0)


rows = st.lists(
    st.builds(
        CaseRow, tick=st.integers(FOUND - 500, FOUND + 500), ip=st.integers(0, 5),
        group=st.integers(0, 1), mailbox=st.integers(0, 3), all=st.integers(0, 3),
        attempts=st.integers(0, 3), deferred=st.integers(0, 1), senders=st.integers(0, 7),
        asn=st.just(-1), nulls=st.just(0), first=st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


def sums(one: Flood) -> tuple[object, ...]:
    """Give what it says of itself, in an order of its own."""
    parts = {
        ip: (part.attempts, part.first, part.last, part.deferred, part.group, part.hits)
        for ip, part in sorted(one.parts.items())
    }
    heavy = [one.as_heavy(size) for size in range(1, 12)]
    lately = [(step, dict(sorted(counts.items()))) for step, counts in one.lately]
    boxes = sorted((box, count) for box, (count, _) in one.boxes.items())
    evidence = [one.evidence(part) for _, part in sorted(one.parts.items())]
    return (
        parts, dict(sorted(one.groups.items())), one.total, one.hits, one.senders, heavy, lately,
        boxes, one.singles, one.fresh, evidence,
    )  # fmt: skip


@given(rows, st.booleans(), st.integers(0, 2**32))
def test_the_order_of_rows_changes_nothing(
    made: list[CaseRow], wide: bool, seed: int
) -> None:  # fmt: skip
    """Rows of one close come in any order; what is summed of them is the same."""
    one, other = flood(wide=wide), flood(wide=wide)
    for row in made:
        one.add(row)
    shuffled = list(made)
    Random(seed).shuffle(shuffled)
    for row in shuffled:
        other.add(row)
    assert sums(one) == sums(other)


@given(rows, st.booleans())
def test_its_sums_are_those_of_counting_again(made: list[CaseRow], wide: bool) -> None:
    """By source, by group, by mailbox, and of the last hour by group."""
    one = flood(wide=wide)
    for row in made:
        one.add(row)
    by_ip: Counter[int] = Counter()
    by_group: Counter[int] = Counter()
    hour: Counter[int] = Counter()
    for row in made:
        by_ip[row.ip] += row.attempts
        by_group[row.group] += row.attempts
        hour[row.group] += row.attempts
    assert one.total == sum(by_ip.values())
    assert {ip: part.attempts for ip, part in one.parts.items()} == dict(by_ip)
    assert Counter(one.groups) == by_group
    for size in range(1, 10):
        assert one.as_heavy(size) == sum(count >= size for count in by_ip.values())
    assert Counter(one.last_hour(FOUND + 500)) == hour
    assert one.hits == sum(part.hits for part in one.parts.values())
    gone = (FOUND // LONG_S + HOUR_STEPS + 1) * LONG_S - 1
    assert sum(one.last_hour(gone).values()) == sum(
        row.attempts for row in made if row.tick // LONG_S > gone // LONG_S - HOUR_STEPS
    )
    if wide:
        boxes: Counter[int] = Counter()
        for row in made:
            boxes[row.mailbox] += row.attempts
        hits = sum(
            row.attempts for row in made if row.attempts and (row.first or boxes[row.mailbox] > 1)
        )
        assert one.hits == hits


@given(rows, st.lists(st.sampled_from((FRESH, STRANGE, ACQUAINTED)), min_size=6, max_size=6))
def test_a_forgotten_source_leaves_no_trace_in_the_counts(
    made: list[CaseRow], kinds: list[int]
) -> None:
    """What is left is a flood without its messages."""
    whole, without = flood(wide=False), flood(wide=False)
    for row in made:
        whole.add(row)
        if row.ip:
            without.add(row)
    for one in (whole, without):
        for ip in one.parts:
            one.meet(ip, kinds[ip])
    whole.forget(0)
    assert (whole.total, whole.fresh, whole.singles) == (
        without.total, without.fresh, without.singles,
    )  # fmt: skip
    assert {ip: part.attempts for ip, part in whole.parts.items()} == {
        ip: part.attempts for ip, part in without.parts.items()
    }
    assert [whole.as_heavy(size) for size in range(1, 12)] == [
        without.as_heavy(size) for size in range(1, 12)
    ]
