"""`floodwatch run --input` as a process: it is killed, stopped, asked, and told wrong things."""

import contextlib
import gzip
import json
import re
import signal
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipelines.clock import elapsed_s, now_ms
from pipelines.demo_traffic import MAIL_LOG
from tests.cases.mail import plain_log
from tests.cli.command_line import START_MS, Call, lines, story
from tests.follow.followers import Started, ahead, die, stopped, until_it_follows
from tests.services.ports import free_ports
from tests.sources.test_follow import rotate

LISTED = "198.18.5.7"


def wait_for(process: subprocess.Popen[bytes], true: Callable[[], bool], within_s: float) -> None:
    """Wait until something is true while the process lives."""
    until_s = elapsed_s() + within_s
    while not true():
        assert elapsed_s() < until_s, "it did not come true in time"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            raise AssertionError(process.communicate()[1].decode())


def rows(path: Path, query: str) -> list[Any]:
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:  # it is not there yet
        return []


def content(path: Path) -> list[list[Any]]:
    """Give what a store holds, to the byte."""
    tables = ("changes", "listings", "held", "floods")
    return [rows(path, f"SELECT * FROM {table} ORDER BY 1") for table in tables]  # noqa: S608


def test_a_log_ahead_of_the_time_of_day_is_reported(tmp_path: Path, follow: Started) -> None:
    shift = ahead()
    log = tmp_path / "mail.log"
    log.write_bytes(lines([{**one, "time": one["time"] + shift} for one in story()[:30]]))
    port = free_ports(1)[0]
    (tmp_path / "fast.toml").write_text(f"[web]\nport = {port}\n")
    process = follow("--input", "mail.log", "--format", "ndjson")
    assert process.stderr is not None
    while b"times in a log are in the future" not in (line := process.stderr.readline()):
        assert line, "it has ended"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)
    refused.value.close()
    assert refused.value.code == 503
    stopped(process)


def test_killed_anywhere_it_ends_as_a_replay_of_the_log(
    tmp_path: Path, follow: Started, floodwatch: Call
) -> None:
    shift, rng = ahead(), Random(7)
    # not to the end of ten minutes: a replay closes its last second, a follower waits for more
    whole = lines([{**one, "time": one["time"] + shift} for one in story()[:-9]])
    log, store = tmp_path / "mail.log", tmp_path / "floodwatch.db"
    log.write_bytes(b"")
    (tmp_path / "whole.ndjson").write_bytes(whole)
    assert floodwatch("replay", "whole.ndjson", "--store", "sqlite:///r.db").code == 0
    wanted = content(tmp_path / "r.db")
    cuts = [0, *sorted(rng.sample(range(1, len(whole)), 11)), len(whole)]
    for number, (first, last) in enumerate(pairwise(cuts)):
        process = follow("--input", "mail.log", "--format", "ndjson")
        until_it_follows(process)
        with log.open("ab") as file:
            file.write(whole[first:last])
        die(process, rng.random())
        if number % 4 == 3 and whole[:last].endswith(b"\n"):
            rotate(log)
            log.write_bytes(b"")
    process = follow("--input", "mail.log", "--format", "ndjson")
    until_it_follows(process)
    wait_for(process, lambda: content(store) == wanted, 60)
    said = stopped(process)
    assert content(store) == wanted
    assert '"level": "error"' not in said


def test_a_postfix_log_is_followed_through_deaths_as_it_is_replayed(
    tmp_path: Path, follow: Started, floodwatch: Call
) -> None:
    whole = gzip.decompress(MAIL_LOG.read_bytes()).split(b"\n")[:60_000]
    (tmp_path / "mail.log").write_bytes(b"\n".join(whole) + b"\n")
    assert floodwatch("replay", "mail.log", "--store", "sqlite:///r.db").code == 0
    wanted = content(tmp_path / "r.db")[0]
    assert len(wanted) > 50
    options = ("--input", "mail.log", "--utc-offset", "+00:00")
    for seconds in (0.3, 0.6, 0.9):
        process = follow(*options)
        until_it_follows(process)
        die(process, seconds)
    process = follow(*options)
    until_it_follows(process)
    store = tmp_path / "floodwatch.db"
    wait_for(process, lambda: "expire" in [one[2] for one in content(store)[0]], 60)
    stopped(process, signal.SIGINT)
    got = content(store)
    assert got[0][: len(wanted)] == wanted
    assert {one[2] for one in got[0][len(wanted) :]} == {"expire"}, "silence is observed"
    assert not got[1]


def test_a_removal_request_is_answered_by_the_running_detector(
    tmp_path: Path, follow: Started, floodwatch: Call
) -> None:
    shift = now_ms() - START_MS - 27 * 60_000
    now = [{**one, "time": one["time"] + shift} for one in story()]
    (tmp_path / "mail.log").write_bytes(lines([one for one in now if one["time"] < now_ms()]))
    process, store = follow("--input", "mail.log"), tmp_path / "floodwatch.db"
    wait_for(process, lambda: len(rows(store, "SELECT * FROM listings")) > 50, 30)
    told = floodwatch("lookup", LISTED, "--json")
    assert now_ms() - json.loads(told.out)["as_of"] < 5_000
    asked = floodwatch("remove", LISTED)
    assert "  refused: a removal was refused at " in asked.out
    assert "of quiet are needed; earliest " in asked.out
    assert "  refused  a removal was refused at " in floodwatch("lookup", LISTED).out
    answered = "SELECT answered_seq FROM requests WHERE answered_seq NOT NULL"
    wait_for(process, lambda: bool(rows(store, answered)), 15)
    ((text,),) = rows(store, f"SELECT decision FROM changes WHERE seq = ({answered})")  # noqa: S608
    assert (json.loads(text)["change"], json.loads(text)["request"]) == ("refuse", "1")
    second = floodwatch("run", "--input", "mail.log")
    assert second.code == 1
    assert f"another follower (process {process.pid}) uses it" in second.err
    stopped(process)


def test_health_metrics_and_rejects_are_served(tmp_path: Path, follow: Started) -> None:
    (port,) = free_ports(1)
    with (tmp_path / "fast.toml").open("a") as file:
        file.write(f"[web]\nport = {port}\n")
    (tmp_path / "mail.log").write_bytes(lines(story()[:50]) + b'{"time": 1767225600000}\n')
    process = follow("--input", "mail.log", "--rejects", "bad")
    metrics = ""

    def is_counted() -> bool:
        nonlocal metrics
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{port}/metrics"
            with urllib.request.urlopen(url, timeout=5) as answer:
                metrics = answer.read().decode()
        rejected = 'rejected_records_total{reason="missing_field"} 1.0' in metrics
        return rejected and "floodwatch_input_events_total 50.0" in metrics

    wait_for(process, is_counted, 30)
    stopped(process)
    (reject,) = map(json.loads, (tmp_path / "bad").read_text().split("\n")[:-1])
    assert (Path(reject["input"]).name, reject["line"]) == ("mail.log", 51)


def is_counted(metrics: str) -> bool:
    return re.search(r"misread_stretches_total\{kind=\"\w+\"\} [1-9]", metrics) is not None


def test_a_log_that_is_not_understood_is_not_ready(tmp_path: Path, follow: Started) -> None:
    (port,) = free_ports(1)
    (tmp_path / "fast.toml").write_text(f"[web]\nport = {port}\n")
    log = tmp_path / "mail.log"
    log.write_bytes(b"".join(one + b"\n" for one in plain_log() if b"/smtpd[" not in one))
    process = follow("--input", "mail.log")

    def answer(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as found:
                return found.status, found.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except urllib.error.URLError:
            return 0, ""

    wait_for(process, lambda: is_counted(answer("/metrics")[1]), 20)
    code, body = answer("/readyz")
    assert code == 503
    assert "follow: an input in a known format" in body
    said = stopped(process)
    assert "the input cannot be interpreted" in said
    assert "deliveries have no client" in said


def test_a_log_that_is_not_there_yet_is_waited_for(tmp_path: Path, follow: Started) -> None:
    process = follow("--input", "mail.log")
    store = tmp_path / "floodwatch.db"
    wait_for(process, lambda: bool(rows(store, "SELECT * FROM facts")), 30)
    (tmp_path / "mail.log").write_bytes(lines(story()))
    wait_for(process, lambda: bool(rows(store, "SELECT * FROM changes")), 30)
    assert stopped(process).count("waits for it") == 1


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--input", "."), 2, "it is a directory"),
        (("--input", "no/mail.log"), 2, "there is no such directory"),
        (("--input", "binary"), 2, "it is a binary file"),
        (("--input", "packed.gz"), 2, "it is compressed"),
        (("--input", "mail.log", "--format", "csv"), 2, "--format: got 'csv'"),
        (("--input", "mail.log", "--input", "mail.log"), 2, "the same file is named twice"),
        (("--input", "mail.log", "--role", "ingest"), 2, "--role"),
        (("--input", "mail.log", "--store", "redis://x/0"), 2, "name sqlite:///PATH"),
        (("--input", "mail.log", "--store", "sqlite:///no/x.db"), 1, "no/x.db"),
        (("--input", "mail.log", "--rejects", "no/bad"), 1, "no/bad"),
        (("--input", "mail.log", "--utc-offset", "east"), 2, "--utc-offset: got 'east'"),
        (
            ("--input", "mail.log", "--store", "sqlite:///replayed.db"),
            2,
            "decisions of a different run",
        ),
        (("--input", "other.log", "--store", "sqlite:///floodwatch.db"), 2, "from other inputs"),
        (("--store", "sqlite:///floodwatch.db"), 2, "only with --input"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_words(
    tmp_path: Path, follow: Started, floodwatch: Call, options: tuple[str, ...], code: int,
    words: str,
) -> None:  # fmt: skip
    for name in ("mail.log", "other.log"):
        (tmp_path / name).write_bytes(lines(story()[:100]))
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"x\n" * 100))
    if "sqlite:///replayed.db" in options:
        (tmp_path / "whole").write_bytes(lines(story()))
        assert floodwatch("replay", "whole", "--store", "sqlite:///replayed.db").code == 0
    if "other.log" in options:
        process = follow("--input", "mail.log")
        wait_for(process, lambda: bool(rows(tmp_path / "floodwatch.db", "SELECT * FROM facts")), 30)
        stopped(process)
    result = floodwatch("run", *options)
    assert (result.code, words in result.err) == (code, True), result.err


def test_a_snapshot_that_is_gone_or_strange_stops_the_start(
    tmp_path: Path, follow: Started, floodwatch: Call
) -> None:
    (tmp_path / "mail.log").write_bytes(lines(story()))
    process, store = follow("--input", "mail.log"), tmp_path / "floodwatch.db"
    wait_for(process, lambda: bool(rows(store, "SELECT * FROM changes")), 30)
    stopped(process)
    snapshot, previous = tmp_path / "floodwatch.snapshot", tmp_path / "floodwatch.snapshot.previous"
    kept = snapshot.read_bytes()
    previous.unlink()
    for blob, words in (
        (kept.replace(b"follow 1", b"follow 2", 1), "got version 2, want version 1"),
        (kept[:200] + b"x" + kept[201:], "or damaged"),
        (kept[:-1], "or damaged"),
        (b'{"v":1,"listings_offset":3}\n', "it is not a snapshot"),
        (None, "its snapshot floodwatch.snapshot is missing"),
    ):
        snapshot.unlink()
        if blob is not None:
            snapshot.write_bytes(blob)
        else:
            snapshot.unlink(missing_ok=True)
        result = floodwatch("run", "--input", "mail.log")
        assert (result.code, words in result.err) == (1, True), result.err
