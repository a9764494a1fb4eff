"""A flipped byte in a SQLite store is reported in words, wherever it is."""

import contextlib
import random
from pathlib import Path

from detector.errors import StoreError
from pipelines.stores.sqlite import SqliteStore
from tests.stored_changes import FAR, mixed


def read_all(path: Path) -> None:
    """Read whatever the store holds."""
    with contextlib.closing(SqliteStore(path, read_only=True)) as store:
        for row in [*store.listings(FAR), *store.held(FAR)]:
            store.get(row.subject, FAR)
            store.audit(row.subject)
        store.changes_behind(0, 1000)
        store.floods()
        store.requests(pending_only=False)
        store.fact("key")
        store.last_seq()


def test_a_flipped_byte_never_ends_in_another_error(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with contextlib.closing(SqliteStore(path)) as store:
        store.apply(mixed(40, 1), {"key": "text"})
    whole, chance = path.read_bytes(), random.Random(7)
    said = 0
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            read_all(path)
        except StoreError:
            said += 1
    assert said
