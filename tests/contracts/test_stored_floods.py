"""What every block store does with the records of floods."""

from typing import Any

import pytest

from detector.errors import (
    StoreChangeError,
    StoreConflictError,
)
from pipelines.ports import BlockStore
from tests.every_store import change

DAY_S = 86_400


def flood(name: str, tick: int, **fields: Any) -> dict[str, Any]:
    """Give a flood record as the detector writes it."""
    own = {
        "v": 1, "kind": "flood", "id": name, "tick": tick, "state": "going on",
        "scope": "mailbox", "victim": "a***@e***.org", "found": 5_000, "start": 4_000,
        "last": tick * 1_000, "messages": tick, "sources": 3, "asns": 2, "peak_per_min": 9,
        "stopped": 1, "listed": 3,
    }  # fmt: skip
    return own | fields


def test_of_each_flood_the_record_with_the_greatest_tick_is_kept(store: BlockStore) -> None:
    """In whatever order they come, in one call or in several, beside changes or alone."""
    assert store.floods() == []
    assert store.apply([], None, [flood("b", 60), flood("b", 180), flood("b", 120)]) == 0
    first = flood("a", 240, found=1_000, state="over")
    assert store.apply([change(1, "list")], {"k": "v"}, [first, flood("b", 60)]) == 1
    assert store.floods() == [first, flood("b", 180)]
    store.apply([], None, [flood("b", 180), flood("a", 239, found=1_000)])
    assert store.floods() == [first, flood("b", 180)]


def test_other_bytes_under_the_key_of_a_flood_are_a_conflict_that_stores_nothing(
    store: BlockStore,
) -> None:
    store.apply([], None, [flood("a", 60)])
    with pytest.raises(StoreConflictError) as caught:
        store.apply([change(1, "list")], {"k": "v"}, [flood("b", 60), flood("a", 60, messages=7)])
    assert caught.value.difference == '"messages" stands as 60, came as 7'
    assert "flood a at tick 60 differs from the one that stands there" in str(caught.value)
    assert (store.last_seq(), store.fact("k"), store.floods()) == (0, None, [flood("a", 60)])
    with pytest.raises(StoreConflictError):
        store.apply([], None, [flood("c", 60), flood("c", 60, listed=4)])
    store.apply([], None, [dict(reversed(flood("a", 60).items()))])


@pytest.mark.parametrize("wrong", [{"kind": "account"}, {"id": 5}, {"tick": "60"}, {"found": None}])
def test_a_record_without_the_key_of_a_flood_is_refused(
    store: BlockStore, wrong: dict[str, Any]
) -> None:
    with pytest.raises(StoreChangeError, match="kind, id, tick and found make its key"):
        store.apply([change(1, "list")], None, [flood("a", 60) | wrong])
    assert (store.last_seq(), store.floods()) == (0, [])


def test_a_flood_is_forgotten_30_days_behind_the_newest_record(store: BlockStore) -> None:
    store.apply([], None, [flood("a", 100, state="over"), flood("b", 101, found=6_000)])
    store.apply([], None, [flood("c", 101 + 30 * DAY_S, found=7_000)])
    assert [one["id"] for one in store.floods()] == ["b", "c"]
    store.apply([], None, [flood("a", 100)])
    assert [one["id"] for one in store.floods()] == ["b", "c"]


def test_the_oldest_floods_beyond_the_bound_are_forgotten(store: BlockStore) -> None:
    """Whatever a log holds, a store keeps no more than so many."""
    for block in range(11):
        store.apply([], None, [flood(f"{block * 1_000 + i:06}", i) for i in range(1_000)])
    kept = store.floods()
    assert len(kept) == 10_000
    assert min(one["tick"] for one in kept) == 90
    assert "000090" not in {one["id"] for one in kept}
