"""The SQLite store survives kill -9, full and read-only disks, and loses nothing."""

import json
import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from detector.errors import (
    StoreFullError,
    StoreReadOnlyError,
)
from pipelines.stores.sqlite import SqliteStore
from tests.services.small_disk import small_disk
from tests.stored_changes import FAR, change, mixed

ROOT = Path(__file__).parents[2]


def end_of(changes: list[dict[str, Any]]) -> tuple[dict[str, int], dict[str, int]]:
    """Which change each subject is listed or held by after all of them, one at a time."""
    listed: dict[str, int] = {}
    held: dict[str, int] = {}
    for one in changes:
        if one["change"] != "refuse":
            listed.pop(one["subject"], None)
            held.pop(one["subject"], None)
        if one["change"] in ("list", "extend", "release"):
            listed[one["subject"]] = one["seq"]
        elif one["change"] == "hold":
            held[one["subject"]] = one["seq"]
    return listed, held


def check_whole(path: Path, changes: list[dict[str, Any]]) -> int:
    """Check that the file holds the first changes and what they come to; give how many."""
    with closing(SqliteStore(path)) as store:
        last = store.last_seq()
        listed, held = end_of(changes[:last])
        assert {row.subject: row.seq for row in store.listings(FAR)} == listed
        assert {row.subject: row.seq for row in store.held(FAR)} == held
        assert store.fact("applied") == (str(last) if last else None)
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        texts = plain.execute("SELECT decision FROM changes ORDER BY seq").fetchall()
        assert [json.loads(text) for (text,) in texts] == changes[:last]
    return last


CHILD = """
import json, random, sys
from pathlib import Path
from pipelines.stores.sqlite import SqliteStore
changes = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
store = SqliteStore(Path(sys.argv[1]))
at, drawn = store.last_seq(), random.Random(int(sys.argv[3]))
print(at, flush=True)
while at < len(changes):
    batch = changes[at : at + drawn.randrange(1, 400)]
    at += len(batch)
    store.apply(batch, {"applied": str(at)})
    print(at, flush=True)
"""


def test_after_kill_9_at_any_point_what_was_acknowledged_is_there_and_nothing_is_half_written(
    tmp_path: Path,
) -> None:
    changes = mixed(20_000, seed=1)
    feed = tmp_path / "changes.ndjson"
    feed.write_text("".join(json.dumps(one) + "\n" for one in changes), encoding="utf-8")
    drawn = random.Random(2)
    runs = kills = 0
    path = tmp_path / "blocks-0.db"
    while kills < 12:
        runs += 1
        arguments = [sys.executable, "-c", CHILD, str(path), str(feed), str(runs)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
            assert child.stdout is not None
            acknowledged = [child.stdout.readline() for _ in range(drawn.randrange(1, 5))]
            # Some more microseconds, so that the kill falls anywhere in a transaction.
            for _ in range(drawn.randrange(30_000)):
                pass
            child.kill()
            acknowledged += child.stdout.readlines()
        numbers = [int(line) for line in acknowledged if line.endswith("\n")]
        last = check_whole(path, changes)
        assert last >= max(numbers)
        if last < len(changes):
            kills += 1
        else:
            path = tmp_path / f"blocks-{runs}.db"


def fill(store: SqliteStore, changes: list[dict[str, Any]]) -> int:
    """Apply until the disk is full; give how many changes were acknowledged."""
    done = 0

    def apply_more() -> None:
        nonlocal done
        while done < len(changes):
            store.apply(changes[done : done + 50], {"applied": str(done + 50)})
            done += 50

    with pytest.raises(StoreFullError, match="the disk is full, and nothing of this step was"):
        apply_more()
    return done


@pytest.mark.needs("mount", root=True)
def test_a_full_disk_is_said_in_words_and_loses_nothing(tmp_path: Path) -> None:
    changes = mixed(20_000, seed=3)
    with small_disk(tmp_path / "disk", "1m") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(200_000))
        path = disk / "blocks.db"
        with closing(SqliteStore(path)) as store:
            done = fill(store, changes)
            assert store.last_seq() == done
            ballast.unlink()
            store.apply(changes[done : done + 50], {"applied": str(done + 50)})
        assert check_whole(path, changes) == done + 50


@pytest.mark.needs("mount", root=True)
def test_a_store_cannot_be_made_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        (disk / "ballast").write_bytes(bytes(60_000))
        with pytest.raises(StoreFullError, match="the disk is full"):
            SqliteStore(disk / "blocks.db")


def test_a_file_that_may_not_grow_is_as_a_full_disk(tmp_path: Path) -> None:
    changes = mixed(20_000, seed=4)
    path = tmp_path / "blocks.db"
    store = SqliteStore(path)
    with closing(store):
        store._file.connection.execute("PRAGMA max_page_count = 100")  # noqa: SLF001 - no setting of ours
        done = fill(store, changes)
        assert store.last_seq() == done
    assert check_whole(path, changes) == done


def test_an_interrupt_inside_a_transaction_undoes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = mixed(20, seed=5)
    with closing(SqliteStore(tmp_path / "blocks.db")) as store:
        store.apply(changes[:10], {"applied": "10"})
        with monkeypatch.context() as patch:

            def interrupt(_: object) -> tuple[str, str]:
                raise KeyboardInterrupt

            patch.setattr("pipelines.stores.sqlite._stored", interrupt)
            with pytest.raises(KeyboardInterrupt):
                store.apply(changes[10:], {"applied": "20"})
        assert store.last_seq() == 10
    assert check_whole(tmp_path / "blocks.db", changes) == 10


@pytest.mark.needs("mount", root=True)
def test_a_read_only_disk_can_be_read_and_refuses_writing_in_words(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        path = disk / "blocks.db"
        with closing(SqliteStore(path)) as store:
            store.apply([change(1)])
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StoreReadOnlyError, match="is read-only: check the permissions"):
            SqliteStore(path)
        with closing(SqliteStore(path, read_only=True)) as store:
            assert store.get("192.0.2.7", FAR) is not None


def test_a_store_opened_to_read_refuses_changes(tmp_path: Path) -> None:
    path = tmp_path / "blocks.db"
    SqliteStore(path).close()
    with closing(SqliteStore(path, read_only=True)) as store:
        with pytest.raises(StoreReadOnlyError):
            store.apply([change(1)])
        assert store.last_seq() == 0


@pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write to any file"
)
def test_a_file_without_the_right_to_write_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "blocks.db"
    SqliteStore(path).close()
    path.chmod(0o400)
    with pytest.raises(StoreReadOnlyError, match="check the permissions"):
        SqliteStore(path)
