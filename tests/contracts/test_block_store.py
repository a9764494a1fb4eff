"""What every block store does: the memory store, SQLite, and a real Redis."""

from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import (
    StoreChangeError,
    StoreConflictError,
    StoreError,
    StoreGapError,
)
from pipelines.ports import BlockStore, Listing, StoredRequest
from pipelines.stores import open_store
from tests.every_store import FAR, STORES, change, empty_store

ADDRESSES = ("192.0.2.7", "192.0.2.8", "2001:db8:1:2::/64")
KINDS = ("list", "extend", "release", "hold", "remove", "expire", "refuse")


def test_an_empty_store_knows_nothing(store: BlockStore) -> None:
    assert store.last_seq() == 0
    assert store.get("192.0.2.7", 0) is None
    assert store.listings(0) == []
    assert store.held(0) == []
    assert store.audit("192.0.2.7") == []
    assert store.requests(pending_only=False) == []
    assert store.fact("watermark") is None
    assert store.apply([]) == 0


def test_a_listing_keeps_its_beginning_and_takes_the_rest_from_its_last_change(
    store: BlockStore,
) -> None:
    assert store.apply([change(1, "list")]) == 1
    later = change(2, "extend", tier="standing", until=7000, last_seen=1999, policy="p2", asn=None)
    assert store.apply([later]) == 1
    assert store.get("192.0.2.7", 0) == Listing(
        subject="192.0.2.7",
        tier="standing",
        rule="victim_flood",
        asn=None,
        provider="Example",
        first_seen_ms=900,
        last_seen_ms=1999,
        until_ms=7000,
        hard_until_ms=FAR,
        policy="p2",
        shadow=False,
        listed_seq=1,
        listed_ms=1000,
        seq=2,
        evidence={"messages": 42, "windows": [{"span_s": 60, "count": 31}]},
    )


def test_past_its_hard_end_nothing_is_listed_or_held(store: BlockStore) -> None:
    store.apply([change(1, "list", hard_until=5000), change(2, "hold", "192.0.2.8")])
    assert store.get("192.0.2.7", 4999) is not None
    assert store.get("192.0.2.7", 5000) is None
    assert [row.subject for row in store.listings(4999)] == ["192.0.2.7"]
    assert store.listings(5000) == []
    assert [row.subject for row in store.held(FAR - 1)] == ["192.0.2.8"]
    assert store.held(FAR) == []


def test_a_held_listing_is_listed_when_it_is_released(store: BlockStore) -> None:
    store.apply([change(1, "hold")])
    assert store.get("192.0.2.7", 0) is None
    assert [row.seq for row in store.held(0)] == [1]
    store.apply([change(2, "release")])
    row = store.get("192.0.2.7", 0)
    assert row is not None
    assert (row.listed_seq, row.seq) == (2, 2)
    assert store.held(0) == []


@pytest.mark.parametrize("kind", ["remove", "expire"])
def test_a_listing_that_ended_begins_anew(store: BlockStore, kind: str) -> None:
    store.apply([change(1, "list"), change(2, kind)])
    assert store.get("192.0.2.7", 0) is None
    store.apply([change(3, "list"), change(4, "extend")])
    row = store.get("192.0.2.7", 0)
    assert row is not None
    assert (row.listed_seq, row.listed_ms, row.seq) == (3, 3000, 4)


def test_a_refusal_changes_nothing_but_the_audit_trail(store: BlockStore) -> None:
    store.apply([change(1, "list")])
    before = store.get("192.0.2.7", 0)
    store.apply([change(2, "refuse", earliest=9000)])
    assert store.get("192.0.2.7", 0) == before
    assert [entry["change"] for entry in store.audit("192.0.2.7")] == ["list", "refuse"]


def test_the_audit_trail_gives_changes_back_as_they_were_applied(store: BlockStore) -> None:
    changes = [
        change(1, "list", evidence={"text": "\x00\u202e\U0001f4a3", "share": 0.1 + 0.2}),
        change(2, "list", "192.0.2.8"),
        change(3, "remove", request="77", note="other fields stay"),
    ]
    store.apply(changes)
    assert store.audit("192.0.2.7") == [changes[0], changes[2]]
    assert list(store.audit("192.0.2.7")[0]) == list(changes[0])


def test_changes_are_given_in_order_from_a_number_on(store: BlockStore) -> None:
    """A reader pages through them; what a store begins behind is not there to give."""
    changes = [change(seq, "list", f"192.0.2.{seq}") for seq in range(1, 6)]
    assert store.changes_behind(0, 10) == []
    store.apply(changes)
    assert store.changes_behind(0, 2) == changes[:2]
    assert store.changes_behind(2, 10) == changes[2:]
    assert store.changes_behind(5, 10) == []


def test_repeats_do_nothing_and_only_new_changes_are_counted(store: BlockStore) -> None:
    first, second, third = change(1, "list"), change(2, "extend"), change(3, "remove")
    store.apply([first, second])
    assert store.apply([first, second]) == 0
    assert store.apply([dict(reversed(second.items())), third]) == 1
    assert store.apply([first]) == 0
    assert store.last_seq() == 3
    assert store.get("192.0.2.7", 0) is None
    assert len(store.audit("192.0.2.7")) == 3


def test_a_repeat_inside_one_batch_does_nothing(store: BlockStore) -> None:
    first = change(1, "list")
    assert store.apply([first, first]) == 1
    with pytest.raises(StoreConflictError):
        store.apply([change(2, "extend"), change(2, "remove")])
    assert store.last_seq() == 1


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"rule": "source_flood"}, '"rule" stands as "victim_flood", came as "source_flood"'),
        (
            {"evidence": {"messages": 41, "windows": []}},
            '"evidence.windows" stands as [{"span_s": 60, "count": 31}], came as []',
        ),
        ({"note": "\x1b[31m"}, '"note" stands without, came as "\\u001b[31m"'),
        ({"shadow": True}, '"shadow" stands as false, came as true'),
    ],
)
def test_another_change_under_a_number_that_is_taken_is_a_conflict_that_names_the_field(
    store: BlockStore, other: dict[str, Any], difference: str
) -> None:
    store.apply([change(1, "list")])
    with pytest.raises(StoreConflictError) as caught:
        store.apply([change(1, "list", **other), change(2, "extend")])
    assert (caught.value.seq, caught.value.difference) == (1, difference)
    assert "change 1 differs from the one that stands there" in str(caught.value)
    assert store.last_seq() == 1


def test_a_missing_field_is_a_difference_too(store: BlockStore) -> None:
    store.apply([change(1, "list", note=[1])])
    with pytest.raises(StoreConflictError, match=r'"note" stands as \[1\], came without'):
        store.apply([change(1, "list")])


@pytest.mark.parametrize("seqs", [[2], [1, 3], [1, 2, 4]])
def test_a_gap_is_an_error_and_nothing_of_the_batch_is_stored(
    store: BlockStore, seqs: list[int]
) -> None:
    with pytest.raises(StoreGapError) as caught:
        store.apply([change(seq, "list") for seq in seqs])
    assert (caught.value.expected, caught.value.got) == (len(seqs), seqs[-1])
    assert store.last_seq() == 0
    assert store.listings(0) == []


def test_an_empty_store_may_start_behind_changes_that_are_gone(store: BlockStore) -> None:
    store.start_behind(0)
    assert store.last_seq() == 0
    store.start_behind(41)
    assert (store.last_seq(), store.listings(0), store.audit("192.0.2.7")) == (41, [], [])
    with pytest.raises(StoreGapError) as caught:
        store.apply([change(43, "list")])
    assert (caught.value.expected, caught.value.got) == (42, 43)
    assert store.apply([change(40, "hold"), change(41, "remove"), change(42, "list")]) == 1
    assert store.apply([change(41, "list", rule="another"), change(42, "list")]) == 0
    assert store.apply([change(43, "extend")]) == 1
    assert [entry["seq"] for entry in store.audit("192.0.2.7")] == [42, 43]
    assert [(row.listed_seq, row.seq) for row in store.listings(0)] == [(42, 43)]
    with pytest.raises(StoreConflictError):
        store.apply([change(42, "hold")])
    assert store.last_seq() == 43
    assert [entry["seq"] for entry in store.changes_behind(0, 10)] == [42, 43]
    assert [entry["seq"] for entry in store.changes_behind(42, 10)] == [43]


def test_a_store_that_is_not_empty_starts_behind_nothing(store: BlockStore) -> None:
    with pytest.raises(StoreError, match="behind change -1: must be a whole number from 0"):
        store.start_behind(-1)
    store.apply([change(1, "list")])
    with pytest.raises(StoreError, match="behind change 9: it holds changes up to 1, and only an"):
        store.start_behind(9)
    assert (store.apply([change(2, "extend")]), store.last_seq()) == (1, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seq": True}, "a change is outside the contract: seq got true, must be a whole number"),
        ({"seq": 0}, "change 0 is outside the contract: seq got 0"),
        ({"seq": 2**63}, "seq got 9223372036854775808"),
        ({"change": "ban"}, 'change 2 is outside the contract: change got "ban", must be one of'),
        ({"change": ["list"]}, "change got"),
        ({"subject": ""}, 'subject got "", must be an address'),
        ({"time": 1.5}, "time got 1.5, must be Unix milliseconds"),
        ({"tier": None}, "tier got null, must be text"),
        ({"until": "soon"}, 'until got "soon", must be Unix milliseconds'),
        ({"hard_until": 2**70}, "hard_until got"),
        ({"asn": "AS1"}, 'asn got "AS1", must be an AS number or nothing'),
        ({"provider": 3}, "provider got 3, must be a name or nothing"),
        ({"shadow": 0}, "shadow got 0, must be true or false"),
        ({"evidence": []}, "evidence got [], must be an object"),
        ({"note": "\ud800"}, "change 2 cannot be written as JSON"),
        ({"note": {1, 2}}, "change 2 cannot be written as JSON"),
    ],
)
def test_a_change_outside_the_contract_is_refused_with_its_field(
    store: BlockStore, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(StoreChangeError) as caught:
        store.apply([change(1, "list"), change(2, "list") | wrong])
    assert message in str(caught.value)
    assert store.last_seq() == 0


def test_a_field_left_out_is_named(store: BlockStore) -> None:
    bare = change(1, "list")
    del bare["hard_until"]
    with pytest.raises(StoreChangeError, match="hard_until is missing, must be Unix"):
        store.apply([bare])


def test_listings_come_by_subject_in_pages_and_by_rule_or_policy(store: BlockStore) -> None:
    store.apply(
        [
            change(1, "list", "192.0.2.9", rule="source_flood"),
            change(2, "list", "192.0.2.10", policy="p2"),
            change(3, "list", "2001:db8::/64", shadow=True),
        ]
    )
    everything = [row.subject for row in store.listings(0)]
    assert everything == ["192.0.2.10", "192.0.2.9", "2001:db8::/64"]
    assert [row.subject for row in store.listings(0, limit=2)] == everything[:2]
    assert [row.subject for row in store.listings(0, after="192.0.2.9")] == everything[2:]
    assert [row.subject for row in store.listings(0, rule="source_flood")] == ["192.0.2.9"]
    assert [row.subject for row in store.listings(0, policy="p2")] == ["192.0.2.10"]
    assert store.listings(0, policy="p2", rule="source_flood") == []
    assert [row.shadow for row in store.listings(0)] == [False, False, True]


def test_a_request_is_pending_until_the_first_change_that_names_it(store: BlockStore) -> None:
    removal = store.add_request("removal", "192.0.2.7", 1500, '{"by": "owner"}')
    purge = store.add_request("purge", "", 1600, "policy p1")
    assert removal != purge
    store.apply([change(1, "list"), change(2, "refuse", request=str(removal))])
    store.apply([change(3, "refuse", request=str(removal)), change(4, "refuse", request="999")])
    others = ("", "x1", f"0{purge}", f"{purge} ", "\u0662", "9" * 40)
    store.apply([change(5 + n, "refuse", request=text) for n, text in enumerate(others)])
    assert store.requests(pending_only=True) == [
        StoredRequest(purge, "purge", "", 1600, "policy p1", None)
    ]
    assert store.requests(pending_only=False) == [
        StoredRequest(removal, "removal", "192.0.2.7", 1500, '{"by": "owner"}', 2),
        StoredRequest(purge, "purge", "", 1600, "policy p1", None),
    ]


def test_facts_are_kept_and_replaced(store: BlockStore) -> None:
    store.set_fact("policy", "a = 1")
    store.set_fact("policy", "a = 2")
    store.apply([change(1, "list")], {"watermark": "1700000000123", "policy": "a = 3"})
    assert (store.fact("policy"), store.fact("watermark")) == ("a = 3", "1700000000123")
    with pytest.raises(StoreGapError):
        store.apply([change(9, "list")], {"watermark": "9"})
    assert store.fact("watermark") == "1700000000123"


def test_text_of_the_command_line_with_lone_surrogates_is_kept_escaped(store: BlockStore) -> None:
    store.add_request("removal", "192.0.2.7", 1, "by \udcff")
    store.set_fact("k", "\ud800")
    assert store.requests(pending_only=True)[0].text == r"by \udcff"
    assert store.fact("k") == r"\ud800"
    assert store.get("\ud800", 0) is None
    assert store.audit("\ud800") == []


class SlowStore:
    """The meaning of changes, one at a time, as plainly as can be."""

    def __init__(self) -> None:
        self.listed: dict[str, tuple[int, int]] = {}
        self.held: dict[str, tuple[int, int]] = {}

    def apply(self, one: dict[str, Any]) -> None:
        subject, seq = one["subject"], one["seq"]
        if one["change"] in ("list", "extend", "release"):
            self.held.pop(subject, None)
            self.listed[subject] = (self.listed.get(subject, (seq, 0))[0], seq)
        elif one["change"] == "hold":
            self.listed.pop(subject, None)
            self.held[subject] = (self.held.get(subject, (seq, 0))[0], seq)
        elif one["change"] in ("remove", "expire"):
            self.listed.pop(subject, None)
            self.held.pop(subject, None)


drawn = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(ADDRESSES)), max_size=25)


@pytest.mark.parametrize("kind", STORES)
@given(drawn, st.lists(st.integers(0, 25), max_size=6), st.integers(0, 5))
def test_any_changes_in_any_batches_with_repeats_come_to_the_same_in_every_store(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    kinds: list[tuple[str, str]],
    cuts: list[int],
    overlap: int,
) -> None:
    changes = [change(at, *drawn) for at, drawn in enumerate(kinds, start=1)]
    slow = SlowStore()
    for one in changes:
        slow.apply(one)
    url = empty_store(request, kind, tmp_path_factory.mktemp("store"))
    edges = sorted({0, len(changes), *(min(cut, len(changes)) for cut in cuts)})
    with closing(open_store(url)) as store:
        for start, end in pairwise(edges):
            assert store.apply(changes[max(0, start - overlap) : end]) == end - start
        rows = {row.subject: (row.listed_seq, row.seq) for row in store.listings(0)}
        assert rows == slow.listed
        assert {row.subject: (row.listed_seq, row.seq) for row in store.held(0)} == slow.held
        assert store.last_seq() == len(changes)
        for subject in ADDRESSES:
            expected = [one for one in changes if one["subject"] == subject]
            assert store.audit(subject) == expected
