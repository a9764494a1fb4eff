"""Kafka is away for long: one line a minute for all stages together, and what waits."""

import io
import json
import logging
from typing import Any

import pytest

from pipelines.console.messages import start_logging, stop_logging
from pipelines.live.outage import Outage


def test_stages_that_fail_together_are_told_of_in_one_line_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("floodwatch"), "level", logging.WARNING)
    now, out = [0.0], io.StringIO()
    outage = Outage(lambda: now[0])
    handler = start_logging(stream=out)
    for second in range(0, 300, 5):
        now[0] = float(second)
        for stage in ("ingest", "progress", "detect", "publish", "alert"):
            outage.failed(stage, "no broker answers", 5.0, was_ready=second == 0)
        logging.getLogger("aiokafka").error("Unable connect to node")
    stop_logging(handler)
    told: list[dict[str, Any]] = [
        line for line in map(json.loads, out.getvalue().split("\n")[:-1])
        if line["logger"] == "floodwatch.kafka"
    ]  # fmt: skip
    assert len(told) == 5
    assert told[0]["waiting"] == ["records of the input"]
    assert told[1]["waiting"] == [
        "records of the input", "records of the log", "listings for the store", "alerts",
    ]  # fmt: skip
    assert [line["for_s"] for line in told] == [0, 60, 120, 180, 240]
    assert sum(line["failures"] for line in told) == 1 + 4 * 60
    assert len(out.getvalue().split("\n")) - 1 < 12
