"""Puts a published file into place: whole, readable by other programs, and read back first."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

from pipelines.exports.entries import ExportRefusedError

__all__ = ["place"]

_READABLE: Final = 0o644
"""Mail and name servers run as other users; the list is public and names no recipient."""


def place(path: Path, content: bytes) -> None:
    """Write `content` to the side, read it back, and rename it to `path`.

    Raises:
        ExportRefusedError: what was read back differs; `path` stays as it was.
        OSError: the folder cannot be written.
    """
    number, side = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(side).chmod(_READABLE)
        if Path(side).read_bytes() != content:
            raise ExportRefusedError(f"{path} read back differs from what was written")
        Path(side).replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(side).unlink()
