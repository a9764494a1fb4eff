"""The publish stage: changes go to the block store and to a file, whole or not at all."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from detector.errors import FloodwatchError
from pipelines.new_file import open_beside
from pipelines.ports import BlockStore, Change, FloodRecord
from pipelines.wire import decision_line, record_line

__all__ = ["STDOUT", "OutputError", "Publisher", "SideFile"]

STDOUT: Final = Path("-")
_STDOUT_FD: Final = 1
_BATCH: Final = 5_000


class OutputError(FloodwatchError):
    """A file that cannot be written: `name` is the file, `problem` says why."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"output {name}: {problem}")
        self.name = name
        self.problem = problem


class SideFile:
    """A file that is written to the side, and takes its place whole when all of it is there.

    Used as a context: `commit` at the end makes it, anything else leaves what stood there before.
    A device or pipe is written as it comes, because it cannot be put in place; so is standard
    output, whose name is `-`.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """

    def __init__(self, path: Path) -> None:
        self.name = ascii(str(path))[1:-1]
        is_stdout = path == STDOUT
        self._direct = (
            is_stdout or path.is_relative_to("/dev") or (path.exists() and not path.is_file())
        )
        self._path = path if self._direct else path.resolve()
        try:
            if path.is_dir():
                raise OutputError(self.name, "it is a directory: name a file in it")
            if is_stdout:
                self._file: BinaryIO = os.fdopen(os.dup(_STDOUT_FD), "wb", 1 << 20)
            else:
                self._file = path.open("wb", 1 << 20) if self._direct else open_beside(self._path)
        except OSError as error:
            raise self._in_words(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._discard()

    def write(self, content: bytes) -> None:
        """Write behind what is there."""
        try:
            self._file.write(content)
        except OSError as error:
            raise self._in_words(error) from None

    def commit(self) -> None:
        """Put the file in its place, on the disk."""
        try:
            self._file.flush()
            if not self._direct:
                os.fsync(self._file.fileno())
            self._file.close()
            if not self._direct:
                Path(self._file.name).replace(self._path)
        except OSError as error:
            raise self._in_words(error) from None

    def _discard(self) -> None:
        with contextlib.suppress(OSError):  # what could not be written is thrown away anyway
            self._file.close()
        if not self._direct:
            Path(self._file.name).unlink(missing_ok=True)

    def _in_words(self, error: OSError) -> OutputError:
        match error:
            case FileNotFoundError():
                words = "there is no such directory: make it, or name another path"
            case PermissionError():
                words = "may not be written: check the permissions of the directory"
            case BrokenPipeError():
                words = "its reader closed it"
            case _:
                words = f"cannot be written ({error.strerror}): no part of it was kept"
        return OutputError(self.name, words)


class Publisher:
    """Writes changes and records of floods to files and, in batches, to the store with facts.

    Every change goes to `decisions`, every record to `floods`, where these are given. Changes that
    stand in the store already are compared with it and not written again; facts are held back as
    long as there are such changes, because the store is further than we are. `behind` is the number
    of the last change before those that come.
    """

    def __init__(
        self, store: BlockStore, decisions: SideFile | None, behind: int = 0,
        floods: SideFile | None = None,
    ) -> None:  # fmt: skip
        self.new = 0
        self._store = store
        self._decisions, self._floods = decisions, floods
        self._known = store.last_seq()
        self._last = behind
        self._waiting: list[Change] = []
        self._records: list[FloodRecord] = []

    def publish(
        self, changes: Sequence[dict[str, Any]], facts: Mapping[str, str],
        floods: Sequence[FloodRecord] = (),
    ) -> None:  # fmt: skip
        """Take the next changes and records; `facts` are what is true behind the last of them."""
        if self._decisions is not None:
            lines = [decision_line(change) + b"\n" for change in changes]
            self._decisions.write(b"".join(lines))
        if self._floods is not None:
            self._floods.write(b"".join([record_line(record) + b"\n" for record in floods]))
        self._waiting += changes
        self._records += floods
        if len(self._waiting) + len(self._records) >= _BATCH:
            self._flush(facts)

    def finish(self, facts: Mapping[str, str]) -> None:
        """Store what is left, with the last facts."""
        self._flush(facts)

    def _flush(self, facts: Mapping[str, str]) -> None:
        if self._waiting:
            self._last = self._waiting[-1]["seq"]
        true_now = None if self._last < self._known else facts
        self.new += self._store.apply(self._waiting, true_now, self._records)
        self._waiting, self._records = [], []
