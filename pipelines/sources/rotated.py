"""The files of one rotated log, opened and identified by their first bytes."""

import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from pipelines.sources.compressed import PackedFile
from pipelines.sources.files import InputError, UnreadableInputError, reading_problem
from pipelines.sources.rotation import rotation_families

__all__ = [
    "HEAD_BYTES",
    "OpenedLog",
    "Place",
    "digest_of",
    "find_place",
    "known_beside",
    "later_files",
    "new_beside",
    "open_log",
]

HEAD_BYTES: Final = 1024
"""Bytes that tell one file from another: with times in them, no two logs begin alike."""
_MAGIC_BYTES: Final = 4
_PACKED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True, slots=True)
class Place:
    """How far a log has been read: in which file, and up to where.

    A file is known by device and inode, and by SHA-256 of its first `head_bytes` bytes (of what was
    read, at most HEAD_BYTES): a number of an inode is given again, and a copy has another. `offset`
    is that of the next line, in decompressed bytes; `line` counts the lines before it in this file.
    `skipping`: the rest of a line beyond the limit is still to be passed over. `beside`: while
    nothing of an empty file was read, digests of the rotated files beside it. One that is not among
    them was cut off later, and holds lines of this file.
    """

    device: int = 0
    inode: int = 0
    head_bytes: int = 0
    head: str = ""
    offset: int = 0
    line: int = 0
    skipping: bool = False
    beside: tuple[str, ...] = ()


class OpenedLog(Protocol):
    """A file of a log; `device` and `inode` stay its own under every name.

    `problem` says why it ended before its end, if its compression is damaged.
    """

    path: str
    device: int
    inode: int
    packed: bool
    problem: str

    def read_at(self, offset: int, size: int) -> bytes:
        """Give up to `size` bytes from `offset` on; fewer only at the end."""
        ...

    def is_cut(self, offset: int) -> bool:
        """Say whether the file ends before `offset` by now."""
        ...

    def is_linked(self) -> bool:
        """Say whether the file still has a name."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def digest_of(head: bytes) -> str:
    """Give what a file is known by."""
    return hashlib.sha256(head).hexdigest()


def open_log(path: str) -> OpenedLog:
    """Open a file of a log, compressed or not.

    Raises:
        InputError: there is no such file, or it is something else.
        UnreadableInputError: it may not be read.
    """
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # to open a pipe would wait for its writer
            raise InputError(path, "not a regular file: only a file can be followed")
        plain = _Plain(path)
        head = plain.read_at(0, _MAGIC_BYTES)
    except OSError as error:
        raise reading_problem(path, error) from None
    except ValueError:
        raise InputError(path, "not a file path: it contains a NUL character") from None
    return _Packed(plain) if head.startswith(_PACKED) else plain


class _Plain:
    packed = False

    def __init__(self, path: str) -> None:
        self.path, self.problem = path, ""
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - open for as long as we are
        status = os.fstat(self._file.fileno())
        self.device, self.inode = status.st_dev, status.st_ino

    def read_at(self, offset: int, size: int) -> bytes:
        parts: list[bytes] = []
        while size and (part := os.pread(self._file.fileno(), size, offset)):
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def is_cut(self, offset: int) -> bool:
        return os.fstat(self._file.fileno()).st_size < offset

    def is_linked(self) -> bool:
        return os.fstat(self._file.fileno()).st_nlink > 0

    def close(self) -> None:
        self._file.close()


class _Packed:
    """A compressed file, which no longer grows; reading back restarts it."""

    packed = True

    def __init__(self, plain: _Plain) -> None:
        self.path, self.device, self.inode = plain.path, plain.device, plain.inode
        self._plain, self.problem = plain, ""
        self._begin()

    def _begin(self) -> None:
        self._file = PackedFile(self.path)
        self._start, self._kept = 0, b""

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < self._start:
            self._file.close()
            self._begin()
        while self._start + len(self._kept) < offset + size:
            try:
                more = self._file.read()
            except UnreadableInputError as error:
                self.problem = error.problem
                break
            if not more:
                break
            drop = min(max(offset - self._start, 0), len(self._kept))
            self._start += drop
            self._kept = self._kept[drop:] + more
        at = offset - self._start
        return self._kept[at : at + size]

    def is_cut(self, offset: int) -> bool:  # noqa: ARG002 - the port's
        return False

    def is_linked(self) -> bool:
        return self._plain.is_linked()

    def close(self) -> None:
        self._file.close()
        self._plain.close()


def find_place(path: str, place: Place) -> OpenedLog | None:
    """Open the file in which a place lies: the log itself, a rotated one or a copy; None: gone."""
    for by_inode in (True, False):
        if not by_inode and not place.head_bytes:
            break
        for name in reversed(_files(path)):
            file = _opened(name)
            if file is None:
                continue
            same = (file.device, file.inode) == (place.device, place.inode)
            if (same or not by_inode) and _begins_so(file, place):
                return file
            file.close()
    return None


def later_files(path: str, place: Place) -> list[str]:
    """Give the files that come behind the one in which a place lies, oldest first, without copies.

    Where that one is gone, it is the log itself that comes next.
    """
    found = copies = False
    later: list[str] = []
    for name in _files(path):
        file = _opened(name)
        if file is None:
            if name == path and os.path.lexists(path):
                later.append(path)  # it may not be read, which its reader shall hear
            continue
        same = (file.device, file.inode) == (place.device, place.inode)
        alike = place.head_bytes > 0 and _begins_so(file, place)
        file.close()
        if same and (alike or not place.head_bytes):
            found, later = True, []
        elif alike:
            if not found and not copies:
                copies, later = True, []
        else:
            later.append(name)
    return later if found or copies else [name for name in later if name == path]


def known_beside(path: str) -> tuple[str, ...]:
    """Give digests of what the rotated files of a log begin with."""
    return tuple(digest for _, digest in _rotated(path))


def new_beside(path: str, known: tuple[str, ...]) -> OpenedLog | None:
    """Open the oldest rotated file of a log that is not `known`; None: there is none."""
    for name, digest in _rotated(path):
        if digest not in known and (file := _opened(name)) is not None:
            return file
    return None


def _rotated(path: str) -> list[tuple[str, str]]:
    """Give the rotated files of a log that hold anything, oldest first, with their digests."""
    found: list[tuple[str, str]] = []
    for name in _files(path)[:-1]:
        if (file := _opened(name)) is None:
            continue
        with contextlib.suppress(InputError, OSError):
            if head := file.read_at(0, HEAD_BYTES):
                found.append((name, digest_of(head)))
        file.close()
    return found


def _files(path: str) -> list[str]:
    """Give the files of a log that are there, oldest first, the log itself last."""
    folder = Path(path).parent
    name = Path(path).name
    try:
        beside = [entry.name for entry in os.scandir(folder) if entry.name.startswith(name)]
    except OSError:
        return [path]
    prefix = path[: len(path) - len(name)]
    names = {*beside, name}
    # What is being packed stands there twice, and its packed form is not whole yet.
    names = {one for one in names if _bare(one) == one or _bare(one) not in names}
    families = rotation_families([prefix + each for each in names])
    family = next(family for family in families if path in family)
    return family if family[-1] == path else [path]


def _bare(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".zst")


def _opened(name: str) -> OpenedLog | None:
    """Open a file that may go away at any time."""
    try:
        return open_log(name)
    except InputError:
        return None


def _begins_so(file: OpenedLog, place: Place) -> bool:
    try:
        head = file.read_at(0, place.head_bytes)
    except (InputError, OSError):
        return False
    return digest_of(head) == (place.head or digest_of(b"")) and not file.is_cut(place.offset)
