"""No way around: shapes an attacker could choose, each beside the innocent traffic it imitates."""

from random import Random
from typing import Any

import pytest

from tests.days import FLOODED, HOUR, MINUTE, V4, Days, changes, listed, ordinary

START = 3 * HOUR
SERVERS = [f"198.18.{i // 250}.{i % 250 + 1}" for i in range(3_000)]
SITE = "firm.example"


def site(days: Days, until: int, boxes: int = 60) -> Random:
    """Ordinary mail, and a domain whose mailboxes get twelve messages a minute from 300 servers."""
    rng = ordinary(days, until)
    for i in range(until // 5):
        source = 2_000 + rng.randrange(300)
        to = f"box{rng.randrange(boxes)}@{SITE}"
        days.mail(i * 5 + rng.random() * 4, SERVERS[source], to, asn=60_000 + source)
    return rng


# -- a letter to each of very many -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "hosts", "per_s"), [(START, 1, 90), (START, 3, 90), (25 * HOUR, 1, 4)]
)
def test_a_spray_over_mailboxes_that_never_got_mail_is_a_flood(
    start: int, hosts: int, per_s: int
) -> None:
    """A catch-all, or guessed names: a message to each of 2,400 mailboxes from unknown hosts.

    At a domain that is known for a day any pace shows, before that one far above its own.
    """
    days = Days()
    site(days, start + HOUR)
    sources = SERVERS[:hosts]
    for i in range(2_400):
        days.mail(start + i / per_s, sources[i % hosts], f"name{i}@{SITE}", asn=64_700)
    found = listed(days, start + HOUR)
    assert set(sources) <= found
    assert len(found - set(sources)) <= 3  # of 300 who write there anyway


def test_a_newsletter_to_the_mailboxes_of_a_domain_is_none() -> None:
    """A letter to each of 400 mailboxes that others write to, from two unknown hosts."""
    days = Days()
    site(days, START + HOUR, boxes=400)
    for i in range(400):
        days.mail(START + i / 4, SERVERS[i % 2], f"box{i}@{SITE}", asn=64_700)
    assert listed(days, START + HOUR) == set()


def test_thirty_thousand_messages_from_one_host_at_a_domain_are_a_flood() -> None:
    """Five a second over 60 mailboxes for 100 minutes: listed within the first minute."""
    days = Days()
    rng = site(days, START)
    for i in range(30_000):
        days.mail(START + i / 5, V4, f"box{rng.randrange(60)}@{SITE}", asn=64_700)
    out = days.run(START + 2 * HOUR)
    assert {one["subject"] for one in out} == {V4}
    assert out[0]["change"] == "list"
    assert out[0]["time"] - out[0]["first_seen"] < 60_000


# -- bounces ---------------------------------------------------------------------------------------


def bounces(servers: list[str], known: bool) -> Days:
    """A site with mail from 300 servers; then a bounce from each of many within ten minutes."""
    days = Days()
    site(days, START + 20 * MINUTE)
    if known:
        for i, ip in enumerate(servers):
            to = f"box{i % 60}@{SITE}"
            days.mail(MINUTE + i * (START - HOUR) / len(servers), ip, to, asn=60_000 + i)
    for i, ip in enumerate(servers):
        days.mail(START + i * 600 / len(servers), ip, f"box1@{SITE}", asn=60_000 + i, sender="")
    return days


def test_bounces_from_hosts_that_nobody_knows_are_a_flood() -> None:
    """1,000 unknown hosts with the null sender, one message each: most of them are listed."""
    servers = SERVERS[:1_000]
    found = listed(bounces(servers, known=False), START + HOUR)
    assert found <= set(servers)
    assert len(found) > 900


def test_bounces_from_mail_servers_are_none() -> None:
    """The same from servers that sent ordinary mail before: real backscatter is innocent."""
    assert listed(bounces(SERVERS[:1_000], known=True), START + HOUR) == set()


# -- a system's burst ------------------------------------------------------------------------------


def system(days: Days, until: int) -> None:
    """V4 writes to a ticket mailbox once a minute."""
    ordinary(days, until)
    for i in range(START // MINUTE):
        days.mail(i * MINUTE + 5, V4, f"tickets@{SITE}", asn=64_690)


def test_a_system_may_write_sixty_times_its_usual_in_a_burst() -> None:
    """Ten messages in ten minutes are usual; 500 in eight minutes are a burst."""
    days = Days()
    system(days, START + HOUR)
    days.flood(START, V4, to=f"tickets@{SITE}", count=500, span_s=480, asn=64_690)
    assert listed(days, START + HOUR) == set()


def test_no_system_may_do_so_for_hours() -> None:
    """At that pace it is listed before the second hour ends."""
    days = Days()
    system(days, START + HOUR)
    days.flood(START, V4, to=f"tickets@{SITE}", count=7_500, span_s=2 * HOUR, asn=64_690)
    assert listed(days, START + 2 * HOUR) == {V4}


# -- names of one mailbox --------------------------------------------------------------------------


def test_variants_of_a_mailbox_are_one_victim() -> None:
    """Tags, capitals, quotes and angle brackets: 30 messages in a minute, none to the same text."""
    days = Days()
    ordinary(days, START + HOUR)
    forms = ("ann+tag{}@shop.example", "ANN+{}@Shop.Example", "<Ann+x{}@SHOP.example>",
             '"ann+{}"@shop.example')  # fmt: skip
    for i in range(40):
        days.mail(START + i, V4, forms[i % 4].format(i), asn=64_690)
    assert listed(days, START + HOUR) == {V4}


# -- the list as a weapon --------------------------------------------------------------------------


def provider(days: Days, until: int) -> list[str]:
    """A provider's 40 addresses send a third of all mail."""
    rng, pool = site(days, until), [f"198.19.7.{i + 1}" for i in range(40)]
    for i in range(until // 10):
        to = f"user{rng.randrange(200)}@club.example"
        days.mail(i * 10 + rng.random() * 9, pool[rng.randrange(40)], to, asn=64_999)
    return pool


def pool_flood(start: int, **more: Any) -> tuple[Days, list[str]]:
    """Give a story in which a provider's whole pool floods one mailbox."""
    days = Days()
    pool = provider(days, start + HOUR)
    days.flood(start, *pool, count=1_600, span_s=1_600, asn=64_999, **more)
    return days, pool


def test_who_bombs_himself_on_the_first_day_gets_a_tenth_of_other_mail_blocked_at_most() -> None:
    """What is above is held for an operator; the sum of what is blocked stays below the share."""
    days, pool = pool_flood(START)
    out = days.run(START + HOUR)
    assert {one["subject"] for one in out} <= set(pool)
    assert "hold" in changes(out)
    shares = [one["evidence"]["collateral"] for one in out if one["change"] == "list"]
    assert all(share["share_for_domain"] <= 0.1 for share in shares)


def test_a_customer_with_many_mailboxes_has_one_budget() -> None:
    """He has each tenth of the pool bomb another mailbox of his domain: it is one account."""
    days = Days()
    pool = provider(days, START + HOUR)
    part = len(pool) // 4
    for at in range(4):
        mine = pool[at * part : (at + 1) * part]
        to = f"own{at}@shop.example"
        days.flood(START + at * 400, *mine, to=to, count=800, span_s=400, asn=64_999)
    out = days.run(START + HOUR)
    assert "hold" in changes(out)
    held = [one["evidence"] for one in out if one["change"] == "hold"]
    assert {one["held_for"] for one in held} == {
        "the cost of the listings for one customer's domain"
    }
    assert all("release" in one["operator"] for one in held)
    shares = [one["evidence"]["collateral"] for one in out if one["change"] == "list"]
    assert all(share["share_for_domain"] <= 0.1 for share in shares)


def test_after_the_first_day_a_providers_pool_that_floods_is_listed_all_the_same() -> None:
    """There is no exemption by size: each of its addresses, as long as it is a quarter at most."""
    days, pool = pool_flood(25 * HOUR)
    out = days.run(26 * HOUR)
    assert len({one["subject"] for one in out if one["change"] == "list"} & set(pool)) >= 36


@pytest.mark.parametrize("start", [30 * MINUTE, 2 * HOUR])
def test_a_source_that_sends_nothing_else_is_never_held(start: int) -> None:
    """Also beside a provider whose listings have used the budget up."""
    days = Days()
    pool = provider(days, start + HOUR)
    alone = SERVERS[:40]
    days.flood(start, *pool, count=1_600, span_s=800, asn=64_999)
    days.flood(start, *alone, count=1_600, span_s=800, asn=64_700)
    out = days.run(start + HOUR)
    held = {one["subject"] for one in out if one["change"] == "hold"}
    assert not held & set(alone)
    assert len({one["subject"] for one in out if one["change"] == "list"} & set(alone)) >= 36


def test_two_floods_of_one_sender_do_not_explain_each_other() -> None:
    """That it sends as much to another mailbox is no common cause."""
    days = Days()
    ordinary(days, START + HOUR)
    days.flood(START, V4, to=FLOODED, asn=64_690)
    days.flood(START, V4, to="bob@club.example", asn=64_690)
    assert listed(days, START + HOUR) == {V4}
