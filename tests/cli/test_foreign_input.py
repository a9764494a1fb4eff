"""What a replay says of files and records that are not its own, and of files given twice."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import START_MS, Call, Result, event, lines, story

EXIM = b"2026-01-01 00:00:01 1vXyZa-0001Ab-2C <= a@b.example H=(x) [192.0.2.1] P=esmtp S=300\n"
SENDMAIL = b"Jan  1 00:00:01 mx1 sm-mta[77]: 60101aB: from=<a@b.example>, size=300, nrcpts=1\n"
SSHD = b"Jan  1 00:00:01 mx1 sshd[77]: Connection closed by 192.0.2.1 port 22\n"


def replayed(floodwatch: Call, *arguments: object) -> Result:
    return floodwatch("replay", *arguments, "--store", "memory:", "--json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (EXIM, ("Exim", "events in JSON")),
        (SENDMAIL, ("Sendmail", "events in JSON")),
        (SSHD, ("Postfix", "--format postfix")),
        (b"<!DOCTYPE html>\n<html></html>\n", ("HTML", "download the log again")),
        (b"\x7fELF" + bytes(100), ("binary file",)),
        ("Jan 1".encode("utf-16"), ("UTF-16", "iconv")),
        (b"LPKSHHRH" + bytes(100), ("journalctl",)),
        (b"#Software: Microsoft Exchange Server\n#Version: 15\n", ("Exchange",)),
    ],
)
def test_a_file_that_is_not_read_is_named_for_what_it_is(
    floodwatch: Call, content: bytes, words: tuple[str, ...]
) -> None:
    Path("mail.log").write_bytes(content * 3)
    result = replayed(floodwatch, "mail.log")
    assert (result.code, result.out) == (2, "")
    assert all(word in result.err for word in words), result.err


def foreign(**names: str) -> list[dict[str, Any]]:
    """The story with other names for its fields."""
    return [{names.get(name, name): value for name, value in one.items()} for one in story()]


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        ({"client_ip": "ip"}, "--field client_ip=ip"),
        ({"client_ip": "clientip", "time": "Timestamp"}, "--field time=Timestamp"),
        ({"action": "zz"}, "--field action=NAME"),
        ({"time": "unix_time", "client_ip": "ip", "recipient": "rcpt"}, "--preset rspamd"),
        ({"time": "__REALTIME_TIMESTAMP", "action": "MESSAGE"}, "journalctl"),
    ],
)
def test_records_with_other_fields_are_refused_with_the_option_that_maps_them(
    floodwatch: Call, names: dict[str, str], advice: str
) -> None:
    Path("mail.ndjson").write_bytes(lines(foreign(**names)))
    result = replayed(floodwatch, "mail.ndjson")
    assert (result.code, result.out) == (2, "")
    assert all(word in result.err for word in ("no record has", next(iter(names)), advice))


def test_names_of_fields_are_escaped(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(b'{"client_ip\\u001b[31m": 1}\n')
    result = replayed(floodwatch, "mail.ndjson")
    assert result.code == 2
    assert "\\u001b" in result.err
    assert "\x1b" not in result.err


def test_named_fields_give_what_the_contract_gives(floodwatch: Call) -> None:
    Path("ours.ndjson").write_bytes(lines(story()))
    Path("theirs.ndjson").write_bytes(lines(foreign(client_ip="ip", recipient="rcpt")))
    options = ("--field", "client_ip=ip", "--field", "recipient=to,rcpt")
    theirs = replayed(floodwatch, "theirs.ndjson", *options, "--decisions", "theirs")
    assert theirs.code == replayed(floodwatch, "ours.ndjson", "--decisions", "ours").code == 0
    assert Path("theirs").read_bytes() == Path("ours").read_bytes()


def test_parquet_is_mapped_like_json(floodwatch: Call) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    events = story()
    ecs = [
        {
            "@timestamp": datetime.fromtimestamp(one["time"] / 1000, UTC),
            "source": {"ip": one["client_ip"]},
            "event": {"action": "delivered", "category": "email"},
            "email": {"to": {"address": one["recipient"]}, "from": {"address": one["sender"]}},
        }
        for one in events
    ]
    parquet.write_table(pa.Table.from_pylist(ecs), "mail.parquet")
    refused = replayed(floodwatch, "mail.parquet")
    assert (refused.code, "--preset ecs" in refused.err) == (2, True)
    result = replayed(floodwatch, "mail.parquet", "--preset", "ecs", "--decisions", "theirs")
    assert json.loads(result.out)["events"] == len(events)
    Path("ours.ndjson").write_bytes(lines(events))
    replayed(floodwatch, "ours.ndjson", "--decisions", "ours")
    assert Path("theirs").read_bytes() == Path("ours").read_bytes()


@pytest.mark.parametrize(
    "option",
    [("--preset", "elastic"), ("--field", "ip"), ("--field", "ip=x"), ("--field", "time=a..b")],
)
def test_a_wrong_mapping_is_a_usage_error(floodwatch: Call, option: tuple[str, str]) -> None:
    Path("mail.ndjson").write_bytes(lines(story()[:1]))
    result = replayed(floodwatch, "mail.ndjson", *option)
    assert (result.code, option[0] in result.err) == (2, True)


@pytest.mark.parametrize("name", ["copy.ndjson", "mail.ndjson.1.gz"])
@pytest.mark.parametrize("kept", [1.0, 0.5])
def test_a_file_and_its_copy_are_refused(floodwatch: Call, name: str, kept: float) -> None:
    """A copy may be older, packed, or a rotated file of the same log."""
    events = story()
    Path("mail.ndjson").write_bytes(lines(events))
    copy = lines(events[: int(len(events) * kept)])
    Path(name).write_bytes(gzip.compress(copy) if name.endswith(".gz") else copy)
    result = replayed(floodwatch, "mail.ndjson", name)
    assert (result.code, result.out) == (2, "")
    assert "same records" in result.err
    assert name in result.err


def test_files_with_other_records_are_no_copies(floodwatch: Call) -> None:
    first = [event(START_MS + n, "192.0.2.1", "a@b.example") for n in range(20)]
    second = [*first[:10], event(START_MS, "192.0.2.2", "a@b.example")]
    Path("a.ndjson").write_bytes(lines(first))
    Path("b.ndjson").write_bytes(lines(second))
    Path("c.ndjson").write_bytes(b"")
    Path("d.ndjson").write_bytes(b"")
    result = replayed(floodwatch, *(f"{name}.ndjson" for name in "abcd"))
    assert (result.code, json.loads(result.out)["events"]) == (0, 31)


def test_a_file_of_heartbeats_alone_is_one_of_ours(floodwatch: Call, tmp_path: Path) -> None:
    """A partition may have nothing else; the dump of a topic adds when they were received."""
    path = tmp_path / "beats.ndjson"
    path.write_bytes(b'{"heartbeat":1767225600000,"received":1767225600100}\n' * 3)
    assert floodwatch("replay", path, "--store", "memory:").code == 0
