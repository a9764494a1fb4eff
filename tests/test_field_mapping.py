"""Records of other programs, read where they are: samples as documented, and hostile ones."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.decode import HEARTBEAT, OVERSIZED, EventReader
from detector.errors import SettingsError
from detector.events import OUTBOUND, Outcome, Reject
from detector.interning import NO_SENDER, NULL_SENDER, KeyTables
from pipelines.field_mapping import MOST_KINDS, MappedLines, full_source, lines_of
from pipelines.ingest import JsonLines, ReadLines
from pipelines.settings import LiveSettings, SourceSettings
from pipelines.settings_file import load_settings
from pipelines.source_presets import PRESETS

Row = tuple[int, int, str | None, str | None, int, int, int]

KUMOMTA: dict[str, Any] = {
    "type": "Reception",
    "id": "ebaaab5e9e7b11eeb206960002ccea16",
    "sender": "bob@example.net",
    "recipient": "ann@example.org",
    "queue": "example.org",
    "site": "",
    "size": 594,
    "response": {"code": 250, "enhanced_code": None, "content": "", "command": None},
    "peer_address": {"name": "mail.example.net", "addr": "192.0.2.7"},
    "timestamp": 1_702_996_556,
    "created": 1_702_996_550,
    "num_attempts": 0,
    "bounce_classification": "Uncategorized",
    "egress_pool": None,
    "feedback_report": None,
    "meta": {},
    "headers": {"Subject": "test"},
    "delivery_protocol": None,
    "reception_protocol": "ESMTP",
    "nodeid": "dd2b41fd-78f0-4105-8cd9-01ac7114cada",
}
RSPAMD_HISTORY: dict[str, Any] = {
    "is_skipped": False,
    "score": 17.2,
    "required_score": 15.0,
    "action": "reject",
    "symbols": {"BAYES_SPAM": {"score": 5.1, "options": ["99.9%"]}},
    "message-id": "20231219@example.net",
    "sender_smtp": "bob@example.net",
    "sender_mime": "Bob@example.net",
    "rcpt_smtp": ["ann@example.org", "joe@example.org"],
    "rcpt_mime": ["team@example.org"],
    "user": "unknown",
    "unix_time": 1_702_996_556,
    "subject": "offer",
    "size": 594,
    "ip": "192.0.2.7",
}
RSPAMD_EXPORT: dict[str, Any] = {
    "ip": "2001:db8::7",
    "user": "unknown",
    "qid": "4SvXYZ",
    "subject": "hello",
    "action": "no action",
    "score": 0.1,
    "rcpt": ["ann@example.org"],
    "from": "bob@example.net",
    "symbols": [],
    "header_from": ["Bob <bob@example.net>"],
    "scan_time": 12,
    "timestamp": 1_702_996_556.25,
}
VECTOR: dict[str, Any] = {
    "timestamp": "2023-12-19T14:35:56.25Z",
    "host": "mx1.example.org",
    "source_type": "syslog",
    "appname": "postfix/smtpd",
    "message": "NOQUEUE: reject: RCPT from ...",
    "client_ip": "192.0.2.7",
    "action": "reject",
    "cause": "blocklist",
    "recipient": "ann@example.org",
    "sender": "",
}
ECS: dict[str, Any] = {
    "@timestamp": "2023-12-19T14:35:56.25Z",
    "ecs": {"version": "8.11.0"},
    "event": {"category": ["email"], "action": "rejected", "outcome": "failure"},
    "source": {"ip": "192.0.2.7", "as": {"number": 64_500, "organization": {"name": "Example"}}},
    "email": {
        "from": {"address": ["bob@example.net"]},
        "to": {"address": ["ann@example.org", "joe@example.org"]},
        "direction": "inbound",
    },
}
SAMPLES = {"kumomta": KUMOMTA, "rspamd": RSPAMD_HISTORY, "vector": VECTOR, "ecs": ECS}
AT_MS = 1_702_996_556_000


def changed(record: dict[str, Any], /, **fields: Any) -> dict[str, Any]:
    """A record with other fields; `a__b` is b within a, `...` leaves a field out."""
    record = json.loads(json.dumps(record))
    for path, value in fields.items():
        *around, name = path.split("__")
        inner = record
        for part in around:
            inner = inner[part]
        inner[name] = value
        if value is ...:
            del inner[name]
    return record


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def source(preset: str = "", **told: Any) -> SourceSettings:
    return SourceSettings.model_validate({"preset": preset, **told})


def read(settings: SourceSettings, block: bytes, first: int = 0) -> tuple[ReadLines, list[Row]]:
    """What was read, and its rows with keys in place of slots."""
    tables = KeyTables()
    found = MappedLines(settings, EventReader(tables)).read(block, first)
    events = found.events
    rows = [
        (record, time, None if ip < 0 else tables.ips.names[ip],
         None if to < 0 else tables.mailboxes.names[to], outcome, sender,
         -1 if events.asn is None else int(events.asn[at]))
        for at, (record, time, ip, to, outcome, sender) in enumerate(zip(
            events.record.tolist(), events.time_ms.tolist(), events.ip.tolist(),
            events.rcpt.tolist(), events.outcome.tolist(), events.sender.tolist(), strict=True,
        ))
    ]  # fmt: skip
    return found, rows


def row(preset: str, record: dict[str, Any]) -> Row:
    found, rows = read(source(preset), lines(record))
    assert found.rejects == []
    (only,) = rows
    return only


def rejects(preset: str, record: Any) -> list[tuple[str, str]]:
    found, rows = read(source(preset), lines(record))
    assert rows == []
    return [(reject.reason, reject.detail) for reject in found.rejects]


def test_kumomta_receives_a_message() -> None:
    at, time, ip, to, outcome, sender, asn = row("kumomta", KUMOMTA)
    assert (at, time, ip, to, asn) == (0, AT_MS, "192.0.2.7", "ann@example.org", -1)
    assert outcome == Outcome.ACCEPT
    assert sender not in {NULL_SENDER, NO_SENDER}


@pytest.mark.parametrize(
    ("code", "enhanced", "outcome"),
    [
        (550, {"class": 5, "subject": 1, "detail": 1}, Outcome.REJECT_UNKNOWN_USER),
        (554, None, Outcome.REJECT_OTHER),
        (550, {"class": 5, "subject": 7, "detail": 1}, Outcome.REJECT_OTHER),
        (451, {"class": 4, "subject": 7, "detail": 1}, Outcome.DEFER_OTHER),
        ("421", None, Outcome.DEFER_OTHER),
    ],
)
def test_kumomta_refuses_for_good_or_for_now(code: Any, enhanced: Any, outcome: Outcome) -> None:
    """Its one kind Rejection stands for both; only the code tells them apart."""
    answer = {"code": code, "enhanced_code": enhanced, "content": "no", "command": "RCPT TO"}
    assert row("kumomta", changed(KUMOMTA, type="Rejection", response=answer))[4] == outcome


def test_kumomta_refuses_a_client_before_it_named_anybody() -> None:
    """The empty sender is one that was never named, not the null sender of backscatter."""
    record = changed(KUMOMTA, type="Rejection", response__code=554, recipient="", sender="")
    assert row("kumomta", record)[3:6] == (None, Outcome.REJECT_OTHER, NO_SENDER)
    assert row("kumomta", changed(KUMOMTA, sender=""))[5] == NULL_SENDER


def test_kumomta_tells_its_own_users_from_the_world() -> None:
    signed_in = changed(KUMOMTA, meta={"authn_id": "ESMTP"})
    injected = changed(KUMOMTA, reception_protocol="HTTP")
    assert row("kumomta", changed(KUMOMTA, meta={"authn_id": "bob"}))[4] == OUTBOUND
    assert row("kumomta", injected)[4] == OUTBOUND
    assert row("kumomta", signed_in)[4] == Outcome.ACCEPT  # a user who is called like the protocol


def test_records_of_no_interest_are_counted_by_kind_and_keep_their_lines() -> None:
    kinds = ["Delivery", "Bounce", "TransientFailure", "Delivery", "OOB", "Feedback"]
    records = [changed(KUMOMTA, type=kind) for kind in kinds]
    block = lines(records[0], KUMOMTA, *records[1:], KUMOMTA)
    found, rows = read(source("kumomta"), block, 100)
    assert [r[0] for r in rows] == [101, 107]
    assert (found.rejects, found.lines) == ([], 8)
    assert found.kinds == {
        "Delivery": 2, "Bounce": 1, "TransientFailure": 1, "OOB": 1, "Feedback": 1,
    }  # fmt: skip
    nothing, none = read(source("kumomta"), lines(*records))
    assert (none, nothing.rejects, nothing.lines) == ([], [], 6)


def test_kinds_that_nobody_knows_are_counted_within_bounds() -> None:
    block = lines(*(changed(KUMOMTA, type=f"\x1b{n}") for n in range(1_000)))
    reader = MappedLines(source("kumomta"), EventReader(KeyTables()))
    kinds = reader.read(block, 0).kinds
    assert len(kinds) == MOST_KINDS + 1
    assert kinds["other"] == 1_000 - MOST_KINDS
    assert "\\u001b0" in kinds
    assert set(reader.read(block, 0).kinds) == set(kinds)


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        ("no action", Outcome.ACCEPT),
        ("add header", Outcome.ACCEPT),
        ("rewrite subject", Outcome.ACCEPT),
        ("quarantine", Outcome.ACCEPT),
        ("greylist", Outcome.DEFER_OTHER),
        ("soft reject", Outcome.DEFER_OTHER),
        ("reject", Outcome.REJECT_CONTENT),
        ("discard", Outcome.DISCARD),
    ],
)
def test_rspamd_says_what_becomes_of_a_message(action: str, outcome: Outcome) -> None:
    _, rows = read(source("rspamd"), lines(changed(RSPAMD_HISTORY, action=action)))
    assert [r[1:5] for r in rows] == [
        (AT_MS, "192.0.2.7", "ann@example.org", outcome),
        (AT_MS, "192.0.2.7", "joe@example.org", outcome),
    ]


def test_rspamd_exports_its_metadata_to_which_somebody_adds_a_time() -> None:
    _, time, ip, to, outcome, _, _ = row("rspamd", RSPAMD_EXPORT)
    assert (time, ip, to) == (AT_MS + 250, "2001:db8::/64", "ann@example.org")
    assert outcome == Outcome.ACCEPT
    assert rejects("rspamd", changed(RSPAMD_EXPORT, timestamp=...))[0][0] == "bad_time"


def test_what_rspamd_does_not_know_is_not_there() -> None:
    unknown = changed(RSPAMD_HISTORY, sender_smtp="unknown", rcpt_smtp=["unknown", "a@example.org"])
    assert row("rspamd", unknown)[3:6] == ("a@example.org", Outcome.REJECT_CONTENT, NO_SENDER)
    assert row("rspamd", changed(RSPAMD_EXPORT, user="bob"))[4] == OUTBOUND
    assert rejects("rspamd", changed(RSPAMD_HISTORY, ip="unknown")) == [
        ("missing_field", "client_ip: missing")
    ]
    accepted = changed(RSPAMD_EXPORT, rcpt="unknown")
    assert rejects("rspamd", accepted)[0][0] == "missing_field"


def test_vector_keeps_our_names_and_its_own_time() -> None:
    assert row("vector", VECTOR) == (
        0, AT_MS + 250, "192.0.2.7", "ann@example.org", Outcome.REJECT_BLOCKLIST, NULL_SENDER, -1,
    )  # fmt: skip


def test_ecs_is_read_nested_and_with_dots_in_its_names() -> None:
    flat = {
        "@timestamp": ECS["@timestamp"], "event.category": "email", "event.outcome": "failure",
        "source.ip": "192.0.2.7", "source.as.number": 64_500,
        "email.from.address": "bob@example.net",
        "email.to.address": ["ann@example.org", "joe@example.org"],
    }  # fmt: skip
    _, nested_rows = read(source("ecs"), lines(ECS))
    _, flat_rows = read(source("ecs"), lines(flat))
    assert nested_rows == flat_rows
    assert [r[3:5] for r in nested_rows] == [
        ("ann@example.org", Outcome.REJECT_OTHER),
        ("joe@example.org", Outcome.REJECT_OTHER),
    ]
    assert {r[6] for r in nested_rows} == {64_500}


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        ({"action": "smtp-rcpt", "outcome": "success"}, Outcome.ACCEPT),
        ({"action": "deferred", "outcome": "failure"}, Outcome.DEFER_OTHER),
        ({"action": "discard"}, Outcome.DISCARD),
    ],
)
def test_the_first_value_that_means_something_counts(event: Any, outcome: Outcome) -> None:
    assert read(source("ecs"), lines(changed(ECS, event=event)))[1][0][4] == outcome


def test_values_that_mean_nothing_are_rejected_by_the_reader() -> None:
    odd = changed(ECS, event={"action": "smtp-rcpt", "outcome": "unknown"})
    assert rejects("ecs", odd) == [("bad_value", "Invalid enum value 'smtp-rcpt' - at `$.action`")]
    assert rejects("kumomta", changed(KUMOMTA, response__code=99))[0][0] == "mistyped"
    assert rejects("kumomta", changed(KUMOMTA, response=...))[0] == (
        "missing_field", "action: want accept, reject, defer or discard",
    )  # fmt: skip


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
    record = {"time": 1, "client_ip": "192.0.2.7", "action": "accept", "to": "a@b.c"}
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
