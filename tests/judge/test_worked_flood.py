"""The flood that detector/README.md works by hand is what the detector does."""

import re
from pathlib import Path
from typing import Any

import pytest

from detector.judge.usual import Usual
from tests.days import DAY, HOUR, MINUTE, Days, changes, seconds

PAGE = (Path(__file__).parents[2] / "detector" / "README.md").read_text()
ROW = re.compile(
    r"^\| 10:00:(\d\d) \| (\d+) \| (\d+) \| 3, of which ([\d.]+) are usual: ([\d.]+) \| ([\d.]+)",
    re.MULTILINE,
)
TEN = 2 * HOUR
SUBJECT = "192.0.2.7"


def story() -> Days:
    """Two hours of ordinary mail, and a message to Ann every 2 seconds from ten on."""
    days = Days()
    for at in range(0, TEN + HOUR, 30):
        n = at // 30
        days.mail(at, f"198.18.{n % 50}.7", f"user{n % 20}@club.example", asn=64_700 + n % 50)
    for at in range(10 * MINUTE + 7, TEN + HOUR, 20 * MINUTE):
        days.mail(at, "198.18.60.7", "ann@example.org", asn=64_800)
    for number in range(60):
        days.mail(TEN + 2 * number, SUBJECT, "ann@example.org", asn=64_999)
    return days


def clock(time_ms: int) -> str:
    """A decision's time as the page writes it."""
    at = seconds(time_ms) - TEN + 10 * HOUR
    return f"{at // HOUR % 24}:{at // MINUTE % 60:02}:{at % MINUTE:02}"


def test_its_table_is_what_the_detector_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: dict[int, tuple[float, float]] = {}
    usual = Usual.crowd_most

    def noted(self: Usual, count: int, span_s: int, surprised: float) -> float:
        most = usual(self, count, span_s, surprised)
        if span_s == MINUTE:
            counted[self.traffic.tick % MINUTE] = count, most
        return most

    monkeypatch.setattr(Usual, "crowd_most", noted)
    story().run(TEN + 45)
    rows = ROW.findall(PAGE)
    assert len(rows) == 3
    for second, count, loud, crowd, left, beyond in rows:
        came, most = counted[int(second)]
        assert came == int(count) == int(loud) + 3
        assert f"{most:.1f}" == crowd
        assert f"{3 - most:.1f}" == left
        assert f"{came - most:.1f}" == beyond


def test_its_decision_is_what_the_detector_decides() -> None:
    first, *_ = story().run(TEN + 46)
    evidence: dict[str, Any] = first["evidence"]
    assert clock(first["time"]) == "10:00:47"
    for name in ("first_seen", "last_seen", "until", "hard_until"):
        (told,) = re.findall(rf"\b{name} +(10:00:\d\d)", PAGE)
        assert clock(first[name]) == told
    assert (first["change"], first["tier"], first["rule"]) == ("list", "temporary", "victim_flood")
    assert f"innocent {evidence['innocent']:.6f}; 0 messages to others" in PAGE
    assert f"{evidence['count']} messages above the usual number to {evidence['victim']}" in PAGE
    assert f"in {evidence['window_s']} s, the limit is {evidence['limit']}\n" in PAGE
    assert (evidence["source_messages"], evidence["flood_messages"]) == (23, 23)
    assert (evidence["expected_from_source"], evidence["messages_to_others"]) == (0.0, 0)
    assert round(evidence["expected_from_asn"]) == 0


def test_it_is_over_and_its_listing_ends_when_the_page_says() -> None:
    for until, going_on in ((TEN + 70 * MINUTE - 1, True), (TEN + 70 * MINUTE, False)):
        days = story()
        days.run(until - 1)
        assert any(case.flood for case in days.engine.cases.values()) == going_on
    days = story()
    days.ask(TEN + HOUR + MINUTE + 57, SUBJECT, "early")
    days.ask(TEN + HOUR + MINUTE + 59, SUBJECT, "due")
    out = days.run(TEN + 2 * HOUR)
    assert changes(out, SUBJECT) == ["list", "refuse", "remove"]
    assert clock(out[1]["evidence"]["earliest_ms"]) == "11:01:59"
    out = story().run(TEN + 2 * DAY)
    assert changes(out, SUBJECT) == ["list", "expire"]
    assert seconds(out[1]["time"]) == TEN + DAY + 2 * MINUTE + 2
