"""When an input counts as understood, at once and as it grows."""

from collections import Counter
from typing import Any

import pytest

from pipelines.parsers.postfix_kinds import LIKE_MAIL, NO_CLIENT, OWN_DELIVERY
from pipelines.stages.ingest import IngestCounts
from pipelines.stages.understood import UnderstandingWatch, misread, misread_inputs

GOOD: dict[str, Any] = {
    "lines": 7_000,
    "records": 1_000,
    "events": 1_000,
    "kinds": Counter({"smtpd client": 900}),
}


def made(**counts: Any) -> IngestCounts:
    """Counts in which each event is one record."""
    rejects = sum(counts.get("rejects", Counter()).values())
    records = counts.get("events", 0) + counts.get("heartbeats", 0) + rejects
    return IngestCounts(**{"records": records} | counts)


def kind(**counts: Any) -> str | None:
    found = misread(made(**counts))
    return None if found is None else found.kind


def test_a_log_that_is_read_right_is_understood() -> None:
    assert kind(**GOOD) is None
    assert kind(lines=200_000, records=30_000, events=30_000, late=100) is None


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"records": 1_000, "rejects": Counter(bad_time=1_000)}, "rejected"),
        ({"records": 1_001, "events": 1, "rejects": Counter(bad_time=1_000)}, "rejected"),
        ({"records": 1_000, "events": 10, "rejects": Counter(bad_time=990)}, None),
        ({"records": 1_005, "heartbeats": 5, "rejects": Counter(bad_time=1_000)}, "rejected"),
        ({**GOOD, "rejects": Counter(unclear_year=70)}, "unclear_year"),
        ({**GOOD, "rejects": Counter(unclear_year=69)}, None),
        ({"lines": 999, "kinds": Counter({"other program": 999})}, None),
        ({"lines": 1_000, "kinds": Counter({"other program": 1_000})}, "no_events"),
        ({"lines": 1_000, "events": 10, "kinds": Counter({"other program": 990})}, None),
        ({"lines": 90_000, "events": 10, "kinds": Counter({"other program": 89_000})}, None),
        ({"lines": 90_000, "events": 10, "kinds": Counter({LIKE_MAIL: 89_000})}, "no_events"),
        ({"lines": 9_000, "events": 500, "kinds": Counter({OWN_DELIVERY: 900})}, None),
        ({"lines": 9_000, "events": 500, "kinds": Counter({NO_CLIENT: 500})}, "no_clients"),
        ({"lines": 9_000, "events": 501, "kinds": Counter({NO_CLIENT: 500})}, None),
        (
            {"lines": 9_000, "events": 500, "kinds": Counter({NO_CLIENT: 900, "pickup": 800})},
            None,
        ),
        ({"lines": 9_000, "events": 449, "kinds": Counter({"smtpd client": 900})}, "no_deliveries"),
        ({"lines": 9_000, "events": 450, "kinds": Counter({"smtpd client": 900})}, None),
        ({"records": 1_000, "events": 1_000, "stale": 501}, "late"),
        ({"records": 1_000, "events": 1_000, "stale": 500, "late": 900}, None),
    ],
)
def test_each_share_has_its_border(counts: dict[str, Any], found: str | None) -> None:
    assert kind(**counts) == found


def test_the_words_name_the_most_frequent_kind_with_an_escaped_example() -> None:
    counts = IngestCounts(
        lines=2_000,
        kinds=Counter({"other program": 1_500, "anvil": 500}),
        examples={"other program": b"Mar 14 mx1 exim[1]: \x1b[31m", "anvil": b"x"},
    )
    said = str(misread(counts))
    assert "2,000 lines made only 0 events; most are 'other program' (1,500)" in said
    assert r"exim[1]: \u001b[31m" in said


def test_good_lines_of_before_do_not_excuse_what_comes_now() -> None:
    watch, counts = UnderstandingWatch(), made(**GOOD)
    assert watch.look(counts)
    assert watch.verdict is None
    counts.lines += 9_999
    counts.kinds["other program"] += 9_999
    assert not watch.look(counts)
    counts.lines += 1
    counts.kinds["other program"] += 1
    assert watch.look(counts)
    assert watch.verdict is not None
    counts.lines += 1_000
    counts.records += 200
    assert watch.look(counts)
    assert watch.verdict is None


def test_a_good_input_does_not_hide_a_bad_one() -> None:
    good = made(lines=900_000, events=100_000, kinds=Counter({"smtpd client": 90_000}))
    bad = made(lines=1_000, kinds=Counter({"other program": 1_000}))
    whole = IngestCounts()
    whole.add(good)
    whole.add(bad)
    found = misread_inputs([("mx1.log", good), ("mx2.log", bad), ("mx3.log", bad)], whole)
    assert found is not None
    assert found.problem.startswith("mx2.log (and 1 other): 1,000 lines made only")
    assert misread_inputs([("mx1.log", good)], good) is None


def test_open_ticks_do_not_make_an_input_look_misread() -> None:
    """At a busy site thousands of records come before the first tick closes."""
    counts = IngestCounts(lines=5_000, records=2_000, kinds=Counter({"smtpd client": 2_000}))
    assert misread(counts) is None
