"""Records of any shape, read where they are by paths, words and units; hostile ones too."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import SettingsError
from detector.events.contract import Outcome, Reject
from detector.events.decode import HEARTBEAT, OVERSIZED, EventReader
from detector.events.interning import NO_SENDER, KeyTables
from pipelines.settings.file import load_settings
from pipelines.settings.model import LiveSettings, SourceSettings
from pipelines.shapes.field_mapping import MappedLines, full_source, lines_of
from pipelines.shapes.source_presets import PRESETS
from pipelines.stages.ingest import JsonLines
from tests.mapped_records import (
    AT_MS,
    ECS,
    KUMOMTA,
    SAMPLES,
    VECTOR,
    changed,
    lines,
    read,
    row,
    source,
)


def test_own_paths_and_words_go_before_those_of_the_preset() -> None:
    settings = source(
        "ecs",
        fields={"client_ip": "observer.peer", "asn": ["x.y"]},
        values={"action": {"tarpit": "defer", "success": "discard"}},
    )
    told = full_source(settings)
    assert told.fields.client_ip == ("observer.peer",)
    assert told.fields.time == ("@timestamp",)
    assert told.values.action["rejected"] == "reject"
    record = changed(ECS, observer={"peer": "198.51.100.9"}, event={"action": "tarpit"})
    _, rows = read(settings, lines(record))
    assert rows[0][2:5] == ("198.51.100.9", "ann@example.org", Outcome.DEFER_OTHER)
    assert rows[0][6] == -1
    assert read(settings, lines(changed(record, event={"outcome": "success"})))[1][0][4] == 1


def test_without_a_preset_the_names_are_those_of_the_contract() -> None:
    mapped = source(fields={"client_ip": "peer.addr"}, values={"action": {"ok": "accept"}})
    record = {"time": AT_MS, "peer": {"addr": "192.0.2.7"}, "action": "ok", "recipient": "a@b.c"}
    assert read(mapped, lines(record))[1][0][1:5] == (AT_MS, "192.0.2.7", "a@b.c", 0)
    in_seconds = source(time_unit="s")
    plain = {
        "time": 1_702_996_556,
        "client_ip": "192.0.2.7",
        "action": "accept",
        "recipient": "a@b.c",
    }
    assert read(in_seconds, lines(plain))[1][0][1] == AT_MS
    events = EventReader(KeyTables())
    assert isinstance(lines_of(SourceSettings(), events), JsonLines)
    assert isinstance(lines_of(mapped, events), MappedLines)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_heartbeat_passes_and_only_if_it_is_nothing_else(preset: str) -> None:
    _, time, *_ = row(preset, {"heartbeat": AT_MS})
    assert time == AT_MS
    found, _ = read(source(preset), b'{"heartbeat": "2023-12-19T14:35:56Z"}\n')
    assert found.events.ip.tolist() == [HEARTBEAT]
    sample = SAMPLES.get(preset, {**VECTOR, "time": AT_MS})
    beating, rows = read(source(preset), lines({**sample, "heartbeat": 1}))
    assert HEARTBEAT not in beating.events.ip.tolist()
    assert rows


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "malformed_json"),
        (b"not json", "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (b'{"type": "Delivery"', "malformed_json"),
        (b"[]", "mistyped"),
        (b"null", "mistyped"),
        (b"7", "mistyped"),
        (b"{}", "bad_time"),
        (OVERSIZED + json.dumps(KUMOMTA).encode(), "oversized"),
        (b'{"timestamp": ' + b"[" * 600 + b"]" * 600 + b"}", "too_deep"),
        (b"[" * 5_000, "too_deep"),
        (b'{"a":' * 5_000, "too_deep"),
        (b'{"timestamp": 1e999}', "mistyped"),
        (b'{"headers": "\\ud800"}', "malformed_json"),
    ],
)
def test_what_is_no_record_is_rejected_at_its_line(line: bytes, reason: str) -> None:
    block = b"\n".join([json.dumps(KUMOMTA).encode(), b"", line, json.dumps(KUMOMTA).encode()])
    found, rows = read(source("kumomta"), block, 7)
    assert [r[0] for r in rows] == [7, 10]
    assert found.lines == 4
    (reject,) = found.rejects
    assert (reject.position, reject.reason, reject.excerpt) == (9, reason, line[:200])


@pytest.mark.parametrize(
    "fields",
    [
        {"peer_address": "192.0.2.7"},
        {"peer_address": ["192.0.2.7"]},
        {"peer_address": [{"addr": "192.0.2.7"}]},
        {"peer_address": None},
        {"peer_address": {"addr": ["192.0.2.7", "198.51.100.1"]}},
        {"peer_address": {"addr": {"addr": "192.0.2.7"}}},
        {"peer_address": {"addr": 3_221_225_991}},
        {"peer_address": {"addr": "192.0.2.7:25"}},
        {"timestamp": True},
        {"timestamp": -1},
        {"timestamp": 1e300},
        {"timestamp": 10**400},
        {"timestamp": {"s": 1}},
        {"timestamp": "yesterday"},
        {"recipient": {"a": "b"}},
        {"recipient": [["a@b.c"]]},
        {"recipient": [10**30]},
        {"recipient": 10**30},
        {"response": [250]},
        {"response": {"code": {"code": 250}}},
        {"response": {"code": [250, 550]}},
        {"response": {"code": True}},
        {"response": {"code": "\N{SUPERSCRIPT TWO}50"}},
    ],
)
def test_a_wrong_type_anywhere_is_one_reject_and_stops_nothing(fields: dict[str, Any]) -> None:
    found, rows = read(source("kumomta"), lines(KUMOMTA, changed(KUMOMTA, **fields), KUMOMTA))
    assert [r[0] for r in rows] == [0, 2]
    assert [reject.position for reject in found.rejects] == [1]


@pytest.mark.parametrize("raw", [b'"\xff\xfe"', b"[" * 400 + b"]" * 400])
def test_bytes_in_a_field_that_nobody_asked_for_hide_no_event(raw: bytes) -> None:
    """A sender who could make his subject unreadable would otherwise flood unseen."""
    line = json.dumps(KUMOMTA).encode().replace(b'"test"', raw)
    found, rows = read(source("kumomta"), line)
    assert (found.rejects, len(rows)) == ([], 1)
    spoiled = json.dumps(KUMOMTA).encode().replace(b'"bob@example.net"', raw)
    assert len(read(source("kumomta"), spoiled)[1]) == (raw.startswith(b"["))


def test_a_sender_of_several_is_unknown_and_the_event_stays() -> None:
    several = changed(ECS, email__to__address="a@b.c", email__from__address=["a@b.c", "d@e.f"])
    assert row("ecs", several)[5] == NO_SENDER


def test_a_path_may_lead_into_what_is_asked_for_itself() -> None:
    settings = source(fields={"recipient": ["to", "to.address"], "sender": "to"})
    record = {"time": 10**12, "client_ip": "192.0.2.7", "action": "accept", "to": "a@b.c"}
    assert read(settings, lines(record))[1][0][3] == "a@b.c"
    inner = source(fields={"recipient": "to.address", "sender": "to"})
    assert read(inner, lines({**record, "to": {"address": "a@b.c"}}))[1][0][3] == "a@b.c"


def test_the_contract_mapped_onto_itself_reads_as_without_a_mapping() -> None:
    records: list[Any] = [
        {"time": AT_MS + n, "client_ip": ip, "action": action, "recipient": to, "sender": "x@y.z"}
        for n, (ip, action, to) in enumerate(
            [
                ("192.0.2.7", "accept", ["a@b.c", "d@e.f"]),
                ("2001:db8::1", "reject", None),
                ("nonsense", "accept", "a@b.c"),
                ("192.0.2.8", "dance", "a@b.c"),
                ("192.0.2.8", "accept", {"a": "b"}),
                ("192.0.2.9", "defer", "a@b.c"),
            ]
        )
    ]
    block = lines(*records, [], {"heartbeat": AT_MS}) + b"{\nnull\n" + b"[" * 600
    plain = JsonLines(EventReader(KeyTables())).read(block, 5)
    mapped = MappedLines(source(), EventReader(KeyTables())).read(block, 5)
    assert mapped.rejects == plain.rejects
    assert mapped.lines == plain.lines
    for name in ("record", "time_ms", "ip", "rcpt", "outcome", "sender"):
        assert getattr(mapped.events, name).tolist() == getattr(plain.events, name).tolist()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.sampled_from(list(SAMPLES)), st.data())
def test_whatever_stands_in_a_field_every_line_is_told_once(
    preset: str, data: st.DataObject
) -> None:
    """Nothing disappears: each line is an event, a reject or of no interest."""
    sample = SAMPLES[preset]
    told = full_source(source(preset))
    paths = [path for _, of in told.fields for path in of] + list(told.kind)
    records = []
    for _ in range(data.draw(st.integers(1, 4))):
        record = json.loads(json.dumps(sample))
        path = data.draw(st.sampled_from(paths)).split(".")
        inner = record
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                break
        else:
            inner[path[-1]] = data.draw(JSON)
        records.append(record)
    found, rows = read(source(preset), lines(*records))
    read_as = {r[0] for r in rows} | {reject.position for reject in found.rejects}
    assert len(read_as) + sum(found.kinds.values()) == len(records) == found.lines
    assert not {r[0] for r in rows} & {reject.position for reject in found.rejects}


@given(st.lists(st.sampled_from([*SAMPLES, "{", "", "[]"]), max_size=12), st.data())
def test_however_a_stream_is_cut_it_reads_the_same(names: list[str], data: st.DataObject) -> None:
    block = b"".join(
        json.dumps(SAMPLES[name]).encode() + b"\n" if name in SAMPLES else name.encode() + b"\n"
        for name in names
    )
    whole, rows = read(source("kumomta"), block)
    ends = [at + 1 for at, byte in enumerate(block) if byte == ord("\n")]
    cut = data.draw(st.sampled_from([0, *ends]))
    left, left_rows = read(source("kumomta"), block[:cut])
    right, right_rows = read(source("kumomta"), block[cut:], left.lines)
    assert left_rows + right_rows == rows
    both: list[Reject] = left.rejects + right.rejects
    assert both == whole.rejects


def test_mistakes_in_the_settings_are_told_with_the_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "live.toml"
    file.write_text(
        '[source]\npreset = "kumo"\n[source.fields]\nclientip = "a"\nasn = "a..b"\n'
        'sender = "a\\"b"\n'
        '[source.values]\naction = {Reception = "acept"}\n'
    )
    variables = {"FLOODWATCH__SOURCE__VALUES__CAUSE": "spam"}
    with pytest.raises(SettingsError) as caught:
        load_settings(file, variables)
    said = str(caught.value).replace(f"{file}:", "").split("\n")
    assert said == [
        (
            '2 source.preset: got "kumo", must be one of "", "kumomta", "rspamd", "vector", "ecs": '
            'did you mean "kumomta"?'
        ),
        "4 source.fields.clientip: unknown key, did you mean source.fields.client_ip?",
        '5 source.fields.asn: got "a..b", must be names between dots, as "source.ip", at most 16',
        '6 source.fields.sender: got "a"b", must be names between dots, as "source.ip", at most 16',
        (
            '8 source.values.action.Reception: got "acept", must be one of "accept", "reject", '
            '"defer", "discard", "": did you mean "accept"?'
        ),
        (
            'FLOODWATCH__SOURCE__VALUES__CAUSE: got "spam", must be a table, as {one = "1", two = '
            '"2"}'
        ),
    ]


def test_a_mapping_can_be_told_in_the_environment() -> None:
    settings = load_settings(
        None,
        {
            "FLOODWATCH__SOURCE__PRESET": "ecs",
            "FLOODWATCH__SOURCE__FIELDS__CLIENT_IP": "observer.peer, client.ip",
            "FLOODWATCH__SOURCE__VALUES__ACTION": '{"tarpit": "defer"}',
        },
    )
    assert settings.source.fields.client_ip == ("observer.peer", "client.ip")
    assert settings.source.values.action == {"tarpit": "defer"}
    assert settings != LiveSettings()


def test_the_presets_name_every_field_that_is_required() -> None:
    for preset in PRESETS.values():
        for name in ("time", "client_ip", "action", "recipient", "sender"):
            assert getattr(preset.fields, name), name
