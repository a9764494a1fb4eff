"""Traffic with its truth as columns: who wrote to whom, when, and for which group."""

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Network, ip_address
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt
import orjson

__all__ = [
    "BadInputError",
    "BoolArray",
    "Group",
    "IntArray",
    "Traffic",
    "json_lines",
    "listed_subject",
    "mailbox_of",
    "milliseconds",
    "read_traffic",
    "subject_of",
]

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

ACTIONS = frozenset({"accept", "reject", "defer", "discard"})
NO_MAILBOX = -1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
V6_PREFIX_BITS = 64


class BadInputError(ValueError):
    """A file that cannot be scored: where, what was found there, and what is allowed."""

    def __init__(self, where: str, got: str, allowed: str) -> None:
        """Keep the three parts as fields and join them into one message."""
        super().__init__(f"{where}: got {got[:120]!a}, allowed: {allowed}")
        self.where, self.got, self.allowed = where, got, allowed


@dataclass(frozen=True, slots=True)
class Group:
    """One group of the truth: background mail, a flood, or a pattern that must not be listed."""

    id: int
    kind: str
    shape: str
    name: str
    victims: tuple[str, ...]
    victim_domain: str | None
    fast: bool
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """The messages of an event file in order of their time (ties: order of the file).

    A message is an inbound event with a recipient. `time_ms`, `source` (position in `subjects`),
    `mailbox` (position in `mailboxes`) and `group` (position in `groups`): (messages,) int64.
    `guilty`: (subjects,) bool, at least one event of a flood; `must_not`: (subjects,) bool, not
    guilty and at least one event of an innocent pattern.
    """

    groups: tuple[Group, ...]
    subjects: tuple[str, ...]
    mailboxes: tuple[str, ...]
    time_ms: IntArray
    source: IntArray
    mailbox: IntArray
    group: IntArray
    guilty: BoolArray
    must_not: BoolArray
    lines: int
    connects: int
    outbound: int
    unread: int

    def is_flood(self) -> BoolArray:
        """Tell for each message whether it belongs to a flood: (messages,) bool."""
        kinds = np.array([group.kind == "flood" for group in self.groups], dtype=np.bool_)
        return cast("BoolArray", kinds[self.group])


@dataclass(slots=True)
class _Columns:
    """Rows of events while they are read; `line` leads to the row's line of truth."""

    line: list[int] = field(default_factory=list)
    time_ms: list[int] = field(default_factory=list)
    source: list[int] = field(default_factory=list)
    mailbox: list[int] = field(default_factory=list)
    subjects: dict[str, int] = field(default_factory=dict)
    mailboxes: dict[str, int] = field(default_factory=dict)
    source_of_text: dict[str, int] = field(default_factory=dict)
    mailbox_of_text: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    outbound: int = 0
    unread: int = 0


def milliseconds(value: object) -> int:
    """Give Unix milliseconds of an integer (taken as such) or of an RFC 3339 text with offset.

    Raises: ValueError or TypeError for anything else.
    """
    if type(value) is int:
        return value
    if not isinstance(value, str):
        raise TypeError(value)
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(value)
    return (moment - EPOCH) // timedelta(milliseconds=1)


def subject_of(client_ip: str) -> str:
    """Give the subject an address counts for: IPv4 itself, IPv6 its /64, IPv4-mapped as IPv4.

    Raises: ValueError if the text is no address.

    >>> subject_of("::ffff:192.0.2.7"), subject_of("2001:db8:1:2:3::4")
    ('192.0.2.7', '2001:db8:1:2::/64')
    """
    address = ip_address(client_ip)
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address) >> V6_PREFIX_BITS << V6_PREFIX_BITS, V6_PREFIX_BITS)))


def listed_subject(text: str) -> str:
    """Give the subject that a decision names, an address or an address and its own prefix length.

    Raises: ValueError for a network wider or narrower than one subject.
    """
    address, slash, bits = text.partition("/")
    subject = subject_of(address)
    if slash and bits != ("64" if "/" in subject else "32"):
        raise ValueError(text)
    return subject


def mailbox_of(recipient: str) -> str:
    """Give the mailbox of a recipient: without its plus part, in lower case.

    >>> mailbox_of("Ann+shop@Example.org")
    'ann@example.org'
    """
    local, at, domain = recipient.rpartition("@")
    if at:
        return f"{local.partition('+')[0]}@{domain}".lower()
    return recipient.lower()


def _opened(path: Path) -> IO[bytes]:
    """Open a plain or gzip-compressed file (told by its first two bytes) for reading."""
    with path.open("rb") as stream:
        magic = stream.read(2)
    return cast("IO[bytes]", gzip.open(path)) if magic == b"\x1f\x8b" else path.open("rb")


def json_lines(path: Path) -> Iterator[tuple[int, object]]:
    """Yield the number (from 1) and value of each line; `None` for a line that is not JSON."""
    with _opened(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError:
                yield number, None


def _recipients(value: object) -> tuple[str | None, ...]:
    """Give one entry an event; a record without recipient is one event.

    Raises: ValueError if it is neither text nor a list of texts.
    """
    if value is None:
        return (None,)
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) and one for one in values):
        raise ValueError(value)
    return tuple(values) or (None,)


def _mailbox(columns: _Columns, recipient: str | None) -> int:
    """Give the number of a recipient's mailbox, a new one if it is new."""
    if recipient is None:
        return NO_MAILBOX
    number = columns.mailbox_of_text.get(recipient)
    if number is None:
        mailboxes = columns.mailboxes
        number = mailboxes.setdefault(mailbox_of(recipient), len(mailboxes))
        columns.mailbox_of_text[recipient] = number
    return number


def _take(columns: _Columns, line: int, event: Mapping[str, object]) -> None:
    """Append the rows of one event record.

    Raises: ValueError or TypeError if it breaks the event contract.
    """
    if event.get("direction") == "outbound":
        columns.outbound += 1
        return
    text, time_ms = event.get("client_ip"), milliseconds(event.get("time"))
    if not isinstance(text, str) or event.get("action") not in ACTIONS:
        raise ValueError(text)
    source = columns.source_of_text.get(text)
    if source is None:
        source = columns.subjects.setdefault(subject_of(text), len(columns.subjects))
        columns.source_of_text[text] = source
    for recipient in _recipients(event.get("recipient")):
        columns.line.append(line)
        columns.time_ms.append(time_ms)
        columns.source.append(source)
        columns.mailbox.append(_mailbox(columns, recipient))


def _read_events(path: Path) -> _Columns:
    """Read all events; records that break the contract are counted and left out."""
    columns = _Columns()
    for number, event in json_lines(path):
        columns.lines = number
        if not isinstance(event, dict):
            columns.unread += 1
        elif "heartbeat" not in event:
            try:
                _take(columns, number - 1, event)
            except (ValueError, TypeError):
                columns.unread += 1
    return columns


def _group(path: Path, value: Mapping[str, object]) -> Group:
    """Read one group of the header. Raises: BadInputError."""
    try:
        return Group(
            id=milliseconds(value["id"]),
            kind=str(value["kind"]),
            shape=str(value.get("shape") or value["kind"]),
            name=str(value.get("name") or value["id"]),
            victims=tuple(map(str, cast("list[str]", value.get("victims") or []))),
            victim_domain=cast("str | None", value.get("victim_domain")),
            fast=bool(value.get("fast")),
            start_ms=milliseconds(value.get("start_ms", 0)),
            end_ms=milliseconds(value.get("end_ms", 0)),
        )
    except (KeyError, ValueError, TypeError) as error:
        allowed = "id, kind, shape, name, victims, victim_domain, fast, start_ms, end_ms"
        raise BadInputError(f"{path}:1 groups", str(value), allowed) from error


def _read_truth(path: Path) -> tuple[tuple[Group, ...], IntArray]:
    """Read the groups and, for each line of the event file, the id of its group."""
    with _opened(path) as stream:
        header, ids = stream.readline(), stream.read().split()
    try:
        value = orjson.loads(header)
        groups = tuple(_group(path, group) for group in value["groups"])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        got = header.decode("utf-8", "replace")
        raise BadInputError(f"{path}:1", got, 'a header {"truth":1,...,"groups":[...]}') from error
    try:
        return groups, np.array(ids, dtype=np.bytes_).astype(np.int64)
    except ValueError as error:
        raise BadInputError(str(path), str(error), "one integer a line") from error


def read_traffic(events: Path, truth: Path) -> Traffic:
    """Read an event file and its truth, plain or gzip.

    Raises: BadInputError if the two do not fit or the truth cannot be read; OSError.
    """
    columns = _read_events(events)
    groups, ids = _read_truth(truth)
    if len(ids) != columns.lines:
        raise BadInputError(str(truth), f"{len(ids)} lines", f"{columns.lines}, one an event line")
    position = {group.id: at for at, group in enumerate(groups)}
    unknown = set(np.unique(ids).tolist()) - position.keys()
    if unknown:
        raise BadInputError(str(truth), f"group ids {sorted(unknown)}", f"{sorted(position)}")
    numbers, inverse = np.unique(ids, return_inverse=True)
    of_line = np.array([position[one] for one in numbers.tolist()], dtype=np.int64)[inverse]
    group = of_line[np.array(columns.line, dtype=np.int64)]
    source = np.array(columns.source, dtype=np.int64)
    by_kind = {
        kind: _marked(source, group, [one.kind == kind for one in groups], len(columns.subjects))
        for kind in ("flood", "innocent")
    }
    mailbox = np.array(columns.mailbox, dtype=np.int64)
    time_ms = np.array(columns.time_ms, dtype=np.int64)
    rows = np.flatnonzero(mailbox != NO_MAILBOX)
    rows = rows[np.argsort(time_ms[rows], kind="stable")]
    return Traffic(
        groups=groups,
        subjects=tuple(columns.subjects),
        mailboxes=tuple(columns.mailboxes),
        time_ms=time_ms[rows],
        source=source[rows],
        mailbox=mailbox[rows],
        group=group[rows],
        guilty=by_kind["flood"],
        must_not=by_kind["innocent"] & ~by_kind["flood"],
        lines=columns.lines,
        connects=len(mailbox) - len(rows),
        outbound=columns.outbound,
        unread=columns.unread,
    )


def _marked(source: IntArray, group: IntArray, chosen: list[bool], subjects: int) -> BoolArray:
    """Mark the subjects with at least one event in a chosen group: (subjects,) bool."""
    marks = np.zeros(subjects, dtype=np.bool_)
    marks[source[np.array(chosen, dtype=np.bool_)[group]]] = True
    return marks
