"""Records of other programs as they are documented, and how tests read them mapped."""

import json
from typing import Any

from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from pipelines.settings.model import SourceSettings
from pipelines.shapes.field_mapping import MappedLines
from pipelines.stages.ingest import ReadLines

__all__ = [
    "AT_MS",
    "ECS",
    "KUMOMTA",
    "RSPAMD_EXPORT",
    "RSPAMD_HISTORY",
    "SAMPLES",
    "VECTOR",
    "Row",
    "changed",
    "lines",
    "read",
    "rejects",
    "row",
    "source",
]

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
