"""Each kind of bad input: a clear message, the right exit code, good records counted."""

import gzip
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.cli.command_line import ROOT, START_MS, Call, Result, event, lines, story
from tests.services.small_disk import small_disk

GOOD = lines([event(START_MS, "192.0.2.1", "a@b.example")])
CONTROLS = {*range(32), 0x7F, *range(0x80, 0xA0), 0x2028, 0x2029, 0x202E, 0x2066, 0x200F} - {10}


def counted(result: Result) -> tuple[int, dict[str, int]]:
    got = json.loads(result.out)
    return got["events"], got["rejects"]


def replayed(floodwatch: Call, content: bytes, *more: object, name: str = "mail.ndjson") -> Result:
    Path(name).write_bytes(content)
    return floodwatch("replay", name, "--store", "memory:", "--json", "--rejects", "r", *more)


def rejects() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("r").read_bytes().split(b"\n") if line]


def is_one_message(result: Result, *words: str, code: int) -> bool:
    """One line (what is indented belongs to it), no traceback, nothing raw from outside."""
    told = result.err
    assert (result.code, result.out) == (code, "")
    assert told.startswith("floodwatch: "), told
    assert [line for line in told.split("\n")[1:-1] if not line.startswith("  ")] == []
    assert not {ord(character) for character in told} & CONTROLS
    return all(word in told for word in words)


BAD_RECORDS = {
    "broken JSON": (b'{"time": 1,', "malformed_json"),
    "a type of its own": (b'{"time": [], "client_ip": "192.0.2.1"}', "mistyped"),
    "a missing field": (
        b'{"time": 1000000000000, "action": "accept", "recipient": "a@b"}',
        "missing_field",
    ),
    "NaN": (b'{"time": NaN, "client_ip": "192.0.2.1"}', "malformed_json"),
    "a million digits": (b'{"time": ' + b"9" * 1_000_000 + b"}", "mistyped"),
    "a depth bomb": (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
    "a lone surrogate": (b'{"sender": "\\ud800"}', "malformed_json"),
    "NUL": (b"\x00\x00", "malformed_json"),
    "binary": (bytes(range(128, 256)), "malformed_json"),
    "no object": (b"[1, 2]", "mistyped"),
    "10 MB": (b'{"sender": "' + b"x" * 10_000_000 + b'"}', "oversized"),
    "no address": (
        (
            b'{"time": 1000000000000, "client_ip": "\\u202e\\u001b[31m", "action": "accept", '
            b'"recipient": "a@b"}'
        ),
        "bad_client_ip",
    ),
}


@pytest.mark.parametrize("kind", BAD_RECORDS)
def test_a_bad_record_is_kept_with_its_reason_and_stops_nothing(
    floodwatch: Call, kind: str
) -> None:
    record, reason = BAD_RECORDS[kind]
    result = replayed(floodwatch, GOOD + record + b"\n" + GOOD)
    assert (result.code, counted(result)) == (0, (2, {reason: 1}))
    (told,) = rejects()
    assert (told["input"], told["line"], told["reason"]) == ("mail.ndjson", 2, reason)
    assert len(told["excerpt"]) <= 1_500
    assert not set(Path("r").read_bytes()) & CONTROLS
    assert not {ord(character) for character in told["excerpt"] + told["detail"]} & CONTROLS


@pytest.mark.parametrize(("content", "events"), [(b"", 0), (b"\n\n", 0), (GOOD[:-1], 1)])
def test_an_empty_file_is_no_error(floodwatch: Call, content: bytes, events: int) -> None:
    result = replayed(floodwatch, content, "--decisions", "d")
    assert (result.code, counted(result)) == (0, (events, {}))
    assert Path("d").read_bytes() == b""


@pytest.mark.parametrize("content", [b"%PDF-1.7\n", b"\x1b[2Jhello\n"])
def test_a_file_of_another_kind_is_named_with_what_is_wanted(
    floodwatch: Call, content: bytes
) -> None:
    result = replayed(floodwatch, content)
    assert is_one_message(result, "mail.ndjson", "want events in JSON", "--format", code=2)


def test_files_that_lie_about_in_a_folder_are_left_out_and_told(floodwatch: Call) -> None:
    Path("logs").mkdir()
    Path("logs/mail.ndjson").write_bytes(GOOD)
    Path("logs/letter.txt").write_text("Dear Ann")
    result = floodwatch("replay", "logs", "--store", "memory:", "--json")
    assert counted(result) == (1, {})
    assert json.loads(result.out)["left_out"] == ["logs/letter.txt"]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_file_cut_short_fails_and_its_good_records_count(floodwatch: Call, pack: Any) -> None:
    content = b"".join(
        lines([event(START_MS + n, f"192.0.{n % 250}.{n * 7 % 250}", f"u{n}@b.example")])
        for n in range(4_000)
    )
    packed = pack(content)
    result = replayed(floodwatch, packed[: len(packed) * 3 // 4], "--decisions", "d")
    assert result.code == 1
    assert "damaged or incomplete" in result.err
    events, rejected = counted(result)
    assert (events > 1_000, rejected) == (True, {})
    assert Path("d").exists()
    assert [p.name for p in Path().glob("*.part")] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.log"], ("nowhere.log", "no such file")),
        (["*.nothing"], ("no file matches",)),
        (["empty"], ("has no files",)),
        (["a\x1bmb"], ("a\\u001bmb", "no such file")),
        (["mail.ndjson", "--format", "exim"], ("--format", "exim", "ndjson")),
        (["mail.ndjson", "--utc-offset", "two"], ("--utc-offset", "+HH:MM")),
        (["mail.ndjson", "--log-ends", "May"], ("--log-ends", "YYYY-MM-DD")),
        (["mail.ndjson", "--trusted-relay", "mx"], ("--trusted-relay",)),
        (["mail.ndjson", "--store", "mysql:x"], ("sqlite:///PATH",)),
        (["mail.ndjson", "--store", "sqlite:///no/where.db"], ("there is no directory",)),
        (["mail.ndjson", "--decisions", "mail.ndjson"], ("is an input",)),
        (["mail.ndjson", "--decisions", "x", "--log", "x"], ("different files",)),
        (["mail.ndjson", "--asn-table", "none.tsv"], ("ASN table none.tsv", "no such file")),
        (["mail.ndjson", "--providers", "none.toml"], ("none.toml", "no such file")),
        (["mail.ndjson", "--policy", "none.toml"], ("none.toml", "no such file")),
        (["mail.ndjson", "--policy", "policy.toml"], ("policy.toml:2", "mailbox_per_min")),
        (["mail.ndjson", "--asn-table", "rubbish.tsv"], ("ASN table rubbish.tsv",)),
    ],
)
def test_what_was_asked_wrongly_is_said_in_one_line(
    floodwatch: Call, arguments: list[str], words: tuple[str, ...]
) -> None:
    Path("mail.ndjson").write_bytes(GOOD)
    Path("empty").mkdir()
    Path("policy.toml").write_text("[rules.victim_flood]\nmailbox_per_mn = 3\n")
    Path("rubbish.tsv").write_text("Dear Ann\n")
    before = sorted(Path().iterdir())
    assert is_one_message(floodwatch("replay", *arguments), *words, code=2)
    made = {path.name for path in Path().iterdir()} - {path.name for path in before}
    assert {name for name in made if not name.startswith("floodwatch.db")} == set()


def test_all_errors_of_a_policy_are_told_at_once(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(GOOD)
    Path("policy.toml").write_text(
        "[clok]\n[rules.victim_flood]\nmailbox_per_min = -3\ninnocent = 'all'\n"
    )
    result = floodwatch("replay", "mail.ndjson", "--policy", "policy.toml")
    assert result.code == 2
    assert [line.split(" ")[0] for line in result.err.split("\n")[1:-1]] == [
        "policy.toml:3",
        "policy.toml:4",
    ]
    assert "did you mean clock?" in result.err


def test_lines_of_an_asn_table_that_are_wrong_are_counted(floodwatch: Call) -> None:
    Path("asn.tsv").write_text("192.0.2.0\t192.0.2.255\t64500\tAA\tOne\nrubbish\n" * 3)
    result = replayed(floodwatch, GOOD, "--asn-table", "asn.tsv")
    assert json.loads(result.out)["asn_problems"] >= 3


@pytest.mark.parametrize(
    "command", ["lookup 192.0.2.1", "list", "explain 192.0.2.1", "remove 192.0.2.1"]
)
@pytest.mark.parametrize(
    ("content", "words", "code"),
    [
        (None, "run a replay first", 2),
        (b"", "run a replay first", 2),
        (b"a letter", "not an SQLite database", 2),
        (b"SQLite format 3\x00" + b"\xff" * 5_000, "", 2),
    ],
)
def test_a_store_that_is_none_is_told(
    floodwatch: Call, command: str, content: bytes | None, words: str, code: int
) -> None:
    if content is not None:
        Path("floodwatch.db").write_bytes(content)
    assert is_one_message(floodwatch(*command.split(" ")), "floodwatch.db", words, code=code)


def test_a_damaged_store_is_told(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    floodwatch("replay", "mail.ndjson")
    content = bytearray(Path("floodwatch.db").read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    Path("floodwatch.db").write_bytes(content)
    assert is_one_message(floodwatch("list"), "damaged", code=1)
    assert is_one_message(floodwatch("replay", "mail.ndjson"), "damaged", code=1)


def test_a_store_that_another_program_writes_is_told(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    floodwatch("replay", "mail.ndjson")
    other = sqlite3.connect("floodwatch.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    result = floodwatch("replay", "mail.ndjson", "--decisions", "d")
    other.close()
    assert is_one_message(result, "another program is writing", code=1)
    assert not Path("d").exists()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", "64k") as folder:
        yield folder


@pytest.mark.needs("mount", root=True)
def test_a_full_disk_leaves_no_half_written_decisions(floodwatch: Call, disk: Path) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    named = disk / "d.ndjson"
    result = floodwatch("replay", "mail.ndjson", "--decisions", named, "--store", "memory:")
    assert is_one_message(result, "d.ndjson", "No space left", "no part of it was kept", code=1)
    assert list(disk.iterdir()) == []


@pytest.mark.needs("mount", root=True)
def test_a_full_disk_leaves_a_store_that_can_be_read(floodwatch: Call, disk: Path) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    result = floodwatch("replay", "mail.ndjson", "--store", f"sqlite:///{disk}/f.db")
    assert result.code == 1
    assert "Traceback" not in result.err
    assert result.err.startswith("floodwatch: block store")


@pytest.fixture
def unprivileged(floodwatch: Call, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Call the command line without the rights of root, in a folder that is ours."""
    Path("warm.ndjson").write_bytes(GOOD)
    for command in ("replay warm.ndjson --store memory: --rejects r", "list"):
        floodwatch(*command.split(" "))  # imports what may not be readable later
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        monkeypatch.chdir(folder)

        def call(*arguments: object) -> Result:
            before = os.geteuid()
            if before == 0:
                os.setresuid(65_534, 65_534, 0)
            try:
                return floodwatch(*arguments)
            finally:
                os.setresuid(before, before, before)

        yield call


def test_what_may_not_be_read_is_told(unprivileged: Call) -> None:
    Path("mail.ndjson").write_bytes(GOOD)
    Path("mail.ndjson").chmod(0)
    result = unprivileged("replay", "mail.ndjson", "--store", "memory:")
    assert is_one_message(result, "mail.ndjson", "may not be read", code=1)


def test_what_may_not_be_written_is_told(unprivileged: Call) -> None:
    Path("mail.ndjson").write_bytes(GOOD)
    Path("closed").mkdir(mode=0o555)
    result = unprivileged("replay", "mail.ndjson", "--decisions", "closed/d", "--store", "memory:")
    assert is_one_message(result, "closed/d", "may not be written", code=1)
    result = unprivileged("replay", "mail.ndjson", "--store", "sqlite:///closed/f.db")
    assert is_one_message(result, "closed", "read-only", code=1)


def test_a_disk_that_fails_is_told_and_the_rest_counts(floodwatch: Call) -> None:
    """Nothing is mapped at address 0 of a process, so its memory file cannot be read there."""
    Path("mail.ndjson").write_bytes(GOOD)
    result = floodwatch("replay", "/proc/self/mem", "mail.ndjson", "--store", "memory:", "--json")
    assert (result.code, counted(result)) == (1, (1, {}))
    assert "/proc/self/mem: cannot be read" in result.err


def test_a_line_of_gigabytes_does_not_fill_the_memory(tmp_path: Path) -> None:
    """A quarter of a GiB in one line, packed, where there is not that much beside the tables."""
    packed = gzip.compress(b'{"sender":"' + b"x" * (256 << 20), 1) + gzip.compress(b"\n" + GOOD)
    (tmp_path / "mail.gz").write_bytes(packed)
    most = 1536 << 20

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    command = ["replay", "mail.gz", "--json", "--store", "memory:"]
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *command],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, check=False, preexec_fn=bounded,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rejects"] == {"oversized": 1}
    assert json.loads(done.stdout)["events"] == 1
