"""The bundled demonstration: small, complete, mostly innocent, and its log tells its events."""

import gzip
import json
from collections import Counter
from datetime import datetime
from pathlib import Path

from pipelines.demo_traffic import ASN_TABLE, MAIL_LOG
from tests.simulate.log_oracle import Told, told_by

GOLDEN = Path(__file__).parents[1] / "golden" / "demo"


def lines_of(path: Path) -> list[str]:
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    assert lines.pop() == ""
    return lines


def test_the_demonstration_is_small() -> None:
    assert MAIL_LOG.stat().st_size + ASN_TABLE.stat().st_size <= 3_000_000


def test_its_log_tells_its_events() -> None:
    wanted: Told = Counter()
    digits = {"accept": "2", "reject": "5", "defer": "4"}
    for line in lines_of(GOLDEN / "events.ndjson.gz"):
        event = json.loads(line)
        time = event["time"]
        if isinstance(time, str):
            time = round(datetime.fromisoformat(time).timestamp() * 1000)
        wanted[time, event["client_ip"], event["recipient"], digits[event["action"]]] += 1
    assert told_by(lines_of(MAIL_LOG)) == wanted


def test_its_first_flood_comes_when_something_is_known() -> None:
    header, *_ = lines_of(GOLDEN / "truth.ndjson.gz")
    groups = json.loads(header)["groups"]
    start = min(group["start_ms"] for group in groups if group["kind"] == "normal")
    first = min(group["start_ms"] for group in groups if group["kind"] == "flood")
    assert first - start >= 75 * 60_000


def test_its_truth_has_floods_of_many_shapes_among_innocents() -> None:
    header, *groups = lines_of(GOLDEN / "truth.ndjson.gz")
    truth = json.loads(header)
    assert truth["events"] == len(groups) == len(lines_of(GOLDEN / "events.ndjson.gz"))
    events = Counter(groups)
    floods = [group for group in truth["groups"] if group["kind"] == "flood"]
    assert len({group["shape"] for group in floods}) >= 7
    assert all(events[str(group["id"])] == group["events"] >= 100 for group in floods)
    assert sum(group["events"] for group in floods) <= 0.3 * len(groups)
    innocents = {group["shape"] for group in truth["groups"] if group["kind"] == "innocent"}
    assert len(innocents) >= 11
