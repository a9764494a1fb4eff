"""The embedded block store: one SQLite file, whole after every crash, open to other readers."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final
from zlib import crc32

import orjson

from pipelines.ports import Change, FloodRecord, Listing, StoredRequest
from pipelines.stores.flood_ledger import flood_ids, read_floods, stale_floods, take_floods
from pipelines.stores.ledger import check_start, checked_steps, fold, new_steps, storable
from pipelines.stores.sqlite_file import SqliteFile
from pipelines.stores.sqlite_layout import BEHIND, LAYOUT_BEHIND

__all__ = ["SqliteStore"]

_NO_LIMIT: Final = -1
_FIELDS: Final = tuple(f.name for f in fields(Listing) if f.name != "evidence")
_SHADOW: Final = _FIELDS.index("shadow")
_ELSEWHERE: Final = frozenset(("seq", "listed_seq", "listed_ms"))
"""What a row has from other places than the decision of its last change."""
_BEGINNING: Final = ("subject", "listed_seq", "listed_ms")
_SELECT: Final = (
    "SELECT {read}, c.decision, s.crc FROM {table} AS r"
    " JOIN changes AS c ON c.seq = r.seq LEFT JOIN sums AS s ON s.seq = r.seq"
)
_PUT: Final = (
    "INSERT INTO {table} ({fields}) VALUES ({marks}) ON CONFLICT (subject) DO UPDATE SET {renewed}"
)


def _sql(template: str, table: str) -> str:
    """Fill in one of the two tables of rows; a row that goes on keeps its beginning."""
    return template.format(
        table=table,
        fields=", ".join(_FIELDS),
        read=", ".join(f"r.{field}" for field in _FIELDS),
        marks=", ".join("?" * len(_FIELDS)),
        renewed=", ".join(f"{f} = excluded.{f}" for f in _FIELDS if f not in _BEGINNING),
    )


_CHANGES: Final = "SELECT seq, decision, crc FROM changes LEFT JOIN sums USING (seq)"
_LAST_SEQ: Final = """
SELECT coalesce(
    (SELECT max(seq) FROM changes), (SELECT CAST(text AS INTEGER) FROM facts WHERE key = ?), 0
)"""
_PUT_LISTED, _PUT_HELD = _sql(_PUT, "listings"), _sql(_PUT, "held")
_SELECT_LISTED, _SELECT_HELD = _sql(_SELECT, "listings"), _sql(_SELECT, "held")


class SqliteStore:
    """The block store in a SQLite file (WAL, synchronous=FULL: a change that is stored, stays).

    One writer at a time, any number of readers beside it, in other processes too. A writer waits
    up to `busy_timeout_ms` for another. Schema and readable views: `sqlite_layout`.

    Raises:
        StoreMissingError: the directory does not exist, or `read_only` and there is no store.
        StoreForeignError: the file is no SQLite database, or one of another program.
        StoreVersionError: the file was written by a newer floodwatch.
        StoreReadOnlyError: it is to be written and cannot be.
        StoreLockedError: another program writes to it.
        StoreCorruptError: the file is damaged.
    """

    def __init__(self, path: Path, *, read_only: bool = False, busy_timeout_ms: int = 2000) -> None:
        self._file = SqliteFile(path, read_only=read_only, busy_timeout_ms=busy_timeout_ms)

    def apply(
        self, changes: Sequence[Change], facts: Mapping[str, str] | None = None,
        floods: Sequence[FloodRecord] = (),
    ) -> int:  # fmt: skip
        """Store the changes that are new, with the facts, in one transaction.

        Raises:
            StoreConflictError: another change has that `seq`, or another record its key.
            StoreGapError: a change is missing before this one.
            StoreChangeError: a change outside the contract.
            StoreFullError: the disk is full.
        """
        name = self._file.name
        steps = checked_steps(name, changes)
        with self._file.writing() as connection:
            fresh = new_steps(name, steps, self.last_seq(), self._standing)
            net = fold(fresh)
            many = connection.executemany
            many(
                "INSERT INTO changes VALUES (?, ?, ?, ?, ?)",
                [(s.seq, s.subject, s.kind, s.time_ms, s.text) for s in fresh],
            )
            many(
                "INSERT OR REPLACE INTO sums VALUES (?, ?)",
                [(s.seq, crc32(s.text.encode())) for s in fresh],
            )
            many("DELETE FROM listings WHERE subject = ?", [(s,) for s in net.clear_listed])
            many("DELETE FROM held WHERE subject = ?", [(s,) for s in net.clear_held])
            many(_PUT_LISTED, map(_values, net.put_listed.values()))
            many(_PUT_HELD, map(_values, net.put_held.values()))
            many(
                "UPDATE requests SET answered_seq = ? WHERE id = ? AND answered_seq IS NULL",
                [(seq, number) for number, seq in net.answers.items()],
            )
            if facts:
                many("INSERT OR REPLACE INTO facts VALUES (?, ?)", map(_stored, facts.items()))
            if floods:
                self._put_floods(connection, floods)
        return len(fresh)

    def _put_floods(self, connection: Connection, floods: Sequence[FloodRecord]) -> None:
        named = (orjson.dumps(flood_ids(floods)).decode(),)
        query = "SELECT id, record FROM floods WHERE id IN (SELECT value FROM json_each(?))"
        rows = take_floods(self._file.name, floods, dict(connection.execute(query, named)))
        if not rows:
            return
        connection.executemany(
            "INSERT OR REPLACE INTO floods VALUES (?, ?, ?)",
            [(row.id, row.tick, row.text) for row in rows],
        )
        gone = stale_floods(dict(connection.execute("SELECT id, tick FROM floods")))
        connection.executemany("DELETE FROM floods WHERE id = ?", [(name,) for name in gone])

    def floods(self) -> list[dict[str, Any]]:
        """Give the last record of each flood; none where an older version wrote the file."""
        there = "SELECT count(*) FROM sqlite_schema WHERE name = 'floods'"
        with self._file.reading() as connection:
            if not connection.execute(there).fetchone()[0]:
                return []
            rows = connection.execute("SELECT record FROM floods")
            return read_floods([text for (text,) in rows])

    def last_seq(self) -> int:
        """Give the number of the last change, 0 where there is none."""
        with self._file.reading() as connection:
            return int(connection.execute(_LAST_SEQ, (BEHIND,)).fetchone()[0])

    def start_behind(self, seq: int) -> None:
        """Take the changes up to `seq` for gone."""
        with self._file.writing() as connection:
            check_start(self._file.name, seq, self.last_seq())
            if seq:
                connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (BEHIND, str(seq)))
                connection.execute(f"PRAGMA user_version = {LAYOUT_BEHIND}")

    def get(self, subject: str, now_ms: int) -> Listing | None:
        """Give the subject's listing, or None."""
        where = f"{_SELECT_LISTED} WHERE r.subject = ? AND hard_until_ms > ?"
        with self._file.reading() as connection:
            row = connection.execute(where, (storable(subject), now_ms)).fetchone()
            return None if row is None else _listing(row)

    def listings(
        self,
        now_ms: int,
        *,
        rule: str | None = None,
        policy: str | None = None,
        after: str = "",
        limit: int | None = None,
    ) -> list[Listing]:
        """Give the active listings by subject."""
        where = (
            f"{_SELECT_LISTED} WHERE r.subject > ? AND hard_until_ms > ? AND rule = ifnull(?, rule)"
            " AND policy = ifnull(?, policy) ORDER BY r.subject LIMIT ?"
        )
        most = _NO_LIMIT if limit is None else limit
        values = (storable(after), now_ms, rule, policy, most)
        with self._file.reading() as connection:
            return [_listing(row) for row in connection.execute(where, values)]

    def held(self, now_ms: int) -> list[Listing]:
        """Give what waits for an operator, by subject."""
        where = f"{_SELECT_HELD} WHERE hard_until_ms > ? ORDER BY r.subject"
        with self._file.reading() as connection:
            return [_listing(row) for row in connection.execute(where, (now_ms,))]

    def audit(self, subject: str) -> list[dict[str, Any]]:
        """Give every change of the subject as it was applied, in order."""
        query = f"{_CHANGES} WHERE subject = ? ORDER BY seq"
        with self._file.reading() as connection:
            rows = connection.execute(query, (storable(subject),))
            return [orjson.loads(_whole(text, crc)) for _, text, crc in rows]

    def changes_behind(self, seq: int, most: int) -> list[dict[str, Any]]:
        """Give the next changes behind a number."""
        query = f"{_CHANGES} WHERE seq > ? ORDER BY seq LIMIT ?"
        with self._file.reading() as connection:
            rows = connection.execute(query, (seq, most))
            return [orjson.loads(_whole(text, crc)) for _, text, crc in rows]

    def add_request(self, kind: str, subject: str, time_ms: int, text: str) -> int:
        """Keep a request with its time of receipt; give its id."""
        insert = (
            "INSERT INTO requests (kind, subject, time_ms, text) VALUES (?, ?, ?, ?) RETURNING id"
        )
        values = (storable(kind), storable(subject), time_ms, storable(text))
        with self._file.writing() as connection:
            return int(connection.execute(insert, values).fetchone()[0])

    def requests(self, *, pending_only: bool) -> list[StoredRequest]:
        """Give the requests in order of their ids."""
        query = (
            "SELECT id, kind, subject, time_ms, text, answered_seq FROM requests"
            " WHERE answered_seq IS NULL OR NOT ? ORDER BY id"
        )
        with self._file.reading() as connection:
            return [StoredRequest(*row) for row in connection.execute(query, (pending_only,))]

    def set_fact(self, key: str, text: str) -> None:
        """Keep a text under a key."""
        with self._file.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", _stored((key, text)))

    def fact(self, key: str) -> str | None:
        """Give the text under a key."""
        query = "SELECT text FROM facts WHERE key = ?"
        with self._file.reading() as connection:
            row = connection.execute(query, (storable(key),)).fetchone()
        return None if row is None else str(row[0])

    def make_movable(self) -> None:
        """Fold the log into the file, so that the file alone may be renamed.

        Raises:
            StoreLockedError: another program has the file open.
        """
        self._file.make_movable()

    def close(self) -> None:
        """Let go of the file; the last one to do so folds the log into it."""
        with self._file.reading() as connection:
            connection.close()

    def _standing(self, first: int, last: int) -> dict[int, str]:
        query = f"{_CHANGES} WHERE seq BETWEEN ? AND ?"
        with self._file.reading() as connection:
            rows = connection.execute(query, (first, last))
            return {seq: _whole(text, crc) for seq, text, crc in rows}


def _stored(fact: tuple[str, str]) -> tuple[str, str]:
    return storable(fact[0]), storable(fact[1])


def _values(row: Listing) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in _FIELDS)


def _whole(text: str, crc: int | None) -> str:
    """Give a decision as it was stored; without a checksum it is taken as it is.

    Raises:
        ValueError: a byte of it changed.
    """
    if crc is not None and crc32(text.encode()) != crc:
        raise ValueError
    return text


def _listing(row: tuple[Any, ...]) -> Listing:
    *values, text, crc = row
    decision = orjson.loads(_whole(text, crc))
    values[_SHADOW] = bool(values[_SHADOW])
    values.append(decision["evidence"])
    listing = Listing(*values)
    if crc is not None:
        for name in _FIELDS:
            said = decision.get(name.removesuffix("_ms"))
            said = said or "" if name == "provider" else said
            if name not in _ELSEWHERE and said != getattr(listing, name):
                raise ValueError(name)
    return listing
