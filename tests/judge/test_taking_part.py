"""Who takes part in a flood: what a message proves depends on who else is there."""

from dataclasses import replace

import pytest

from detector.policy.settings import GuardLimits, Policy
from tests.days import DAY, FLOODED, HOUR, MINUTE, V4, Days, changes, listed, ordinary

START = 3 * HOUR
COLD = 10 * MINUTE
CROWD = [f"198.18.{i}.7" for i in range(60)]
"""Sixty addresses, to be given an ASN each."""


def bomb(days: Days, count: int = 240, start: int = START) -> None:
    """Sixty strangers of as many ASNs write four messages each, in four minutes."""
    for i in range(count):
        days.mail(start + i, CROWD[i % 60], asn=64_700 + i % 60)


def test_beside_a_few_loud_sources_a_single_message_is_what_comes_anyway() -> None:
    """A mailbox that gets three messages of strangers in ten minutes, and then a thousand of two.

    Who writes once or twice is spared, who goes on is not.
    """
    for messages, found in ((2, set()), (3, {V4})):
        days = Days()
        ordinary(days, START + HOUR)
        for i in range((START + HOUR) // 200):
            ip = f"198.19.{i % 250}.{i // 250 + 1}"
            days.mail(i * 200, ip, FLOODED, asn=60_000 + i)
        days.flood(START, "203.0.113.1", "203.0.113.2", count=1_000, span_s=1_000, asn=64_700)
        days.flood(START + 400, V4, count=messages, span_s=60, asn=64_690)
        loud = {"203.0.113.1", "203.0.113.2"}
        assert listed(days, START + HOUR) == loud | found


@pytest.mark.parametrize(
    ("start", "to_others", "told"),
    [
        (COLD, 600, ["list", "remove"]),
        (COLD, 60, ["list"]),
        (START, 600, ["list"]),
    ],
)
def test_in_the_cold_start_a_listing_for_a_negligible_part_of_its_mail_is_withdrawn(
    start: int, to_others: int, told: list[str]
) -> None:
    """Four messages into a flood and six hundred to others; when it has been quiet for a while."""
    days = Days(replace(Policy(), guard=GuardLimits(first_day_s=0, hold_share=1.0)))
    ordinary(days, start + 2 * HOUR)
    bomb(days, start=start)
    days.flood(start + 90, V4, count=4, span_s=20, asn=64_690)
    for i in range(to_others):
        days.mail(start + 300 + i * 3, V4, f"user{i}@club{i % 90}.example", asn=64_690)
    assert changes(days.run(start + HOUR), V4) == told


@pytest.mark.parametrize(("messages", "told"), [(5, []), (25, ["hold"])])
def test_however_much_else_it_sends_more_than_a_few_messages_are_a_part(
    messages: int, told: list[str]
) -> None:
    """A provider's address with thousands of other messages is in the attack like any other.

    Beyond five messages only what its mail usually brings the victim explains some.
    """
    days = Days()
    ordinary(days, START + 2 * HOUR)
    bomb(days)
    for i in range(4_000):
        days.mail(START - HOUR + i, V4, f"user{i % 900}@club{i % 90}.example", asn=64_690)
    days.flood(START + 90, V4, count=messages, span_s=60, asn=64_690)
    assert changes(days.run(START + HOUR), V4) == told


def test_a_withdrawn_listing_was_never_one() -> None:
    """The next one of the same address is its first."""
    days = Days(replace(Policy(), guard=GuardLimits(first_day_s=0, hold_share=1.0)))
    ordinary(days, COLD + 5 * HOUR)
    bomb(days, start=COLD)
    days.flood(COLD + 90, V4, count=4, span_s=20, asn=64_690)
    for i in range(600):
        days.mail(COLD + 300 + i * 3, V4, f"user{i}@club{i % 90}.example", asn=64_690)
    days.flood(COLD + 4 * HOUR, V4, count=600, span_s=600, asn=64_690)
    out = days.run(2 * DAY)
    assert changes(out, V4) == ["list", "remove", "list", "expire"]
    first, _, second, _ = (one for one in out if one["subject"] == V4)
    ahead = [one["until"] - one["time"] for one in (first, second)]
    assert abs(ahead[0] - ahead[1]) < MINUTE * 1_000
