"""Floods at busy victims: what is explained, who takes part, and when it is over."""

from random import Random
from typing import Any

import pytest

from tests.days import DAY, FLOODED, HOUR, MINUTE, V4, Days, changes, listed, ordinary, seconds

START = 3 * HOUR
BUSY = "busy.example"


def busy_domain(days: Days, until: int) -> Random:
    """Sixty mailboxes get 25 messages a minute, from five ASNs that always write to them."""
    rng = Random(2)
    for i in range(25 * until // MINUTE):
        n = rng.randrange(5)
        to = f"box{rng.randrange(60)}@{BUSY}"
        days.mail(i * MINUTE / 25 + rng.random(), f"198.18.{n}.9", to, asn=64_700 + n)
    return rng


def flood_of_the_domain(days: Days, minutes: int) -> set[str]:
    """Eighty addresses of AS 64700, which always writes there, send 90 a minute over all of it."""
    rng = Random(3)
    sources = [f"198.19.{i}.7" for i in range(80)]
    for i in range(90 * minutes):
        to = f"box{rng.randrange(60)}@{BUSY}"
        days.mail(START + i * MINUTE / 90, rng.choice(sources), to, asn=64_700)
    return set(sources)


def test_a_flood_from_an_asn_that_always_writes_to_a_busy_domain_is_found() -> None:
    """Each ASN is judged by its own relation: that others are as usual hides nothing.

    Nor does the ASN's usual mail to that domain itself, which is most of what it sends here.
    """
    days = Days()
    busy_domain(days, START + 30 * MINUTE)
    sources = flood_of_the_domain(days, 10)
    out = days.run(START + HOUR)
    assert {one["subject"] for one in out} == sources
    assert sum(seconds(one["time"]) < START + 90 for one in out) > len(sources) / 2


def test_a_flood_is_over_although_a_busy_victims_ordinary_mail_goes_on() -> None:
    """A message of a flood's source, an hour behind it, does not begin its quiet anew."""
    days = Days()
    busy_domain(days, START + 2 * HOUR)
    sources = flood_of_the_domain(days, 10)
    last = max(sources)
    days.mail(START + 90 * MINUTE, last, f"box1@{BUSY}")
    out = days.run(START + 2 * DAY)
    assert changes(out, last) == ["list", "expire"]
    assert not any(case.flood for case in days.engine.cases.values())
    (end,) = (one for one in out if one["subject"] == last and one["change"] == "expire")
    assert end["time"] - end["last_seen"] < (DAY + 5 * MINUTE) * 1_000


@pytest.mark.parametrize("asns", [1, 8])
def test_the_first_message_of_a_busy_source_proves_nothing_and_its_second_does(asns: int) -> None:
    """Who sends nothing to others is listed for one; from one ASN it is asn_flood that lists."""
    for to_others, messages, found in ((9, 1, set()), (9, 2, {V4}), (0, 1, {V4})):
        days = Days()
        ordinary(days, START + 30 * MINUTE)
        for i in range(to_others):
            days.mail(START - 30 * MINUTE + i * 60, V4, f"user{i}@club.example", asn=64_700)
        flooding = [f"198.18.{i}.7" for i in range(40)]
        for i in range(400):
            days.mail(START + i, flooding[i % 40], asn=64_700 + i % asns)
        days.flood(START + 200, V4, count=messages, span_s=60, asn=64_700)
        assert listed(days, START + HOUR) - set(flooding) == found


def test_mail_without_a_senders_name_among_bounces_makes_no_flood() -> None:
    """Where most are bounces it is taken for bounces; beside other mail it counts."""
    unnamed: dict[str, Any] = {"count": 60, "span_s": 300, "sender": None}
    bouncing = [f"198.18.{i}.7" for i in range(60)]
    for beside, found in (("", set()), ("a@b.example", set(bouncing))):
        days = Days()
        ordinary(days, START + 30 * MINUTE)
        days.flood(START, *bouncing, **unnamed)
        if not beside:
            days.flood(START, *bouncing, count=120, span_s=300, sender="")
        assert listed(days, START + HOUR) == found


@pytest.mark.parametrize("cause", ["other", "rate"])
def test_deferred_attempts_keep_a_flood_alive(cause: str) -> None:
    """While its sources come back to be deferred, a newcomer of their network is part of it."""
    sources = [f"198.18.{i}.7" for i in range(40)]
    for deferred, found in ((200, {V4}), (0, set())):
        days = Days()
        ordinary(days, START + 2 * HOUR)
        days.flood(START, *sources, V4.replace(".9", ".10"), count=200, span_s=200)
        for i in range(deferred):
            when = START + 200 + i * 12
            days.mail(when, sources[i % 40], FLOODED, action="defer", cause=cause)
        days.flood(START + 35 * MINUTE, V4, count=10, span_s=60)
        assert listed(days, START + 2 * HOUR) & {V4} == found


def test_a_flood_takes_nothing_from_what_its_victim_usually_gets() -> None:
    """An hour and a half of monitoring at 6 a minute, then a flood for 80 minutes beside it.

    The flood's time teaches nothing, and therefore does not count in what is usual either.
    """
    days = Days()
    ordinary(days, START)
    to, flooding = "alarms@shop.example", [f"198.18.{i}.7" for i in range(40)]
    for i in range(6 * 170):
        days.mail(i * 10, V4, to, asn=64_700)
    days.flood(90 * MINUTE, *flooding, to=to, count=2400, span_s=80 * MINUTE, asn=64_701)
    assert listed(days, START) == set(flooding)


def test_a_system_writes_a_mailbox_many_times_as_much_as_usual_in_a_burst() -> None:
    """Ten messages in ten minutes are usual; it takes sixty times as many, or another network."""
    other = "198.18.5.9"
    for burst, source, found in ((500, V4, set()), (800, V4, {V4}), (90, other, {other})):
        days = Days()
        ordinary(days, START + 30 * MINUTE)
        for i in range(180):
            days.mail(i * 60, V4, "tickets@shop.example", asn=64_700)
        days.flood(START, source, to="tickets@shop.example", count=burst, span_s=500, asn=64_700)
        assert listed(days, START + HOUR) == found


def test_the_queue_of_one_provider_comes_to_a_mailbox_as_to_all_others() -> None:
    """AS 64700 is silent for an hour and then sends six times its usual mail, to everybody.

    Where only this mailbox gets so much more, it is a flood.
    """
    for others, found in ((True, False), (False, True)):
        days = Days()
        rng = ordinary(days, START + 30 * MINUTE)
        for i in range(8 * (START // 60)):
            at, to = i * 7.5, f"user@club{rng.randrange(90)}.example"
            days.mail(at, "192.0.2.77", f"user@club{rng.randrange(90)}.example", asn=64_701)
            if i % 4 == 0:
                to = "sales@shop.example"
            if at > START - HOUR and (others or i % 4 == 0):
                at = START + (at - START + HOUR) / 12
            days.mail(at, f"198.18.{rng.randrange(30)}.7", to, asn=64_700)
        assert bool(listed(days, START + HOUR)) == found


def test_acquaintances_pass_when_a_busy_mailboxs_day_begins_in_a_long_flood() -> None:
    """Twice their usual mail, after two hours of a flood: what was usual before it has aged."""
    days = Days()
    rng = ordinary(days, START + 2 * HOUR)
    for i in range(180 + 240):
        at = i * 60 if i < 180 else START + (i - 180) * 30
        days.mail(at, f"198.18.{rng.randrange(30)}.7", "sales@shop.example", asn=64_700)
    flooding = [f"198.19.{i}.7" for i in range(40)]
    days.flood(START, *flooding, to="sales@shop.example", count=3600, span_s=2 * HOUR, asn=64_701)
    assert listed(days, START + 2 * HOUR) == set(flooding)
