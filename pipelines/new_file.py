"""New files that only we can read, written beside their place and swept when a run was killed.

What is written holds addresses of recipients, so only its owner may read it (0600), unless it is
made for other programs. The name beside it cannot be foreseen and must not exist, so that nobody
who can write to the folder makes us write elsewhere.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

__all__ = ["PRIVATE", "PUBLIC", "open_beside", "private_opener", "swept"]

PRIVATE: Final = 0o600
PUBLIC: Final = 0o644
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_PART: Final = "part"


def open_beside(path: Path, mode: int = PRIVATE, buffer_bytes: int = 1 << 20) -> BinaryIO:
    """Open a new file beside `path`, whose `name` is to be renamed to it, and sweep old ones.

    Raises:
        OSError: it cannot be made.
    """
    swept(path)
    side = path.with_name(f".{path.name}.{secrets.token_hex(8)}.{_PART}")
    number = os.open(side, _NEW, mode)
    os.fchmod(number, mode)  # whatever the umask is
    _lock(number)
    return open(side, "wb", buffer_bytes, opener=lambda _name, _flags: number)


def swept(path: Path) -> int:
    """Remove what killed runs left beside `path`; count it. What a live one writes is locked."""
    removed = 0
    for side in _parts(path):
        with contextlib.suppress(OSError):
            number = os.open(side, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
            try:
                if _lock(number):
                    side.unlink()
                    removed += 1
            finally:
                os.close(number)
    return removed


def private_opener(name: str, flags: int) -> int:
    """Open a file that is made, if it is not there, for its owner alone; for `open(opener=)`."""
    return os.open(name, flags, PRIVATE)


def _parts(path: Path) -> Iterator[Path]:
    head, tail = f".{path.name}.", f".{_PART}"
    with contextlib.suppress(OSError):
        for one in path.absolute().parent.iterdir():
            if one.name.startswith(head) and one.name.endswith(tail):
                yield one


def _lock(number: int) -> bool:
    """Lock an open file; False where somebody else has it."""
    try:
        import fcntl
    except ImportError:  # Windows: what is open cannot be removed there anyway
        return True
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
