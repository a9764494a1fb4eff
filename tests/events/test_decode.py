"""Hostile and honest records of the event contract: every one an event row or a reject."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.events.contract import ABSENT, OUTBOUND, EventLists, Outcome, Reject
from detector.events.decode import HEARTBEAT, MOST_RECIPIENTS, OVERSIZED, EventColumns, EventReader
from detector.events.event_time import EARLIEST_MS, times_ms
from detector.events.framing import DEEPEST
from detector.events.interning import NO_KEY, NO_SENDER, NULL_SENDER, KeyTables

GOOD: dict[str, Any] = {
    "time": 1_700_000_000_000, "client_ip": "192.0.2.7", "action": "accept",
    "recipient": "ann@example.org", "sender": "bob@example.net",
}  # fmt: skip
GOOD_LINE = json.dumps(GOOD).encode()


def event(**fields: Any) -> bytes:
    """A good record with other fields; a field given as None is left out."""
    merged = GOOD | fields
    return json.dumps({key: value for key, value in merged.items() if value is not None}).encode()


def raw(**fields: bytes) -> bytes:
    """A good record with fields written as they are."""
    body = b",".join(b'"%b":%b' % (key.encode(), value) for key, value in fields.items())
    return GOOD_LINE[:-1] + b"," + body + b"}"


def read(block: bytes, first: int = 0) -> tuple[EventColumns, list[Reject], int]:
    return EventReader(KeyTables()).read_json(block, first)


def keyed(events: EventColumns, tables: KeyTables) -> list[tuple[Any, ...]]:
    """Rows with keys in place of slots."""
    count = len(events)
    received = [ABSENT] * count if events.received_ms is None else events.received_ms.tolist()
    asn = [ABSENT] * count if events.asn is None else events.asn.tolist()
    return [
        (record, time, None if ip < 0 else tables.ips.names[ip], ip == HEARTBEAT,
         None if to < 0 else tables.mailboxes.names[to], outcome, sender, got, number)
        for record, time, ip, to, outcome, sender, got, number in zip(
            events.record.tolist(), events.time_ms.tolist(), events.ip.tolist(),
            events.rcpt.tolist(), events.outcome.tolist(), events.sender.tolist(),
            received, asn, strict=True,
        )
    ]  # fmt: skip


HOSTILE: list[tuple[bytes, str]] = [
    (b"{", "malformed_json"),
    (GOOD_LINE[:-1], "malformed_json"),
    (GOOD_LINE + b"}", "malformed_json"),
    (GOOD_LINE + GOOD_LINE, "malformed_json"),
    (GOOD_LINE + b" " + GOOD_LINE, "malformed_json"),
    (GOOD_LINE + b",", "malformed_json"),
    (b"\xef\xbb\xbf" + GOOD_LINE, "malformed_json"),
    (b"not json", "malformed_json"),
    (b"\x00", "malformed_json"),
    (GOOD_LINE + b"\x00", "malformed_json"),
    (bytes(range(11, 256)), "malformed_json"),
    (b"\xff\xfe" * 50, "malformed_json"),
    (OVERSIZED + GOOD_LINE, "oversized"),
    (b"[]", "mistyped"),
    (b"null", "mistyped"),
    (b"1", "mistyped"),
    (b'"text"', "mistyped"),
    (b"[" + GOOD_LINE + b"]", "mistyped"),
    (b"{}", "bad_time"),
    (event(time=None), "bad_time"),
    (event(time=True), "mistyped"),
    (event(time=1.5), "bad_time"),
    (raw(time=b"1e3"), "bad_time"),
    (raw(time=b"NaN"), "malformed_json"),
    (raw(time=b"Infinity"), "malformed_json"),
    (event(time=-1), "bad_time"),
    (event(time=10**30), "bad_time"),
    (event(time=2**63), "bad_time"),
    (event(time="yesterday"), "bad_time"),
    (event(time="2026-01-01T00:00:00"), "bad_time"),
    (raw(time=b"9" * 1_000_000), "mistyped"),
    (raw(asn=b"9" * 1_000_000), "mistyped"),
    (raw(asn=b"1" * 30), "bad_value"),
    (event(asn=-1), "bad_value"),
    (event(asn=2**32), "bad_value"),
    (event(asn="64500"), "mistyped"),
    (event(client_ip=None), "missing_field"),
    (event(client_ip="not an address"), "bad_client_ip"),
    (event(client_ip=""), "bad_client_ip"),
    (event(client_ip="192.0.2.7\x00"), "bad_client_ip"),
    (event(client_ip="9" * 1_000_000), "bad_client_ip"),
    (event(client_ip=7), "mistyped"),
    (event(client_ip=["192.0.2.7"]), "mistyped"),
    (event(action=None), "missing_field"),
    (event(action="Accept"), "bad_value"),
    (event(action=""), "bad_value"),
    (event(action=1), "mistyped"),
    (event(cause="weather"), "bad_value"),
    (event(direction="sideways"), "bad_value"),
    (event(recipient=None), "missing_field"),
    (event(recipient=None, action="defer"), "missing_field"),
    (event(recipient=None, action="discard"), "missing_field"),
    (event(recipient=""), "bad_recipient"),
    (event(recipient="a" * 1_000), "bad_recipient"),
    (event(recipient=[]), "missing_field"),
    (event(recipient=["ann@example.org", ""]), "bad_recipient"),
    (event(recipient=["ann@example.org", 1]), "mistyped"),
    (raw(recipient=b"[null]"), "mistyped"),
    (event(recipient=["ann@example.org"] * (MOST_RECIPIENTS + 1)), "too_many_recipients"),
    (event(recipient={"to": "ann"}), "mistyped"),
    (event(sender=1), "mistyped"),
    (raw(sender=b'"\\ud800"'), "malformed_json"),
    (raw(sender=b'"\\udc00\\ud800"'), "malformed_json"),
    (raw(sender=b'"\xff"'), "malformed_json"),
    (raw(sender=b'"a\x00b"'), "malformed_json"),
    (raw(sender=b'"\xed\xa0\x80"'), "malformed_json"),
    (event(received="soon"), "bad_time"),
    (event(received=-5), "bad_time"),
    (event(heartbeat="soon"), "bad_time"),
    (event(heartbeat=[]), "mistyped"),
    (raw(x=b"[" * 100_000 + b"]" * 100_000), "too_deep"),
    (raw(x=b"[" * DEEPEST + b"]" * DEEPEST), "too_deep"),
    (raw(x=b'{"a":' * 600 + b"1" + b"}" * 600), "too_deep"),
    (b"[" * 1_000_000, "too_deep"),
    (raw(recipient=b"[" * 100_000), "too_deep"),
    (raw(x=b"nan"), "malformed_json"),
]
HARMLESS: list[bytes] = [
    GOOD_LINE,
    GOOD_LINE + b"\r",
    b" \t" + GOOD_LINE + b"  ",
    raw(x=b"9" * 1_000_000),
    raw(x=b"1e999999"),
    raw(x=b"-1.5e-7"),
    raw(x=b"[" * (DEEPEST - 1) + b"]" * (DEEPEST - 1)),
    raw(x=b'"' + b"[" * 100_000 + b'"'),
    raw(x=b'"\\"' + b"{" * 5_000 + b'"'),
    raw(x=b'"' + b"y" * 1_000_000 + b'"'),
    raw(sender=b'"\\u0000\\u202e"'),
    raw(sender=b'"\\ud83d\\ude00@example.org"'),
    raw(time=b"1700000000001"),
    event(time="2026-01-01T00:00:00+01:00"),
    event(client_ip="2001:db8::1"),
    event(client_ip="::ffff:192.0.2.9"),
    event(recipient=["ann@example.org"]),
    event(recipient=["ann@example.org"] * MOST_RECIPIENTS),
    event(recipient=None, action="reject", cause="blocklist"),
    event(sender=""),
    event(sender="<>"),
    event(asn=0),
    event(asn=2**32 - 1),
    event(received=1),
    event(direction="outbound", action="defer", cause="rate"),
    b'{"heartbeat":1700000000000}',
    b'{"heartbeat":"2026-01-01T00:00:00Z","client_ip":"rubbish"}',
]


@pytest.mark.parametrize("time", [1_773_492_744, 1_773_492_744.5, 0, "1999-12-31T23:59:59Z"])
def test_a_time_before_2000_is_no_time_of_a_mail(time: float | str) -> None:
    events, [reject], _ = read(event(time=time))
    assert (len(events), reject.reason) == (0, "bad_time")
    assert str(time) in reject.detail


@pytest.mark.parametrize(("line", "reason"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_record_is_told_by_reason_and_position_and_stops_nothing(
    line: bytes, reason: str
) -> None:
    events, rejects, count = read(GOOD_LINE + b"\n" + line + b"\n" + GOOD_LINE, first=70)
    assert [(reject.position, reject.reason) for reject in rejects] == [(71, reason)]
    assert events.record.tolist() == [70, 72]
    assert count == 3
    assert rejects[0].excerpt == line[:200]
    assert len(rejects[0].detail) <= 200


@pytest.mark.parametrize("line", HARMLESS, ids=range(len(HARMLESS)))
def test_a_harmless_record_is_taken(line: bytes) -> None:
    events, rejects, _ = read(b"\n".join([GOOD_LINE, line, GOOD_LINE]))
    assert rejects == []
    assert sorted(set(events.record.tolist())) == [0, 1, 2]


ENDINGS = [b"\n", b"\r\n", b"\n\n", b"\n  \t \n", b"\n\r\n"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("last", [True, False])
def test_line_endings_and_blank_lines_cost_no_record(ending: bytes, *, last: bool) -> None:
    block = ending.join([GOOD_LINE] * 5) + (ending if last else b"")
    events, rejects, count = read(block)
    lines = block.count(b"\n") + (not last)
    assert (len(events), rejects, count) == (5, [], lines)
    assert [block.split(b"\n")[at].strip() for at in events.record.tolist()] == [GOOD_LINE] * 5


@pytest.mark.parametrize("block", [b"", b"\n", b"\r\n", b"\n\n\n", b" "])
def test_nothing_is_nothing(block: bytes) -> None:
    events, rejects, count = read(block)
    assert (len(events), rejects) == (0, [])
    assert count == len(block.split(b"\n")) - (not block or block.endswith(b"\n"))


def test_a_record_never_reaches_over_a_line() -> None:
    """As many records as lines, but not one a line: the halves and the doubles are rejects."""
    broken = GOOD_LINE.replace(b",", b",\n", 1)
    events, rejects, count = read(broken + b"\n" + GOOD_LINE + b" " + GOOD_LINE + b"\n" + GOOD_LINE)
    assert count == 4
    assert events.record.tolist() == [3]
    assert [reject.position for reject in rejects] == [0, 1, 2]
    split = GOOD_LINE[:-1] + b',"x":{}\n,"y":[\n{}]}'
    events, rejects, _ = read(split + b"\n" + GOOD_LINE + GOOD_LINE + b"\n" + GOOD_LINE * 2)
    assert (len(events), [reject.position for reject in rejects]) == (0, [0, 1, 2, 3, 4])


hostile = st.sampled_from([line for line, _ in HOSTILE if len(line) < 10_000])
harmless = st.sampled_from([line for line in HARMLESS if len(line) < 10_000])
blank = st.sampled_from([b"", b"\r", b"  "])
mutated = st.tuples(harmless, st.integers(0, 300), st.binary(max_size=3)).map(
    lambda case: (case[0][: case[1]] + case[2] + case[0][case[1] + 1 :]).replace(b"\n", b"")
)


@given(st.data())
def test_every_record_is_rows_or_one_reject_wherever_batches_are_cut(data: st.DataObject) -> None:
    """I1, and the batch split changes nothing."""
    lines = data.draw(st.lists(hostile | harmless | blank | mutated, max_size=12))
    tables, split = KeyTables(), KeyTables()
    events, rejects, count = EventReader(tables).read_json(b"".join(x + b"\n" for x in lines), 0)
    assert count == len(lines)
    filled = {at for at, line in enumerate(lines) if line.strip()}
    assert Counter(set(events.record.tolist())) + Counter(r.position for r in rejects) == Counter(
        filled
    )
    reader = EventReader(split)
    rows, found, first = [], [], 0
    while first < len(lines):
        size = data.draw(st.integers(1, len(lines) - first))
        block = b"\n".join(lines[first : first + size])
        if first + size < len(lines) or not lines[-1]:
            block += b"\n"
        part, bad, count = reader.read_json(block, first)
        assert count == size
        rows += keyed(part, split)
        found += bad
        first += size
    assert rows == keyed(events, tables)
    assert found == rejects


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_a_crash(block: bytes) -> None:
    events, rejects, count = read(block)
    assert set(events.record.tolist()).isdisjoint(reject.position for reject in rejects)
    assert len({reject.position for reject in rejects}) == len(rejects) <= count


ips = st.sampled_from(["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"])
boxes = st.sampled_from(["a@x.org", "A@X.org", "b+1@x.org", "c"])
causes = ["blocklist", "unknown_user", "rate", "content", "other"]
contract = st.fixed_dictionaries(
    {
        "time": st.integers(EARLIEST_MS, 2**42) | st.just("2026-01-01T00:00:00.123Z"),
        "client_ip": ips,
        "action": st.sampled_from(["accept", "reject", "defer", "discard"]),
        "recipient": boxes | st.lists(boxes, min_size=1, max_size=3),
    },
    optional={
        "received": st.integers(0, 2**42) | st.just("2026-01-01T00:00:01Z"),
        "asn": st.integers(0, 2**32 - 1),
        "sender": st.sampled_from(["", "a@x.org", "b@y.org"]),
        "cause": st.sampled_from(causes),
        "direction": st.sampled_from(["inbound", "outbound"]),
        "helo": st.text(),
        "size": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    },
)
OUTCOMES = {"accept": 0, "discard": 1, "reject": 2, "defer": 7}
CAUSES = ["other", "blocklist", "unknown_user", "rate", "content"]


def naive_rows(record: int, fields: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What one record of the contract means, the slow way."""
    tables = KeyTables()
    code = OUTCOMES[fields["action"]]
    if code > 1:
        code += CAUSES.index(fields.get("cause", "other"))
    if fields.get("direction") == "outbound":
        code |= OUTBOUND
    names = fields["recipient"]
    received = fields.get("received")
    return [
        (
            record,
            int(times_ms([fields["time"]])[0]),
            tables.ips.canonical(fields["client_ip"]),
            False,
            tables.mailboxes.canonical(name),
            code,
            int(tables.senders.look([fields.get("sender")])[0]),
            ABSENT if received is None else int(times_ms([received])[0]),
            fields.get("asn", ABSENT),
        )
        for name in (names if isinstance(names, list) else [names])
    ]


@given(st.lists(contract, max_size=8))
def test_columns_say_what_the_records_say(records: list[dict[str, Any]]) -> None:
    tables = KeyTables()
    block = b"\n".join(json.dumps(record).encode() for record in records)
    events, rejects, _ = EventReader(tables).read_json(block, 5)
    assert rejects == []
    want = [row for at, fields in enumerate(records) for row in naive_rows(5 + at, fields)]
    assert keyed(events, tables) == want


def test_a_list_of_recipients_is_one_event_each_and_one_record() -> None:
    tables = KeyTables()
    line = event(recipient=["ann@example.org", "Ann+x@example.org", "bob@example.org"], asn=64500)
    events, _, _ = EventReader(tables).read_json(line + b"\n" + GOOD_LINE, 0)
    assert events.record.tolist() == [0, 0, 0, 1]
    names = [tables.mailboxes.names[slot] for slot in events.rcpt.tolist()]
    assert names == ["ann@example.org", "ann@example.org", "bob@example.org", "ann@example.org"]
    assert events.asn is not None
    assert events.asn.tolist() == [64500, 64500, 64500, ABSENT]


def test_a_heartbeat_has_a_time_and_nothing_else() -> None:
    events, rejects, _ = read(GOOD_LINE + b'\n{"heartbeat":1700000000500}\n')
    assert rejects == []
    assert events.ip.tolist() == [0, HEARTBEAT]
    assert events.time_ms.tolist() == [1_700_000_000_000, 1_700_000_000_500]


def test_only_a_reject_may_lack_a_recipient() -> None:
    for number, cause in enumerate(CAUSES):
        for direction in ("inbound", "outbound"):
            line = event(recipient=None, action="reject", cause=cause, direction=direction)
            events, rejects, _ = read(line)
            assert rejects == []
            assert events.rcpt.tolist() == [NO_KEY]
            assert events.outcome[0] & 15 == Outcome.REJECT_OTHER + number


def test_a_missing_sender_is_not_the_null_sender() -> None:
    events, _, _ = read(b"\n".join([event(sender=None), event(sender=""), event(sender="<>")]))
    assert events.sender.tolist() == [NO_SENDER, NULL_SENDER, NULL_SENDER]


def test_a_parsers_events_are_interned_like_records() -> None:
    tables = KeyTables()
    lists = EventLists(
        record=[3, 4, 4, 9], time_ms=[10, 20, 20, -7],
        client_ip=["192.0.2.1", "2001:DB8::1", "rubbish", "192.0.2.1"],
        recipient=["A@x.org", None, "b@x.org", "c@x.org"], sender=["", None, "s@y.org", "s@y.org"],
        outcome=[Outcome.ACCEPT, Outcome.REJECT_BLOCKLIST, Outcome.ACCEPT, Outcome.ACCEPT],
        asn=[64500, ABSENT, 64501, 64502], received_ms=[ABSENT, 30, 40, 50],
    )  # fmt: skip
    events, rejects = EventReader(tables).intern(lists)
    assert keyed(events, tables) == [
        (3, 10, "192.0.2.1", False, "a@x.org", 0, NULL_SENDER, ABSENT, 64500),
        (4, 20, "2001:db8::/64", False, None, 3, NO_SENDER, 30, ABSENT),
    ]
    assert [(reject.position, reject.reason) for reject in rejects] == [
        (4, "bad_client_ip"),
        (9, "bad_time"),
    ]


def test_no_events_of_a_parser_are_no_rows() -> None:
    events, rejects = EventReader(KeyTables()).intern(EventLists())
    assert (len(events), rejects) == (0, [])
