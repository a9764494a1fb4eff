import gzip
import json
import sys
from dataclasses import replace
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import quality, quality_listings
from benchmarks.quality_listings import (
    Listings,
    oracle,
)
from benchmarks.quality_report import report, summary_text, text
from benchmarks.quality_score import FloodScore, checks, score, shapes
from benchmarks.quality_traffic import BadInputError, Traffic, subject_of
from tests.quality_story import (
    FLOOD,
    NEWSLETTER,
    NORMAL,
    VICTIM,
    A,
    B,
    C,
    D,
    Story,
    group,
    one_a_second,
    only,
)


def stopped_by_oracle(traffic: Traffic, best: Listings) -> int:
    return only(score(traffic, best, best)).stopped


def test_the_oracle_stops_what_a_reader_counts_by_hand() -> None:
    traffic = one_a_second().traffic()
    best = oracle(traffic)
    assert best.start_ms.tolist() == [30_000, 41_000]
    assert stopped_by_oracle(traffic, best) == 30


@pytest.mark.parametrize(
    ("right", "wrong", "stopped"),
    [
        ("ORACLE_AFTER_MESSAGES = 30", "ORACLE_AFTER_MESSAGES = 29", 31),
        ("ORACLE_AFTER_MESSAGES = 30", "ORACLE_AFTER_MESSAGES = 31", 29),
        ("rows[after_messages - 1]", "rows[after_messages]", 29),
        ("ORACLE_DELAY_MS = 1_000", "ORACLE_DELAY_MS = 999", 32),
        ("ORACLE_DELAY_MS = 1_000", "ORACLE_DELAY_MS = 1_001", 29),
        ('side="left"', 'side="right"', 32),
    ],
)
def test_an_off_by_one_planted_in_the_oracle_changes_that_count(
    right: str, wrong: str, stopped: int
) -> None:
    source = Path(str(quality_listings.__file__)).read_text()
    assert source.count(right) == 1
    planted = ModuleType("planted")
    exec(compile(source.replace(right, wrong), "planted", "exec"), planted.__dict__)  # noqa: S102
    traffic = one_a_second().traffic()
    assert stopped_by_oracle(traffic, planted.oracle(traffic)) == stopped != 30


def test_a_flood_of_29_messages_is_listed_by_no_oracle_and_asked_of_nobody() -> None:
    story = Story()
    for second in range(29):
        story.mail(second * 1000, A)
    result = story.report()
    story.mail(29_000, A)
    assert shapes(story.report().product.floods)[-1].floods == 1
    assert oracle(story.traffic()).start_ms.tolist() == [30_000]
    assert only(result.oracle).stopped == 0
    assert shapes(result.product.floods)[-1].floods == 0
    assert shapes(result.product.floods)[-1].too_small == 1
    assert result.checks[0].value == 0
    assert result.checks[1].kept is None


@pytest.mark.parametrize(("shift_ms", "stopped"), [(-1, 26), (0, 25), (1, 24)])
def test_a_message_is_stopped_strictly_after_the_decision(shift_ms: int, stopped: int) -> None:
    """Listed at 35 s: stops A at 35.001 s and at seconds 36 to 59, not at second 35."""
    story = one_a_second()
    story.mail(35_001, A)
    story.decide(35_000 + shift_ms, "list", A)
    flood = only(story.report().product)
    assert flood.stopped == stopped
    assert flood.listed_messages == 61
    assert flood.messages == 64
    assert flood.seconds == (6_000 + shift_ms) / 1000


Change = tuple[int, str, dict[str, Any]]


def stopped_seconds(*changes: Change) -> list[int]:
    """Give the seconds whose message from A is blocked under these changes."""
    story = one_a_second()
    for second, change, fields in changes:
        story.decide(second * 1000, change, A, **fields)
    traffic, listings = story.traffic(), story.listings()
    blocked = listings.blocks(traffic.source, traffic.time_ms)
    ours = traffic.source == traffic.subjects.index(A)
    return [time // 1000 for time in traffic.time_ms[blocked & ours].tolist()]


def test_a_listing_ends_with_remove_or_expire_and_can_begin_again() -> None:
    assert stopped_seconds((10, "list", {}), (13, "remove", {})) == [11, 12, 13]
    assert stopped_seconds(
        (10, "list", {}), (12, "expire", {}), (20, "list", {}), (21, "expire", {})
    ) == [11, 12, 21]


def test_a_listing_ends_at_until_where_the_file_has_no_end_for_it() -> None:
    assert stopped_seconds((10, "list", {"until": 12_000})) == [11, 12]
    extended = (11, "extend", {"until": 14_000})
    assert stopped_seconds((10, "list", {"until": 12_000}), extended) == [11, 12, 13, 14]
    assert stopped_seconds((10, "list", {"until": 12_000}), (13, "expire", {})) == [11, 12, 13]


def test_a_listing_ends_at_hard_until_in_any_case() -> None:
    ended = (10, "list", {"until": 50_000, "hard_until": 11_000})
    assert stopped_seconds(ended) == [11]
    assert stopped_seconds(ended, (40, "expire", {})) == [11]
    assert stopped_seconds(ended, (57, "list", {})) == [11, 58, 59]


def test_shadow_hold_and_refuse_list_nobody_and_release_lists_what_was_held() -> None:
    assert stopped_seconds((10, "list", {"shadow": True})) == []
    assert stopped_seconds((10, "hold", {}), (11, "refuse", {}), (12, "extend", {})) == []
    assert stopped_seconds((10, "hold", {}), (57, "release", {})) == [58, 59]
    assert stopped_seconds((57, "release", {})) == []
    assert stopped_seconds((10, "list", {}), (12, "remove", {"shadow": True}))[-1] == 59


def test_a_flood_is_found_only_by_a_listing_in_force_during_it() -> None:

    def listed(from_ms: int, until_ms: int) -> FloodScore:
        story = one_a_second()
        story.decide(from_ms, "list", A, until=until_ms)
        return only(story.report().product)

    assert not listed(-5_000, 0).found
    assert listed(-5_000, 1).first_listing_ms == 0
    assert listed(59_000, 90_000).seconds == 30
    assert not listed(59_001, 90_000).found
    assert listed(59_001, 90_000).seconds == inf


def test_the_rate_at_the_first_listing_counts_the_minute_up_to_it() -> None:
    """One message in 6 s: 10 a minute. At 240 s the minute (180 s, 240 s] holds 186 to 240 s."""
    story = Story(flood=group(FLOOD, "flood", "slow_ramp", victims=[VICTIM]))
    for number in range(60):
        story.mail(number * 6_000, A)
    story.decide(240_000, "list", A)
    assert only(story.report().product).rate_per_min == 10
    for second in range(181, 186):
        story.mail(second * 1000, B)
    result = story.report()
    assert only(result.product).rate_per_min == 15
    (ramp,) = [check for check in result.checks if check.name.startswith("slow ramp")]
    assert ramp.kept is False


def test_innocents_are_must_not_or_bystanders_or_far() -> None:
    """C was part of a newsletter; of four who wrote to the victim two did so during the flood."""
    story = one_a_second()
    story.flood |= {"start_ms": 1_000, "end_ms": 59_000}
    story.mail(30_000, C, of=NEWSLETTER)
    story.mail(30_000, A, of=NEWSLETTER)
    for time, last in ((999, 10), (1_000, 11), (59_000, 12), (59_001, 13)):
        story.mail(time, f"203.0.113.{last}", "Victim+shop@EXAMPLE.org", NORMAL)
    story.mail(30_000, "203.0.113.14", "other@example.org", NORMAL)
    story.mail(30_000, A, "other@example.org", NORMAL)
    for ip in (C, "203.0.113.11", "203.0.113.13"):
        story.decide(70_000, "list", ip)
    result = story.report().product
    assert (result.must_not.listed, result.must_not.total) == (1, 1)
    assert (result.bystanders.listed, result.bystanders.total) == (1, 2)
    assert (result.far.listed, result.far.total) == (1, 3)
    assert result.must_not_patterns == {"newsletter": 1}
    assert result.unseen == 0


def test_every_mailbox_of_a_flooded_domain_makes_bystanders() -> None:
    story = one_a_second()
    story.flood |= {"victims": [], "victim_domain": "Example.org", "end_ms": 59_000}
    story.mail(5_000, C, "anybody@example.org", NORMAL)
    story.mail(5_000, D, "anybody@sub.example.org", NORMAL)
    result = story.report().product
    assert (result.bystanders.total, result.far.total) == (1, 1)


def test_blocked_legitimate_messages_are_counted_by_who_sent_them() -> None:
    """Of 8 legitimate messages C loses the two after its listing, the guilty A loses one."""
    story = one_a_second()
    for time in (50_000, 51_000, 52_000):
        story.mail(time, C, "a@example.net", NORMAL)
    for time in (49_000, 50_001):
        story.mail(time, A, "a@example.net", NEWSLETTER)
    for time in (1_000, 2_000, 3_000):
        story.mail(time, D, "a@example.net", NORMAL)
    story.decide(50_000, "list", C)
    story.decide(50_000, "list", A)
    result = story.report().product
    assert result.legitimate == 8
    assert (result.blocked_innocent, result.blocked_innocent_share) == (2, 2 / 8)
    assert (result.blocked_guilty, result.blocked_guilty_share) == (1, 1 / 8)


def test_ipv6_counts_at_64_bits_and_mapped_ipv4_as_ipv4() -> None:
    story = Story()
    story.mail(1, "2001:db8:1:2::1")
    story.mail(2, "2001:DB8:1:2:ffff::9")
    story.mail(3, "2001:db8:1:3::1")
    story.mail(4, f"::ffff:{A}")
    story.mail(5, A)
    assert story.traffic().source.tolist() == [0, 0, 1, 2, 2]
    assert subject_of("2001:db8::1") == "2001:db8::/64"
    story.decide(0, "list", "2001:db8:1:2::/64")
    story.decide(0, "list", "2001:db8:9:9::/64")
    assert story.listings().source.tolist() == [0]
    assert story.listings().unseen == ("2001:db8:9:9::/64",)


def test_only_inbound_events_with_a_recipient_are_messages() -> None:
    story = Story()
    story.mail(2_000, A, ["a@example.org", "b@example.org"], action="reject", cause="rate")
    story.mail("1970-01-01T01:00:01+01:00", B, action="defer")
    story.mail(3_000, C, action="reject", to=None)
    story.mail(3_000, D, direction="outbound")
    story.mail(3_000, "not an address")
    story.mail(True, A)
    story.mail(3_000, A, action="bounce")
    story.events.append({"heartbeat": 9_000})
    story.truth.append(NORMAL)
    traffic = story.traffic()
    assert traffic.time_ms.tolist() == [1_000, 2_000, 2_000]
    assert [traffic.subjects[at] for at in traffic.source] == [B, A, A]
    assert (traffic.lines, traffic.connects, traffic.outbound, traffic.unread) == (8, 1, 1, 3)
    assert traffic.guilty[traffic.subjects.index(C)]


def test_gzip_and_plain_files_score_the_same(tmp_path: Path) -> None:
    story = one_a_second()
    story.decide(35_000, "list", A)
    plain = story.write(tmp_path)
    packed = [path.with_suffix(".gz") for path in plain]
    for path, target in zip(plain, packed, strict=True):
        target.write_bytes(gzip.compress(path.read_bytes()))
    assert quality.score_files(*packed) == quality.score_files(*plain)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("truth", "[]\n", "truth:1"),
        ("truth", '{"groups":[{"kind":"flood"}]}\n', "groups"),
        ("truth", '{"groups":[]}\n0\n', "1 lines"),
        ("truth", '{"groups":[]}\nx\n', "one integer a line"),
        ("decisions", "{}\n", "decisions:1"),
        ("decisions", "\x1b[31m\n", "decisions:1"),
        ("decisions", '{"time":1,"change":"list","subject":"192.0.2.0/24"}\n', "192.0.2.0/24"),
    ],
)
def test_a_file_that_cannot_be_scored_is_named_with_what_is_wrong(
    name: str, content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, truth, decisions = one_a_second().write(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInputError, match=message):
        quality.score_files(events, truth, decisions)
    arguments = [f"--events={events}", f"--truth={truth}", f"--decisions={decisions}"]
    assert quality.main(["score", *arguments]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert "\x1b" not in shown.err


def test_an_unknown_group_and_a_cut_gzip_are_refused(tmp_path: Path) -> None:
    story = one_a_second()
    story.truth[0] = 77
    events, truth, decisions = story.write(tmp_path)
    with pytest.raises(BadInputError, match="77"):
        quality.score_files(events, truth, decisions)
    events.write_bytes(gzip.compress(events.read_bytes())[:-9])
    arguments = [f"--events={events}", f"--truth={truth}", f"--decisions={decisions}"]
    assert quality.main(["score", *arguments]) == 1


def target_line(shown: str, name: str) -> list[str]:
    """Give the words behind a target's name in a table."""
    (line,) = [line for line in shown.split("\n") if line.startswith(name)]
    return line.removeprefix(name).split()


def test_the_command_prints_tables_or_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = one_a_second()
    story.decide(35_000, "list", A)
    events, truth, decisions = map(str, story.write(tmp_path))
    arguments = ["score", "--events", events, "--truth", truth, "--decisions", decisions]
    assert quality.main(arguments) == 0
    shown = capsys.readouterr().out
    assert target_line(shown, "fast flood, s to listing") == ["6", "<=", "10", "pass"]
    assert target_line(shown, "stopped, of the oracle's")[0] == "80.000"
    assert quality.main([*arguments, "--floods"]) == 0
    words = target_line(capsys.readouterr().out, "1 direct")
    assert words[:2] == ["2", "63"]
    assert words[-3:] == ["6", "36", "fast"]
    assert quality.main([*arguments, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["product"]["shapes"][-1]["stopped"] == 24
    assert value["product"]["shapes"][-1]["oracle_stopped"] == 30
    assert [one["name"] for one in value["references"]] == [
        "IP > 30/min", "victim > 30/min", "fail2ban 5 in 10 min", "leak of 5, one in 10 s",
    ]  # fmt: skip


def test_nothing_listed_scores_nothing_and_its_json_has_no_infinity(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, truth, decisions = map(str, one_a_second().write(tmp_path))
    arguments = ["score", "--events", events, "--truth", truth, "--decisions", decisions]
    assert quality.main([*arguments, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["product"]["shapes"][-1]["worst_s"] is None
    kept = {one["name"]: one["kept"] for one in value["checks"]}
    assert kept["floods not found"] is False
    assert kept["fast flood, s to listing"] is False
    assert kept["list bomb, s to listing"] is None
    assert kept["bystanders listed"] is True


def test_over_seeds_the_worst_is_the_least_share_and_the_longest_time() -> None:
    reports = {}
    for seed, time in ((11, 30_000), (12, 45_000)):
        story = one_a_second()
        story.decide(time, "list", A)
        reports[seed] = story.report()
    shown = summary_text(reports)
    share = target_line(shown, "stopped, of the oracle's")
    assert share == ["71.667", "%", "46.667", "%", ">=", "98", "%", "FAIL"]
    listing = target_line(shown, "fast flood, s to listing")
    assert listing == ["8.5", "16", "<=", "10", "FAIL"]


def test_run_simulates_replays_and_scores_each_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A product that lists nobody stands in for the real one."""

    def replay(out: Path, decisions: Path) -> list[str | Path]:
        assert (out / quality.TABLE).exists()
        return [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').close()", decisions]

    monkeypatch.setattr(quality, "_replay", replay)
    arguments = ["run", "--seeds", "3", "--events", "20000", "--keep", str(tmp_path), "--json"]
    assert quality.main(arguments) == 0
    shown = capsys.readouterr()
    value = json.loads(shown.out)
    assert value["seeds"].keys() == {"3"}
    assert value["summary"][0]["kept"] is False
    assert "seed 3 score" in shown.err
    monkeypatch.setattr(
        quality, "_replay", lambda *_: [sys.executable, "-c", "raise SystemExit(2)"]
    )
    assert quality.main(arguments) == 1


def test_each_target_is_kept_at_its_limit_and_missed_just_beyond_it() -> None:
    flood = FloodScore(
        id=1, name="x", shape="list_bomb", fast=True, sources=1, messages=200, listed_messages=200,
        stopped=98, oracle_stopped=100, passed_ms=0, first_listing_ms=10_000, rate_per_min=15,
    )  # fmt: skip
    kept = one_a_second().report().product
    kept = replace(kept, floods=(flood,), legitimate=2_000, blocked_innocent=1)
    assert [check.kept for check in checks(kept) if check.kept is not None] == [True] * 10
    worse = replace(flood, stopped=97, first_listing_ms=10_001)
    missed = {check.name for check in checks(replace(kept, floods=(worse,))) if not check.kept}
    assert missed >= {"stopped, of the oracle's", "fast flood, s to listing"}
    missed = {one.name for one in checks(replace(kept, blocked_innocent=2)) if one.kept is False}
    assert missed == {"legitimate blocked, from innocents"}


def test_an_empty_traffic_has_nothing_to_measure() -> None:
    shown = text(report(Story().traffic(), Story().listings()))
    assert target_line(shown, "stopped, of the oracle's")[-3:] == ["nothing", "to", "measure"]
