"""FIELD's table: each shape of a flood is found, each innocent pattern is left alone."""

from random import Random
from typing import Any, Final

import pytest

from tests.days import FLOODED, HOUR, MINUTE, V4, V6_HOST, Days, listed, ordinary

START: Final = 2 * HOUR


def guilty(sources: list[str], found: set[str]) -> float:
    """Give the share of the sources that was found; nobody else may be."""
    assert found <= set(sources)
    return len(found) / len(set(sources))


# -- floods --------------------------------------------------------------------------------------


def test_a_botnet_flood_is_found_by_its_victims() -> None:
    """200 sources, one to three messages each, at three mailboxes, in ten minutes."""
    days = Days()
    rng = ordinary(days, START + 20 * MINUTE)
    sources = [f"198.18.{i}.{rng.randrange(1, 255)}" for i in range(200)]
    for i in range(450):
        to = f"{('ann', 'bob', 'eve')[i % 3]}@shop.example"
        days.mail(START + i * 600 / 450, rng.choice(sources), to, sender=f"x@d{i}.example")
    assert guilty(sources, listed(days, START + HOUR)) > 0.85


def test_a_snowshoe_is_found_in_its_network() -> None:
    """60 addresses of one /24, an even message every minute and a half from each."""
    days = Days()
    ordinary(days, START + 20 * MINUTE)
    sources = [f"198.51.100.{i}" for i in range(1, 61)]
    for i in range(400):
        days.mail(START + i * 1.5, sources[i % 60], asn=64_700)
    assert guilty(sources, listed(days, START + HOUR)) == 1.0


def test_a_pulse_is_found_in_its_first_pulse_and_stays_one_listing() -> None:
    """30 s on, 5 min off, six times: one list."""
    days = Days()
    ordinary(days, START + 40 * MINUTE)
    for pulse in range(6):
        days.flood(START + pulse * 330, V4, count=40, span_s=30)
    out = days.run(START + HOUR)
    assert [one["subject"] for one in out if one["change"] == "list"] == [V4]
    assert out[0]["time"] - out[0]["first_seen"] < 30_000


def test_a_flood_over_the_mailboxes_of_a_domain_is_found() -> None:
    """80 mailboxes of one domain, none of them above its own limit."""
    days = Days()
    rng = ordinary(days, START + 30 * MINUTE)
    sources = [f"198.18.{i}.7" for i in range(20)]
    for i in range(900):
        days.mail(START + i, rng.choice(sources), f"box{rng.randrange(80)}@firm.example")
    found = days.run(START + HOUR)
    assert guilty(sources, {one["subject"] for one in found}) == 1.0
    assert "domain" in {one["evidence"].get("scope") for one in found}


def test_a_slow_ramp_is_found_before_it_is_steep() -> None:
    """From one message a minute it grows by one every two minutes; found below 15 a minute."""
    days = Days()
    ordinary(days, START + 60 * MINUTE)
    for minute in range(50):
        rate = 1 + minute // 2
        for i in range(rate):
            days.mail(START + minute * 60 + i * 60 / rate, f"198.18.{i % 9}.{minute % 3}")
    first = days.run(START + 90 * MINUTE)[0]
    steep = START + 28 * MINUTE
    assert (first["time"] - first["first_seen"]) // 1_000 < steep
    assert first["subject"].startswith("198.18.")


# -- what must not be listed -----------------------------------------------------------------------


@pytest.mark.parametrize("ip", [V4, V6_HOST])
def test_a_mailbox_that_was_always_busy_is_left_alone(ip: str) -> None:
    """2,000 messages an hour from one address, from the first second of the log."""
    days = Days()
    ordinary(days, START)
    for i in range(int(1.5 * 2_000)):
        days.mail(1 + i * 1.8, ip, "tickets@shop.example", sender="monitor@host.example")
    assert listed(days, START) == set()


def test_the_queue_that_a_sender_flushes_after_our_outage_is_left_alone() -> None:
    """All senders are silent for half an hour, then send all of it within two minutes."""
    days = Days()
    rng = Random(5)
    for i in range(START // 10 + 180):
        at = i * 10 + rng.random() * 9
        n = rng.randrange(6)
        if START <= at < START + 30 * MINUTE:
            at = START + 30 * MINUTE + rng.random() * 120
        to = f"user{rng.randrange(12)}@{rng.choice(('shop', 'club'))}.example"
        days.mail(at, f"192.0.2.{30 + n}", to, sender=f"a@m{n}.example")
    assert listed(days, START + HOUR) == set()


def test_a_lump_of_late_logs_is_no_burst() -> None:
    """An hour of one mailbox's ordinary mail is told within a second, an hour late."""
    days = Days()
    rng = ordinary(days, START + 2 * HOUR)
    for i in range(60):
        when = START + i * 60 + rng.random() * 50
        days.mail(when, f"198.18.{i}.1", arrives=START + HOUR + 100 + i / 60)
    assert listed(days, START + 2 * HOUR) == set()


PATTERNS: Final[dict[str, dict[str, Any]]] = {
    "greylisting": {"action": "defer", "cause": "other"},
    "harvesting": {"action": "reject", "cause": "unknown_user"},
    "our own mail": {"direction": "outbound"},
    "our own block": {"action": "reject", "cause": "blocklist"},
}


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
@pytest.mark.parametrize("ip", [V4, V6_HOST])
def test_attempts_that_are_no_messages_make_no_flood(pattern: str, ip: str) -> None:
    """300 in five minutes at one mailbox, from one address: no decision."""
    days = Days()
    ordinary(days, START + 10 * MINUTE)
    days.flood(START, ip, to=FLOODED, count=300, span_s=300, **PATTERNS[pattern])
    assert listed(days, START + HOUR) == set()
