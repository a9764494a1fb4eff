"""`policy`, `check`, `schema`, `simulate`, and how fast the command line answers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from detector.policy.settings import Policy, policy_digest
from detector.policy.text import settings_of
from pipelines.settings.config_file import load_policy
from tests.cli.command_line import ROOT, START_MS, Call, event, lines, story


def test_the_policy_printed_as_a_file_is_the_policy(floodwatch: Call) -> None:
    text = floodwatch("policy", "--toml").out
    Path("policy.toml").write_text(text)
    assert load_policy("policy.toml") == Policy()
    assert text.count("\n# ") == len(list(settings_of(Policy())))


def test_a_policy_file_is_what_is_printed(floodwatch: Call) -> None:
    Path("policy.toml").write_text("[rules.victim_flood]\nmailbox_per_min = 13\n")
    told = json.loads(floodwatch("policy", "--policy", "policy.toml", "--json").out)
    assert told["policy"] == policy_digest(load_policy("policy.toml"))
    values = {one["key"]: one["value"] for one in told["settings"]}
    assert values["rules.victim_flood.mailbox_per_min"] == "13"
    words = floodwatch("policy", "--policy", "policy.toml").out.split()
    assert "a mailbox 13 40 120" in " ".join(words)


def test_words_and_numbers_at_once_are_a_usage_error(floodwatch: Call) -> None:
    assert floodwatch("policy", "--json", "--toml").code == 2


def test_check_says_what_a_replay_would_do_and_changes_nothing(floodwatch: Call) -> None:
    result = floodwatch("check")
    assert result.code == 0
    assert "a replay would create it" in result.out
    assert list(Path().iterdir()) == []
    Path("mail.ndjson").write_bytes(lines(story()))
    floodwatch("replay", "mail.ndjson")
    assert "listed as of 2026-01-01T00:39:59Z" in floodwatch("check").out


def test_check_tells_everything_that_is_wrong(floodwatch: Call) -> None:
    Path("policy.toml").write_text("[clok]\n[clock]\nlateness_s = -1\n")
    Path("floodwatch.db").write_text("a letter")
    named = ("--policy", "policy.toml", "--asn-table", "no.tsv", "--providers", "no.toml")
    result = floodwatch("check", *named)
    assert result.code == 2
    for words in ("policy.toml:1", "policy.toml:3", "no.tsv", "no.toml", "not an SQLite database"):
        assert words in result.out


def matches(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """Validate by the few keywords that the schemas use."""
    kinds = {
        "object": dict, "array": list, "string": str, "integer": int, "boolean": bool,
        "null": type(None),
    }  # fmt: skip
    if "$ref" in schema:
        return matches(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    otherwise = "if" in schema and not matches(schema["if"], value, root)
    rest = schema["else"] if otherwise else {}
    known = schema.get("properties", {})
    return (
        ("type" not in schema or type(value) is kinds[schema["type"]])
        and ("enum" not in schema or value in schema["enum"])
        and ("const" not in schema or value == schema["const"])
        and ("not" not in schema or not matches(schema["not"], value, root))
        and ("anyOf" not in schema or any(matches(one, value, root) for one in schema["anyOf"]))
        and all(name in value for name in schema.get("required", ()))
        and all(matches(known[name], value[name], root) for name in known if name in (value or ()))
        and (not rest or matches(rest, value, root))
    )


def test_decisions_are_what_their_schema_says(floodwatch: Call) -> None:
    schema = json.loads(floodwatch("schema", "decision").out)
    Path("mail.ndjson").write_bytes(lines(story()))
    floodwatch("replay", "mail.ndjson", "--decisions", "d")
    decisions = [json.loads(line) for line in Path("d").read_bytes().split(b"\n") if line]
    assert decisions
    assert all(matches(schema, one, schema) for one in decisions)
    assert all(set(one) - {"request"} == set(schema["required"]) for one in decisions)


@pytest.mark.parametrize(
    ("value", "right"),
    [
        (event(START_MS, "192.0.2.1", "a@b.example"), True),
        (event(START_MS, "192.0.2.1", "a@b.example") | {"recipient": ["a@b", "c@d"]}, True),
        ({"heartbeat": START_MS}, True),
        ({"time": "2026-01-01T00:00:00Z", "client_ip": "192.0.2.1", "action": "reject"}, True),
        ({"time": "2026-01-01T00:00:00Z", "client_ip": "192.0.2.1", "action": "accept"}, False),
        (event(START_MS, "192.0.2.1", "a@b.example") | {"action": "bounce"}, False),
        (event(START_MS, "192.0.2.1", "a@b.example") | {"cause": "mood"}, False),
        ({"time": START_MS}, False),
    ],
)
def test_what_the_event_schema_allows_is_read_and_nothing_else(
    floodwatch: Call, value: dict[str, Any], right: bool
) -> None:
    schema = json.loads(floodwatch("schema").out)
    assert matches(schema, value, schema) is right
    Path("mail.ndjson").write_bytes(lines([value]))
    result = floodwatch("replay", "mail.ndjson", "--json", "--store", "memory:")
    if result.code == 2:  # hardly a field of ours: the whole file is refused
        assert not right
        assert "--field" in result.err
        return
    assert json.loads(result.out)["rejects"] == ({} if right else json.loads(result.out)["rejects"])
    assert bool(json.loads(result.out)["rejects"]) is not right


def test_a_contract_that_is_none_is_a_usage_error(floodwatch: Call) -> None:
    assert floodwatch("schema", "letter").code == 2


def test_simulated_traffic_can_be_replayed(floodwatch: Call) -> None:
    made = floodwatch("simulate", "traffic", "--seed", 3, "--events", 3000, "--hours", 1)
    assert made.code == 0
    named = ("--asn-table", "traffic/asn.tsv", "--store", "memory:", "--json")
    result = floodwatch("replay", "traffic/events.ndjson", *named)
    assert json.loads(result.out)["events"] > 1_000


@pytest.mark.parametrize("heavy", ["numpy", "river", "rich", "orjson", "msgspec", "asyncio"])
def test_help_loads_nothing_heavy(heavy: str) -> None:
    code = (
        "import sys; from pipelines.cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        f"sys.exit({heavy!r} in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["replay", "--help"], ["simulate", "--help"], ["lookup", "--help"]]
)
def test_help_is_no_failure(floodwatch: Call, arguments: list[str]) -> None:
    code = 0
    try:
        code = floodwatch(*arguments).code
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 0


@pytest.mark.parametrize("arguments", [["nothing"], ["replay"], ["list", "--asn", "AS1"], ["-x"]])
def test_a_wrong_command_line_is_a_usage_error(floodwatch: Call, arguments: list[str]) -> None:
    assert floodwatch(*arguments).code == 2
