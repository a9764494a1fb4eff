"""The published criteria say what the policy decides, with its numbers, and leave none out."""

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.listing.lifecycle import STANDING, TEMPORARY, Lifecycle, Listing
from detector.policy.constants import EACH
from detector.policy.criteria import Section, criteria, criteria_text, numbers
from detector.policy.settings import Policy, policy_digest
from detector.policy.text import policy_from_tables, settings_of, value_at
from detector.policy.wording import duration, ordinal
from tests.days import DAY, HOUR, MINUTE, Days, ordinary, seconds

MOST_LINES = 60
IN_TABLE_ONLY = ("memory.", "clock.", "learning.fading", "mode", "rules.victim_flood.mode")
"""Not prose for a postmaster; the table of numbers has them."""


def policy_with(tables: dict[str, Any]) -> Policy:
    policy, problems = policy_from_tables(tables)
    assert [str(problem) for problem in problems] == []
    return policy


def changed(policy: Policy, key: str, value: object) -> Policy:
    """The policy with one setting replaced, whatever the other settings think of it."""

    def replaced(section: Any, names: list[str]) -> Any:
        name, *rest = names
        new = replaced(getattr(section, name), rest) if rest else value
        return dataclasses.replace(section, **{name: new})

    policy = replaced(policy, key.split("."))
    assert value_at(policy, key) == value
    return policy


def another(value: Any, about: Any) -> Any:
    match value:
        case bool():
            return not value
        case str():
            return next(choice for choice in about["allowed"] if choice != value)
        case tuple():
            return ("198.51.100.0/24",)
        case int():
            return value + 1 if value < about["most"] else value - 1
    return value - 0.01 if value >= about["most"] else value + 0.01


def section(policy: Policy, title: str) -> Section:
    return next(part for part in criteria(policy) if part.title.startswith(title))


def text_of(part: Section) -> str:
    """All words of a section in one line."""
    words: list[str] = []
    for block in part.blocks:
        match block:
            case str():
                words += block.split()
            case list():
                words += " ".join(block).split()
            case _:
                words += [" | ".join(row) for row in block]
    return " ".join(words)


def prose(policy: Policy) -> str:
    return "\n".join(f"{part.title} {text_of(part)}" for part in criteria(policy))


KEYS = [key for key, _, _ in settings_of(Policy())]
KEYS_IN_PROSE = [key for key in KEYS if not key.startswith(IN_TABLE_ONLY)]


@pytest.mark.parametrize("key", KEYS)
def test_each_key_of_the_policy_stands_in_the_table_with_its_value(key: str) -> None:
    about = next(about for name, _, about in settings_of(Policy()) if name == key)
    other = changed(Policy(), key, another(value_at(Policy(), key), about))
    table = criteria_text(other, 1_000).partition("All numbers")[2]
    (line,) = re.findall(rf"^{re.escape(key)} = (.*?): ", table, flags=re.MULTILINE)
    assert line == next(value for name, value, _ in numbers(other) if name == key)
    assert line != next(value for name, value, _ in numbers(Policy()) if name == key)


def test_the_table_has_no_other_key() -> None:
    table = criteria_text(Policy(), 1_000).partition("All numbers")[2]
    assert re.findall(r"^(\S+) = ", table, flags=re.MULTILINE) == KEYS


@pytest.mark.parametrize("key", KEYS_IN_PROSE)
def test_each_number_that_lists_or_ends_changes_the_prose(key: str) -> None:
    about = next(about for name, _, about in settings_of(Policy()) if name == key)
    if key.endswith("surprise"):
        about = {"most": 3.0}  # by a hundredth less is another whole number
    other = changed(Policy(), key, another(value_at(Policy(), key), about))
    assert prose(Policy()) != prose(other)


@pytest.mark.parametrize("key", KEYS_IN_PROSE)
def test_the_prose_says_the_number_itself(key: str) -> None:
    value = value_at(Policy(), key)
    if isinstance(value, (bool, str, tuple)):
        return
    if key.endswith("surprise"):
        assert "one window of 10,000" in prose(changed(Policy(), key, 4.0))
    elif isinstance(value, float):
        assert re.search(r"\b7\.7\b|\b770 %", prose(changed(Policy(), key, 7.7)))
    elif key.endswith("_s"):
        assert "26 hours 17 minutes" in prose(changed(Policy(), key, 26 * 3600 + 17 * 60))
    else:
        assert re.search(r"\b777(th)?\b", prose(changed(Policy(), key, 777)))


def test_the_prose_is_short_enough_to_be_read() -> None:
    lines = criteria_text(Policy()).partition("All numbers")[0].split("\n")
    assert len([line for line in lines if line.strip("-")]) <= MOST_LINES


@pytest.mark.parametrize("width", [40, 88])
def test_the_text_keeps_to_its_width_and_loses_no_word(width: int) -> None:
    page = criteria_text(Policy(), width)
    tables = {"  " + row for row in ("temporary", "standing", "a ", " ")}
    lines = [line for line in page.split("\n") if not line.startswith(tuple(tables))]
    assert [line for line in lines if len(line) > width and " " in line.strip()] == []
    said = "".join(page.split())
    for part in criteria(Policy()):
        for block in part.blocks:
            if isinstance(block, str):
                assert "".join(block.split()) in said


def test_a_number_and_its_per_cent_sign_stay_on_one_line() -> None:
    for width in range(40, 100):
        assert not re.search(r"\d\n *%", criteria_text(Policy(), width))


def test_a_rule_that_is_off_or_in_the_shadow_says_so_first() -> None:
    first = "What this list"
    assert text_of(section(Policy(), first)).startswith("An entry is")
    off = policy_with({"rules": {"victim_flood": {"enabled": False}}})
    assert text_of(section(off, first)).startswith("The rule is switched off")
    for tables in ({"mode": "shadow"}, {"rules": {"victim_flood": {"mode": "shadow"}}}):
        assert text_of(section(policy_with(tables), first)).startswith("Shadow mode: at present")


def test_many_own_ranges_are_counted_in_the_prose_and_whole_in_the_table() -> None:
    ranges = [f"198.51.{n}.0/24" for n in range(100)]
    policy = policy_with({"guard": {"never_list": ranges}})
    assert "and 95 more" in text_of(section(policy, "How mistakes"))
    table = {key: value for key, value, _ in numbers(policy)}
    assert all(network in table["guard.never_list"] for network in ranges)
    assert "none at present" in text_of(section(Policy(), "How mistakes"))


@pytest.mark.parametrize(("tier", "row"), [(TEMPORARY, 1), (STANDING, 2)])
def test_the_published_terms_are_those_that_the_lifecycle_applies(tier: str, row: int) -> None:
    terms = Policy().listing
    lifecycle = Lifecycle(terms)
    listing = Listing(
        subject="192.0.2.7", slot=0, rule="victim_flood", tier=tier, asn=-1, provider="",
        first_seen=0, last_seen=0, listed_at=0, observed_at=0, repeats=0, told_at=0, victim="",
    )  # fmt: skip
    end, asked = (lifecycle.quiet_needed(listing, on_request=r) for r in (False, True))
    table = section(Policy(), "How a listing ends").blocks[0]
    assert table[row] == (
        tier, duration(end), duration(asked), duration(lifecycle.hard_until(listing)),
    )  # fmt: skip
    if tier == TEMPORARY:
        listing.repeats = 1
        again = [lifecycle.quiet_needed(listing, on_request=r) for r in (True, False)]
        assert "takes {} and {}.".format(*map(duration, again)) in prose(Policy())


def test_without_a_memory_no_listing_is_a_repeat() -> None:
    text = prose(policy_with({"listing": {"memory_s": 0}}))
    assert "0 seconds" not in text
    assert "second listing" not in text


def test_the_example_is_what_the_detector_does() -> None:
    """Ann's server is listed with its 23rd message, her correspondent is not."""
    days, ten, per_min = Days(), 3 * HOUR, 46
    ordinary(days, ten + HOUR)
    for at in range(0, ten, 20 * MINUTE):
        days.mail(at, "192.0.2.40", asn=64_510)
    for number in range(5 * per_min):
        days.mail(ten + number * MINUTE / per_min, "198.51.100.7", asn=64_999)
    days.mail(ten + 30, "192.0.2.40", asn=64_510)
    first, *rest = days.run(ten + 2 * DAY)
    assert (first["change"], first["subject"]) == ("list", "198.51.100.7")
    assert [one["subject"] for one in rest] == ["198.51.100.7"]
    limit = Policy().rules.victim_flood.mailbox_per_min
    assert first["evidence"]["count"] == first["evidence"]["limit"] == limit
    assert first["evidence"]["flood_messages"] == limit + int(EACH) == 23
    last = ten + 5 * MINUTE - 2
    assert seconds(first["until"]) - seconds(first["last_seen"]) == DAY + 1
    assert seconds(rest[0]["last_seen"]) == last
    assert last + DAY <= seconds(rest[0]["time"]) <= last + DAY + 2 * MINUTE
    assert f"send {per_min} a minute" in text_of(section(Policy(), "Example"))
    assert policy_digest(Policy()) == first["policy"]


@given(st.integers(0, 2 * 10**7), st.integers(0, 2 * 10**7))
def test_different_durations_read_differently(one: int, other: int) -> None:
    assert (duration(one) == duration(other)) == (one == other)


def test_places_in_a_row_are_spelled_as_people_do() -> None:
    assert [ordinal(n) for n in (1, 8, 9, 11, 12, 21, 22, 103, 111, 1000)] == [
        *("first", "eighth", "9th", "11th", "12th"),
        *("21st", "22nd", "103rd", "111th", "1,000th"),
    ]
