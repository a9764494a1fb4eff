"""Puts a published file into place: whole, readable by other programs, and read back first."""

import contextlib
import os
from pathlib import Path

from pipelines.exports.entries import ExportRefusedError
from pipelines.new_file import PUBLIC, open_beside

__all__ = ["place"]


def place(path: Path, content: bytes) -> None:
    """Write `content` to the side, read it back, and rename it to `path`.

    Other users may read it: mail and name servers run as such, and the list names no recipient.

    Raises:
        ExportRefusedError: what was read back differs; `path` stays as it was.
        OSError: the folder cannot be written.
    """
    with open_beside(path, PUBLIC) as file:
        side = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if side.read_bytes() != content:
                raise ExportRefusedError(f"{path} read back differs from what was written")
            side.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                side.unlink()
