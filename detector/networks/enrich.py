"""Which network an address belongs to: range tables in memory, by longest prefix."""

import hashlib
import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from detector.errors import AsnTableError
from detector.events.address_columns import TextColumn, decimal_column, ipv4_column, ipv6_column

__all__ = ["UNKNOWN_ASN", "AsnLookup", "AsnTable", "TableProblem", "printable_name"]

UNKNOWN_ASN = -1
"""What a lookup says of an address in no range; ASN 0 (not routed) in a table means the same."""

_MAX_PROBLEMS = 100
_EXCERPT_BYTES = 80
_NAME_CHARACTERS = 80
_SAMPLE_LINES = 1000
_COLON_WITHIN = 4
_LF, _CR, _TAB, _COMMA, _HASH, _COLON = b"\n\r\t,#:"
_LOWER_END = np.uint64(2**64 - 1)

Edges = npt.NDArray[np.unsignedinteger]
Numbers = npt.NDArray[np.int64]


class AsnLookup(Protocol):
    """What the detector asks of any IP to ASN source."""

    @property
    def digest(self) -> str:
        """SHA-256 of the source in hex: the same digest, the same answers."""
        ...

    def lookup(self, keys: Sequence[bytes]) -> Numbers:
        """Give the ASN of each key (see `AsnTable.lookup`), (keys,) int64."""
        ...

    def name(self, asn: int) -> str:
        """Give the network's name, or "" where the source has none."""
        ...


@dataclass(frozen=True, slots=True)
class TableProblem:
    """A line of a table that was left out: its number from 1, why, and its bytes (cut)."""

    line: int
    reason: str
    excerpt: bytes

    def __str__(self) -> str:
        """Say it in one printable line."""
        return f"line {self.line}: {self.reason}: {ascii(self.excerpt)[2:-1]}"


@dataclass(frozen=True, slots=True, eq=False)
class _Ranges:
    """Disjoint closed ranges in rising order: starts, ends (unsigned) and ASNs, each (ranges,)."""

    starts: Edges
    ends: Edges
    asns: npt.NDArray[np.uint32]

    def lookup(self, keys: Edges) -> Numbers:
        if not len(self.starts):
            return np.full(len(keys), UNKNOWN_ASN, dtype=np.int64)
        at = np.searchsorted(self.starts, keys, side="right") - 1
        inside = (at >= 0) & (keys <= self.ends[at])
        return np.where(inside, self.asns[at].astype(np.int64), UNKNOWN_ASN)


@dataclass(frozen=True, slots=True, eq=False)
class AsnTable:
    """An IP to ASN table: IPv4 by address, IPv6 by /64, the narrowest range that covers it.

    `ranges` counts the disjoint ranges kept, `rejected` the lines left out. About 20 B a range.
    """

    digest: str
    ranges: int
    rejected: int
    _v4: _Ranges
    _v6: _Ranges
    _names: dict[int, bytes] = field(repr=False)

    @classmethod
    def parse(cls, content: bytes, name: str) -> tuple["AsnTable", list[TableProblem]]:
        r"""Read a table, and say which lines were left out (the first 100 of them).

        Layouts, found by looking: tab separated `start end asn cc name` (ip2asn; v4, v6 or both)
        and comma separated `start,end,asn,"name"`. Empty lines and lines from `#` on are skipped.
        Ranges may overlap: the narrower wins, of equals the earlier line. An IPv6 range counts
        for the /64 networks that it covers whole. `name` is only for messages.

        Raises:
            AsnTableError: no line at all could be read.

        >>> table, problems = AsnTable.parse(
        ...     b"192.0.2.0\t192.0.2.255\t64496\tZZ\tEXAMPLE\nrubbish\n", "t.tsv")
        >>> table.lookup([b"\xc0\x00\x02\x07", b"\xc0\x00\x03\x07"]).tolist(), table.name(64496)
        ([64496, -1], 'EXAMPLE')
        >>> [str(problem) for problem in problems]
        ['line 2: fewer than 3 fields: rubbish']
        """
        rows = _rows(content, name)
        problems = _Problems(rows)
        v6 = (rows.starts.characters(_COLON_WITHIN)[0] == _COLON).any(axis=0)
        asns, good = decimal_column(rows.asns)
        problems.add(np.flatnonzero(~good), "the third field is no AS number (0 to 4294967295)")
        routed = good & (asns != 0)
        v4_table = _ranges(rows, np.flatnonzero(routed & ~v6), asns, problems, v6=False)
        v6_table = _ranges(rows, np.flatnonzero(routed & v6), asns, problems, v6=True)
        found = problems.first()
        if problems.count == rows.lines:
            lines = "".join(f"\n  {problem}" for problem in found[:3])
            raise AsnTableError(
                name,
                f"none of its {rows.lines} lines could be read; allowed are lines of "
                "`start TAB end TAB asn TAB country TAB name` (ip2asn) or "
                f'`start,end,asn,"name"`: choose another file{lines}',
            )
        kept = len(v4_table.starts) + len(v6_table.starts)
        digest = hashlib.sha256(content).hexdigest()
        names = _names(rows, asns, np.flatnonzero(routed))
        return cls(digest, kept, problems.count, v4_table, v6_table, names), found

    def lookup(self, keys: Sequence[bytes]) -> Numbers:
        """Give the ASN of each key, (keys,) int64, `UNKNOWN_ASN` where no range covers it.

        A key is the 4 bytes of an IPv4 address or the 8 bytes of the upper half of an IPv6
        address, in network order.

        Raises:
            ValueError: a key of another length.
        """
        length = np.fromiter(map(len, keys), dtype=np.int64, count=len(keys))
        is_v4, is_v6 = length == 4, length == 8  # noqa: PLR2004 - as the docstring says
        if not (is_v4 | is_v6).all():
            raise ValueError("a key has 4 bytes (IPv4) or 8 (upper half of IPv6)")
        asns = np.empty(len(keys), dtype=np.int64)
        asns[is_v4] = self._v4.lookup(
            np.frombuffer(b"".join(itertools.compress(keys, is_v4)), dtype=">u4")
        )
        asns[is_v6] = self._v6.lookup(
            np.frombuffer(b"".join(itertools.compress(keys, is_v6)), dtype=">u8")
        )
        return asns

    def name(self, asn: int) -> str:
        """Give the network's name with control and direction characters escaped, "" if unknown."""
        return printable_name(self._names.get(asn, b"").decode("utf-8", "backslashreplace"))


def printable_name(text: str) -> str:
    r"""Give a name of somebody else's making as it may be shown: cut, and nothing that steers.

    >>> printable_name("EXAMPLE\x1b[31m")
    'EXAMPLE\\u001b[31m'
    """
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:_NAME_CHARACTERS])
    return shown if len(text) <= _NAME_CHARACTERS else shown + "..."


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The fields of the lines that have enough of them, and which lines have not."""

    line: Numbers
    starts: TextColumn
    ends: TextColumn
    asns: TextColumn
    names: TextColumn
    text: TextColumn
    short: Numbers
    lines: int


class _Problems:
    """Lines left out: all are counted, the first are described."""

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows
        self.count = len(rows.short)
        self._found = [(at, "fewer than 3 fields") for at in rows.short[:_MAX_PROBLEMS].tolist()]

    def add(self, rows: Numbers, reason: str) -> None:
        """Count rows (positions in `rows`) that are left out for a reason."""
        self.count += len(rows)
        first = self._rows.line[rows[:_MAX_PROBLEMS]]
        self._found.extend((at, reason) for at in first.tolist())

    def first(self) -> list[TableProblem]:
        """Give the first of them in the order of the file."""
        return [
            TableProblem(at + 1, reason, self._rows.text[at][:_EXCERPT_BYTES])
            for at, reason in sorted(self._found)[:_MAX_PROBLEMS]
        ]


def _rows(content: bytes, name: str) -> _Rows:
    """Find the fields of each line by the separator that most of the first lines have."""
    if not content or content.isspace():
        raise AsnTableError(name, "it is empty: choose another file, or run without a table")
    buffer = np.frombuffer(content, dtype=np.uint8)
    ends = np.append(np.flatnonzero(buffer == _LF), len(buffer))
    text = TextColumn(buffer, np.append(0, ends[:-1] + 1), ends)
    ends = ends - ((ends > text.starts) & (buffer[ends - 1] == _CR))
    sample = [text[at] for at in range(min(len(text), _SAMPLE_LINES))]
    tabbed = sum(line.count(b"\t") > 1 for line in sample)
    commas = sum(line.count(b",") > 1 and b"\t" not in line for line in sample)
    separator, name_field = (_COMMA, 3) if commas > tabbed else (_TAB, 4)
    places = np.flatnonzero(buffer == separator)
    first = np.searchsorted(places, text.starts)
    places = np.append(places, [len(buffer)] * name_field)
    cuts = [np.minimum(places[first + field], ends) for field in range(name_field)]
    blank = text.starts == ends
    comment = ~blank & (buffer[np.minimum(text.starts, len(buffer) - 1)] == _HASH)
    enough = (cuts[1] < ends) & ~comment
    line = np.flatnonzero(enough)
    short = np.flatnonzero(~enough & ~comment & ~blank)
    short = short[[bool(text[row].strip()) for row in short.tolist()]]
    edges = [text.starts, *(cut + 1 for cut in cuts)]
    columns = [
        TextColumn(buffer, np.minimum(start, end)[line], end[line])
        for start, end in zip(edges, [*cuts, ends], strict=True)
    ]
    lines = len(line) + len(short)
    return _Rows(line, columns[0], columns[1], columns[2], columns[-1], text, short, lines)


def _names(rows: _Rows, asns: Numbers, at: Numbers) -> dict[int, bytes]:
    """Give the name of each AS as its first line among the rows `at` has it."""
    known, first = np.unique(asns[at], return_index=True)
    names: dict[int, bytes] = {}
    for asn, row in zip(known.tolist(), at[first].tolist(), strict=True):
        text = rows.names[row].strip()
        quoted = len(text) > 1 and text[:1] == text[-1:] == b'"'
        names[asn] = text[1:-1].replace(b'""', b'"') if quoted else text
    return names


def _ranges(rows: _Rows, at: Numbers, asns: Numbers, problems: _Problems, *, v6: bool) -> _Ranges:
    """Read the ranges of one family from the rows `at` and make them disjoint."""
    edges = rows.starts.take(at).followed_by(rows.ends.take(at))
    starts: Edges
    ends: Edges
    if v6:
        upper, lower, good = ipv6_column(edges)
        starts, ends = upper[: len(at)], upper[len(at) :]
        cut_first = lower[: len(at)] != 0
        cut_last = lower[len(at) :] != _LOWER_END
        ordered = (starts < ends) | ((starts == ends) & (lower[: len(at)] <= lower[len(at) :]))
        whole = (ends - starts) >= cut_first.astype(np.uint64) + cut_last
        starts, ends = starts + cut_first, ends - cut_last
    else:
        addresses, good = ipv4_column(edges)
        starts, ends = addresses[: len(at)], addresses[len(at) :]
        ordered = starts <= ends
        whole = np.ones(len(at), dtype=np.bool_)
    good = good[: len(at)] & good[len(at) :]
    problems.add(at[~good], f"start or end is no IPv{6 if v6 else 4} address")
    problems.add(at[good & ~ordered], "start lies above end")
    problems.add(at[good & ordered & ~whole], "it covers no whole /64, and IPv6 counts by /64")
    kept = good & ordered & whole
    return _disjoint(starts[kept], ends[kept], asns[at[kept]].astype(np.uint32))


def _disjoint(starts: Edges, ends: Edges, asns: npt.NDArray[np.uint32]) -> _Ranges:
    """Order the ranges, and cut those that overlap so that the narrowest one stands."""
    order = np.argsort(starts, kind="stable")
    starts, ends, asns = starts[order], ends[order], asns[order]
    if not len(starts):
        return _Ranges(starts, ends, asns)
    opens = np.ones(len(starts), dtype=np.bool_)
    opens[1:] = starts[1:] > np.maximum.accumulate(ends)[:-1]
    if opens.all():
        return _Ranges(starts, ends, asns)
    first = np.flatnonzero(opens)
    size = np.diff(first, append=len(starts))
    alone = first[size == 1]
    cut: list[tuple[int, int, int]] = []
    for at, count in zip(first[size > 1].tolist(), size[size > 1].tolist(), strict=True):
        cluster = slice(at, at + count)
        columns = (starts[cluster], ends[cluster], order[cluster], asns[cluster])
        cut.extend(_narrowest(list(zip(*(column.tolist() for column in columns), strict=True))))
    cut_starts, cut_ends, cut_asns = zip(*cut, strict=True)
    starts = np.concatenate((starts[alone], np.array(cut_starts, dtype=starts.dtype)))
    ends = np.concatenate((ends[alone], np.array(cut_ends, dtype=ends.dtype)))
    asns = np.concatenate((asns[alone], np.array(cut_asns, dtype=np.uint32)))
    order = np.argsort(starts)
    return _Ranges(starts[order], ends[order], asns[order])


def _narrowest(cluster: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int, int]]:
    """Cut overlapping `(start, end, line, asn)`, ordered by start, at every edge.

    One pass with a heap, narrowest on top: about 3 µs a range.
    """
    edges = sorted({start for start, *_ in cluster} | {end + 1 for _, end, *_ in cluster})
    covering: list[tuple[int, int, int, int]] = []
    cut: list[tuple[int, int, int]] = []
    coming = 0
    for edge, after in itertools.pairwise(edges):
        while coming < len(cluster) and cluster[coming][0] == edge:
            start, end, line, asn = cluster[coming]
            heapq.heappush(covering, (end - start, line, end, asn))
            coming += 1
        while covering[0][2] < edge:
            heapq.heappop(covering)
        asn = covering[0][3]
        if cut and cut[-1][2] == asn and cut[-1][1] == edge - 1:
            cut[-1] = (cut[-1][0], after - 1, asn)
        else:
            cut.append((edge, after - 1, asn))
    return cut
