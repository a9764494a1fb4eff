"""A snapshot of an earlier version: its listings stay, what it had learned is learned again."""

from pathlib import Path

from detector.engine import Engine
from detector.events.interning import KeyTables
from detector.policy.settings import Policy
from detector.snapshot import restore, snapshot, snapshot_policy
from tests.builders import asn_table

VERSION_1 = Path(__file__).parent / "data" / "snapshot-version-1"
"""Of version 0.1: two listings, at the 123rd record of the log."""


def upgraded() -> tuple[Engine, int]:
    blob = VERSION_1.read_bytes()
    engine = Engine(snapshot_policy(blob), KeyTables(), lookup=asn_table())
    return engine, restore(engine, blob)


def test_listings_history_and_numbers_are_carried_over() -> None:
    engine, offset = upgraded()
    assert offset == 123
    listings = engine.listings
    assert sorted(listings.lifecycle.listings) == ["2001:db8:5:1::/64", "203.0.113.9"]
    assert sorted(listings.lifecycle.history) == ["2001:db8:5:1::/64", "203.0.113.9"]
    assert listings.seq == 2
    assert engine.closer.closed == 1_767_240_000
    assert [listings.is_listed(one.slot) for one in listings.lifecycle.listings.values()] == [
        True, True,
    ]  # fmt: skip


def test_what_was_learned_is_not_and_it_says_so() -> None:
    engine, _ = upgraded()
    assert engine.learner.slots == 0
    (said,) = engine.listings.complaints
    assert said == (
        "snapshot version 1: 2 listings and their history were kept; what is usual is learned "
        "again, and limits are higher for the first hour"
    )


def test_the_policy_keeps_what_still_means_something() -> None:
    assert snapshot_policy(VERSION_1.read_bytes()).listing == Policy().listing


def test_it_is_written_in_the_present_version() -> None:
    engine, offset = upgraded()
    again = Engine(engine.policy, KeyTables(), lookup=asn_table())
    assert restore(again, snapshot(engine, offset)) == offset
    assert sorted(again.listings.lifecycle.listings) == sorted(engine.listings.lifecycle.listings)
    assert not again.listings.complaints
