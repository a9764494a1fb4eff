"""Columns of text turned into columns of numbers, many thousand addresses at a time.

Python's `ipaddress` needs 2 to 4 µs an address, and a table of 500 k ranges has a million of
them. Here each step works on one character position of all rows; what is read, and what is
refused, is the same (`tests/networks/test_enrich.py` compares them).
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["TextColumn", "decimal_column", "ipv4_column", "ipv6_column"]

Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]
_V4_TEXT_BYTES, _OCTETS, _OCTET_DIGITS, _MAX_OCTET = 15, 4, 3, 255
_V6_TEXT_BYTES, _GROUPS, _GROUP_DIGITS = 39, 8, 4
_ASN_TEXT_BYTES, _MAX_ASN = 10, 2**32 - 1
_DOT, _COLON = b".:"
_NO_DIGIT = 255
_DECIMAL_VALUE = np.full(256, _NO_DIGIT, dtype=np.uint8)
_DECIMAL_VALUE[list(b"0123456789")] = np.arange(10)
_HEX_VALUE = _DECIMAL_VALUE.copy()
_HEX_VALUE[list(b"abcdef")] = _HEX_VALUE[list(b"ABCDEF")] = np.arange(10, 16)


@dataclass(frozen=True, slots=True, eq=False)
class TextColumn:
    """Rows of text inside one buffer: row i is `buffer[starts[i]:ends[i]]`, (rows,) int64 each."""

    buffer: npt.NDArray[np.uint8]
    starts: Numbers
    ends: Numbers

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> "TextColumn":
        """Make a column of texts."""
        length = np.array([len(text) for text in texts], dtype=np.int64)
        ends = np.cumsum(length)
        return cls(np.frombuffer(b"".join(texts), dtype=np.uint8), ends - length, ends)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, row: int) -> bytes:
        return self.buffer[self.starts[row] : self.ends[row]].tobytes()

    def take(self, rows: Numbers) -> "TextColumn":
        """Give some of the rows."""
        return TextColumn(self.buffer, self.starts[rows], self.ends[rows])

    def followed_by(self, other: "TextColumn") -> "TextColumn":
        """Give the rows of both, which share a buffer."""
        starts = np.concatenate((self.starts, other.starts))
        return TextColumn(self.buffer, starts, np.concatenate((self.ends, other.ends)))

    def characters(self, width: int) -> tuple[npt.NDArray[np.uint8], Bools]:
        """Give the rows as (width + 1, rows) uint8, zero padded, and which fit and hold no NUL."""
        grid = np.zeros((width + 1, len(self)), dtype=np.uint8)
        length = self.ends - self.starts
        good = length <= width
        padded = np.append(self.buffer, np.uint8(0))
        for place, column in enumerate(grid):
            inside = length > place
            column[:] = padded[np.where(inside, self.starts + place, len(self.buffer))]
            good &= ~inside | (column != 0)
        return grid, good


def decimal_column(texts: TextColumn) -> tuple[npt.NDArray[np.int64], Bools]:
    """Give plain decimals of at most 32 bits as int64 (rows,), and which rows were that.

    >>> decimal_column(TextColumn.of([b"64496", b"-1", b"4294967296"]))[1].tolist()
    [True, False, False]
    """
    columns, good = texts.characters(_ASN_TEXT_BYTES)
    values = np.zeros(len(texts), dtype=np.int64)
    good &= columns[0] != 0
    for column in columns:
        digit = _DECIMAL_VALUE[column]
        is_digit = digit != _NO_DIGIT
        values = np.where(is_digit, values * 10 + digit, values)
        good &= is_digit | (column == 0)
    return values, good & (values <= _MAX_ASN)


def ipv4_column(texts: TextColumn) -> tuple[npt.NDArray[np.uint32], Bools]:
    """Give dotted IPv4 addresses as uint32 (rows,), and which rows were addresses.

    >>> ipv4_column(TextColumn.of([b"192.0.2.7", b"192.0.2.256", b"192.0.02.7"]))[1].tolist()
    [True, False, False]
    """
    columns, good = texts.characters(_V4_TEXT_BYTES)
    rows = len(texts)
    address = np.zeros(rows, dtype=np.uint32)
    octet = np.zeros(rows, dtype=np.uint16)
    digits = np.zeros(rows, dtype=np.uint8)
    dots = np.zeros(rows, dtype=np.uint8)
    for column in columns:
        digit = _DECIMAL_VALUE[column]
        is_digit = digit != _NO_DIGIT
        is_dot = column == _DOT
        good &= is_digit | is_dot | (column == 0)
        good &= ~(is_digit & (digits == 1) & (octet == 0))
        octet = np.where(is_digit, octet * np.uint16(10) + digit, octet)
        digits += is_digit
        good &= ~is_dot | ((digits > 0) & (digits <= _OCTET_DIGITS) & (octet <= _MAX_OCTET))
        address = np.where(is_dot, (address << np.uint32(8)) | octet, address)
        octet[is_dot] = 0
        digits[is_dot] = 0
        dots += is_dot
    good &= (dots == _OCTETS - 1) & (digits > 0) & (digits <= _OCTET_DIGITS) & (octet <= _MAX_OCTET)
    return (address << np.uint32(8)) | octet, good


def ipv6_column(
    texts: TextColumn,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], Bools]:
    """Give the upper and lower halves of IPv6 addresses, uint64 (rows,), and which were addresses.

    >>> upper, lower, good = ipv6_column(TextColumn.of([b"2001:db8::1", b"2001:db8:::1"]))
    >>> f"{upper[0]:016x} {lower[0]:016x}", good.tolist()
    ('20010db800000000 0000000000000001', [True, False])
    """
    columns, good = texts.characters(_V6_TEXT_BYTES)
    dotted = np.flatnonzero((columns == _DOT).any(axis=0))
    groups, written, gap, in_grammar = _groups(columns)
    good &= in_grammar
    halves = [np.zeros(len(texts), dtype=np.uint64) for _ in range(2)]
    everyone = np.arange(len(texts))
    for place in range(_GROUPS):
        after = np.where(place >= 8 - (written - gap), place - (8 - written), 8)
        source = np.where((gap < 0) | (place < gap), place, after)
        half = halves[place // 4]
        half <<= np.uint64(16)
        half |= groups[np.where(good, source, 8), everyone]
    for row in dotted.tolist():
        # `::ffff:192.0.2.7` is rare enough to be read one by one.
        try:
            address = int(ipaddress.IPv6Address(texts[row].decode("ascii", "replace")))
        except ValueError:
            continue
        halves[0][row], halves[1][row], good[row] = address >> 64, address & (2**64 - 1), True
    return halves[0], halves[1], good


def _groups(
    columns: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64], Bools]:
    """Read the groups as written: (9, rows) with row 8 zero, how many, where `::` stood, validity.

    The grammar is that of RFC 4291 2.2 without the dotted tail; no `::` is -1.
    """
    rows = columns.shape[1]
    groups = np.zeros((9, rows), dtype=np.uint64)
    written = np.zeros(rows, dtype=np.int64)
    gap = np.full(rows, -1, dtype=np.int64)
    value = np.zeros(rows, dtype=np.uint64)
    digits = np.zeros(rows, dtype=np.uint8)
    good = (columns[0] != _COLON) | (columns[1] == _COLON)
    for position, column in enumerate(columns):
        nibble = _HEX_VALUE[column]
        is_digit = nibble != _NO_DIGIT
        is_colon = column == _COLON
        good &= is_digit | is_colon | (column == 0)
        value = np.where(is_digit, (value << np.uint64(4)) | nibble, value)
        digits += is_digit
        ends = (is_colon | (column == 0)) & (digits > 0)
        good &= (digits <= _GROUP_DIGITS) & (~ends | (written < _GROUPS))
        done = np.flatnonzero(ends & good)
        groups[written[done], done] = value[done]
        written += ends
        value[ends] = 0
        if position:
            doubled = is_colon & (digits == 0)
            good &= ~doubled | (gap < 0)
            gap = np.where(doubled, written, gap)
        digits[ends] = 0
        good &= (column != 0) | (gap == written) | ends | (columns[position - 1] != _COLON)
    good &= np.where(gap < 0, written == _GROUPS, written < _GROUPS)
    return groups, written, gap, good
