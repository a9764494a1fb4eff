"""I6: nothing on the never-list is listed: by itself, by prefix, mapped, or by a race."""

import ipaddress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.events.subjects import ip_key
from detector.listing.guard import RESERVED, NeverList
from detector.log.records import AllowlistChange
from detector.policy.settings import GuardLimits, Policy
from tests.days import BOTH_FAMILIES, DAY, DAY0_MS, HOUR, V4, V6, V6_HOST, Days, changes

START = 2 * HOUR


def guarded(*ranges: str) -> Days:
    """Give a story whose policy never lists some ranges."""
    return Days(replace(Policy(), guard=GuardLimits(never_list=ranges)))


@pytest.mark.parametrize(
    ("ip", "range_"),
    [
        (V4, V4), (V4, f"{V4}/32"), (V4, "203.0.113.0/24"), (V4, "0.0.0.0/0"),
        (V4, f"::ffff:{V4}"), (V4, "::ffff:203.0.113.0/120"),
        (V4, f"64:ff9b::{V4}"), (V4, "64:ff9b::203.0.113.0/120"), (V4, "2002:cb00:7100::/40"),
        (f"::ffff:{V4}", V4), (f"::ffff:{V4}", "203.0.113.0/24"),
        (V6_HOST, V6_HOST), (V6_HOST, V6), (V6_HOST, "2001:db8:5::/48"), (V6_HOST, "::/0"),
        (V6_HOST, "2001:db8:5:1::99"), (V6_HOST, "2001:db8:5:1:ffff::/80"),
    ],
)  # fmt: skip
def test_the_never_list_of_the_policy_is_never_listed(ip: str, range_: str) -> None:
    """By itself, by prefix, as IPv4-mapped IPv6, or as neighbour of an allowed host in a /64."""
    days = guarded(range_)
    days.flood(START, ip, count=300, span_s=200)
    days.flood(START + 300, ip, to="bob@club.example")
    assert days.run(DAY) == []


@pytest.mark.parametrize(
    ("ip", "range_"),
    [(V4, "203.0.113.8"), (V4, "203.0.113.10/31"), (V6_HOST, "2001:db8:5:2::/64"),
     (V6_HOST, "2001:db8:5::/64"), (V4, "2001:db8::/32")],
)  # fmt: skip
def test_neighbours_outside_the_never_list_are_listed(ip: str, range_: str) -> None:
    """The guard spares nobody by nearness."""
    days = guarded(range_)
    days.flood(START, ip)
    assert changes(days.run(START + HOUR)) == ["list"]


@pytest.mark.parametrize(
    "ip", ["10.1.2.3", "127.0.0.1", "192.168.7.7", "fe80::1", "fd00::2", "::1"]
)
def test_reserved_space_is_never_listed(ip: str) -> None:
    """No mail of the Internet comes from there (RFC 6471, 3.4)."""
    days = Days()
    days.flood(START, ip)
    assert days.run(DAY) == []


def test_beside_an_allowed_source_the_others_are_listed() -> None:
    """A flood of ten sources, one of them on the never-list."""
    days = guarded(V4)
    ips = [f"198.18.{i}.1" for i in range(9)]
    days.flood(START, V4, *ips, count=120, span_s=60)
    assert {one["subject"] for one in days.run(START + HOUR)} == set(ips)


# -- the operators' list, and races --------------------------------------------------------------


def allow(days: Days, at: float, *ranges: str) -> None:
    """Let operators set their never-list."""
    days.controls.append(AllowlistChange(DAY0_MS + int(at * 1_000), ranges))


@pytest.mark.parametrize(("ip", "subject"), BOTH_FAMILIES)
def test_an_allowlist_removes_at_the_same_close_and_for_good(ip: str, subject: str) -> None:
    """In mid-flood: one removal, and the flood that goes on lists nothing."""
    days = Days()
    days.flood(START, ip, count=400, span_s=200)
    allow(days, START + 100, ip)
    days.flood(START + DAY, ip)
    out = days.run(2 * DAY)
    assert changes(out, subject) == ["list", "remove"]
    assert out[-1]["time"] == DAY0_MS + (START + 103) * 1_000
    assert out[-1]["evidence"] == {"reason": "on the allowlist now"}


@pytest.mark.parametrize(("ip", "subject"), BOTH_FAMILIES)
def test_at_the_close_that_would_list_it_the_allowlist_comes_first(ip: str, subject: str) -> None:
    """A second before, at, or after the offence: it is never left listed."""
    story = Days()
    story.flood(START, ip)
    at = (story.run(START + HOUR)[0]["time"] - DAY0_MS) // 1_000 - 3
    for shift in (-1, 0, 0.999, 1):
        days = Days()
        days.flood(START, ip)
        allow(days, at + shift, ip)
        out = days.run(START + HOUR)
        assert changes(out, subject) == (["list", "remove"] if shift == 1 else [])


def test_a_removal_request_races_with_an_allowlist() -> None:
    """Allowed and asked at one close, in either order: removed once, not relisted."""
    for shift in (-0.1, 0.1):
        days = Days()
        days.flood(START, V4, count=800, span_s=400)
        days.flood(START + HOUR, V4, count=30, span_s=900)
        allow(days, START + 200.5, V4)
        days.ask(START + 200.5 + shift, V4)
        out = days.run(DAY)
        assert changes(out) == ["list", "remove", "refuse"]
        assert out[2]["evidence"] == {"reason": "not listed"}


def test_a_granted_removal_does_not_open_the_door_for_the_never_list() -> None:
    """Removed on request, then allowed: late rows and new ones list nothing."""
    days = Days()
    days.flood(START, V4)
    gone = START + 2 * HOUR
    days.ask(gone, V4)
    allow(days, gone + 1, V4)
    days.mail(gone + 5, "192.0.2.10", "first@quiet.example")
    days.flood(gone - 40, V4, arrives=gone + 6)
    days.flood(gone + 60, V4)
    assert changes(days.run(DAY)) == ["list", "remove"]


def test_an_allowlist_replaces_the_one_before_it() -> None:
    """Each control brings the whole list; what it leaves out may be listed from then on."""
    days = Days()
    allow(days, 0, V4)
    days.flood(START, V4)
    allow(days, START + HOUR, V6)
    days.flood(START + 2 * HOUR, V4)
    days.flood(START + 2 * HOUR, V6_HOST, to="bob@club.example")
    out = days.run(START + 3 * HOUR)
    assert [(one["change"], one["subject"]) for one in out] == [("list", V4)]
    assert out[0]["time"] > DAY0_MS + (START + 2 * HOUR) * 1_000


# -- the ranges themselves, against the standard library -------------------------------------------

V4_TEXTS = st.integers(0, 2**32 - 1).map(lambda n: str(ipaddress.IPv4Address(n)))
V6_TEXTS = st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(
    lambda n: str(ipaddress.IPv6Address(n))
)


@st.composite
def ranges_and_address(draw: st.DrawFn) -> tuple[list[str], str]:
    """Draw ranges and an address that lies in one of them about every other time."""
    texts = V4_TEXTS if draw(st.booleans()) else V6_TEXTS
    address = draw(texts)
    bits = ipaddress.ip_address(address).max_prefixlen
    ranges = []
    for _ in range(draw(st.integers(1, 5))):
        base = address if draw(st.booleans()) else draw(texts)
        ranges.append(f"{base}/{draw(st.integers(4, bits))}")
    return ranges, address


@given(ranges_and_address())
def test_ranges_cover_what_overlaps_their_subject(drawn: tuple[list[str], str]) -> None:
    """A subject is covered where any range, or reserved space, overlaps it."""
    ranges, address = drawn
    key = ip_key(address)
    assert key is not None
    host = ipaddress.ip_address(address)
    prefix = 32 if host.version == 4 else 64
    subject = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    want = any(
        net.version == subject.version and net.overlaps(subject)
        for net in (ipaddress.ip_network(text, strict=False) for text in (*RESERVED, *ranges))
    )
    assert NeverList(ranges).covers(key) == want
