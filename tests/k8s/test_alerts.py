import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.console.telemetry import Telemetry
from tests.k8s.built import K8S, metrics_in, rules

DASHBOARD = json.loads((K8S / "dashboard.json").read_text())
RUNBOOKS = (K8S / "runbooks.md").read_text()
CASES = yaml.safe_load(Path(__file__).with_name("alerts.yaml").read_text())


def panel_queries() -> list[str]:
    return [
        target["expr"].replace("$namespace", "floodwatch")
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
    ]


def promtool(
    folder: Path, groups: object, tests: list[object]
) -> "subprocess.CompletedProcess[str]":
    (folder / "rules.yaml").write_text(json.dumps({"groups": groups}))
    (folder / "tests.yaml").write_text(
        json.dumps({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests})
    )
    return subprocess.run(
        ["promtool", "test", "rules", "tests.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_rule_has_a_case_that_fires_and_one_that_does_not() -> None:
    assert {rule["alert"] for rule in rules()} == set(CASES)
    assert all({"fires", "quiet"} == set(case) for case in CASES.values())


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("alert", sorted(CASES))
@pytest.mark.parametrize("which", ["fires", "quiet"])
def test_a_rule_fires_only_when_it_should(alert: str, which: str, tmp_path: Path) -> None:
    (rule,) = (rule for rule in rules() if rule["alert"] == alert)
    series = [{"series": key, "values": value} for key, value in CASES[alert][which].items()]
    query = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) > bool 0'
    fired = [{"labels": "{}", "value": 1}] if which == "fires" else []
    one = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{"expr": query, "eval_time": "60m", "exp_samples": fired}],
    }
    done = promtool(tmp_path, [{"name": "one", "rules": [rule]}], [one])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
def test_every_query_of_rules_and_dashboard_parses(tmp_path: Path) -> None:
    records = [
        {"record": f"panel:{number}", "expr": query} for number, query in enumerate(panel_queries())
    ]
    assert len(records) > 10
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "all", "rules": [*rules(), *records]}]}))
    subprocess.run(["promtool", "check", "rules", str(file)], check=True, capture_output=True)


def test_every_metric_of_rules_and_dashboard_exists() -> None:
    names: set[str] = set()
    for metric in Telemetry().declared:
        ends = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        names |= {metric.name + end for end in ends}
    queries = [rule["expr"] for rule in rules()] + panel_queries()
    assert {name for query in queries for name in metrics_in(query)} - names == set()
    assert all(metrics_in(query) or "up{" in query for query in queries)


def test_every_rule_has_its_section_in_the_runbooks() -> None:
    sections = set(re.findall(r"^## (\S+)$", RUNBOOKS, re.MULTILINE))
    assert {rule["alert"] for rule in rules()} <= sections
    for rule in rules():
        url = rule["annotations"]["runbook_url"]
        assert url.endswith(f"runbooks.md#{rule['alert'].lower()}")
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert {"summary", "description"} <= set(rule["annotations"])


def test_every_command_in_the_runbooks_exists() -> None:
    text = RUNBOOKS + (K8S / "README.md").read_text()
    used = set()
    for line in re.findall(
        r"(?:floodwatch|fw) ((?:control|topics|check|lookup|explain|list|export)\b[^`\n|]*)", text
    ):
        words = line.split()
        depth = 2 if words[0] in {"control", "topics"} else 1
        options = tuple(word for word in words if word.startswith("--"))
        used.add((tuple(words[:depth]), options))
    assert len(used) >= 5
    for path, options in used:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *path, "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, path
        assert [option for option in options if f"{option} " not in done.stdout] == [], path


def test_the_log_lines_that_runbooks_quote_are_written() -> None:
    quoted = re.findall(r"(?:log says|log line|missing:|lost tallies:) `([^`]+)`", RUNBOOKS)
    code = "".join(path.read_text() for path in (K8S.parent / "pipelines").rglob("*.py"))
    assert len(quoted) == 3
    assert [line for line in quoted if f'"{line}"' not in code] == []
