"""Floods at busy victims: what is explained, who takes part, and when it is over."""

from random import Random

from tests.days import DAY, HOUR, MINUTE, V4, Days, changes, listed, ordinary, seconds

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

    Nor does the ASN's usual mail to that domain itself, which is most of what it sends here. Who
    sent as little as its innocents do may be spared.
    """
    days = Days()
    busy_domain(days, START + 30 * MINUTE)
    sources = flood_of_the_domain(days, 10)
    out = days.run(START + HOUR)
    found = {one["subject"] for one in out}
    assert found <= sources
    assert len(found) >= 0.95 * len(sources)
    assert sum(seconds(one["time"]) < START + 5 * MINUTE for one in out) > len(sources) / 2


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


def test_a_busy_hour_of_others_does_not_end_a_flood() -> None:
    """The tail goes on with 200 an hour; meanwhile those who always write send three times as much.

    That speeds up what is usual of the domain, and would explain the tail as well.
    """
    days, rng = Days(), Random(5)
    busy_domain(days, START + 5 * HOUR)
    sources = [f"198.19.{i}.7" for i in range(60)]
    for i in range(1_000 + 200 * 5):
        at = START + (i * 0.6 if i < 1_000 else 600 + (i - 1_000) * 18)
        days.mail(at, sources[i % 60], f"box{rng.randrange(60)}@{BUSY}", asn=64_800 + i % 30)
    for i in range(50 * 60):
        n, at = rng.randrange(5), START + 2 * HOUR + i * 1.2
        days.mail(at, f"198.18.{n}.9", f"box{rng.randrange(60)}@{BUSY}", asn=64_700 + n)
    days.run(START + 4 * HOUR + 30 * MINUTE)
    (flood,) = (case.flood for case in days.engine.cases.values() if case.flood)
    assert flood.figures.number == 1


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
    """AS 64700 is silent for an hour and then sends six times its usual mail, to everybody."""
    days = Days()
    rng = ordinary(days, START + 30 * MINUTE)
    for i in range(8 * (START // 60)):
        at, to = i * 7.5, f"user@club{rng.randrange(90)}.example"
        days.mail(at, "192.0.2.77", f"user@club{rng.randrange(90)}.example", asn=64_701)
        if i % 4 == 0:
            to = "sales@shop.example"
        if at > START - HOUR:
            at = START + (at - START + HOUR) / 12
        days.mail(at, f"198.18.{rng.randrange(30)}.7", to, asn=64_700)
    assert listed(days, START + HOUR) == set()


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
