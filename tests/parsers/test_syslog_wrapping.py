"""Lines that a syslog daemon has wrapped or shortened are read as what they stand for."""

import json

import pytest

from pipelines.parsers.postfix import PostfixParser
from tests.parsers.lines import MX, REFERENCE_MS, line, message, parse, rows

FIELDS = "; from=<a@b.test> to=<u@example.org> proto=ESMTP helo=<x>"
REFUSED = f"NOQUEUE: reject: RCPT from u[203.0.113.5]: 554 5.7.1 <u@example.org>: No{FIELDS}"
HELD = f"NOQUEUE: hold: RCPT from u[203.0.113.5]: <u@example.org>: triggers HOLD action{FIELDS}"
OTHER_HOST = MX.replace(b"mx1", b"mx2")
LAST = b"last message repeated 3 times"


def test_a_refusal_that_is_repeated_is_as_many_events() -> None:
    lines = [line("smtpd", REFUSED), line("smtpd", f"message repeated 3 times: [ {REFUSED}]")]
    assert [row[0] for row in rows(parse(lines).events)] == [0, 1, 1, 1]


def test_a_repeated_line_that_the_daemon_has_cut_is_read_whole_from_the_line_before() -> None:
    lines = [line("smtpd", REFUSED), line("smtpd", f"message repeated 2 times: [ {REFUSED[:99]}]")]
    assert [row[3] for row in rows(parse(lines).events)] == ["u@example.org"] * 3


@pytest.mark.parametrize("last", [LAST, b"syslogd: " + LAST, b"syslogd[1]: " + LAST, LAST + b" "])
def test_the_last_line_of_the_host_is_repeated(last: bytes) -> None:
    lines = [
        MX + b"syslogd: restart",
        line("smtpd", REFUSED),
        OTHER_HOST + b"cron[1]: x",
        MX + last,
        MX + last,
    ]
    assert [row[0] for row in rows(parse(lines).events)] == [1, 3, 3, 3, 4, 4, 4]


@pytest.mark.parametrize(
    "between", [MX + b"cron[1]: x", line("smtpd", "connect from u[192.0.2.1]")]
)
def test_another_line_of_the_host_ends_what_can_be_repeated(between: bytes) -> None:
    parsed = parse([line("smtpd", REFUSED), between, MX + LAST])
    assert len(parsed.events) == 1


def test_lines_that_are_no_attempts_are_repeated_in_vain() -> None:
    lines = message("A9434A1A3CD")
    told = [each for one in lines for each in (one, again(one))]
    parsed = parse(told)
    assert len(parsed.events) == 1
    assert parsed.kinds["repeated line"] == len(lines)


def again(one: bytes) -> bytes:
    tag, _, text = one.partition(b"]: ")
    return tag + b"]: message repeated 2 times: [ " + text + b"]"


def test_a_number_that_no_daemon_writes_is_rejected() -> None:
    parsed = parse([line("smtpd", REFUSED), MX + b"last message repeated 999999999 times"])
    assert [reject.reason for reject in parsed.rejects] == ["malformed_line"]
    assert len(parsed.events) == 1


@pytest.mark.parametrize("around", ["[ID 197553 mail.info] ", " ", "  [ID 1 local0.notice]  "])
def test_what_stands_between_tag_and_message_is_skipped(around: str) -> None:
    plain = [*message("A9434A1A3CD"), line("smtpd", REFUSED)]
    wrapped = [one.replace(b"]: ", f"]: {around}".encode(), 1) for one in plain]
    assert rows(parse(wrapped).events) == rows(parse(plain).events)
    mixed = [one for pair in zip(plain, wrapped, strict=True) for one in pair]
    assert len(parse(mixed).events) == len(parse(plain).events) + 1
    last = parse([*wrapped, MX + LAST])
    assert len(last.events) == len(parse(plain).events) + 3


@pytest.mark.parametrize(
    "text",
    ["[ID x] A: y", "message repeated", "message repeated 2 times: [", "", "[ID 1 mail.info] "],
)
def test_what_only_looks_wrapped_is_counted(text: str) -> None:
    parsed = parse([line("smtpd", text)])
    assert sum(parsed.kinds.values()) == 1
    assert len(parsed.events) == 0


@pytest.mark.parametrize("cut", range(6))
def test_a_restart_knows_the_last_line_and_who_was_held(cut: int) -> None:
    lines = [
        line("smtpd", REFUSED),
        MX + LAST,
        line("smtpd", HELD),
        *message("A9434A1A3CD", client="u[203.0.113.5]"),
    ]
    first = PostfixParser(reference_ms=REFERENCE_MS)
    before = rows(first.feed(lines[:cut], 0).events)
    second = PostfixParser(reference_ms=REFERENCE_MS)
    second.restore(json.loads(json.dumps(first.state())))
    told = before + rows(second.feed(lines[cut:], cut).events)
    assert [row[0] for row in told] == [0, 1, 1, 1, 2]
    assert told == rows(parse(lines).events)
