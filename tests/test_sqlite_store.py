"""The SQLite store survives what machines do, says in words what it cannot, and reads well."""

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import (
    StoreCorruptError,
    StoreForeignError,
    StoreFullError,
    StoreLockedError,
    StoreMissingError,
    StoreReadOnlyError,
    StoreVersionError,
)
from pipelines.stores.sqlite import SqliteStore

ROOT = Path(__file__).parent.parent
FAR = 10**12


def change(seq: int, kind: str = "list", subject: str = "192.0.2.7", **more: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "time": 1_700_000_000_000 + seq,
        "change": kind,
        "shadow": False,
        "subject": subject,
        "tier": "temporary",
        "rule": "victim_flood",
        "asn": 64496,
        "provider": "",
        "first_seen": 0,
        "last_seen": 1,
        "until": 2,
        "hard_until": FAR * 100,
        "policy": "p1",
        "evidence": {"messages": 40, "about": "x" * 200},
        **more,
    }


def mixed(count: int, seed: int) -> list[dict[str, Any]]:
    drawn = random.Random(seed)
    kinds = ("list", "extend", "extend", "extend", "hold", "release", "remove", "expire", "refuse")
    return [
        change(seq, drawn.choice(kinds), f"192.0.2.{drawn.randrange(200)}")
        for seq in range(1, count + 1)
    ]


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


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    path.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)],
        check=True,
        capture_output=True,
    )
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def mounts_are_allowed() -> bool:
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(probe, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


needs_mount = pytest.mark.skipif(
    not (hasattr(os, "geteuid") and os.geteuid() == 0 and mounts_are_allowed()),
    reason="mounting a small disk needs root and the right to mount",
)


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


@needs_mount
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


@needs_mount
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


@needs_mount
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


def test_a_second_writer_waits_no_longer_than_it_was_told(tmp_path: Path) -> None:
    path = tmp_path / "blocks.db"
    with (
        closing(SqliteStore(path, busy_timeout_ms=20)) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLockedError, match=r"stop that one, .* waited 20 ms"):
            store.apply([change(1)])
        with pytest.raises(StoreLockedError):
            SqliteStore(path, busy_timeout_ms=20)
        assert store.last_seq() == 0
        other.execute("ROLLBACK")
        assert store.apply([change(1)]) == 1


def test_readers_go_on_while_another_writes(tmp_path: Path) -> None:
    path = tmp_path / "blocks.db"
    with closing(SqliteStore(path)) as writer:
        writer.apply([change(1)])
        with closing(SqliteStore(path, read_only=True)) as reader:
            assert reader.last_seq() == 1
            with writer._file.writing() as connection:  # noqa: SLF001 - the middle of a transaction
                connection.execute("DELETE FROM listings")
                assert [row.seq for row in reader.listings(FAR)] == [1]
            assert reader.listings(FAR) == []
            writer.apply([change(2, "extend")])
            assert [row.seq for row in reader.listings(FAR)] == [2]


def test_a_path_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError, match=r"there is no directory .*/none: make it"):
        SqliteStore(tmp_path / "none" / "blocks.db")
    with pytest.raises(StoreMissingError, match="it is a directory: name a file in it"):
        SqliteStore(tmp_path)
    with pytest.raises(StoreMissingError, match="no such file: check the path"):
        SqliteStore(tmp_path / "blocks.db", read_only=True)
    (tmp_path / "blocks.db").touch()
    with pytest.raises(StoreMissingError, match="the file is empty"):
        SqliteStore(tmp_path / "blocks.db", read_only=True)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("content", [b"From: a mail\n" * 100, b"\x00" * 5000, b"x"])
def test_a_file_that_is_no_database_is_left_as_it_is(
    tmp_path: Path, content: bytes, read_only: bool
) -> None:
    path = tmp_path / "mail.log"
    path.write_bytes(content)
    with pytest.raises(StoreForeignError, match="no SQLite database"):
        SqliteStore(path, read_only=read_only)
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["mail.log"]


def test_the_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE mine (a)")
        other.commit()
    before = path.read_bytes()
    with pytest.raises(StoreForeignError, match="the database of another program"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "blocks.db"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreVersionError, match="got layout 99, known are 1 to 1") as caught:
        SqliteStore(path)
    assert (caught.value.found, caught.value.known) == (99, 1)


def test_a_damaged_file_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "blocks.db"
    with closing(SqliteStore(path)) as store:
        store.apply(mixed(2000, seed=6))
    whole = path.read_bytes()
    path.write_bytes(b"SQLite format 4\x00" + whole[16:])
    with pytest.raises(StoreForeignError):
        SqliteStore(path)
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    with (
        pytest.raises(StoreCorruptError, match="move it away, and restore a copy"),
        closing(SqliteStore(path)) as store,
    ):
        store.listings(FAR)


def test_a_killed_maker_leaves_a_file_that_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "blocks.db"
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA journal_mode = WAL")
    with closing(SqliteStore(path)) as store:
        assert store.apply([change(1)]) == 1


def test_odd_file_names_are_taken_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "a b%41?mode=memory#é.db"
    with closing(SqliteStore(path)) as store:
        store.apply([change(1)])
    assert path.stat().st_size > 0


def test_writes_reach_the_disk_before_they_are_acknowledged(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "blocks.db")) as store:
        connection = store._file.connection  # noqa: SLF001 - settings of the connection
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_whoever_opens_the_file_finds_readable_views(tmp_path: Path) -> None:
    path = tmp_path / "blocks.db"
    with closing(SqliteStore(path)) as store:
        number = store.add_request("removal", "192.0.2.7", 1_700_000_000_000, "please")
        store.apply(
            [change(1), change(2, "hold", "192.0.2.8"), change(3, "refuse", request=str(number))]
        )
    with closing(sqlite3.connect(path)) as plain:
        plain.row_factory = sqlite3.Row
        listing = dict(plain.execute("SELECT * FROM readable_listings").fetchone())
        assert listing["subject"] == "192.0.2.7"
        assert listing["since"] == "2023-11-14T22:13:20.001Z"
        assert listing["first_seen"] == "1970-01-01T00:00:00.000Z"
        assert json.loads(listing["evidence"])["messages"] == 40
        held = dict(plain.execute("SELECT * FROM readable_held").fetchone())
        assert (held["subject"], held["until"]) == ("192.0.2.8", "1970-01-01T00:00:00.002Z")
        changes = plain.execute("SELECT time, change, policy FROM readable_changes").fetchall()
        assert [tuple(row) for row in changes] == [
            ("2023-11-14T22:13:20.001Z", "list", "p1"),
            ("2023-11-14T22:13:20.002Z", "hold", "p1"),
            ("2023-11-14T22:13:20.003Z", "refuse", "p1"),
        ]
        request = dict(plain.execute("SELECT * FROM readable_requests").fetchone())
        assert (request["received"], request["answer"]) == ("2023-11-14T22:13:20.000Z", "refuse")


@given(st.lists(st.integers(-62_135_596_800_000, 253_402_300_799_999), min_size=1, max_size=20))
def test_times_in_the_views_are_exact(
    tmp_path_factory: pytest.TempPathFactory, times_ms: list[int]
) -> None:
    path = tmp_path_factory.mktemp("views") / "blocks.db"
    with closing(SqliteStore(path)) as store:
        store.apply([change(at, time=time) for at, time in enumerate(times_ms, start=1)])
    with closing(sqlite3.connect(path)) as plain:
        shown = plain.execute("SELECT time FROM readable_changes ORDER BY seq").fetchall()
    for (text,), time_ms in zip(shown, times_ms, strict=True):
        seconds, milliseconds = divmod(time_ms, 1000)
        expected = datetime.fromtimestamp(0, UTC).timestamp() + seconds
        assert datetime.fromisoformat(text[:19] + "+00:00").timestamp() == expected
        assert text[19:] == f".{milliseconds:03d}Z"
