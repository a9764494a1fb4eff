"""A flipped byte in a SQLite store is reported in words, wherever it is."""

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest

from detector.errors import StoreError
from pipelines.stores.sqlite import SqliteStore
from tests.stored_changes import FAR, mixed


def read_all(path: Path) -> list[tuple[object, object]]:
    """Read whatever the store holds; give the evidence and the changes of each row."""
    found: list[tuple[object, object]] = []
    with contextlib.closing(SqliteStore(path, read_only=True)) as store:
        for row in [*store.listings(FAR), *store.held(FAR)]:
            store.get(row.subject, FAR)
            found.append(((row.subject, row.until_ms, row.evidence), store.audit(row.subject)))
        store.changes_behind(0, 1000)
        store.floods()
        store.requests(pending_only=False)
        store.fact("key")
        store.last_seq()
    return found


def test_a_flipped_byte_never_ends_in_another_error(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with contextlib.closing(SqliteStore(path)) as store:
        store.apply(mixed(40, 1), {"key": "text"})
    right = read_all(path)
    whole, chance = path.read_bytes(), random.Random(7)
    said = 0
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            found = read_all(path)
            assert all(evidence in [e for e, _ in right] for evidence, _ in found)
        except StoreError:
            said += 1
    assert said


def test_evidence_that_changed_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with contextlib.closing(SqliteStore(path)) as store:
        store.apply(mixed(40, 1), {})
    with contextlib.closing(sqlite3.connect(path)) as plain, plain:
        plain.execute(
            "UPDATE changes SET decision = replace(decision, 'dence\":{', 'dence\":{\"x\":1,')"
        )
    with pytest.raises(StoreError, match="the file is damaged"):
        read_all(path)


def test_a_file_of_an_older_version_is_read_without_checksums(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with contextlib.closing(SqliteStore(path)) as store:
        store.apply(mixed(40, 1), {})
    right = read_all(path)
    with contextlib.closing(sqlite3.connect(path)) as plain, plain:
        plain.execute("DROP TABLE sums")
    assert read_all(path) == right
