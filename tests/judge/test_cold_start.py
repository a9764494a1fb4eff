"""The begin of a log, where nothing is known of anybody: what is a flood then, and what is not."""

from tests.days import HOUR, MINUTE, V4, Days, listed, ordinary, seconds


def test_a_flood_from_many_networks_is_listed_though_it_began_with_the_log() -> None:
    """A message a second from 90 networks, from the first second on.

    The limits are three times as high, so that it is found when 120 have come in ten minutes.
    """
    days = Days()
    rng = ordinary(days, 30 * MINUTE)
    sources = [f"198.18.{i}.7" for i in range(90)]
    for i in range(15 * MINUTE):
        days.mail(i + rng.random(), rng.choice(sources), sender=f"x@d{i % 50}.example")
    out = days.run(HOUR)
    assert {one["subject"] for one in out if one["change"] == "list"} == set(sources)
    assert seconds(out[0]["time"]) < 3 * MINUTE


def test_what_one_address_has_sent_since_the_log_began_is_taken_for_normal() -> None:
    """A monitoring mailbox: 33 messages a minute, far above the limits, from the first second."""
    days = Days()
    ordinary(days, HOUR)
    for i in range(33 * 60):
        days.mail(i * 60 / 33, V4, "alarms@shop.example", sender="monitor@host.example")
    assert listed(days, HOUR) == set()


def test_a_ticket_system_that_writes_in_bursts_is_left_alone() -> None:
    """80 messages in half a minute, every ten minutes: none in most minutes, then far too many.

    The same burst from an address that did not write before is a flood.
    """
    for bursts, found in ((range(6), set()), ([1], {V4})):
        days = Days()
        ordinary(days, HOUR)
        for burst in bursts:
            days.flood(30 + burst * 10 * MINUTE, V4, to="tickets@shop.example", count=80)
        assert listed(days, HOUR) == found


def test_a_mailbox_that_is_busy_from_the_first_second_is_left_alone() -> None:
    """45 messages a minute from 90 networks, which send six times as many to others."""
    days = Days()
    rng = ordinary(days, HOUR)
    for i in range(45 * 30):
        at, source = i * 60 / 45, f"198.18.{rng.randrange(90)}.7"
        days.mail(at, source, "sales@shop.example")
        for _ in range(6):
            days.mail(at + rng.random(), source, f"user@club{rng.randrange(90)}.example")
    assert listed(days, HOUR) == set()


def test_a_snowshoe_that_runs_since_the_log_began_shows_by_its_addresses() -> None:
    """A message a second from 60 addresses of one network."""
    days = Days()
    ordinary(days, 30 * MINUTE)
    sources = [f"198.18.5.{i + 1}" for i in range(60)]
    for i in range(15 * MINUTE):
        days.mail(i, sources[i % 60])
    out = days.run(HOUR)
    assert {one["subject"] for one in out if one["change"] == "list"} == set(sources)
    assert seconds(out[0]["time"]) < 3 * MINUTE


def test_what_was_usual_before_a_flood_in_the_cold_start_is_normal_behind_it() -> None:
    """A mailbox gets 10 messages a minute from 60 ASNs, and is flooded before it is known."""
    days = Days()
    rng = ordinary(days, 3 * HOUR)
    for i in range(10 * 180):
        n = rng.randrange(60)
        days.mail(i * 6, f"198.18.{n}.7", "sales@shop.example", asn=64_700 + n)
    days.flood(5 * MINUTE, V4, to="sales@shop.example", count=1500, span_s=15 * MINUTE)
    assert listed(days, 3 * HOUR) == {V4}
