"""`floodwatch replay`: what it reads, what it writes, and that nothing is half-written."""

import contextlib
import gzip
import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pipelines.follow.lock import Lock
from pipelines.stores.sqlite import SqliteStore
from tests.cli.command_line import START_MS, Call, event, flood, lines, quiet_mail, started, story

VICTIM = "a***@c***.example"


def decided(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def summary_of(floodwatch: Call, *arguments: object, code: int = 0) -> dict[str, Any]:
    result = floodwatch("replay", *arguments, "--json", "--store", "memory:")
    assert result.code == code, result.err
    summary: dict[str, Any] = json.loads(result.out)
    return summary


def test_a_flood_is_found_and_told(floodwatch: Call, tmp_path: Path) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    result = floodwatch("replay", "mail.ndjson", "--decisions", "d.ndjson")
    assert result.code == 0
    assert result.err == ""
    assert "Floods   1 found" in result.out
    changes = decided(tmp_path / "d.ndjson")
    assert [change["seq"] for change in changes] == list(range(1, len(changes) + 1))
    assert {change["evidence"]["victim"] for change in changes} == {VICTIM}
    listed = {change["subject"] for change in changes if change["change"] == "list"}
    assert listed <= {one["client_ip"] for one in flood(START_MS)}
    assert len(listed) > 100


def test_the_summary_counts_what_it_says_it_counts(floodwatch: Call) -> None:
    events = story()
    Path("mail.ndjson").write_bytes(lines(events) + b"{\n\n")
    got = summary_of(floodwatch, "mail.ndjson", "--decisions", "d.ndjson")
    assert got["lines"] == len(events) + 2
    assert got["records"] == len(events) + 1
    assert got["events"] == len(events)
    assert got["rejects"] == {"malformed_json": 1}
    listed_at = {change["subject"]: change["time"] for change in decided(Path("d.ndjson"))}
    late = [e for e in events if e["time"] // 1000 * 1000 >= listed_at.get(e["client_ip"], 2**60)]
    assert got["stopped"] == sum(e["recipient"] == "ann@club.example" for e in late)
    assert got["cost"] == sum(e["recipient"] != "ann@club.example" for e in late)
    assert got["messages"] == len(events)
    assert got["floods"][0]["victim"] == VICTIM


def test_mail_to_others_from_a_listed_source_is_the_price(floodwatch: Call) -> None:
    source = next(flood(START_MS))["client_ip"]
    after = START_MS + 35 * 60_000
    more = [event(after + n, source, f"user{n}@shop.example") for n in range(3)]
    events = sorted([*story(), *more], key=lambda one: one["time"])
    Path("mail.ndjson").write_bytes(lines(events))
    assert summary_of(floodwatch, "mail.ndjson")["cost"] == 3


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("mail.ndjson.gz", gzip.compress),
        ("mail.ndjson.zst", zstandard.ZstdCompressor().compress),
        ("mail.crlf", lambda content: content.replace(b"\n", b"\r\n")),
        ("mail.bom", lambda content: b"\xef\xbb\xbf" + content),
        ("mail.cut", lambda content: content.removesuffix(b"\n")),
        ("mail.blank", lambda content: b"\n\n" + content.replace(b"\n", b"\n\n")),
    ],
)
def test_packing_and_line_ends_change_nothing(floodwatch: Call, name: str, pack: Any) -> None:
    Path("plain.ndjson").write_bytes(lines(story()))
    Path(name).write_bytes(pack(lines(story())))
    for which in ("plain.ndjson", name):
        got = summary_of(floodwatch, which, "--decisions", f"{which}.decisions")
        assert (got["events"], got["rejects"]) == (len(story()), {})
    assert Path(f"{name}.decisions").read_bytes() == Path("plain.ndjson.decisions").read_bytes()


def test_a_rotated_log_is_read_as_the_log_it_was(floodwatch: Call) -> None:
    content = lines(story()).split(b"\n")
    Path("plain.ndjson").write_bytes(lines(story()))
    Path("logs").mkdir()
    Path("logs/mail.log.2.gz").write_bytes(gzip.compress(b"\n".join(content[:700])))
    Path("logs/mail.log.1").write_bytes(b"\n".join(content[700:900]) + b"\n")
    Path("logs/mail.log").write_bytes(b"\n".join(content[900:]))
    said = []
    for which in ("plain.ndjson", "logs", "logs/mail.*"):
        assert len(summary_of(floodwatch, which, "--decisions", "d")["inputs"]) == 1
        said.append(Path("d").read_bytes())
    assert said == [said[0]] * 3


def test_the_files_of_several_servers_are_merged_by_their_times(floodwatch: Call) -> None:
    events = story()
    Path("one.ndjson").write_bytes(lines(events))
    for number in range(3):
        Path(f"mx{number}.ndjson").write_bytes(lines(events[number::3]))
    summary_of(floodwatch, "one.ndjson", "--decisions", "one")
    got = summary_of(floodwatch, "mx0.ndjson", "mx1.ndjson", "mx2.ndjson", "--decisions", "three")
    assert len(got["inputs"]) == 3
    assert Path("three").read_bytes() == Path("one").read_bytes()


def test_the_log_can_be_kept_and_replayed_to_the_same_bytes(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    summary_of(floodwatch, "mail.ndjson", "--decisions", "d1", "--log", "kept.log")
    for name, pack in (("kept.log", bytes), ("kept.gz", gzip.compress)):
        Path(name).write_bytes(pack(Path("kept.log").read_bytes()))
        got = summary_of(floodwatch, name, "--decisions", "d2", "--log", "again.log")
        assert got["inputs"][0]["format"] == "log"
        assert Path("d2").read_bytes() == Path("d1").read_bytes()
        assert Path("again.log").read_bytes() == Path("kept.log").read_bytes()


def test_a_log_cut_short_fails_and_what_came_before_counts(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    summary_of(floodwatch, "mail.ndjson", "--log", "kept.log", "--decisions", "d1")
    Path("kept.log").write_bytes(Path("kept.log").read_bytes()[:-100])
    got = summary_of(floodwatch, "kept.log", "--decisions", "d2", code=1)
    assert "in the middle of a record" in got["failures"][0]
    assert Path("d1").read_bytes().startswith(Path("d2").read_bytes())
    assert Path("d2").read_bytes()


def test_a_damaged_log_says_so(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    summary_of(floodwatch, "mail.ndjson", "--log", "kept.log")
    content = bytearray(Path("kept.log").read_bytes())
    content[17 + 4] = 99
    Path("kept.log").write_bytes(content)
    result = floodwatch("replay", "kept.log", "--store", "memory:")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "got version 99" in result.err


def test_rows_of_parquet_are_events(floodwatch: Call) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    events = story()
    Path("mail.ndjson").write_bytes(lines(events))
    table = pa.table(
        {
            "time": pa.array([e["time"] for e in events], pa.timestamp("ms", "UTC")),
            **{name: [e[name] for e in events] for name in events[0] if name != "time"},
            "unknown": [None] * len(events),
        }
    )
    parquet.write_table(table, "mail.parquet", row_group_size=1_000)
    for name in ("mail.ndjson", "mail.parquet"):
        assert summary_of(floodwatch, name, "--decisions", f"{name}.d")["events"] == len(events)
    assert Path("mail.parquet.d").read_bytes() == Path("mail.ndjson.d").read_bytes()
    Path("cut.parquet").write_bytes(Path("mail.parquet").read_bytes()[:-50])
    got = summary_of(floodwatch, "cut.parquet", code=1)
    assert "not readable as Parquet" in got["failures"][0]


def test_raw_postfix_lines_are_joined_and_the_rest_is_counted(floodwatch: Call) -> None:
    log = [
        "Jan  1 00:00:01 mx postfix/smtpd[1]: connect from unknown[192.0.2.1]",
        "Jan  1 00:00:02 mx postfix/smtpd[1]: 4D1: client=unknown[192.0.2.1]",
        "Jan  1 00:00:02 mx postfix/qmgr[2]: 4D1: from=<a@b.example>, size=1, nrcpt=1",
        "Jan  1 00:00:03 mx postfix/smtp[3]: 4D1: to=<c@d.example>, relay=none, status=sent (ok)",
        "nonsense",
    ]
    Path("mail.log").write_text("\r\n".join(log))
    got = summary_of(floodwatch, "mail.log", "--log-ends", "2026-01-01", "--rejects", "r")
    assert got["inputs"][0]["format"] == "postfix"
    assert (got["events"], got["rejects"]) == (1, {"bad_time": 1})
    assert sum(got["skipped"].values()) == 3
    assert got["first_ms"] == START_MS + 2_000
    (reject,) = decided(Path("r"))
    assert (reject["input"], reject["line"], reject["excerpt"]) == ("mail.log", 5, "nonsense")


def test_times_without_a_year_or_zone_are_placed_as_told(floodwatch: Call) -> None:
    text = "Jan  1 00:30:00 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: "
    text += "550 5.1.1 <x@d.example>: no; from=<a@b.example> to=<x@d.example> proto=ESMTP helo=<h>"
    Path("mail.log").write_text(text)
    zone = ("--utc-offset", "+02:00", "--log-ends", "2025-06-30")
    got = summary_of(floodwatch, "mail.log", *zone)
    assert got["first_ms"] == 1_735_684_200_000  # 2024-12-31T22:30:00Z


def test_standard_input_is_an_input(tmp_path: Path) -> None:
    content = gzip.compress(lines(story()))
    with started("replay", "-", "--json", "--store", "memory:", cwd=tmp_path) as process:
        out, err = process.communicate(content)
    assert process.returncode == 0, err
    assert json.loads(out)["events"] == len(story())
    assert json.loads(out)["inputs"] == [{"name": "-", "format": "ndjson", "files": 1}]


def test_a_second_replay_into_the_same_store_changes_nothing(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    assert "changes are new" in floodwatch("replay", "mail.ndjson").out
    before = floodwatch("list", "--json").out
    assert "nothing new" in floodwatch("replay", "mail.ndjson").out
    assert floodwatch("list", "--json").out == before


def test_a_log_that_has_grown_goes_on_in_the_same_store(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    floodwatch("replay", "mail.ndjson")
    grown = [*story(), *quiet_mail(5, START_MS + 40 * 60_000)]
    Path("mail.ndjson").write_bytes(lines(grown))
    result = floodwatch("replay", "mail.ndjson")
    assert (result.code, "nothing new" in result.out) == (0, True)
    assert "2026-01-01T00:44:5" in floodwatch("list").err


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (("other.ndjson",), "another input"),
        (("mail.ndjson", "other.ndjson"), "another input"),
        (("mail.ndjson", "--policy", "policy.toml"), "policy"),
        (("mail.ndjson", "--asn-table", "asn.tsv"), "ASN table none"),
    ],
)
def test_another_replay_is_kept_out_of_a_store(
    floodwatch: Call, other: tuple[str, ...], said: str
) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    Path("other.ndjson").write_bytes(lines(list(quiet_mail(3, START_MS + 60_000))))
    Path("policy.toml").write_text("[rules.victim_flood]\nmailbox_per_min = 11\n")
    Path("asn.tsv").write_text("198.18.0.0\t198.19.255.255\t64500\tAA\tBots\n")
    floodwatch("replay", "mail.ndjson")
    before = floodwatch("list", "--json").out
    result = floodwatch("replay", *other)
    assert (result.code, said in result.err, "--fresh" in result.err) == (2, True, True)
    assert floodwatch("list", "--json").out == before
    assert floodwatch("replay", *other, "--fresh").code == 0
    aside = floodwatch("list", "--json", "--store", "sqlite:///floodwatch.db.1")
    assert aside.out == before


def test_fresh_moves_nothing_aside_that_is_not_ours(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    Path("floodwatch.db").write_text("a letter")
    result = floodwatch("replay", "mail.ndjson", "--fresh")
    assert (result.code, "not an SQLite database" in result.err) == (2, True)
    assert Path("floodwatch.db").read_text() == "a letter"


def test_an_interrupt_leaves_no_half_written_file(tmp_path: Path) -> None:
    """The replay waits for more of its standard input when Ctrl-C comes."""
    (tmp_path / "d.ndjson").write_text("what stood there before")
    named = ("--decisions", "d.ndjson", "--rejects", "r.ndjson", "--log", "l")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with started("replay", "-", *named, cwd=tmp_path) as process:
            assert process.stdin is not None
            process.stdin.write(lines(story()) * 20)
            process.stdin.flush()
            wait_for_side_files(process, tmp_path)
            process.send_signal(number)
            _, err = process.communicate()
        assert process.returncode == code
        assert err.count(b"\n") == 1
        assert b"incomplete" in err
        names = sorted(path.name for path in tmp_path.iterdir())
        assert [name for name in names if not name.startswith("floodwatch.db")] == ["d.ndjson"]
        assert (tmp_path / "d.ndjson").read_text() == "what stood there before"


def wait_for_side_files(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Feed the replay until it has begun to write."""
    assert process.stdin is not None
    while not list(folder.glob("*.part")):
        assert process.poll() is None
        process.stdin.write(lines(story()))
        process.stdin.flush()


def test_the_bar_is_shown_on_a_terminal_only(floodwatch: Call, tmp_path: Path) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    told = floodwatch("replay", "mail.ndjson", "--store", "memory:")
    assert "\x1b" not in told.out + told.err
    master, slave = os.openpty()
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}
    with started("replay", "mail.ndjson", "--store", "memory:", cwd=tmp_path) as process:
        process.communicate()
    command = [*process.args]  # type: ignore[misc]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=slave, stdin=subprocess.DEVNULL,
        env={**environment, "PYTHONPATH": str(root)}, cwd=tmp_path,
    ) as shown:  # fmt: skip
        os.close(slave)
        said = b""
        try:
            while part := os.read(master, 65_536):
                said += part
        except OSError:
            pass  # the terminal ends with its last writer
    os.close(master)
    assert shown.returncode == 0
    assert b"100 %" in said
    assert b"left" in said
    assert b"\x1b[3" not in said  # no colour: NO_COLOR is set


def test_the_figures_of_floods_are_written_and_add_up(floodwatch: Call, tmp_path: Path) -> None:
    """The summary, the file and the store tell the same; each listing names its flood."""
    from pipelines.cli.schemas import FLOOD

    Path("mail.ndjson").write_bytes(lines(story()))
    options = ("--floods", "f.ndjson", "--decisions", "d.ndjson", "--store", "sqlite:///s.db")
    result = floodwatch("replay", "mail.ndjson", *options, "--json")
    assert result.code == 0, result.err
    summary, records = json.loads(result.out), decided(tmp_path / "f.ndjson")
    assert all(list(one) == FLOOD["required"] for one in records)
    last = {one["id"]: one for one in records}
    assert summary["floods_found"] == len(last) == 1
    with contextlib.closing(sqlite3.connect("s.db")) as store:
        texts = store.execute("SELECT record FROM floods").fetchall()
    assert [json.loads(text) for (text,) in texts] == list(last.values())
    (shown,), (flooded,) = summary["floods"], last.values()
    for name in ("id", "state", "messages", "sources", "peak_per_min", "stopped", "listed"):
        assert shown[name] == flooded[name]
    changes = decided(tmp_path / "d.ndjson")
    named = [one["evidence"]["flood"] for one in changes if one["change"] == "list"]
    assert named == [flooded["id"]] * flooded["listed"]
    assert summary["stopped"] == summary["floods_total"]["stopped"] == flooded["stopped"]
    again = floodwatch("replay", "mail.ndjson", *options)
    assert again.code == 0
    assert "nothing new" in again.out


def test_fresh_moves_no_store_that_a_run_writes_to(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    assert floodwatch("replay", "mail.ndjson").code == 0
    before = Path("floodwatch.db").read_bytes()
    with contextlib.closing(Lock(Path("floodwatch.db"))):
        result = floodwatch("replay", "mail.ndjson", "--fresh")
    assert (result.code, "a running process writes to it (process " in result.err) == (1, True)
    with contextlib.closing(SqliteStore(Path("floodwatch.db"))):
        result = floodwatch("replay", "mail.ndjson", "--fresh")
    assert (result.code, "another program is writing to it" in result.err) == (1, True)
    assert Path("floodwatch.db").read_bytes() == before
    assert floodwatch("replay", "mail.ndjson", "--fresh").code == 0
    assert Path("floodwatch.db.1").read_bytes()[:16] == before[:16]


def test_fresh_takes_what_was_still_in_the_log_along(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    assert floodwatch("replay", "mail.ndjson").code == 0
    done = floodwatch("replay", "mail.ndjson", "--fresh")
    assert done.code == 0
    assert not Path("floodwatch.db.1-wal").exists()
    old = SqliteStore(Path("floodwatch.db.1"), read_only=True)
    new = SqliteStore(Path("floodwatch.db"), read_only=True)
    assert old.changes_behind(0, 10_000) == new.changes_behind(0, 10_000) != []
