"""The lines of one partition: its files behind each other, and where a position lies in them."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from typing import Final

from pipelines.replay.parquet import parquet_blocks
from pipelines.sources.compressed import PackedFile
from pipelines.sources.files import STDIN, InputPartition, UnreadableInputError
from pipelines.sources.lines import LineBlocks

__all__ = ["PartitionFiles"]

_BOM: Final = b"\xef\xbb\xbf"


class PartitionFiles:
    """Blocks of whole lines, file by file, oldest first.

    `opened` is the file that was looked at already and cannot be opened a second time (a pipe).
    `columns` are those that a mapping reads of Parquet (none: those of the event contract).
    A file that fails is noted in `failures`; reading continues with the next one.
    """

    def __init__(
        self, partition: InputPartition, name: str, opened: PackedFile | None,
        columns: Collection[str] = (),
    ) -> None:  # fmt: skip
        self.partition = partition
        self.failures: list[UnreadableInputError] = []
        self._format = name
        self._left = list(partition.paths)
        self._opened = opened
        self._columns = columns
        self._file: PackedFile | None = None
        self._next: Callable[[], bytes] | None = None
        self._starts: list[tuple[int, str]] = []
        self._raw_bytes = 0
        self._fresh = False

    @property
    def raw_bytes(self) -> int:
        """Bytes read of the files as they lie on the disk."""
        return self._raw_bytes + (self._file.raw_bytes if self._file is not None else 0)

    def next_block(self, position: int) -> bytes:
        """Give the next block, whose first line has this position; empty at the end."""
        while True:
            if self._next is None and not self._open(position):
                return b""
            block = self._read()
            if block:
                return block

    def place(self, position: int) -> tuple[str, int]:
        """Give the file and the line number (from 1) of a position."""
        index = bisect_right(self._starts, position, key=lambda start: start[0]) - 1
        start, path = self._starts[max(index, 0)]
        return path, position - start + 1

    def close(self) -> None:
        """Let go of the file that is open."""
        self._next = None
        if self._file is not None:
            self._raw_bytes += self._file.raw_bytes
            self._file.close()
            self._file = None

    def _open(self, position: int) -> bool:
        if not self._left:
            return False
        path = self._left.pop(0)
        self._starts.append((position, path))
        self._fresh = True
        if self._format == "parquet" and path != STDIN:
            blocks: Iterator[bytes] = parquet_blocks(path, self._columns)
            self._next = lambda: next(blocks, b"")
            return True
        try:
            self._file = self._opened or PackedFile(path)
        except UnreadableInputError as error:
            self.failures.append(error)
            self._next = bytes
            return True
        self._opened = None
        self._next = LineBlocks(self._file.read).next
        return True

    def _read(self) -> bytes:
        assert self._next is not None  # noqa: S101 - the caller opened
        try:
            block = self._next()
        except UnreadableInputError as error:
            self.failures.append(error)
            # What was carried is a line cut short; the file is over.
            block = b""
        if not block:
            self.close()
        if self._fresh:
            self._fresh = False
            block = block.removeprefix(_BOM)
        return block
