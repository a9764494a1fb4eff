"""A SQLite file opened as a block store, its transactions, and its errors in words."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from detector.errors import (
    StoreCorruptError,
    StoreError,
    StoreForeignError,
    StoreFullError,
    StoreLockedError,
    StoreMissingError,
    StoreReadOnlyError,
    StoreVersionError,
)
from pipelines.new_file import private_opener
from pipelines.stores.sqlite_layout import (
    APPLICATION_ID,
    FLOODS,
    LAYOUT,
    LAYOUT_NEW,
    LAYOUT_NEWEST,
    SUMS,
)

__all__ = ["SqliteFile"]

_OLDEST_SQLITE: Final = (3, 37, 0)
_PRIMARY_CODE: Final = 0xFF
_CACHE_KIB: Final = 32 * 1024
_LOG_PAGES: Final = 4000
_LEAST_PAGE: Final = 512
_IN_WORDS: Final = {
    sqlite3.SQLITE_BUSY: (
        StoreLockedError,
        "another program is writing to it: stop that program, or try again later",
    ),
    sqlite3.SQLITE_READONLY: (
        StoreReadOnlyError,
        "the file, its directory or the file system is read-only: check the permissions",
    ),
    sqlite3.SQLITE_FULL: (
        StoreFullError,
        "the disk is full, and nothing of this step was stored: free some space and run again",
    ),
    sqlite3.SQLITE_CORRUPT: (
        StoreCorruptError,
        (
            "the file is damaged: move it away, then restore a backup or replay the logs "
            "into a new one"
        ),
    ),
    sqlite3.SQLITE_NOTADB: (
        StoreForeignError,
        "the file is not an SQLite database (it was not changed): name another path",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        StoreMissingError,
        "it cannot be opened: check the path and the permissions of file and directory",
    ),
    sqlite3.SQLITE_IOERR: (StoreError, "reading or writing failed: check the disk"),
}
_IN_WORDS[sqlite3.SQLITE_LOCKED] = _IN_WORDS[sqlite3.SQLITE_BUSY]
_IN_WORDS[sqlite3.SQLITE_PERM] = _IN_WORDS[sqlite3.SQLITE_CANTOPEN]


class SqliteFile:
    """The file behind a `SqliteStore`; it is made when it does not exist, unless `read_only`."""

    def __init__(self, path: Path, *, read_only: bool, busy_timeout_ms: int) -> None:
        self.name = str(path)
        self._path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._check_path(read_only=read_only)
        if not read_only and not path.exists():
            # SQLite gives the files beside it the same mode.
            with contextlib.suppress(OSError):
                os.close(private_opener(str(path), os.O_RDWR | os.O_CREAT | os.O_EXCL))
        with self._words():
            self.connection = self._connect("ro" if read_only else "rwc")
        try:
            if read_only:
                self._open_to_read()
            else:
                self._open_to_write()
            with self._words():
                self.connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        except BaseException:
            self.connection.close()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for one query.

        Raises:
            StoreCorruptError: also if a record cannot be read, although SQLite found no damage.
        """
        with self._words():
            try:
                yield self.connection
            except (ValueError, KeyError, TypeError) as error:
                kind, words = _IN_WORDS[sqlite3.SQLITE_CORRUPT]
                detail = f"a record in it cannot be read: {type(error).__name__}"
                raise kind(self.name, f"{words} ({detail})") from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for one transaction: all of it or, after any exception, nothing."""
        with self._words():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    # Some errors end the transaction themselves; the first error is the one told.
                    with contextlib.suppress(sqlite3.Error):
                        self.connection.execute("ROLLBACK")
                raise

    def make_movable(self) -> None:
        """Fold the log into the file, which is then all of the store and may be renamed.

        Raises:
            StoreLockedError: another program has the file open; it would go on writing to it.
        """
        with self._words():
            self.connection.execute("PRAGMA journal_mode = DELETE").fetchone()

    def _check_path(self, *, read_only: bool) -> None:
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            problem = f"needs SQLite 3.37 or newer, this Python has {sqlite3.sqlite_version}"
            raise StoreError(self.name, f"{problem}: use a newer Python or system")
        directory = self._path.absolute().parent
        if not directory.is_dir():
            problem = f"there is no directory {directory}: make it, or name another path"
            raise StoreMissingError(self.name, problem)
        if self._path.is_dir():
            raise StoreMissingError(self.name, "it is a directory: name a file in it")
        exists = self._path.exists()
        if not read_only:
            needed = (directory, self._path) if exists else (directory,)
            for place in needed:
                if not os.access(place, os.W_OK):
                    kind, words = _IN_WORDS[sqlite3.SQLITE_READONLY]
                    raise kind(self.name, f"{words} ({place} is not writable)")
        if not exists:
            if read_only:
                problem = "no such file: check the path, or run a replay first"
                raise StoreMissingError(self.name, problem)
            return
        if not os.access(self._path, os.R_OK):
            problem = "it cannot be read: check the permissions"
            raise StoreMissingError(self.name, problem)
        # SQLite takes a file shorter than a page for an empty one, and would write over it. To open
        # it here would be fatal to a connection that this process has already: closing any
        # descriptor of a file ends all of a process's locks on it, and the next stranger to look
        # in would take away the log under that connection.
        if 0 < self._path.stat().st_size < _LEAST_PAGE:
            kind, words = _IN_WORDS[sqlite3.SQLITE_NOTADB]
            raise kind(self.name, words)

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(self._path.absolute()))}?mode={mode}",
            uri=True,
            timeout=self._busy_timeout_ms / 1000,
            isolation_level=None,
            check_same_thread=False,
        )

    def _open_to_write(self) -> None:
        with self._words():
            self._is_new()
            mode = self.connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            self.connection.execute("PRAGMA synchronous = FULL")
            self.connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        if mode != "wal":
            problem = "its file system cannot share memory (WAL): name a path on a local disk"
            raise StoreError(self.name, problem)
        with self.writing():
            if self._is_new():
                for statement in LAYOUT:
                    self.connection.execute(statement)
                self.connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self.connection.execute(f"PRAGMA user_version = {LAYOUT_NEW}")
            for statement in (*FLOODS, f"CREATE {SUMS}"):
                self.connection.execute(statement)

    def _open_to_read(self) -> None:
        try:
            new = self._is_new()
        except sqlite3.OperationalError as error:
            if not self._is_still(error):
                with self._words():
                    raise
            self.connection.close()
            with self._words():
                self.connection = self._connect("ro&immutable=1")
                new = self._is_new()
        except sqlite3.Error:
            with self._words():
                raise
        if new:
            raise StoreMissingError(self.name, "the file is empty: run a replay first")
        there = "SELECT count(*) FROM main.sqlite_schema WHERE name = 'sums'"
        with self._words():
            if not self.connection.execute(there).fetchone()[0]:
                self.connection.execute(f"CREATE TEMP {SUMS}")

    def _is_still(self, error: sqlite3.OperationalError) -> bool:
        """Whether only the directory stands in the way, and no writer can be at work.

        A reader needs the file's `-shm` beside it; where the directory forbids to make that and no
        log is left, the file alone is the whole store.
        """
        log = self._path.with_name(self._path.name + "-wal")
        forbidden = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        return error.sqlite_errorcode & _PRIMARY_CODE in forbidden and not (
            log.exists() and log.stat().st_size
        )

    def _is_new(self) -> bool:
        """Whether the file is empty; a file that is not a floodwatch store is refused."""
        application = self.connection.execute("PRAGMA application_id").fetchone()[0]
        found = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if application == APPLICATION_ID:
            if found > LAYOUT_NEWEST:
                problem = (
                    f"a newer floodwatch wrote it: got layout {found}, known are 1 to "
                    f"{LAYOUT_NEWEST}: update floodwatch, or name another path"
                )
                raise StoreVersionError(self.name, problem, found=found, known=LAYOUT_NEWEST)
            return False
        tables = self.connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application or found or tables:
            problem = "the file is the database of another program (it was not changed)"
            raise StoreForeignError(self.name, f"{problem}: name another path")
        return True

    @contextlib.contextmanager
    def _words(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:  # in a text, or in a message of SQLite's own
            kind, words = _IN_WORDS[sqlite3.SQLITE_CORRUPT]
            raise kind(self.name, f"{words} (a text in it is not UTF-8)") from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            if code == sqlite3.SQLITE_IOERR_SHMSIZE:
                code = sqlite3.SQLITE_FULL
            kind, words = _IN_WORDS.get(
                code & _PRIMARY_CODE, (StoreError, "it failed for an unknown reason")
            )
            waited = f", waited {self._busy_timeout_ms} ms" if kind is StoreLockedError else ""
            raise kind(self.name, f"{words} ({error}{waited})") from error
