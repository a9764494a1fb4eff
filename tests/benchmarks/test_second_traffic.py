"""The second traffic generator: repeatable, and its truth says what its events hold."""

import json
from bisect import bisect_right
from collections import Counter
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.quality_traffic import Traffic, mailbox_of, read_traffic
from benchmarks.second_traffic.__main__ import main
from benchmarks.second_traffic.floods import SHAPES, flood_size
from benchmarks.second_traffic.innocents import PATTERNS
from benchmarks.second_traffic.world import make_world
from benchmarks.second_traffic.writer import make_traffic

EVENTS = 150_000
FILES = ("events.ndjson", "truth.ndjson", "asn.tsv")
SMALL = ("--events", "6000", "--shapes", "direct,list_bomb,v6_rotation")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("second")
    main([str(directory), "--seed", "5", "--events", str(EVENTS)])
    return directory


@pytest.fixture(scope="module")
def traffic(made: Path) -> Traffic:
    return read_traffic(made / "events.ndjson", made / "truth.ndjson")


@pytest.fixture(scope="module")
def header(made: Path) -> dict[str, Any]:
    with (made / "truth.ndjson").open(encoding="ascii") as lines:
        value: dict[str, Any] = json.loads(lines.readline())
    return value


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        main([str(tmp_path / name), "--seed", seed, *SMALL])
    for file in FILES:
        first, again, other = ((tmp_path / name / file).read_bytes() for name in "abc")
        assert first == again
        assert first != other


def test_the_truth_fits_the_events(traffic: Traffic, header: dict[str, Any]) -> None:
    assert traffic.lines == header["events"] == EVENTS
    assert traffic.unread == 0
    assert sum(group["events"] for group in header["groups"]) == EVENTS
    inside = (traffic.time_ms >= header["start_ms"]) & (traffic.time_ms < header["end_ms"])
    assert inside.all()


def test_each_group_holds_what_the_header_says(traffic: Traffic, header: dict[str, Any]) -> None:
    for at, group in enumerate(header["groups"]):
        times = traffic.time_ms[traffic.group == at]
        if group["kind"] != "normal":
            assert len(times) == group["events"] > 0
            assert group["start_ms"] == times[0]
            assert group["end_ms"] == times[-1] + 1
        assert group["fast"] == bool(len(times) >= 30 and times[29] - times[0] < 60_000)


def test_a_flood_reaches_only_its_victims(traffic: Traffic) -> None:
    for at, group in enumerate(traffic.groups):
        if group.kind == "flood":
            numbers = np.unique(traffic.mailbox[traffic.group == at]).tolist()
            reached = {traffic.mailboxes[one] for one in numbers}
            assert reached <= {mailbox_of(one) for one in group.victims}
            if group.victim_domain:
                assert all(one.endswith(f"@{group.victim_domain}") for one in reached)


def test_each_shape_and_pattern_occurs(header: dict[str, Any]) -> None:
    shapes = {kind: set[str]() for kind in ("normal", "flood", "innocent")}
    for group in header["groups"]:
        shapes[group["kind"]].add(group["shape"])
    assert shapes["flood"] == set(SHAPES)
    assert shapes["innocent"] == set(PATTERNS)


def test_floods_are_at_most_three_tenths_of_the_events(header: dict[str, Any]) -> None:
    total = sum(group["events"] for group in header["groups"] if group["kind"] == "flood")
    assert 0 < total <= 0.3 * EVENTS


def test_only_the_named_shapes_and_patterns_are_made() -> None:
    plan = make_traffic(8, 20_000, None, ["pulse"], ["harvest", "outage_queue"])
    shapes = {group.shape for group in plan.groups}
    assert shapes == {"background", "pulse", "harvest", "outage_queue"}


def test_the_size_of_a_flood_does_not_depend_on_the_size_of_the_site() -> None:
    """The tail of `list_bomb_tail` lasts as long as the log, so that shape is left out."""
    shapes = [shape for shape in SHAPES if shape != "list_bomb_tail"]
    sizes = []
    for events, hours in ((60_000, None), (150_000, None), (60_000, 48.0)):
        plan = make_traffic(2, events, hours, shapes, [])
        counts = np.bincount(plan.events.group)
        floods = [(at, one) for at, one in enumerate(plan.groups) if one.kind == "flood"]
        sizes.append({one.name: int(counts[at]) for at, one in floods})
    for one in sizes:
        common = one.keys() & sizes[0].keys()
        assert len(common) > 5
        assert {name: one[name] for name in common} == {name: sizes[0][name] for name in common}


def test_the_median_flood_has_about_1500_messages() -> None:
    world = make_world(1, 1_000, None)
    drawn = [flood_size(world, "direct", number) for number in range(2_000)]
    assert 1_300 < np.median(drawn) < 1_700
    assert 100 <= min(drawn) <= max(drawn) <= 15_000


def test_every_address_is_public_and_in_one_range_of_the_asn_table(
    made: Path, traffic: Traffic
) -> None:
    ranges = []
    for line in (made / "asn.tsv").read_text(encoding="ascii").splitlines():
        first, last, _, _, _ = line.split("\t")
        ranges.append((ip_address(first), ip_address(last)))
    for version in (4, 6):
        own = [(int(a), int(b)) for a, b in ranges if a.version == version]
        assert own == sorted(own)
        assert all(low[1] < high[0] for low, high in pairwise(own))
        starts = [one for one, _ in own]
        texts = [
            one.partition("/")[0] for one in traffic.subjects if (":" in one) == (version == 6)
        ]
        assert texts
        for text in texts:
            address = ip_address(text)
            assert address.is_global
            assert int(address) <= own[bisect_right(starts, int(address)) - 1][1]


@pytest.mark.parametrize(("shape", "most"), [("list_bomb", 10), ("botnet", 5)])
def test_an_address_sends_few_messages_of_a_distributed_flood(
    traffic: Traffic, shape: str, most: int
) -> None:
    for at, group in enumerate(traffic.groups):
        if group.shape == shape:
            counts = np.bincount(traffic.source[traffic.group == at])
            assert 1 <= np.max(counts) <= most
            assert np.count_nonzero(counts) > counts.sum() / most


def test_few_mailboxes_get_most_of_the_mail_and_many_get_little(traffic: Traffic) -> None:
    counts = np.sort(np.bincount(traffic.mailbox[traffic.group == 0]))[::-1]
    counts = counts[counts > 0]
    assert counts[: len(counts) // 10].sum() > 0.5 * counts.sum()
    assert np.median(counts) <= 6


def test_lines_arrive_out_of_order_and_one_mail_server_is_late(made: Path) -> None:
    late: Counter[str] = Counter()
    disorder, newest = 0, 0
    with (made / "events.ndjson").open(encoding="ascii") as lines:
        for event in map(json.loads, lines):
            disorder += event["time"] < newest
            newest = max(newest, event["time"])
            late[event["host"]] += event["received"] - event["time"] > 10_000
    assert disorder > 0
    assert [bool(count) for count in late.values()].count(True) == 1


def test_no_mail_is_accepted_during_the_outage() -> None:
    plan = make_traffic(6, 30_000, None, [], list(PATTERNS))
    start, end = plan.world.outage
    every = plan.events
    held = (every.time_ms >= start) & (every.time_ms < end) & (every.outbound == 0)
    assert not held.any()
    queue = next(at for at, one in enumerate(plan.groups) if one.shape == "outage_queue")
    assert (every.time_ms[every.group == queue] >= end).all()


def test_an_unknown_shape_ends_with_the_names_that_are_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--shapes", "directt"])
    assert "got 'directt', allowed: direct, few_hosts" in capsys.readouterr().err
