"""Metrics: declared once, as the docs have them, named as promtool asks, bounded, no address."""

import math
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from detector.errors import StoreError
from pipelines.alerts.posting import Outcome
from pipelines.cli.schemas import DECISION
from pipelines.clock import now_ms
from pipelines.console.telemetry import Telemetry
from pipelines.live.health import StageHealth
from pipelines.snapshot_file import save_snapshot
from pipelines.web.exposition import exposition
from pipelines.web.progress import Health

README = Path(__file__).parents[2] / "pipelines" / "web" / "README.md"
PROMTOOL = shutil.which("promtool")


def filled() -> Telemetry:
    telemetry = Telemetry(now_ms=lambda: 10_500, elapsed_s=lambda: 7.0)
    telemetry.rejects.add("bad_time", 2)
    telemetry.changes.add("list")
    telemetry.misread.add("late")
    telemetry.store_errors.add("locked")
    telemetry.webhook_attempts.add("delivered")
    telemetry.input_lag.set(3, 40)
    telemetry.queue_depth.set("alerts", 4)
    telemetry.loop_lag.observe(0.02)
    telemetry.watermark(10_000)
    telemetry.snapshot_written(99)
    return telemetry


def test_the_table_in_the_docs_is_what_the_code_declares() -> None:
    rows = re.findall(r"^\| `(floodwatch_\w+)` \| (.*) \|$", README.read_text(), re.MULTILINE)
    documented = [(name, *rest.split(" | ")) for name, rest in rows]
    assert documented == [
        (m.name, m.kind, f"`{m.label}`" if m.label else "-", m.unit, m.meaning)
        for m in Telemetry().declared
    ]


def test_what_is_exported_is_what_is_declared() -> None:
    families = {f.name: f for f in text_string_to_metric_families(exposition(filled()).decode())}
    declared = {m.name.removesuffix("_total"): m for m in Telemetry().declared}
    assert set(families) == set(declared)
    for name, family in families.items():
        assert family.type == declared[name].kind
        assert {k for s in family.samples for k in s.labels} - {"le"} == (
            {declared[name].label} - {""}
        )


def test_names_keep_to_the_conventions() -> None:
    """As `promtool check metrics`: base units, `_total` on counters alone, no type in a name."""
    for metric in Telemetry().declared:
        assert re.fullmatch(r"floodwatch(_[a-z]+){2,5}", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.removesuffix("_total").endswith(metric.unit)
        assert not re.search(
            r"_(counter|gauge|histogram|count|sum|bucket|info|ms|minutes|milliseconds|kb|percent)(_|$)",
            metric.name,
        )


@pytest.mark.needs("promtool")
def test_promtool_agrees() -> None:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=exposition(filled()), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_no_address_becomes_a_label_and_words_are_bounded() -> None:
    telemetry = Telemetry()
    for text in ("192.0.2.7", "2001:db8::1", "a@b.example", "fe80", "x" * 41, "A", ""):
        telemetry.rejects.add(text)
    known = len(re.findall('reason="', exposition(telemetry).decode())) - 1  # without `other`
    letters = "abcdefghijklmnopqrstuvwxyz"
    for first in letters:
        for second in letters:
            telemetry.rejects.add(f"reason_{first}{second}")
    text = exposition(telemetry).decode()
    labels = set(re.findall(r'reason="([^"]*)"', text))
    assert len(labels) == 41
    assert telemetry.value("floodwatch_rejected_records_total", reason="other") == (
        7 + 26 * 26 - (40 - known)
    )


def test_partitions_are_bounded_and_leave() -> None:
    telemetry = Telemetry()
    lag = telemetry.input_lag
    for partition in range(300):
        lag.set(partition, partition)
    name = "floodwatch_input_lag_records"
    assert exposition(telemetry).count(b'partition="') == 257
    assert telemetry.value(name, partition="other") == 299
    lag.forget(299)
    assert telemetry.value(name, partition="other") == 298
    for partition in range(300):
        lag.forget(partition)
    assert b'partition="' not in exposition(telemetry)


def test_ages_grow_while_nothing_moves_and_are_unknown_before() -> None:
    now = [0.0]
    telemetry = Telemetry(now_ms=lambda: int(now[0] * 1000), elapsed_s=lambda: now[0])
    for name in ("floodwatch_watermark_delay_seconds", "floodwatch_snapshot_age_seconds"):
        assert math.isnan(telemetry.value(name) or 0)
    telemetry.watermark(0)
    telemetry.snapshot_written(10)
    now[0] = 60.5
    assert telemetry.value("floodwatch_watermark_delay_seconds") == 60.5
    assert telemetry.value("floodwatch_snapshot_age_seconds") == 60.5
    assert telemetry.value("floodwatch_snapshot_size_bytes") == 10


def test_each_word_that_a_label_can_have_is_exported_from_the_start() -> None:
    """An alert on the first error needs a 0 before it."""
    kinds: list[type[StoreError]] = [StoreError, *StoreError.__subclasses__()]
    store_errors = {
        kind.__name__.removeprefix("Store").removesuffix("Error").lower() or "other"
        for kind in kinds
        if kind.__module__ == StoreError.__module__
    }
    expected = {
        "floodwatch_store_errors_total": ("kind", store_errors),
        "floodwatch_webhook_attempts_total": ("outcome", set(get_args(Outcome))),
        "floodwatch_listing_changes_total": (
            "change",
            set(DECISION["properties"]["change"]["enum"]),
        ),
        "floodwatch_queue_depth_items": ("queue", {"alerts"}),
    }
    telemetry = Telemetry()
    for sample, (label, words) in expected.items():
        assert {word: telemetry.value(sample, **{label: word}) for word in words} == (
            dict.fromkeys(words, 0)
        )


def test_a_restarted_detector_exports_what_it_starts_from(tmp_path: Path) -> None:
    telemetry = Telemetry()
    stage = StageHealth.of("detect", Health(), telemetry)
    snapshot = tmp_path / "snapshot"
    age, size = "floodwatch_snapshot_age_seconds", "floodwatch_snapshot_size_bytes"
    stage.starts_from(snapshot, 0, None)
    assert 0 <= (telemetry.value(age) or 0) < 60
    assert telemetry.value(size) == 0
    save_snapshot(snapshot, b"12345")
    an_hour_ago_s = now_ms() // 1000 - 3_600
    os.utime(snapshot, (an_hour_ago_s, an_hour_ago_s))
    stage.starts_from(snapshot, 7, 10_000)
    assert 3_600 <= (telemetry.value(age) or 0) < 3_700
    assert telemetry.value(size) == 5
    assert telemetry.value("floodwatch_listed_subjects") == 7
    assert not math.isnan(telemetry.value("floodwatch_watermark_delay_seconds") or math.nan)


def test_two_processes_in_one_share_nothing() -> None:
    first, second = Telemetry(), Telemetry()
    first.records.inc(5)
    assert second.value("floodwatch_input_records_total") == 0
