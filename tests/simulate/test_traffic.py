"""Laws of simulated traffic: repeatable, mostly innocent, complete, and true to its truth."""

import gzip
import json
from collections import Counter
from ipaddress import ip_address, ip_network
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.events.contract import OUTBOUND, Outcome
from pipelines.simulate import (
    FLOOD_SHAPES,
    INNOCENT_PATTERNS,
    SimulationSpec,
    TrafficResult,
    event_lines,
    simulate,
    truth_header,
    write_asn_table,
    write_events,
    write_truth,
)
from pipelines.simulate.__main__ import main
from pipelines.simulate.outcomes import ACTIONS

SEEDS = st.integers(0, 2**32 - 1)


def small(seed: int, events: int = 20_000, hours: float = 24.0) -> TrafficResult:
    return simulate(SimulationSpec(seed, events=events, hours=hours))


@pytest.fixture(scope="module")
def full() -> TrafficResult:
    return simulate(SimulationSpec(7))


@settings(max_examples=4, deadline=None)
@given(seed=SEEDS)
def test_same_seed_same_bytes(seed: int) -> None:
    first, second = small(seed, events=5_000), small(seed, events=5_000)
    assert list(event_lines(first)) == list(event_lines(second))
    assert truth_header(first) == truth_header(second)


def test_another_seed_is_other_traffic() -> None:
    assert list(event_lines(small(1, events=5_000))) != list(event_lines(small(2, events=5_000)))


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, hours=st.sampled_from([1.0, 6.0, 24.0, 100.0]))
def test_most_events_are_innocent_and_all_lie_in_the_span(seed: int, hours: float) -> None:
    result = small(seed, events=30_000, hours=hours)
    floods = [group.id for group in result.groups if group.kind == "flood"]
    assert np.isin(result.group, floods).mean() <= 0.3
    assert 0.95 * 30_000 <= len(result) <= 30_000
    times = result.rows.time_ms
    assert times.min() >= result.horizon.start_ms
    assert (times < result.horizon.end_ms + 12 * 60_000).all()


def test_every_shape_and_pattern_is_there(full: TrafficResult) -> None:
    events = Counter[str]()
    for group in full.groups:
        events[group.shape] += group.events
    for shape in (*FLOOD_SHAPES, *INNOCENT_PATTERNS, "normal"):
        assert events[shape] > 0, shape


def test_groups_say_what_their_events_are(full: TrafficResult) -> None:
    texts = full.world.texts.texts
    for group in full.groups:
        rows = full.rows.take(full.group == group.id)
        assert len(rows) == group.events
        assert (group.start_ms, group.end_ms) == (rows.time_ms.min(), rows.time_ms.max())
        if group.kind != "flood":
            assert not group.fast
            continue
        recipients = {texts[i] for i in rows.recipient.tolist()}
        mailboxes = {
            local.partition("+")[0] + "@" + domain
            for local, _, domain in (text.partition("@") for text in recipients)
        }
        assert mailboxes <= set(group.victims)
        times = np.sort(rows.time_ms)
        assert group.fast == (len(times) >= 30 and times[29] - times[0] <= 60_000)
        if group.victim_domain:
            assert {box.partition("@")[2] for box in mailboxes} == {group.victim_domain}


def test_floods_have_the_shapes_of_the_field(full: TrafficResult) -> None:
    ips, texts = full.world.network.ips, full.world.texts.texts
    for group in full.groups:
        rows = full.rows.take(full.group == group.id)
        addresses = {ips[i] for i in rows.ip.tolist()}
        match group.shape:
            case "direct":
                assert len(addresses) <= 6
                assert len(group.victims) == 1
            case "botnet":
                assert len(addresses) >= len(rows) / 6
                assert len(group.victims) <= 3
            case "list_bomb" | "list_bomb_slow":
                domains = {texts[i].partition("@")[2] for i in rows.sender.tolist()}
                assert len(domains) > len(rows) / 2
                assert len(group.victims) == 1
            case "snowshoe":
                assert len(addresses) >= 60
            case "ipv6_rotation":
                assert len(addresses) == len(rows)
                networks = {ip_network(f"{address}/64", strict=False) for address in addresses}
                assert len(networks) == 1
            case "distributed":
                assert len(group.victims) >= 25
            case _:
                pass


def test_innocent_patterns_are_what_they_say(full: TrafficResult) -> None:
    for group in full.groups:
        rows = full.rows.take(full.group == group.id)
        match group.shape:
            case "newsletter":
                assert len(set(rows.recipient.tolist())) == len(rows)
            case "monitoring":
                assert len(set(rows.ip.tolist())) == len(set(rows.recipient.tolist())) == 1
            case "backscatter":
                assert set(rows.sender.tolist()) == {0}
            case "harvesting":
                assert set(rows.outcome.tolist()) == {int(Outcome.REJECT_UNKNOWN_USER)}
            case _:
                pass


def test_strangers_to_the_flood_write_to_its_victims_meanwhile() -> None:
    met = 0
    for seed in range(3):
        result = small(seed, events=60_000)
        texts = result.world.texts.texts
        for group in result.groups:
            if group.kind != "flood":
                continue
            rows = result.rows.take(result.group != group.id)
            during = (rows.time_ms >= group.start_ms) & (rows.time_ms <= group.end_ms)
            victims = [i for i, text in enumerate(texts) if text in set(group.victims)]
            met += int((during & np.isin(rows.recipient, victims)).sum())
    assert met > 30


def test_no_address_is_special_or_given_twice(full: TrafficResult) -> None:
    ips = full.world.network.ips
    assert len(set(ips)) == len(ips)
    assert all(ip_address(ip).is_global for ip in ips[:: len(ips) // 500])


def test_events_follow_the_contract_and_the_truth_has_their_order(tmp_path: Path) -> None:
    result = small(3)
    write_events(result, tmp_path / "events.ndjson.gz")
    write_truth(result, tmp_path / "truth.ndjson.gz")
    events = gzip.decompress((tmp_path / "events.ndjson.gz").read_bytes()).split(b"\n")
    truth = gzip.decompress((tmp_path / "truth.ndjson.gz").read_bytes()).split(b"\n")
    assert events.pop() == truth.pop() == b""
    header = json.loads(truth[0])
    assert header["truth"] == 1
    assert header["events"] == len(events) == len(truth) - 1
    ips, texts = result.world.network.ips, result.world.texts.texts
    for at in range(0, len(events), 7):
        event = json.loads(events[at])
        assert int(truth[at + 1]) == result.group[at]
        assert event["client_ip"] == ips[result.rows.ip[at]]
        outcome = int(result.rows.outcome[at])
        assert (outcome >= OUTBOUND) == (event.get("direction") == "outbound")
        assert event["action"] == ACTIONS[outcome & 15]
        if result.rows.recipient[at] < 0:
            assert "recipient" not in event
            assert event["action"] == "reject"
        else:
            assert event["recipient"] == texts[result.rows.recipient[at]]


@pytest.mark.parametrize("time_format", ["ms", "rfc3339"])
def test_times_are_written_as_asked(time_format: str) -> None:
    spec = SimulationSpec(
        5, events=3_000, time_format="ms" if time_format == "ms" else "rfc3339", received=True
    )
    result = simulate(spec)
    event = json.loads(next(event_lines(result)))
    assert isinstance(event["time"], int) == isinstance(event["received"], int)
    assert isinstance(event["time"], int) == (time_format == "ms")


def test_lines_are_late_only_where_disorder_is_wanted() -> None:
    ordered = simulate(SimulationSpec(4, events=20_000, disorder=False)).rows.time_ms
    assert (np.diff(ordered) >= 0).all()
    result = small(4)
    lateness = np.maximum.accumulate(result.rows.time_ms) - result.rows.time_ms
    assert 0 < (lateness > 2_000).mean() < 0.2
    assert (result.arrival_ms >= result.rows.time_ms).all()
    assert (np.diff(result.arrival_ms) >= 0).all()


def test_the_table_names_the_system_of_every_host(tmp_path: Path) -> None:
    result = small(9)
    network = result.world.network
    lines = write_asn_table(network, tmp_path / "asn.tsv")
    rows = [line.split("\t") for line in (tmp_path / "asn.tsv").read_text().split("\n")[:-1]]
    assert len(rows) == lines
    ranges = [(int(ip_address(a)), int(ip_address(b)), int(n), ":" in a) for a, b, n, *_ in rows]
    for at in range(0, len(network.ips), 400):
        address = ip_address(network.ips[at])
        owners = {
            asn
            for first, last, asn, v6 in ranges
            if v6 == (address.version == 6) and first <= int(address) <= last
        }
        assert owners == {network.asns[at]}


def test_a_part_can_be_asked_for() -> None:
    result = simulate(SimulationSpec(1, events=5_000, shapes=("direct",), patterns=()))
    assert {group.shape for group in result.groups} == {"normal", "direct"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"events": 10}, "events: got 10"),
        ({"hours": 0.0}, "hours: got 0.0"),
        ({"flood_share": 0.9}, "flood_share: got 0.9"),
        ({"shapes": ("dierct",)}, "shapes: got ['dierct']"),
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match="got") as caught:
        SimulationSpec(1, **wrong)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_the_command_writes_three_files(tmp_path: Path) -> None:
    assert main([str(tmp_path / "new"), "--seed", "2", "--events", "3000", "--gzip"]) == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "events.ndjson.gz",
        "truth.ndjson.gz",
        "asn.tsv.gz",
    }
