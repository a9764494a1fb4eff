"""A lock file for a single writer, which the system releases when the process ends."""

import os
from pathlib import Path
from typing import IO

from pipelines.new_file import private_opener

__all__ = ["Lock", "TakenError"]


class TakenError(Exception):
    """Another process holds the lock: `holder` is the number of the process, or empty."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class Lock:
    """Holds `<path>.lock` until closed, or until the process ends however it may.

    The file stays: to remove it would let two hold two files of this name.

    Raises:
        TakenError: another process holds it.
        OSError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        import fcntl  # not on Windows, where a log is not followed

        self._file: IO[str] = open(  # noqa: SIM115 - held until closed
            path.with_name(path.name + ".lock"), "a+", encoding="ascii", opener=private_opener
        )
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read(20).strip()
            self._file.close()
            raise TakenError(holder if holder.isdigit() else "") from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def close(self) -> None:
        """Release the lock."""
        self._file.close()
