"""Bytes in chunks become blocks of whole lines; one beyond the limit becomes a short record."""

from collections.abc import Callable
from typing import Final

from detector.events.decode import OVERSIZED

__all__ = ["LONGEST_LINE", "LineBlocks"]

LONGEST_LINE: Final = 1 << 21
"""Bytes of a line. A chunk must not be longer, so that only a block's first line can be."""
_EXCERPT_BYTES: Final = 200
_LF: Final = b"\n"


class LineBlocks:
    r"""Cuts what `read` gives into blocks of whole lines, each line ended by LF except the last.

    A line longer than LONGEST_LINE is given as OVERSIZED and its first 200 bytes, and its rest is
    not kept.

    >>> chunks = iter([b"a\nb", b"c\nd", b""])
    >>> blocks = LineBlocks(lambda: next(chunks))
    >>> blocks.next(), blocks.next(), blocks.next(), blocks.next()
    (b'a\n', b'bc\n', b'd', b'')
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._carry = b""
        self._skipping = False
        self._ended = False

    def next(self) -> bytes:
        """Give the next block, empty at the end."""
        while not self._ended:
            try:
                chunk = self._read()
            except BaseException:
                # A line cut by the failure is no record.
                self._carry, self._ended = b"", True
                raise
            if not chunk:
                self._ended = True
                break
            if self._skipping:
                end = chunk.find(_LF)
                if end < 0:
                    continue
                self._skipping = False
                chunk = chunk[end:]
            end = chunk.rfind(_LF) + 1
            if not end:
                self._carry += chunk
                if len(self._carry) > LONGEST_LINE:
                    self._carry, self._skipping = _shortened(self._carry), True
                continue
            block = b"".join((self._carry, memoryview(chunk)[:end]))
            self._carry = chunk[end:]
            first = block.find(_LF)
            if first > LONGEST_LINE:
                block = _shortened(block) + block[first:]
            return block
        block, self._carry = self._carry, b""
        return _shortened(block) if len(block) > LONGEST_LINE else block


def _shortened(line: bytes) -> bytes:
    return OVERSIZED + line[:_EXCERPT_BYTES]
