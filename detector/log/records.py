"""The records of the one log: tallies and controls, and their versioned wire form.

Layout of a record: one byte of version, then MessagePack. A tally carries its keys as text, its
rows as little-endian columns sorted by (tick, ip, recipient, outcome), so that equal tallies are
equal bytes whoever computed them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.errors import LogFormatError
from detector.events.interning import NO_KEY, KeyTables
from detector.events.key_texts import KeyTexts
from detector.tally.rows import NO_ROWS, Rows, Tally, tally_rows

__all__ = [
    "AllowlistChange",
    "AsnTableChange",
    "Control",
    "Dead",
    "End",
    "Gap",
    "Idle",
    "LogRecord",
    "OperatorAction",
    "Partitions",
    "PolicyChange",
    "RemovalRequest",
    "decode_record",
    "decode_records",
    "encode_record",
    "encode_tallies",
]

VERSION: Final = 1
CELL: Final = 0
"""Every tally names its cell from the first day; more than one cell is not built yet."""


@dataclass(frozen=True, slots=True)
class Partitions:
    """The input has partitions 0 to `count - 1`; new ones are awaited from the next close."""

    count: int


@dataclass(frozen=True, slots=True)
class Idle:
    """The owner is at the end of a partition that it may not write a heartbeat into."""

    partition: int


@dataclass(frozen=True, slots=True)
class Dead:
    """Nothing was heard of a partition for `dead_after`; the others do not wait for it."""

    partition: int


@dataclass(frozen=True, slots=True)
class End:
    """A finite input is over; its ticks are closed."""

    partition: int


@dataclass(frozen=True, slots=True)
class Gap:
    """An operator declares tallies `first` to `last` of a partition lost: unobserved time."""

    partition: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class RemovalRequest:
    """Somebody asks to remove a subject. `request` identifies the request."""

    time_ms: int
    subject: str
    request: str


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A new policy, as canonical JSON, from the first close at or after `time_ms`."""

    time_ms: int
    policy: str


@dataclass(frozen=True, slots=True)
class AsnTableChange:
    """A new ASN table, known by its SHA-256; keys are looked up again."""

    time_ms: int
    digest: str


@dataclass(frozen=True, slots=True)
class AllowlistChange:
    """The never-list of the operators, whole; what it covers is removed at the same close."""

    time_ms: int
    ranges: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """`release` what is held, `remove` a subject, `purge` by "rule=NAME" or "policy=DIGEST"."""

    time_ms: int
    action: str
    argument: str
    request: str = ""


Timed = RemovalRequest | PolicyChange | AsnTableChange | AllowlistChange | OperatorAction
Control = Partitions | Idle | Dead | End | Gap | Timed
LogRecord = Tally | Control

_CONTROLS: Final[dict[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (
        Partitions, Idle, Dead, End, Gap,
        RemovalRequest, PolicyChange, AsnTableChange, AllowlistChange, OperatorAction,
    )
}  # fmt: skip
_HEAD: Final = bytes([VERSION])
_HEAD_NUMBERS: Final = 6
_PLACEHOLDER: Final = Tally(0, 0, 0, 0, 0, 0, NO_ROWS)
_COLUMNS: Final = ("<i8", "<i4", "<i4", "u1", "<u4", "<u4", "<u8", "<i8")
_WIDTHS: Final = tuple(np.dtype(kind).itemsize for kind in _COLUMNS)


def encode_record(record: LogRecord, tables: KeyTables) -> bytes:
    """Write a record; `encode_tallies` writes many tallies for much less each."""
    if isinstance(record, Tally):
        return encode_tallies([record], tables)[0]
    body: dict[str, Any] = {"kind": type(record).__name__}
    body |= {field.name: getattr(record, field.name) for field in fields(record)}
    return _HEAD + msgspec.msgpack.encode(body)


def encode_tallies(tallies: Sequence[Tally], tables: KeyTables) -> list[bytes]:
    """Write tallies, each as a record of its own.

    Keys are named and rows sorted for all of them at once: about 10 µs a tally and 0.5 µs a row.
    """
    if not tallies:
        return []
    rows = tally_rows(tallies)
    sizes = np.fromiter(map(len, tallies), np.int64, len(tallies))
    owner = np.repeat(np.arange(len(tallies)), sizes)
    ips, ip = _local(rows.ip, owner, len(tallies), tables.ips.names)
    rcpts, rcpt = _local(rows.rcpt, owner, len(tallies), tables.mailboxes.names)
    order = np.lexsort((rows.outcome, rcpt, ip, rows.tick, owner))
    columns: list[NDArray[Any]] = [
        rows.tick, ip, rcpt, rows.outcome, rows.count, rows.nulls, rows.senders, rows.asn,
    ]  # fmt: skip
    raw = [
        (column[order].astype(kind).tobytes(), width)
        for column, kind, width in zip(columns, _COLUMNS, _WIDTHS, strict=True)
    ]
    cuts = [0, *np.cumsum(sizes).tolist()]
    encode = msgspec.msgpack.Encoder().encode
    return [
        _HEAD
        + encode({
            "kind": "Tally",
            "cell": CELL,
            "head": [
                tally.partition, tally.number, tally.tick, tally.through,
                tally.made_at, tally.last_record,
            ],
            "ips": own_ips,
            "mailboxes": own_rcpts,
            "columns": [column[start * width : stop * width] for column, width in raw],
        })
        for tally, own_ips, own_rcpts, (start, stop) in zip(
            tallies, ips, rcpts, pairwise(cuts), strict=True
        )
    ]  # fmt: skip


def _local(
    slots: NDArray[np.int32], owner: NDArray[np.int64], owners: int, names: KeyTexts
) -> tuple[list[list[str]], NDArray[np.int64]]:
    """Number the keys of each tally in the order of their texts; NO_KEY stays.

    Gives the texts by tally, and the number of each row's key.
    """
    there = slots >= 0
    distinct = np.unique(slots[there])
    texts = list(map(names.__getitem__, distinct.tolist()))
    by_text = sorted(range(len(texts)), key=texts.__getitem__)
    rank = np.empty(len(texts), np.int64)
    rank[by_text] = np.arange(len(texts))
    code = owner[there] * len(texts) + rank[np.searchsorted(distinct, slots[there])]
    pairs, place = np.unique(code, return_inverse=True)
    pair_owner, pair_rank = np.divmod(pairs, max(1, len(texts)))
    starts = np.searchsorted(pair_owner, np.arange(owners + 1))
    numbers = np.full(slots.size, NO_KEY, np.int64)
    numbers[there] = place - starts[owner[there]]
    named = [texts[by_text[one]] for one in pair_rank.tolist()]
    return [named[start:stop] for start, stop in pairwise(starts.tolist())], numbers


def decode_record(blob: bytes, tables: KeyTables) -> LogRecord:
    """Read a record back; `decode_records` reads many for much less each.

    Raises:
        LogFormatError: another version, or bytes that are no record.
    """
    return decode_records([blob], tables)[0]


def decode_records(blobs: Sequence[bytes], tables: KeyTables) -> list[LogRecord]:
    """Read records back, in order. Keys are looked up for all of them at once.

    Raises:
        LogFormatError: another version, or bytes that are no record; `index` says which.
    """
    out: list[LogRecord] = []
    bodies: list[tuple[int, dict[str, Any]]] = []
    decode = msgspec.msgpack.Decoder().decode
    for index, blob in enumerate(blobs):
        if blob[:1] != _HEAD:
            got = f"version {blob[0] if blob else 'nothing'}"
            raise LogFormatError(got, f"version {VERSION}", index)
        try:
            body = decode(memoryview(blob)[1:])
            kind = body.pop("kind")
            if kind == "Tally":
                _check(body)
                bodies.append((index, body))
                out.append(_PLACEHOLDER)
                continue
            control = _CONTROLS[kind]
            unknown = body.keys() - {field.name for field in fields(control)}
            if unknown:
                raise TypeError(f"{kind} has no {min(unknown)!a}")  # noqa: TRY301 - put in words
            out.append(msgspec.convert(body, control))
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise LogFormatError(f"{type(error).__name__}: {error}", "a record", index) from error
    if bodies:
        for (index, _), tally in zip(bodies, _tallies(bodies, tables), strict=True):
            out[index] = tally
    return out


def _check(body: dict[str, Any]) -> None:
    """See that the parts of a tally are of the right kinds, and its columns of one length.

    Raises:
        ValueError: they are not.
    """
    rows = {len(raw) / width for raw, width in zip(body["columns"], _WIDTHS, strict=True)}
    if len(rows) != 1 or not rows.pop().is_integer():
        raise ValueError("columns of different lengths")
    if len(body["head"]) != _HEAD_NUMBERS or not all(type(n) is int for n in body["head"]):
        raise ValueError("head: want six numbers")
    if not all(type(text) is str for name in ("ips", "mailboxes") for text in body[name]):
        raise ValueError("keys: want texts")


def _tallies(bodies: list[tuple[int, dict[str, Any]]], tables: KeyTables) -> list[Tally]:
    """Make the tallies of one block of rows."""
    columns = [
        np.frombuffer(b"".join([body["columns"][place] for _, body in bodies]), kind)
        for place, kind in enumerate(_COLUMNS)
    ]
    sizes = [len(body["columns"][3]) for _, body in bodies]
    for place, names, table in ((1, "ips", tables.ips), (2, "mailboxes", tables.mailboxes)):
        counts = [len(body[names]) for _, body in bodies]
        bad = (columns[place] < NO_KEY) | (columns[place] >= np.repeat(counts, sizes))
        if bad.any():
            index, _ = bodies[int(np.repeat(np.arange(len(sizes)), sizes)[bad.argmax()])]
            raise LogFormatError(f"{names}: a row names a key that is not there", "a record", index)
        texts = [text for _, body in bodies for text in body[names]]
        slots = np.append(table.slots(texts, len(texts)), np.int32(NO_KEY))
        first = np.repeat(np.cumsum([0, *counts[:-1]]), sizes)
        columns[place] = slots[np.where(columns[place] < 0, len(texts), columns[place] + first)]
    block = Rows(*columns)
    cuts = [0, *np.cumsum(sizes).tolist()]
    out: list[Tally] = []
    for (_, body), (start, stop) in zip(bodies, pairwise(cuts), strict=True):
        partition, number, tick, through, made_at, last_record = body["head"]
        out.append(
            Tally(
                partition, number, tick, through, made_at, last_record, block,
                start=start, stop=stop,
            )
        )  # fmt: skip
    return out
