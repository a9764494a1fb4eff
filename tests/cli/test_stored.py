"""What the store tells: `lookup`, `list`, `remove`, `explain`, and the answers to requests."""

import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import START_MS, Call, event, flood, lines, quiet_mail, story

LISTED = "198.18.5.7"
VICTIM = "a***@c***.example"
HOUR_MS = 3_600_000


@pytest.fixture
def replayed(floodwatch: Call) -> Call:
    """A store with the listings of one flood."""
    Path("mail.ndjson").write_bytes(lines(story()))
    assert floodwatch("replay", "mail.ndjson", "--decisions", "d").code == 0
    return floodwatch


@pytest.fixture
def replayed_long(floodwatch: Call) -> Call:
    """The same with quiet mail for two more hours, so that requests can be granted."""
    quiet = quiet_mail(120, START_MS + 40 * 60_000)
    Path("mail.ndjson").write_bytes(lines([*story(), *quiet]))
    assert floodwatch("replay", "mail.ndjson").code == 0
    return floodwatch


def changes(path: str = "d") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_bytes().split(b"\n") if line]


def test_a_listed_address_is_told_with_reason_end_and_next_step(replayed: Call) -> None:
    result = replayed("lookup", LISTED)
    assert result.code == 0
    assert result.out.startswith(f"{LISTED} is listed (as of 2026-01-01T00:39:59Z)\n")
    (change,) = [one for one in changes() if one["subject"] == LISTED and one["change"] == "list"]
    for words in (change["rule"], VICTIM, "temporary", "2026-01-02", "floodwatch explain"):
        assert words in result.out


def test_an_address_that_is_not_listed_is_no_failure(replayed: Call) -> None:
    result = replayed("lookup", "192.0.2.1")
    assert (result.code, result.out) == (
        0,
        "192.0.2.1 is not listed (as of 2026-01-01T00:39:59Z)\n",
    )


@pytest.mark.parametrize("text", [LISTED, f"::ffff:{LISTED}", f" {LISTED} "])
def test_every_spelling_of_an_address_finds_its_listing(replayed: Call, text: str) -> None:
    told = json.loads(replayed("lookup", text, "--json").out)
    (change,) = [one for one in changes() if one["subject"] == LISTED and one["change"] == "list"]
    assert (told["subject"], told["state"]) == (LISTED, "listed")
    assert told["evidence"] == change["evidence"]
    assert told["listing"]["until"] == change["until"]


@pytest.mark.parametrize("command", ["lookup", "explain", "remove"])
@pytest.mark.parametrize("text", ["", "mail.example", "192.0.2.256", "192.0.2.1\x1b[2J"])
def test_what_is_no_address_is_a_usage_error(replayed: Call, command: str, text: str) -> None:
    result = replayed(command, text)
    assert (result.code, "want an IPv4 or IPv6 address" in result.err) == (2, True)
    assert "\x1b" not in result.err


def test_the_list_is_what_the_changes_come_to(replayed: Call) -> None:
    listed = {one["subject"] for one in changes() if one["change"] == "list"}
    result = replayed("list", "--json")
    rows = [json.loads(line) for line in result.out.split("\n") if line]
    assert [row["subject"] for row in rows] == sorted(listed, key=ip_address)
    table = replayed("list")
    assert table.out.count("\n") == len(listed) + 1
    assert f"{len(listed)} listed" in table.err


def test_filters_leave_out_what_they_say(replayed: Call) -> None:
    everything = replayed("list", "--json").out
    assert replayed("list", "--json", "--tier", "temporary").out == everything
    assert replayed("list", "--json", "--rule", "victim_flood").out == everything
    for nothing in (
        ("--tier", "standing"), ("--provider", "Google"), ("--asn", "64500"), ("--asn", "AS64500"),
    ):  # fmt: skip
        assert replayed("list", "--json", *nothing).out == ""
    told = replayed("list", "--asn", "AS-64500")
    assert (told.code, "--asn: got 'AS-64500', must be an AS number" in told.err) == (2, True)
    assert replayed("list", "--tier", "eternal").code == 2
    for name, said in (
        ("victim_flod", "did you mean victim_flood?"),
        ("x", "must be victim_flood"),
    ):
        told = replayed("list", "--rule", name)
        assert (told.code, f"--rule: got '{name}', {said}" in told.err) == (2, True)


def test_a_limit_cuts_the_list_and_says_so(replayed: Call) -> None:
    everything = replayed("list", "--json").out.split("\n")
    assert replayed("list", "--json", "--limit", "3").out.split("\n") == [*everything[:3], ""]
    told = replayed("list", "--limit", "3")
    assert told.out.count("\n") == 3 + 1
    assert f"{len(everything) - 1} listed, 3 shown (--limit)" in told.err
    assert replayed("list", "--limit", "0").code == 2


def test_an_explanation_tells_the_evidence_as_stored(replayed: Call) -> None:
    result = replayed("explain", LISTED)
    (change,) = [one for one in changes() if one["subject"] == LISTED and one["change"] == "list"]
    evidence = change["evidence"]
    for words in (
        f"{evidence['count']} messages above the usual number to {VICTIM}",
        f"the limit is {evidence['limit']}",
        f"of {evidence['flood_messages']} from {evidence['flood_sources']} sources",
        "other sources: 198.18.",
        f"it sent {evidence['messages_to_others']} messages to others",
        f"{evidence['expected_from_source']:.2g} messages from it",
        f"{evidence['expected_from_asn']:.2g} from its network",
        f"the victim normally receives {evidence['normal_10min']:.2g} messages in 10 minutes",
        " ".join(map(str, evidence["timeline_per_min"])),
    ):
        assert words in result.out
    told = json.loads(replayed("explain", LISTED, "--json").out)
    assert told["listings"][0]["changes"][0] == change
    assert len(told["listings"][0]["beside"]) == len(replayed("list").out.split("\n")) - 3


def test_an_address_that_nothing_is_known_of_is_explained_too(replayed: Call) -> None:
    assert "the store has no record of it" in replayed("explain", "192.0.2.1").out


def test_a_request_in_mid_flood_is_told_to_be_refused_and_is(replayed: Call) -> None:
    told = json.loads(replayed("remove", LISTED, "--json").out)
    assert (told["expected"], told["request"]) == ("refuse", 1)
    assert told["earliest"] == told["last_offence"] // 1000 * 1000 + HOUR_MS + 1_000
    assert replayed("replay", "mail.ndjson", "--decisions", "d2").code == 0
    *before, answer = changes("d2")
    assert before == changes()
    assert (answer["change"], answer["subject"], answer["request"]) == ("refuse", LISTED, "1")
    assert answer["evidence"]["rule"] == told["rule"]
    assert answer["evidence"]["earliest_ms"] >= told["earliest"]
    assert answer["evidence"]["last_offence_ms"] >= told["last_offence"]
    assert "refuse" in replayed("explain", LISTED).out


def test_a_request_after_the_quiet_time_is_granted_by_the_next_replay(replayed_long: Call) -> None:
    told = replayed_long("remove", LISTED).out
    assert "request 1 is filed" in told
    assert "pending until the next close" in told
    assert "it was already pending" in replayed_long("remove", LISTED).out
    assert "1 remove" in replayed_long("replay", "mail.ndjson").out
    assert "is not listed" in replayed_long("lookup", LISTED).out
    assert "no request was filed" in replayed_long("remove", LISTED).out
    for _ in range(2):  # the answer stays what it is, however often the log is replayed
        assert "nothing new" in replayed_long("replay", "mail.ndjson").out
    assert "is not listed" in replayed_long("lookup", LISTED).out


def test_a_flood_after_a_removal_lists_again_as_a_repeat(replayed_long: Call) -> None:
    replayed_long("remove", LISTED)
    grown = [
        *story(),
        *quiet_mail(120, START_MS + 40 * 60_000),
        *flood(START_MS + 165 * 60_000),
        event(START_MS + 175 * 60_000, "192.0.2.1", "user1@shop.example"),
    ]
    Path("mail.ndjson").write_bytes(lines(grown))
    assert replayed_long("replay", "mail.ndjson").code == 0
    told = json.loads(replayed_long("explain", LISTED, "--json").out)
    assert [[one["change"] for one in story["changes"]] for story in told["listings"]] == [
        ["list", "remove"],
        ["list"],
    ]
    asked = json.loads(replayed_long("remove", LISTED, "--json").out)
    assert asked["quiet_needed_s"] == 2 * 3_600


def test_a_removal_of_what_is_not_listed_files_nothing(replayed: Call) -> None:
    assert "no request was filed" in replayed("remove", "192.0.2.1").out
    assert "0 requests pending" in replayed("check").out


def test_a_listing_in_shadow_mode_is_marked_everywhere(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    Path("policy.toml").write_text('mode = "shadow"\n')
    summary = floodwatch("replay", "mail.ndjson", "--policy", "policy.toml").out
    assert "in shadow mode: nothing is published" in summary
    assert "0 flood messages sent after" in summary
    assert "would have been blocked" in summary
    for command in ("lookup", "explain", "remove"):
        told = floodwatch(command, LISTED).out
        assert told.startswith(f"{LISTED} is listed in shadow mode (recorded, not published)")
    listed = floodwatch("list")
    assert "temporary (shadow)" in listed.out
    assert "in shadow mode, not published)" in listed.err
