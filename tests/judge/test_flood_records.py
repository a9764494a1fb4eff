"""Flood records: one flood from its first message to its end, counted by hand."""

from dataclasses import replace
from typing import Any

import pytest

from detector.judge.figures import Figures
from detector.judge.rows import CaseRow
from detector.log.records import End, Partitions
from detector.policy.settings import Policy, Rules, VictimRule
from tests.days import DAY0_MS, FLOODED, HOUR, MINUTE, Days, ordinary, seconds

START = 3 * HOUR
SOURCES = [f"198.18.{i}.7" for i in range(10)]


def records(days: Days, until: int) -> list[dict[str, Any]]:
    """Give the records of a story."""
    days.run(until)
    return days.engine.flood_records


def at(second: float) -> int:
    return DAY0_MS + int(second * 1_000)


def one_flood(days: Days, to: str = FLOODED) -> None:
    """Ten addresses of two networks send 60 a minute for three minutes, then 120 for a minute."""
    ordinary(days, START + 2 * HOUR)
    for i in range(180):
        days.mail(START + i, SOURCES[i % 10], to, asn=64_700 + i % 2)
    for i in range(120):
        days.mail(START + 180 + i / 2, SOURCES[i % 10], to, asn=64_700 + i % 2)


def test_a_flood_is_told_from_its_first_message_to_its_end() -> None:
    days = Days()
    one_flood(days)
    got = records(days, START + 2 * HOUR)
    assert [one["state"] for one in got] == ["open", *["going on"] * 4, "over"]
    opened, *going_on, over = got
    assert opened["tick"] == opened["found"] // 1_000
    assert seconds(opened["found"]) == START + opened["messages"] - 1
    ends = [START + minute * MINUTE + 59 for minute in range(4)]
    assert [seconds(one["tick"] * 1_000) for one in going_on] == ends
    assert [one["messages"] for one in going_on] == [60, 120, 180, 300]
    assert [one["peak_per_min"] for one in going_on] == [60, 60, 60, 120]
    final = {
        "scope": "mailbox", "victim": "a***@s***.example", "start": at(START),
        "last": at(START + 239), "messages": 300, "sources": 10, "asns": 2, "peak_per_min": 120,
        "listed": 10,
    }  # fmt: skip
    assert {name: over[name] for name in final} == final
    assert (over["tick"] + 1) % 600 == 0
    assert START + 50 * MINUTE < seconds(over["tick"] * 1_000) < START + 80 * MINUTE


def test_stopped_are_the_attempts_behind_the_publication_of_a_listing() -> None:
    """A listing is known two seconds (the lateness) behind the close that made it."""
    days = Days()
    one_flood(days)
    changes = days.run(START + HOUR)
    listed_ms = {one["subject"]: one["time"] for one in changes if one["change"] == "list"}
    sent = [(SOURCES[i % 10], START + i) for i in range(180)]
    sent += [(SOURCES[i % 10], START + 180 + i // 2) for i in range(120)]
    want = sum(at(second) >= listed_ms[ip] for ip, second in sent)
    assert days.engine.flood_records[-1]["stopped"] == want > 200


def test_in_shadow_nothing_is_stopped_and_listings_count_all_the_same() -> None:
    days = Days(replace(Policy(), mode="shadow"))
    one_flood(days)
    last = records(days, START + HOUR)[-1]
    assert (last["stopped"], last["listed"], last["messages"]) == (0, 10, 300)


def test_a_removed_source_stays_in_the_figures() -> None:
    """What it sent was sent, though it no longer speaks against it."""
    days = Days()
    one_flood(days)
    days.operate(START + 200, "remove", SOURCES[0])
    last = records(days, START + HOUR)[-1]
    assert (last["messages"], last["sources"]) == (300, 10)


def test_an_id_says_nothing_of_the_victim() -> None:
    """Another victim's flood at the same second of another log has the same id."""
    ids = []
    for to in (FLOODED, "bob@club.example"):
        days = Days()
        one_flood(days, to)
        got = records(days, START + HOUR)
        ids.append({one["id"] for one in got})
        evidence = [one["evidence"] for one in days.run(START + HOUR)]
        assert {one["flood"] for one in evidence if "flood" in one} <= ids[-1]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 1


def test_each_listing_names_its_flood() -> None:
    days = Days()
    one_flood(days)
    changes = days.run(START + HOUR)
    named = {one["evidence"]["flood"] for one in changes if one["change"] == "list"}
    assert named == {one["id"] for one in days.engine.flood_records}


def test_a_slow_floods_figures_begin_with_the_hour_in_which_it_shows() -> None:
    """Six a minute, where only the limit of an hour speaks against them."""
    rule = VictimRule(mailbox_per_10min=10_000)
    days = Days(replace(Policy(), rules=Rules(rule)))
    ordinary(days, START + 2 * HOUR)
    for i in range(240):
        days.mail(START + i * 10, f"198.19.{i}.7", FLOODED, asn=64_700)
    first = records(days, START + 2 * HOUR)[0]
    found = seconds(first["found"])
    assert found - START > 15 * MINUTE
    assert first["start"] == at(START)
    assert first["messages"] == first["sources"] == (found - START) // 10 + 1
    assert first["peak_per_min"] == 6


def test_a_log_that_ends_in_mid_flood_ends_with_its_last_figures() -> None:
    """The last record stands at the last close, which is no minute's end."""
    days = Days()
    one_flood(days)
    days.follow([Partitions(1), *days.tallies(START + 130), End(0)])
    last = days.engine.flood_records[-1]
    assert (last["state"], last["messages"]) == ("going on", 131)
    assert seconds(last["tick"] * 1_000) == START + 130


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_rows_does_not_matter_to_the_busiest_minute(order: int) -> None:
    """Also where rows of earlier minutes come late, up to ten minutes."""
    figures = Figures(1)
    for tick, count in [(601, 2), (59, 4), (0, 3), (660, 5), (61, 1)][::order]:
        figures.add(CaseRow(tick, 1, 2, 3, count, count, 0, 0, 4, 0, first=False), stopped=False)
    assert (figures.peak, figures.messages, figures.first, figures.last) == (7, 15, 0, 660)
