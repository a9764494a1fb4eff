"""When an input counts as understood, at once and as it grows."""

from collections import Counter
from typing import Any

import pytest

from pipelines.stages.ingest import IngestCounts
from pipelines.stages.understood import UnderstandingWatch, misread

NO_CLIENT = "delivery of a message without a client"
GOOD: dict[str, Any] = {
    "lines": 7_000,
    "records": 1_000,
    "events": 1_000,
    "kinds": Counter({"smtpd client": 900}),
}


def kind(**counts: Any) -> str | None:
    found = misread(IngestCounts(**counts))
    return None if found is None else found.kind


def test_a_log_that_is_read_right_is_understood() -> None:
    assert kind(**GOOD) is None
    assert kind(lines=200_000, records=30_000, events=30_000, late=100) is None


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"records": 1_000, "rejects": Counter(bad_time=1_000)}, "rejected"),
        ({"records": 1_001, "events": 1, "rejects": Counter(bad_time=1_000)}, None),
        ({"records": 1_005, "heartbeats": 5, "rejects": Counter(bad_time=1_000)}, "rejected"),
        ({**GOOD, "rejects": Counter(unclear_year=70)}, "unclear_year"),
        ({**GOOD, "rejects": Counter(unclear_year=69)}, None),
        ({"lines": 999, "kinds": Counter({"other program": 999})}, None),
        ({"lines": 1_000, "kinds": Counter({"other program": 1_000})}, "no_events"),
        ({"lines": 1_000, "events": 10, "kinds": Counter({"other program": 990})}, None),
        ({"lines": 9_000, "events": 500, "kinds": Counter({NO_CLIENT: 500})}, "no_clients"),
        ({"lines": 9_000, "events": 501, "kinds": Counter({NO_CLIENT: 500})}, None),
        (
            {"lines": 9_000, "events": 500, "kinds": Counter({NO_CLIENT: 900, "pickup": 800})},
            None,
        ),
        ({"lines": 9_000, "events": 449, "kinds": Counter({"smtpd client": 900})}, "no_deliveries"),
        ({"lines": 9_000, "events": 450, "kinds": Counter({"smtpd client": 900})}, None),
        ({"records": 1_000, "events": 1_000, "late": 501}, "late"),
        ({"records": 1_000, "events": 1_000, "late": 500}, None),
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
    watch, counts = UnderstandingWatch(), IngestCounts(**GOOD)
    assert watch.look(counts)
    assert watch.verdict is None
    counts.lines += 9_999
    counts.kinds["other program"] += 9_999
    assert not watch.look(counts)
    counts.lines += 1
    counts.kinds["other program"] += 1
    assert watch.look(counts)
    assert watch.verdict is not None
    counts.lines += 10_000
    counts.events += 2_000
    assert watch.look(counts)
    assert watch.verdict is None
