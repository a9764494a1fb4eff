"""The SQLite store says in words what it cannot, lets others read, and reads well."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import (
    StoreCorruptError,
    StoreForeignError,
    StoreLockedError,
    StoreMissingError,
    StoreVersionError,
)
from pipelines.stores.sqlite import SqliteStore
from tests.stored_changes import FAR, change, mixed


def test_a_second_writer_waits_no_longer_than_it_was_told(tmp_path: Path) -> None:
    path = tmp_path / "blocks.db"
    with (
        closing(SqliteStore(path, busy_timeout_ms=20)) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLockedError, match=r"stop that program, .* waited 20 ms"):
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


def test_a_stranger_who_looks_in_takes_nothing_from_two_stores_of_one_process(
    tmp_path: Path,
) -> None:
    """To open the file beside SQLite would end our locks: the stranger would take the log away."""
    path = tmp_path / "blocks.db"
    look = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        "print(c.execute('SELECT count(*) FROM changes').fetchone()[0]); c.close()"
    )

    def seen() -> int:
        return int(subprocess.check_output([sys.executable, "-c", look, path]))

    with closing(SqliteStore(path)) as first:
        first.apply([change(1)])
        with closing(SqliteStore(path)) as second:
            assert seen() == 1
            first.apply([change(2, "extend")])
            assert seen() == 2
            second.apply([change(3, "extend")])
            assert (seen(), first.last_seq()) == (3, 3)


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
    with pytest.raises(StoreForeignError, match="not an SQLite database"):
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


def test_only_a_file_whose_first_changes_are_gone_is_closed_to_the_version_before(
    tmp_path: Path,
) -> None:
    for name, behind, layout in (("whole.db", 0, 1), ("cut.db", 7, 2)):
        path = tmp_path / name
        with closing(SqliteStore(path)) as store:
            store.start_behind(behind)
            store.apply([change(behind + 1)])
        with closing(sqlite3.connect(path)) as plain:
            assert plain.execute("PRAGMA user_version").fetchone() == (layout,)
        with closing(SqliteStore(path, read_only=True)) as store:
            assert store.last_seq() == behind + 1


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "blocks.db"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreVersionError, match="got layout 99, known are 1 to 2") as caught:
        SqliteStore(path)
    assert (caught.value.found, caught.value.known) == (99, 2)


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
        pytest.raises(StoreCorruptError, match="move it away, then restore a backup"),
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
