"""Where records begin and end in a block of bytes, and how deep they nest."""

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEEPEST", "depth", "line_at", "record_ends"]

DEEPEST: Final = 512
"""Deeper nesting is a reject. A fixed depth, so that the room left on a stack decides nothing."""
_LF: Final = ord("\n")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')


def record_ends(block: bytes) -> NDArray[np.int64]:
    """Give where each record of a block ends: (n,) int64 offsets of its LF, or of the end."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _LF)
    return ends if not block or block.endswith(b"\n") else np.append(ends, len(block))


def line_at(block: bytes, ends: NDArray[np.int64], index: int) -> bytes:
    """Give the record at an index, without its LF."""
    return block[int(ends[index - 1]) + 1 if index else 0 : int(ends[index])]


def depth(line: bytes) -> int:
    """Give how deep brackets nest outside of strings."""
    bare = np.frombuffer(_STRING.sub(b"", line), np.uint8)
    opening = (bare == ord("[")) | (bare == ord("{"))
    closing = (bare == ord("]")) | (bare == ord("}"))
    return int(np.cumsum(opening.astype(np.int64) - closing).max(initial=0))
