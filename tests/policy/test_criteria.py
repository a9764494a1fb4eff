"""The published criteria say what the policy decides, with its numbers, and leave none out."""

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.listing.guard import RESERVED
from detector.listing.lifecycle import STANDING, TEMPORARY, Lifecycle, Listing
from detector.policy.criteria import Section, criteria, criteria_text, numbers
from detector.policy.settings import ListingTerms, Policy
from detector.policy.text import policy_from_tables, settings_of, value_at
from detector.policy.wording import duration, ordinal

IN_TABLE_ONLY = ("memory.", "rules.source_flood.baseline_factor")
"""Not prose for a postmaster; the table of numbers has them."""

EVERY_RULE = {"rules": {"backscatter": {"enabled": True}}}


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
    return value - 0.001 if value >= about["most"] else value + 0.001


def prose(policy: Policy) -> str:
    return "\n".join(
        text
        for section in criteria(policy)
        for text in (section.title, *section.paragraphs, *section.items)
    )


def section(policy: Policy, title: str) -> Section:
    return next(part for part in criteria(policy) if part.title.startswith(title))


KEYS = [key for key, _, _ in settings_of(Policy())]
KEYS_IN_PROSE = [key for key in KEYS if not key.startswith(IN_TABLE_ONLY)]


@pytest.mark.parametrize("key", KEYS)
def test_each_number_of_the_policy_changes_the_text(key: str) -> None:
    policy = policy_with(EVERY_RULE)
    about = next(about for name, _, about in settings_of(policy) if name == key)
    other = changed(policy, key, another(value_at(policy, key), about))
    assert criteria_text(policy) != criteria_text(other)
    assert numbers(policy) != numbers(other)


@pytest.mark.parametrize("key", KEYS_IN_PROSE)
def test_each_number_that_lists_or_ends_changes_the_prose(key: str) -> None:
    policy = policy_with(EVERY_RULE)
    about = next(about for name, _, about in settings_of(policy) if name == key)
    assert prose(policy) != prose(changed(policy, key, another(value_at(policy, key), about)))


@pytest.mark.parametrize("key", KEYS_IN_PROSE)
def test_the_prose_says_the_number_itself(key: str) -> None:
    policy = policy_with(EVERY_RULE)
    value = value_at(policy, key)
    if isinstance(value, (bool, str, tuple)):
        return
    if isinstance(value, float):
        assert re.search(r"\b7\.7\b|\b770 %", prose(changed(policy, key, 7.7)))
    elif key.endswith("_s"):
        assert "26 hours 17 minutes" in prose(changed(policy, key, 26 * 3600 + 17 * 60))
    else:
        assert re.search(r"\b777(th)?\b", prose(changed(policy, key, 777)))


def test_a_rule_that_is_off_says_so_and_states_no_limit() -> None:
    items = section(Policy(), "What gets").items
    assert [item.split(",")[0] for item in items] == [
        "victim_flood",
        "source_flood",
        "asn_flood",
        "backscatter",
    ]
    assert items[3].endswith("this rule is switched off and lists nothing.")
    assert "switched off" not in "".join(items[:3])
    quiet = policy_with({"rules": {"asn_flood": {"enabled": False}}})
    assert "switched off" in section(quiet, "What gets").items[2]
    assert "50 messages" not in section(quiet, "What gets").items[2]


def test_shadow_says_so_for_one_rule_and_for_the_whole_policy() -> None:
    one = policy_with({"rules": {"source_flood": {"mode": "shadow"}}})
    assert "publishes nothing (shadow)" in section(one, "What gets").items[1]
    assert "25 messages in a minute" in section(one, "What gets").items[1]
    assert "shadow" not in section(one, "What this list is").paragraphs[0]
    whole = policy_with({"mode": "shadow"})
    assert section(whole, "What this list is").paragraphs[0].startswith("At present nothing is pub")


def test_backscatter_is_an_exception_only_while_its_rule_is_on() -> None:
    assert "exception" not in "".join(section(Policy(), "What is never").items)
    assert "exception" in "".join(section(policy_with(EVERY_RULE), "What is never").items)


def test_what_is_never_listed_names_reserved_and_own_ranges() -> None:
    policy = policy_with({"guard": {"never_list": ["198.51.100.0/24", "2001:db8::/32"]}})
    *_, reserved, own = section(policy, "What is never").items
    assert all(network in reserved for network in RESERVED)
    assert "198.51.100.0/24, 2001:db8::/32." in own
    assert "none at present" in section(Policy(), "What is never").items[-1]


def test_many_own_ranges_are_counted_in_the_prose_and_whole_in_the_table() -> None:
    ranges = [f"198.51.{n}.0/24" for n in range(100)]
    policy = policy_with({"guard": {"never_list": ranges}})
    assert "and 80 more" in section(policy, "What is never").items[-1]
    table = {key: value for key, value, _ in numbers(policy)}
    assert all(network in table["guard.never_list"] for network in ranges)


def test_the_size_of_a_provider_is_said_to_be_no_reason() -> None:
    text = section(Policy(), "The size of a provider").paragraphs[0]
    assert "not exempt because it is large" in text
    assert "RFC 6471, 2.1" in text


def test_the_default_terms_are_those_of_the_design() -> None:
    says = "it ends by itself after {} of quiet, on request after {}, and in any case {} after"
    wanted = [
        ("The first listing, temporary", "24 hours", "1 hour", "3 days"),
        ("The second listing, temporary", "2 days", "2 hours", "3 days"),
        ("The third listing, standing", "7 days", "24 hours", "14 days"),
        ("A first listing made standing by a long flood", "7 days", "6 hours", "14 days"),
    ]
    assert section(Policy(), "How long").items == tuple(
        f"{which}: {says.format(*terms)} the last attempt." for which, *terms in wanted
    )


HOURS = st.integers(1, 24 * 60).map(lambda hours: hours * 3600)


@given(
    st.builds(
        ListingTerms,
        temporary_quiet_s=HOURS,
        temporary_removal_quiet_s=HOURS,
        temporary_hard_s=HOURS,
        standing_quiet_s=HOURS,
        standing_removal_quiet_s=HOURS,
        standing_hard_s=HOURS,
        most_quiet_s=HOURS,
        standing_listings=st.integers(2, 30),
    )
)
def test_the_published_terms_are_those_that_the_lifecycle_applies(terms: ListingTerms) -> None:
    lifecycle = Lifecycle(terms)
    items = section(dataclasses.replace(Policy(), listing=terms), "How long").items
    for repeats, item in enumerate(items[:-1]):
        tier = STANDING if repeats + 1 >= terms.standing_listings else TEMPORARY
        listing = Listing(
            subject="192.0.2.7", slot=0, rule="source_flood", tier=tier, asn=-1, provider="",
            first_seen=0, last_seen=0, listed_at=0, observed_at=0, repeats=repeats, told_at=0,
            victim="",
        )  # fmt: skip
        end, asked = (lifecycle.quiet_needed(listing, on_request=r) for r in (False, True))
        assert item == (
            f"The {ordinal(repeats + 1)} listing, {tier}: it ends by itself after {duration(end)}"
            f" of quiet, on request after {duration(asked)}, and in any case"
            f" {duration(lifecycle.hard_until(listing))} after the last attempt."
        )


def test_without_a_memory_no_listing_is_a_repeat() -> None:
    length = section(policy_with({"listing": {"memory_s": 0}}), "How long")
    text = " ".join(length.paragraphs + length.items)
    assert "Earlier listings do not count." in text
    assert "0 seconds" not in text
    assert "second listing" not in text


def test_the_table_has_every_setting_once_with_its_meaning() -> None:
    rows = numbers(Policy())
    assert [key for key, _, _ in rows] == KEYS
    assert len(set(KEYS)) == len(KEYS)
    assert all(meaning for _, _, meaning in rows)
    assert ("listing.temporary_quiet_s", "86400") in [(key, value) for key, value, _ in rows]


@pytest.mark.parametrize("width", [40, 88])
def test_the_text_keeps_to_its_width_and_loses_no_word(width: int) -> None:
    policy = policy_with(EVERY_RULE)
    lines = criteria_text(policy, width).split("\n")
    assert [line for line in lines if len(line) > width and " " in line.strip()] == []
    words = " ".join(lines).split()
    assert " ".join(prose(policy).split()[-20:]) in " ".join(words)


@given(st.integers(0, 2 * 10**7), st.integers(0, 2 * 10**7))
def test_different_durations_read_differently(one: int, other: int) -> None:
    assert (duration(one) == duration(other)) == (one == other)


def test_places_in_a_row_are_spelled_as_people_do() -> None:
    assert [ordinal(n) for n in (1, 8, 9, 11, 12, 21, 22, 103, 111, 1000)] == [
        *("first", "eighth", "9th", "11th", "12th"),
        *("21st", "22nd", "103rd", "111th", "1,000th"),
    ]
