"""The listings: one listing a subject, numbered changes, shadow, holds above the budget, purges."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from detector.log.records import PolicyChange
from detector.policy.settings import GuardLimits, Policy, policy_digest
from detector.policy.text import policy_to_json
from tests.days import (
    BOTH_FAMILIES,
    DAY,
    DAY0_MS,
    FLOODED,
    HOUR,
    MINUTE,
    V4,
    V6,
    V6_HOST,
    Days,
    changes,
    ordinary,
)

START = 2 * HOUR
BUSY = "192.0.2.20"


def with_rules(policy: Policy | None = None, **rules: Any) -> Policy:
    """Give the default policy with settings of all rules, or of those named, changed."""
    policy = policy or Policy()
    changed = {name: replace(getattr(policy.rules, name), **more) for name, more in rules.items()}
    return replace(policy, rules=replace(policy.rules, **changed))


# -- what a change says ------------------------------------------------------------------------


def test_one_subject_has_one_listing_whatever_it_floods() -> None:
    """Three victims and a whole hour: one list, one expire."""
    days = Days()
    ordinary(days, START)
    days.flood(START, V4)
    days.flood(START, V4, to="bob@club.example")
    days.flood(START + 60, V4, to="eve@example.org", count=300, span_s=600)
    assert changes(days.run(2 * DAY)) == ["list", "expire"]


def test_changes_are_numbered_without_gap_and_known_by_their_ids() -> None:
    """`seq` counts from 1, time never goes back, no id comes twice, victims are masked."""
    days = Days()
    ips = [f"198.18.{i}.{i}" for i in range(9)] + [V4, V6_HOST]
    days.flood(START, *ips, count=220, span_s=60)
    days.ask(START + 30, V4)
    days.ask(START + 2 * HOUR, V6)
    out = days.run(2 * DAY)
    assert set(changes(out)) == {"list", "refuse", "remove", "expire"}
    assert [one["seq"] for one in out] == list(range(1, len(out) + 1))
    assert all(a["time"] <= b["time"] for a, b in pairwise(out))
    assert len({one["id"] for one in out}) == len(out)
    assert FLOODED not in str(out)
    assert {one["policy"] for one in out} == {policy_digest(Policy())}


def test_within_one_close_changes_come_in_the_order_of_subjects() -> None:
    """Slots, and who wrote first, do not matter."""
    days = Days()
    ips = [f"198.18.{i}.{9 - i}" for i in range(9)]
    days.flood(START, *reversed(ips), count=90, span_s=30)
    listed = days.run(START + HOUR)
    assert changes(listed) == ["list"] * 9
    assert len({one["time"] for one in listed}) < 9
    for a, b in pairwise(listed):
        assert (a["time"], a["subject"]) < (b["time"], b["subject"])


def test_a_decision_dates_from_when_it_was_knowable() -> None:
    """It is the end of a tick plus the lateness, and no message after it is in its evidence."""
    days = Days()
    days.flood(START, V4)
    (one,) = days.run(START + HOUR)
    assert one["time"] % 1_000 == 0
    assert one["time"] - one["last_seen"] == 3_000
    assert one["first_seen"] <= one["last_seen"]


# -- rules that are off, or in the shadow --------------------------------------------------------


def test_in_shadow_everything_is_decided_and_marked() -> None:
    """The same changes at the same times, each with `shadow`."""
    stories = []
    for mode in ("on", "shadow"):
        days = Days(replace(Policy(), mode=mode))
        days.flood(START, V4)
        days.ask(START + 60, V4)
        days.ask(START + 2 * HOUR, V4)
        stories.append(days.run(DAY))
    on, shadow = stories
    assert changes(on) == changes(shadow) == ["list", "refuse", "remove"]
    assert [one["time"] for one in on] == [one["time"] for one in shadow]
    assert not any(one["shadow"] for one in on)
    assert all(one["shadow"] for one in shadow)


def test_a_rule_in_shadow_marks_only_its_own() -> None:
    """`victim_flood` in shadow: its listing is marked."""
    days = Days(with_rules(victim_flood={"mode": "shadow"}))
    days.flood(START, V4)
    (one,) = days.run(START + HOUR)
    assert (one["rule"], one["shadow"]) == ("victim_flood", True)


def test_a_rule_that_is_off_lists_nothing() -> None:
    """There is one rule: without it nothing is decided."""
    days = Days(with_rules(victim_flood={"enabled": False}))
    days.flood(START, V4, count=600, span_s=300)
    assert days.run(DAY) == []


# -- the breaker on cost -----------------------------------------------------------------------


def costly(hold_share: float = 0.25, guard: dict[str, Any] | None = None) -> Days:
    """Three hours in which a busy host sends half of all normal mail; then it floods."""
    limits = replace(GuardLimits(first_day_s=0, hold_share=hold_share), **(guard or {}))
    days = Days(replace(Policy(), guard=limits))
    for minute in range(180):
        days.mail(minute * MINUTE + 7, BUSY, f"u{minute % 9}@club.example")
        days.mail(minute * MINUTE + 9, "198.18.99.3", f"u{minute % 7}@example.net")
    days.flood(3 * HOUR + 30, BUSY)
    return days


def test_a_listing_above_the_budget_is_held_for_an_operator() -> None:
    """Half of the normal mail is more than a quarter: it is held, watched and not in force."""
    days = costly()
    days.ask(3 * HOUR + 200, BUSY)
    out = days.run(5 * DAY)
    assert changes(out) == ["hold", "refuse", "expire"]
    shown = out[0]["evidence"]["collateral"]
    assert 0.25 < shown["own_share"] == shown["share_in_all"] < 0.75
    assert shown["alert"] is True
    assert out[1]["evidence"] == {"reason": "not listed"}
    assert days.engine.listings.costs.in_all == 0


def test_a_held_listing_is_released_by_an_operator_and_then_lives_as_any() -> None:
    """Released, it costs; it refuses a removal in its time, and ends by itself."""
    days = costly()
    days.operate(3 * HOUR + 300, "release", f"::ffff:{BUSY}")
    days.ask(3 * HOUR + 400, BUSY)
    out = days.run(3 * HOUR + 500)
    assert changes(out) == ["hold", "release", "refuse"]
    assert days.engine.listings.costs.in_all > 0
    assert out[1]["until"] > out[1]["time"]
    assert "quiet_needed_s" in out[2]["evidence"]


def test_below_the_budget_a_costly_listing_is_listed_with_an_alert() -> None:
    """A big share is never a reason to spare; the alert says what it costs."""
    days = costly(hold_share=0.9)
    out = days.run(3 * HOUR + 500)
    assert changes(out) == ["list"]
    assert out[0]["evidence"]["collateral"]["alert"] is True


def test_a_hold_that_ended_is_no_repeat() -> None:
    """It was never in force: the next listing of that subject is its first."""
    days = costly(guard={"victim_alert_share": 0.5})
    days.operate(5 * HOUR, "remove", BUSY)
    days.flood(6 * HOUR, BUSY)
    days.operate(6 * HOUR + 300, "release", BUSY)
    days.ask(6 * HOUR + 400, BUSY)
    out = days.run(6 * HOUR + 500)
    assert changes(out) == ["hold", "remove", "hold", "release", "refuse"]
    assert out[-1]["evidence"]["quiet_needed_s"] == HOUR


def test_a_stranger_costs_nothing_and_is_never_held() -> None:
    """Whoever never sent normal mail passes the breaker, also when the budget is spent."""
    days = costly(hold_share=0.0)
    days.flood(3 * HOUR + 120, V4, to="eve@example.org")
    out = days.run(4 * HOUR)
    assert changes(out, BUSY) == ["hold"]
    assert changes(out, V4) == ["list"]


# -- a new policy ------------------------------------------------------------------------------


def switched(before: Policy, after: Policy, *, again: bool = True) -> list[dict[str, Any]]:
    """Flood, change the policy a quarter of an hour later, flood again."""
    days = Days(before)
    days.flood(START, V4)
    text = policy_to_json(after)
    days.controls.append(PolicyChange(DAY0_MS + (START + 15 * MINUTE) * 1_000, text))
    if again:
        days.flood(START + 20 * MINUTE, V4)
    return days.run(START + HOUR)


def test_out_of_the_shadow_a_source_is_listed_for_real() -> None:
    """A listing that blocked nobody does not stand in the way of one that does; no repeat."""
    out = switched(replace(Policy(), mode="shadow"), Policy())
    assert [(one["change"], one["shadow"]) for one in out] == [
        ("list", True), ("remove", True), ("list", False),
    ]  # fmt: skip
    assert out[2]["until"] - out[2]["last_seen"] == (DAY + 1) * 1_000


def test_into_the_shadow_a_listing_stays_in_force_until_its_end() -> None:
    """What was announced is kept; only new ones are marked."""
    out = switched(Policy(), replace(Policy(), mode="shadow"))
    assert [(one["change"], one["shadow"]) for one in out] == [("list", False)]


def test_what_a_new_policy_never_lists_is_removed_by_it() -> None:
    """The never-list of a policy removes as that of the operators does."""
    out = switched(Policy(), replace(Policy(), guard=GuardLimits(never_list=(f"{V4}/32",))))
    assert changes(out) == ["list", "remove"]
    assert out[1]["evidence"] == {"reason": "on the allowlist now"}


def test_shorter_terms_end_listings_sooner() -> None:
    """A listing is looked at under the new terms, not only when the old ones would end it."""
    short = replace(
        Policy().listing, temporary_quiet_s=20 * MINUTE, temporary_removal_quiet_s=MINUTE
    )
    out = switched(Policy(), replace(Policy(), listing=short), again=False)
    assert changes(out) == ["list", "expire"]
    assert 20 * MINUTE <= (out[1]["time"] - out[1]["last_seen"]) // 1_000 <= 21 * MINUTE + 3


def test_a_decision_names_the_policy_that_made_it() -> None:
    """Before the change the old digest, after it the new one."""
    after = replace(Policy(), mode="shadow")
    out = switched(replace(Policy(), mode="on"), after)
    assert {one["policy"] for one in out} == {policy_digest(Policy())}
    days = Days(Policy())
    text = policy_to_json(after)
    days.controls.append(PolicyChange(DAY0_MS + START * 1_000, text))
    days.flood(START + 5 * MINUTE, V4)
    assert [one["policy"] for one in days.run(START + HOUR)] == [policy_digest(after)]


# -- operators ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("ip", "subject"), BOTH_FAMILIES)
def test_an_operator_removes_in_mid_flood(ip: str, subject: str) -> None:
    """What an operator removes is gone at once, and counts from there on anew."""
    days = Days()
    days.flood(START, ip)
    days.operate(START + 40, "remove", ip)
    out = days.run(DAY)
    assert changes(out) == ["list", "remove"]
    assert out[1]["subject"] == subject
    assert not days.engine.listings.listed.any()


def test_an_operator_is_told_what_cannot_be_done() -> None:
    """Nothing listed there, nothing held there."""
    days = Days()
    days.flood(START, V4)
    days.operate(START + 60, "release", V4)
    days.operate(START + 61, "release", "192.0.2.99")
    out = days.run(START + HOUR)
    assert changes(out) == ["list", "refuse", "refuse"]
    assert out[1]["evidence"] == {"reason": "cannot release this listing"}
    assert out[2]["evidence"] == {"reason": "not listed"}


@pytest.mark.parametrize("what", ["rule=victim_flood", f"policy={policy_digest(Policy())}"])
def test_a_purge_removes_everything_that_one_rule_or_policy_listed(what: str) -> None:
    """One control, all subjects, both families; none of it counts as a repeat later."""
    days = Days()
    days.flood(START, V4)
    days.flood(START, V6_HOST, to="bob@club.example")
    days.operate(START + 300, "purge", what)
    days.flood(START + 400, V4)
    days.ask(START + 600, V4)
    out = days.run(START + HOUR)
    assert changes(out) == ["list", "list", "remove", "remove", "list", "refuse"]
    assert {one["subject"] for one in out[2:4]} == {V4, V6}
    assert {one["evidence"]["reason"] for one in out[2:4]} == {f"purged: {what}"}
    assert out[-1]["evidence"]["quiet_needed_s"] == HOUR


@pytest.mark.parametrize("what", ["rule=asn_flood", "policy=0123456789ab", "all", ""])
def test_a_purge_of_something_else_leaves_everything(what: str) -> None:
    """Another rule, another policy, or rubbish."""
    days = Days()
    days.flood(START, V4)
    days.operate(START + 300, "purge", what)
    assert changes(days.run(START + HOUR)) == ["list"]
