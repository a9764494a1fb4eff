"""`floodwatch export --watch`: a change of the store reaches a real name server within seconds."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import httpx
import pytest

from pipelines import clock
from pipelines.stores.sqlite import SqliteStore
from tests.cli.command_line import ROOT
from tests.exports.programs import ask, free_port, rbldnsd_serving, waited
from tests.stored_changes import change

VISIBLE_S = 5.0
"""How long a decision may take until a mail server sees it in DNS."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.db")
    made.set_fact("live", "1")
    made.apply([change(1, time=clock.now_ms())])
    yield made
    made.close()


def watching(tmp_path: Path, *more: str) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "pipelines.cli", "export", "rbldnsd", "--watch",
        "--store", f"sqlite:///{tmp_path / 'store.db'}", "--out", str(tmp_path / "out"), *more,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def test_listings_and_removals_are_seen_in_dns_within_seconds(
    store: SqliteStore, tmp_path: Path
) -> None:
    port = free_port()
    watcher = watching(
        tmp_path, "--listen", f"127.0.0.1:{port}", "--on-change", f"touch {tmp_path / 'ran'}"
    )
    try:
        waited((tmp_path / "out" / "ip6.rbl").exists, 20)
        with rbldnsd_serving(tmp_path / "out") as dns:
            assert ask(dns, "192.0.2.7") == ["127.0.0.2"]
            store.apply([change(2, subject="192.0.2.9", time=clock.now_ms())])
            waited(lambda: ask(dns, "192.0.2.9") == ["127.0.0.2"], VISIBLE_S)
            store.apply([change(3, "remove", subject="192.0.2.7", time=clock.now_ms())])
            waited(lambda: ask(dns, "192.0.2.7") == [], VISIBLE_S)
        assert (tmp_path / "ran").exists()
        web = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{web}/readyz").status_code == 200
        assert "floodwatch_exported_listings 1.0" in httpx.get(f"{web}/metrics").text
    finally:
        watcher.send_signal(signal.SIGTERM)
        _, said = watcher.communicate(timeout=20)
    assert watcher.returncode == 0, said
    assert '"stopped"' in said


def test_a_store_that_goes_away_leaves_the_files(store: SqliteStore, tmp_path: Path) -> None:
    watcher = watching(tmp_path)
    try:
        waited((tmp_path / "out" / "ip6.rbl").exists, 20)
        (tmp_path / "store.db").rename(tmp_path / "away.db")
        Event().wait(2)
        assert watcher.poll() is None
        assert b"192.0.2.7\n" in (tmp_path / "out" / "ip4.rbl").read_bytes()
    finally:
        watcher.terminate()
        _, said = watcher.communicate(timeout=20)
    assert said.count("export failed, the files are unchanged") == 1
    assert store.last_seq() == 1
