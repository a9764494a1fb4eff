"""One file or stream as its decompressed bytes; the first bytes identify the compression."""

import os
import stat
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import zstandard

from pipelines.sources.files import STDIN, UnreadableInputError, reading_problem

__all__ = ["CHUNK_BYTES", "PackedFile"]

CHUNK_BYTES: Final = 1 << 21
"""The most that one `read` gives; no more than LONGEST_LINE."""

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_RAW_BYTES: Final = 1 << 18
_RAW_ZSTD_BYTES: Final = 1 << 11
"""A few bytes of zstd may stand for 128 KiB, and its decoder has no bound: little at a time."""
_ZLIB_GZIP: Final = 31


class PackedFile:
    """Reads a file, or standard input for `-`; gzip and zstd are decompressed, in bounded memory.

    The data before damaged compression is given before the error.

    Raises:
        InputError: there is no such file.
        UnreadableInputError: it may not or cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.raw_bytes = 0
        """Bytes read of the file as it lies on the disk."""
        try:
            self._file = _opened(path)
            status = os.fstat(self._file.fileno())
        except OSError as error:
            raise reading_problem(path, error) from None
        self.is_regular = stat.S_ISREG(status.st_mode) and path != STDIN
        self.modified_ms = int(status.st_mtime * 1000) if self.is_regular else None
        self._kept = b""
        self._given = 0
        self._unpack: Callable[[], bytes] | None = None
        self._failure: UnreadableInputError | None = None

    def peek(self, size: int) -> bytes:
        """Give up to `size` of the next decompressed bytes and keep them for `read`.

        A failure shows when it is read, not here.
        """
        kept = [self._kept[self._given :]]
        try:
            while sum(map(len, kept)) < size and (more := self._next()):
                kept.append(more)
        except UnreadableInputError as error:
            self._failure = error
        self._kept, self._given = b"".join(kept), 0
        return self._kept[:size]

    def read(self) -> bytes:
        """Give the next decompressed bytes, at most CHUNK_BYTES; none at the end.

        Raises:
            UnreadableInputError: the disk failed, or the compression is damaged or incomplete.
        """
        if self._given >= len(self._kept):
            self._kept, self._given = self._next(), 0
        chunk = self._kept[self._given : self._given + CHUNK_BYTES]
        self._given += len(chunk)
        return chunk

    def close(self) -> None:
        """Close the file."""
        self._kept = b""
        if self.path != STDIN:
            self._file.close()

    def _next(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        try:
            if self._unpack is None:
                self._unpack = self._unpacker()
            return self._unpack()
        except (EOFError, zlib.error, zstandard.ZstdError) as error:
            said = f"its compression is damaged or incomplete ({error})"
            raise UnreadableInputError(
                self.path, f"{said}: the data before it was used; fetch the file again"
            ) from None
        except OSError as error:
            raise reading_problem(self.path, error) from None

    def _unpacker(self) -> Callable[[], bytes]:
        head = self._raw(len(_ZSTD))
        if head.startswith(_GZIP):
            return _Gzip(self._raw, head).read
        if head == _ZSTD:
            return _Zstd(self._raw, head).read
        first = [head]
        return lambda: (first.pop() if first else b"") + self._raw(CHUNK_BYTES - len(head))

    def _raw(self, size: int) -> bytes:
        content = self._file.read(size)
        self.raw_bytes += len(content)
        return content


def _opened(path: str) -> BinaryIO:
    if path != STDIN:
        return Path(path).open("rb")
    if sys.stdin is None:
        raise UnreadableInputError(path, "standard input is closed: name a file, or pipe a log in")
    return sys.stdin.buffer


class _Gzip:
    """Members of gzip behind each other; zeros behind the last are padding."""

    def __init__(self, raw: Callable[[int], bytes], head: bytes) -> None:
        self._raw, self._rest = raw, head
        self._member = zlib.decompressobj(_ZLIB_GZIP)

    def read(self) -> bytes:
        while True:
            if self._member.eof:
                self._rest = self._member.unused_data.lstrip(b"\x00") or self._raw(_RAW_BYTES)
                self._rest = self._rest.lstrip(b"\x00")
                if not self._rest:
                    return b""
                self._member = zlib.decompressobj(_ZLIB_GZIP)
            packed = self._rest or self._raw(_RAW_BYTES)
            content = self._member.decompress(packed, CHUNK_BYTES)
            self._rest = self._member.unconsumed_tail
            if content:
                return content
            if not packed and not self._member.eof:
                raise EOFError("it ends in the middle")


class _Zstd:
    """Frames of zstd behind each other; the library's own reader takes a cut one for a whole."""

    def __init__(self, raw: Callable[[int], bytes], head: bytes) -> None:
        self._raw, self._rest = raw, head
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._failure: Exception | None = None

    def read(self) -> bytes:
        """Give a good part of a chunk; what came before a failure is given before it is raised."""
        content: list[bytes] = []
        size = 0
        try:
            while size < CHUNK_BYTES // 2 and (piece := self._piece()):
                content.append(piece)
                size += len(piece)
        except (EOFError, zstandard.ZstdError) as error:
            if not content:
                raise
            self._failure = error
        return b"".join(content)

    def _piece(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        while True:
            if self._frame.eof:
                self._rest = self._frame.unused_data or self._raw(_RAW_ZSTD_BYTES)
                if not self._rest:
                    return b""
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            packed = self._rest or self._raw(_RAW_ZSTD_BYTES)
            self._rest = b""
            if not packed:
                raise EOFError("it ends in the middle")
            piece = self._frame.decompress(packed)
            if piece:
                return piece
