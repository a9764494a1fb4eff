"""Listings are logged: each flood at once by its first one, the rest in sums, masked."""

import io
import json
import logging
from typing import Any

import pytest

from pipelines.console.messages import logger_of, start_logging, stop_logging
from pipelines.live.listing_log import ListingLog


class Logged:
    """What a listing log writes, with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._out = io.StringIO()
        self._handler = start_logging(stream=self._out)
        self.log = ListingLog(logger_of("detect"), lambda: self.now_s)

    def lines(self) -> list[dict[str, Any]]:
        stop_logging(self._handler)
        drop = {"timestamp", "level", "logger"}
        found = [json.loads(line) for line in self._out.getvalue().split("\n")[:-1]]
        assert {line["level"] for line in found} <= {"info"}
        return [{k: v for k, v in line.items() if k not in drop} for line in found]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    monkeypatch.setattr(logging.getLogger("floodwatch"), "level", logging.INFO)
    return Logged()


def change(number: int, flood: int = 1, kind: str = "list", **more: Any) -> dict[str, Any]:
    return {
        "change": kind, "subject": f"192.0.2.{number % 256}", "rule": "victim_flood",
        "shadow": False, "evidence": {"flood": f"{flood:016x}", "victim": "a***@c***.example"},
        **more,
    }  # fmt: skip


def test_the_first_listing_of_a_flood_is_logged_at_once_and_the_rest_as_a_sum(
    logged: Logged,
) -> None:
    logged.log.note([change(1), change(2), change(3, kind="extend"), change(4, kind="expire")])
    logged.now_s = 4.9
    logged.log.note([change(number) for number in range(5, 60)])
    logged.now_s = 5.0
    logged.log.tell()
    logged.now_s = 11.0
    logged.log.tell()
    flood = {"victim": "a***@c***.example", "flood": f"{1:016x}"}
    assert logged.lines() == [
        {
            "event": "listed",
            "addresses": 1,
            "subject": "192.0.2.1",
            "rule": "victim_flood",
            **flood,
        },
        {"event": "listed", "addresses": 56, "floods": 1, **flood},
    ]


def test_a_storm_of_floods_is_a_few_lines(logged: Logged) -> None:
    for second in range(60):
        logged.now_s = float(second)
        logged.log.note([change(n, flood=100 * second + n // 5) for n in range(500)])
    logged.log.tell(all_of_it=True)
    lines = logged.lines()
    assert len(lines) <= 12 * (5 + 1)
    assert sum(line["addresses"] for line in lines) == 60 * 500


def test_shadow_and_held_addresses_are_marked(logged: Logged) -> None:
    logged.log.note([change(1, shadow=True), change(2, kind="hold")])
    logged.log.note([change(3, kind="hold"), change(4, shadow=True), change(5)])
    logged.log.tell(all_of_it=True)
    told = [(line["event"], line["addresses"], line.get("shadow", "")) for line in logged.lines()]
    shadow = "recorded, not published"
    assert told == [
        ("listed", 1, shadow), ("held for an operator", 1, ""), ("listed", 1, ""),
        ("listed", 1, shadow), ("held for an operator", 1, ""),
    ]  # fmt: skip


def test_what_is_remembered_of_floods_is_bounded(logged: Logged) -> None:
    for flood in range(5_000):
        logged.log.note([change(1, flood=flood)])
    assert len(logged.log._known) == 1_000  # noqa: SLF001 - the bound itself
