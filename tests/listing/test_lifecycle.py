"""Listings over days of event time: no end and no removal before its time, and every one ends."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from detector.listing.lifecycle import STANDING, TEMPORARY
from detector.log.records import Dead, LogRecord, Partitions
from detector.policy.settings import Policy
from tests.days import (
    BOTH_FAMILIES,
    DAY,
    DAY0_MS,
    FLOODED,
    HOUR,
    MINUTE,
    V4,
    Days,
    changes,
    ordinary,
    seconds,
)

START = 2 * HOUR
"""When floods begin: the log is no longer new."""


def of(decisions: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    """Give the changes of some kinds."""
    return [one for one in decisions if one["change"] in kinds]


# -- the end by itself -------------------------------------------------------------------------


@pytest.mark.parametrize(("ip", "subject"), BOTH_FAMILIES)
def test_a_temporary_listing_ends_after_a_day_of_quiet_and_not_before(
    ip: str, subject: str
) -> None:
    """24 h are counted from the last attempt, and the end comes within the next minute."""
    days = Days()
    days.flood(START, ip)
    out = days.run(2 * DAY)
    assert changes(out) == ["list", "expire"]
    listed, end = out
    assert listed["subject"] == end["subject"] == subject
    quiet = seconds(end["time"]) - seconds(end["last_seen"])
    assert DAY <= quiet <= DAY + MINUTE + 3
    assert end["evidence"] == {"reason": "quiet", "quiet_s": pytest.approx(DAY, abs=MINUTE)}
    assert end["evidence"]["quiet_s"] >= DAY


def test_the_until_of_a_decision_is_when_it_ends() -> None:
    """What a listing promises is kept to the minute in which ends are looked at."""
    days = Days()
    days.flood(START, V4, count=22)
    listed, end = days.run(2 * DAY)
    assert 0 <= end["time"] - listed["until"] <= (MINUTE + 3) * 1_000
    assert listed["until"] < listed["hard_until"]


def test_attempts_at_a_flooded_victim_extend_and_are_told_once_an_hour() -> None:
    """A flood of five hours is one listing; its quiet begins with its last message."""
    days = Days()
    ordinary(days, START)
    days.flood(START, V4)
    days.flood(START + 60, V4, count=5 * 60, span_s=5 * HOUR)
    out = days.run(2 * DAY)
    assert changes(out) == ["list", *["extend"] * 4, "expire"]
    told = [one["time"] for one in of(out, "list", "extend")]
    assert all(b - a >= HOUR * 1_000 for a, b in pairwise(told))
    end = out[-1]
    assert end["last_seen"] // 1_000 == DAY0_MS // 1_000 + START + 60 + 5 * HOUR - 60
    assert end["time"] - end["last_seen"] >= DAY * 1_000


def test_blocked_attempts_keep_a_listing_alive_while_the_flood_lasts() -> None:
    """Rejected because listed, the attempt is still an attempt."""
    days = Days()
    days.flood(START, V4)
    days.flood(START + 60, V4, count=200, span_s=1_800, action="reject", cause="blocklist")
    end = days.run(2 * DAY)[-1]
    assert end["change"] == "expire"
    assert seconds(end["last_seen"]) > START + 1_800


def test_an_ordinary_retry_does_not_keep_a_listing_alive() -> None:
    """After the flood one blocked message every half hour is no attempt at a flooded victim."""
    days = Days()
    days.flood(START, V4)
    for i in range(1, 60):
        days.mail(START + i * 1_800, V4, action="reject", cause="blocklist")
    out = days.run(2 * DAY)
    assert changes(out) == ["list", "expire"]
    assert seconds(out[-1]["time"]) < START + DAY + 2 * HOUR


def test_a_refusal_for_an_unknown_user_is_no_attempt() -> None:
    """It comes while the domain is flooded by others; the quiet of a listed source runs on."""
    days = Days()
    boxes = [f"box{i}@shop.example" for i in range(40)]
    for i in range(1_200):
        days.mail(START + i, V4 if i < 600 else "198.18.4.4", boxes[i % 40])
    for i in range(5):
        gone, when = f"gone{i}@shop.example", START + 1_000 + 20 * i
        days.mail(when, V4, gone, action="reject", cause="unknown_user")
    out = days.run(2 * DAY)
    assert changes(out, V4)[0] == "list"
    (end,) = of(out, "expire")[:1]
    assert end["subject"] == V4
    assert seconds(end["last_seen"]) < START + 600
    assert end["time"] - end["last_seen"] < (DAY + 2 * MINUTE) * 1_000


# -- removal on request ------------------------------------------------------------------------


@pytest.mark.parametrize(("ip", "subject"), BOTH_FAMILIES)
@pytest.mark.parametrize("spelling", ["subject", "host"])
def test_a_removal_in_mid_flood_is_refused_with_rule_offence_and_earliest_time(
    ip: str, subject: str, spelling: str
) -> None:
    """The owner may name its host or what is listed; the answer comes at the next close."""
    days = Days()
    days.flood(START, ip, count=600, span_s=300)
    days.ask(START + 200, ip if spelling == "host" else subject, "r1")
    out = days.run(START + HOUR)
    (refused,) = of(out, "refuse")
    evidence = refused["evidence"]
    assert refused["request"] == "r1"
    assert refused["subject"] == subject
    assert evidence["rule"] == refused["rule"] == of(out, "list")[0]["rule"]
    assert seconds(evidence["last_offence_ms"]) == START + 200
    assert seconds(evidence["earliest_ms"]) - (START + 200) in {HOUR, HOUR + 1}
    assert evidence["quiet_needed_s"] == HOUR
    assert seconds(refused["time"]) == START + 203


@pytest.mark.parametrize(("ip", "subject"), BOTH_FAMILIES)
def test_a_removal_is_granted_exactly_from_the_earliest_time_on(ip: str, subject: str) -> None:
    """The time in a refusal is when the last second of the quiet is over.

    A request is answered when its second closes, so that one in this last second is granted too,
    and one a millisecond before it is refused.
    """
    story = Days()
    story.flood(START, ip)
    story.ask(START + 300, subject)
    (refused,) = of(story.run(START + HOUR), "refuse")
    earliest = (refused["evidence"]["earliest_ms"] - DAY0_MS) / 1_000
    for ask in (earliest - 1, earliest):
        days = Days()
        days.flood(START, ip)
        days.ask(earliest - 1.001, subject, "early")
        days.ask(ask, subject, "due")
        out = days.run(DAY)
        assert changes(out) == ["list", "refuse", "remove"]
        assert (out[1]["request"], out[2]["request"]) == ("early", "due")
        assert out[1]["evidence"]["earliest_ms"] == refused["evidence"]["earliest_ms"]
        assert out[2]["time"] >= refused["evidence"]["earliest_ms"]
        assert out[2]["evidence"]["quiet_s"] - HOUR == ask - earliest + 1


def test_a_request_about_nothing_is_answered() -> None:
    """Not listed, not an address, and removed a second ago: each gets its refusal."""
    days = Days()
    days.flood(START, V4)
    days.ask(START + 2 * HOUR, "192.0.2.99", "a")
    days.ask(START + 2 * HOUR, "no address", "b")
    days.ask(START + 2 * HOUR, V4, "c")
    days.ask(START + 2 * HOUR + 1, V4, "d")
    out = days.run(DAY)
    assert [(one["change"], one.get("request")) for one in out] == [
        ("list", None), ("refuse", "a"), ("refuse", "b"), ("remove", "c"), ("refuse", "d"),
    ]  # fmt: skip
    assert all(one["evidence"] == {"reason": "not listed"} for one in (out[1], out[2], out[4]))


def test_requests_at_one_close_are_answered_in_the_order_of_time_then_log() -> None:
    """The first of two equal requests is granted; the second finds nothing."""
    days = Days()
    days.flood(START, V4)
    days.ask(START + 2 * HOUR + 0.5, V4, "second")
    days.ask(START + 2 * HOUR + 0.2, V4, "first")
    out = days.run(DAY)
    assert [(one["change"], one["request"]) for one in out[1:]] == [
        ("remove", "first"), ("refuse", "second"),
    ]  # fmt: skip


@pytest.mark.parametrize(("ip", "subject"), BOTH_FAMILIES)
def test_late_rows_from_before_a_removal_do_not_undo_it(ip: str, subject: str) -> None:
    """A lump of a hundred messages from before the removal, told after it, lists nobody."""
    days = Days()
    days.flood(START, ip)
    gone = START + HOUR + 100
    days.ask(gone, subject)
    days.mail(gone + 5, "192.0.2.10", "other@quiet.example")
    for i in range(100):
        days.mail(gone - 30 + i * 0.29, ip, arrives=gone + 6 + i * 0.01)
    out = days.run(2 * DAY)
    assert changes(out, subject) == ["list", "remove"]


@pytest.mark.parametrize(("ip", "subject"), BOTH_FAMILIES)
def test_new_attempts_after_a_removal_list_again_for_longer(ip: str, subject: str) -> None:
    """The second listing counts only what came since, and both quiet times are doubled."""
    days = Days()
    days.flood(START, ip)
    gone = START + HOUR + 100
    days.ask(gone, subject)
    days.flood(gone + 10, ip)
    days.ask(gone + 100, subject, "again")
    out = days.run(4 * DAY)
    assert changes(out) == ["list", "remove", "list", "refuse", "expire"]
    again, refused, end = out[2:]
    assert seconds(again["first_seen"]) >= gone + 10
    assert again["evidence"]["source_messages"] <= 60
    assert refused["evidence"]["quiet_needed_s"] == 2 * HOUR
    assert 2 * DAY <= (end["time"] - end["last_seen"]) // 1_000 <= 2 * DAY + MINUTE + 3


def test_a_removal_in_the_flood_of_others_counts_only_new_messages() -> None:
    """While others go on flooding, the removed source comes back with its own new messages."""
    days = Days()
    others = [f"198.18.{i}.1" for i in range(9)]
    days.flood(START, V4, *others, count=120, span_s=60)
    days.flood(START + 60, *others, count=12 * 75, span_s=75 * MINUTE)
    gone = START + HOUR + 120
    days.ask(gone, V4)
    days.flood(gone + 60, V4, count=30, span_s=20)
    out = [one for one in days.run(gone + 600) if one["subject"] == V4]
    assert changes(out) == ["list", "remove", "list"]
    assert seconds(out[2]["first_seen"]) >= gone + 60


# -- repeats and the standing tier ---------------------------------------------------------------


def test_the_third_listing_in_30_days_stands_and_ends_after_its_own_quiet() -> None:
    """24 h, 48 h, then standing: 7 days; a request needs 6 h, four times as much for a repeat."""
    days = Days()
    floods = (START, START + 2 * DAY, START + 5 * DAY)
    for at in floods:
        days.flood(at, V4)
    days.ask(floods[2] + 20 * HOUR, V4, "too early")
    out = days.run(14 * DAY)
    assert changes(out) == ["list", "expire", "list", "expire", "list", "refuse", "expire"]
    assert [one["tier"] for one in of(out, "list")] == [TEMPORARY, TEMPORARY, STANDING]
    quiets = [(one["time"] - one["last_seen"]) // 1_000 for one in of(out, "expire")]
    for quiet, needed in zip(quiets, (DAY, 2 * DAY, 7 * DAY), strict=True):
        assert needed <= quiet <= needed + MINUTE + 3
    assert of(out, "refuse")[0]["evidence"]["quiet_needed_s"] == 24 * HOUR


def test_a_standing_listing_is_removed_on_request_after_its_quiet() -> None:
    """It waits for its owner, who gets it removed on the day after."""
    days = Days()
    for at in (START, START + 2 * DAY, START + 5 * DAY):
        days.flood(at, V4)
    days.ask(START + 6 * DAY + MINUTE, V4)
    out = days.run(14 * DAY)
    assert changes(out)[-2:] == ["list", "remove"]
    assert out[-1]["tier"] == STANDING


def test_a_listing_from_before_the_memory_is_no_repeat() -> None:
    """After more than 30 days the next flood is the first again."""
    days = Days()
    days.flood(START, V4)
    days.flood(START + 33 * DAY, V4)
    out = days.run(36 * DAY)
    assert changes(out) == ["list", "expire", "list", "expire"]
    quiet = (out[-1]["time"] - out[-1]["last_seen"]) // 1_000
    assert DAY <= quiet <= DAY + MINUTE + 3


def test_a_flood_of_three_days_makes_its_listing_stand() -> None:
    """The change of tier is told at once, and the end comes after seven days."""
    days = Days()
    ordinary(days, START)
    days.flood(START, V4)
    days.flood(START + 60, V4, count=11 * 6 * 73, span_s=73 * HOUR)
    out = days.run(12 * DAY)
    tiers = [one["tier"] for one in of(out, "list", "extend")]
    assert tiers == sorted(tiers, reverse=True)
    first = next(one for one in out if one["tier"] == STANDING)
    assert first["change"] == "extend"
    assert 3 * DAY <= (first["last_seen"] - first["first_seen"]) // 1_000 <= 3 * DAY + 100
    assert 7 * DAY <= (out[-1]["time"] - out[-1]["last_seen"]) // 1_000 <= 7 * DAY + MINUTE + 3


# -- what nobody saw, and attempts without a recipient ---------------------------------------------


def blind(
    seen_to: int, blind_to: int, until: int, ask: float | None = None
) -> list[dict[str, Any]]:
    """Flood, then let partition 1 be dead from one time to another."""
    days = Days()
    days.flood(START, V4)
    for at in (blind_to - 20, blind_to - 10):
        days.mail(at, "192.0.2.10", "first@quiet.example")
    for at in (0, seen_to, seen_to + 10, blind_to):
        days.mail(at, "192.0.2.20", "second@quiet.example", partition=1)
    if ask is not None:
        days.ask(ask, V4)
    mine, other = days.tallies(until), days.tallies(until, 1)
    zero = DAY0_MS // 1_000
    log: list[LogRecord] = [
        Partitions(2), *days.controls,
        *(one for one in other if one.tick - zero <= seen_to),
        *(one for one in mine if one.tick - zero <= blind_to - 20), Dead(1),
        *(one for one in other if one.tick - zero > seen_to),
        *(one for one in mine if one.tick - zero > blind_to - 20),
    ]  # fmt: skip
    return days.follow(log)


def test_time_that_nobody_observed_is_not_quiet() -> None:
    """Half a day with a dead partition puts the end off by half a day."""
    out = blind(START + 4 * HOUR, START + 16 * HOUR, 3 * DAY)
    assert changes(out) == ["list", "expire"]
    late = (out[-1]["time"] - out[-1]["last_seen"]) // 1_000
    assert abs(late - (DAY + 12 * HOUR)) <= 5 * MINUTE
    assert DAY <= out[-1]["evidence"]["quiet_s"] <= DAY + MINUTE


def test_a_request_after_unobserved_time_is_refused() -> None:
    """Two hours after the last message, but only half an hour of them was watched."""
    out = blind(START + 1_800, START + 2 * HOUR, START + 3 * HOUR, ask=START + 2 * HOUR + 60)
    assert changes(out) == ["list", "refuse"]
    assert out[1]["evidence"]["quiet_s"] < HOUR


def test_a_listing_that_nobody_observes_ends_at_its_hard_end() -> None:
    """With a partition dead for ever the three days of `hard_until` end it."""
    days = Days()
    days.flood(START, V4)
    days.mail(0, "192.0.2.20", "second@quiet.example", partition=1)
    other = days.tallies(START + HOUR, 1)
    out = days.follow([Partitions(2), *other, *days.tallies(5 * DAY), Dead(1)])
    assert changes(out) == ["list", "expire"]
    assert out[-1]["evidence"]["reason"] == "hard end"
    assert out[-1]["evidence"]["quiet_s"] < DAY
    assert 3 * DAY <= (out[-1]["time"] - out[-1]["last_seen"]) // 1_000 <= 3 * DAY + MINUTE + 3


def test_attempts_without_a_recipient_above_the_floor_pause_the_quiet() -> None:
    """Eleven knocks in an hour refuse a request and put the end off; ten do neither."""
    ends = {}
    for count in (10, 11):
        days = Days()
        days.flood(START, V4)
        days.refused_at_connect(START + 50 * MINUTE, V4, count)
        days.ask(START + 70 * MINUTE, V4)
        out = days.run(START + 80 * MINUTE)
        assert changes(out) == ["list", "remove" if count == 10 else "refuse"]
        days = Days()
        days.flood(START, V4)
        days.refused_at_connect(START + 50 * MINUTE, V4, count)
        ends[count] = seconds(days.run(3 * DAY)[-1]["time"])
    assert abs(ends[11] - ends[10] - HOUR) <= MINUTE


def test_knocks_that_go_on_keep_a_listing_to_its_hard_end_at_most() -> None:
    """Twelve an hour for days: the quiet never begins, yet it ends."""
    days = Days()
    days.flood(START, V4)
    for i in range(4 * 24 * 12):
        days.refused_at_connect(START + 600 + i * 300, V4, 1)
    out = days.run(5 * DAY)
    assert changes(out) == ["list", "expire"]
    assert out[-1]["evidence"]["reason"] == "hard end"


def test_terms_of_a_policy_are_those_of_its_listings() -> None:
    """Shorter terms end sooner: nothing in the lifecycle holds a number of its own."""
    policy = Policy()
    short = replace(policy.listing, temporary_quiet_s=600, temporary_removal_quiet_s=60)
    days = Days(replace(policy, listing=short))
    days.flood(START, V4)
    out = days.run(START + HOUR)
    assert changes(out) == ["list", "expire"]
    assert 600 <= (out[-1]["time"] - out[-1]["last_seen"]) // 1_000 <= 663
    assert FLOODED not in str(out)
