"""The narrow seam of ingest: bytes in; columns, slots, new keys and rejects out.

This pure reader is the product and the specification; a compiled twin may replace it behind
`EventReader`. A batch of records becomes columns, never an object per event that outlives the call.
"""

import zlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.event_time import BAD_TIME, times_ms
from detector.events import ABSENT, OUTBOUND, EventLists, Reject
from detector.interning import BAD_KEY, NO_KEY, KeyTables

__all__ = ["HEARTBEAT", "NO_SENDER", "NULL_SENDER", "OVERSIZED", "EventColumns", "EventReader"]

HEARTBEAT: Final = -3
"""Slot in `ip` of a heartbeat: it moves the clock and is no event."""
NULL_SENDER: Final = 254
NO_SENDER: Final = 255
OVERSIZED: Final = b"\x00oversized "
"""A source puts this before the beginning of a record that it refused to read whole."""
MOST_RECIPIENTS: Final = 4_096
EXCERPT_BYTES: Final = 200
_MOST_SENDER_DOMAINS: Final = 1_000_000
_LARGEST_ASN: Final = 2**32

_ACTIONS: Final = {"accept": 0, "discard": 1, "reject": 2, "defer": 3}
_CAUSES: Final = {None: 0, "other": 0, "blocklist": 1, "unknown_user": 2, "rate": 3, "content": 4}
_DIRECTIONS: Final = {None: 0, "inbound": 0, "outbound": OUTBOUND}
_BAD: Final = 255
_OUTCOMES: Final = np.array(
    [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [2, 3, 4, 5, 6], [7, 8, 9, 10, 11]], np.uint8
)
_MISTYPED: Final = "mistyped"


class _Record(msgspec.Struct, gc=False):
    """The fields of the event contract that are counted; all others are skipped unread."""

    time: int | str | None = None
    client_ip: str | None = None
    action: str | None = None
    recipient: str | list[str] | None = None
    received: int | str | None = None
    asn: int | None = None
    sender: str | None = None
    cause: str | None = None
    direction: str | None = None
    heartbeat: int | str | None = None


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Events of one partition in record order, one row an event, all arrays of one length.

    record i64 (position), time_ms i64, received_ms i64 or None (ABSENT: none), ip i32 and
    rcpt i32 (slots), outcome u8 (with OUTBOUND), sender u8 (bit of the sender domain, NULL_SENDER
    or NO_SENDER), asn i64 or None (ABSENT: none).
    """

    record: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    received_ms: NDArray[np.int64] | None
    ip: NDArray[np.int32]
    rcpt: NDArray[np.int32]
    outcome: NDArray[np.uint8]
    sender: NDArray[np.uint8]
    asn: NDArray[np.int64] | None

    def __len__(self) -> int:
        """Count the rows."""
        return self.time_ms.size

    def take(self, rows: Any) -> "EventColumns":  # noqa: ANN401 - any index numpy takes
        """Select rows by a mask, indexes or a slice."""
        return EventColumns(
            self.record[rows],
            self.time_ms[rows],
            None if self.received_ms is None else self.received_ms[rows],
            self.ip[rows],
            self.rcpt[rows],
            self.outcome[rows],
            self.sender[rows],
            None if self.asn is None else self.asn[rows],
        )


class _SenderBits(dict[str | None, int]):
    """The bit of a sender domain: a stable 6-bit hash, so that tallies are the same everywhere."""

    def __missing__(self, domain: str | None) -> int:
        if len(self) > _MOST_SENDER_DOMAINS:
            self.clear()
        if domain is None:
            bit = NO_SENDER
        elif domain in {"", "<>"}:
            bit = NULL_SENDER
        else:
            folded = domain.strip("<> .").lower().encode("utf-8", "backslashreplace")
            bit = zlib.crc32(folded) & 63
        self[domain] = bit
        return bit


class EventReader:
    """Decodes records of the event contract and interns the keys of any parser's events."""

    def __init__(self, tables: KeyTables) -> None:
        self.tables = tables
        self._decoder = msgspec.json.Decoder(_Record)
        self._bits = _SenderBits()

    def read_json(self, block: bytes, first: int) -> tuple[EventColumns, list[Reject], int]:
        """Read records separated by LF. `first` is the position of the block's first record.

        Returns the events, the rejects, and how many records the block held (blank lines count:
        a position is a line number from 0).
        """
        count = block.count(b"\n") + (not block.endswith(b"\n") and bool(block))
        rejects: list[Reject] = []
        try:
            records: list[_Record] = self._decoder.decode_lines(block)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            records = []
        if len(records) == count:
            positions = np.arange(first, first + count, dtype=np.int64)
        else:
            records, positions = self._one_by_one(block, first, rejects)
        columns = self._columns(records, positions, rejects)
        return columns, rejects, count

    def _one_by_one(
        self, block: bytes, first: int, rejects: list[Reject]
    ) -> tuple[list[_Record], NDArray[np.int64]]:
        """Read a block that holds at least one bad or blank record, record by record."""
        records: list[_Record] = []
        positions: list[int] = []
        decode = self._decoder.decode
        for offset, line in enumerate(block.split(b"\n")):
            if not line or line.isspace():
                continue
            try:
                records.append(decode(line))
                positions.append(first + offset)
            except RecursionError:
                rejects.append(_reject(first + offset, "too_deep", "nested too deeply", line))
            except msgspec.ValidationError as error:
                rejects.append(_reject(first + offset, _MISTYPED, str(error), line))
            except (msgspec.MsgspecError, ValueError) as error:
                over = line.startswith(OVERSIZED)
                reason = "oversized" if over else "malformed_json"
                detail = "the record is longer than the limit" if over else str(error)
                rejects.append(_reject(first + offset, reason, detail, line))
        return records, np.array(positions, np.int64)

    def _columns(
        self, records: list[_Record], positions: NDArray[np.int64], rejects: list[Reject]
    ) -> EventColumns:
        beats = [record.heartbeat for record in records]
        recipients = [record.recipient for record in records]
        received = [record.received for record in records]
        asns = [record.asn for record in records]
        count = len(records)
        times: list[object] = [record.time for record in records]
        is_beat = None
        if beats.count(None) != count:
            is_beat = np.array([beat is not None for beat in beats])
            times = [time if beat is None else beat for time, beat in zip(times, beats, strict=True)]
        outcome = self._outcomes(records)
        columns = self._intern(
            record=positions,
            time_ms=times_ms(times),
            received_ms=None if received.count(None) == count else _optional_times(received),
            client_ip=[record.client_ip for record in records],
            recipient=recipients,
            sender=[record.sender for record in records],
            outcome=outcome,
            asn=None if asns.count(None) == count else _optional_asns(asns),
            is_beat=is_beat,
            rejects=rejects,
            describe=lambda row: msgspec.json.encode(records[row]),
        )
        return columns

    def _outcomes(self, records: list[_Record]) -> NDArray[np.uint8]:
        count = len(records)
        action = np.fromiter((_ACTIONS.get(r.action or "", _BAD) for r in records), np.uint8, count)
        outcome = _OUTCOMES[np.minimum(action, 3), 0]
        causes = [record.cause for record in records]
        bad = action == _BAD
        if causes.count(None) != count:
            cause = np.fromiter((_CAUSES.get(text, _BAD) for text in causes), np.uint8, count)
            bad |= cause == _BAD
            outcome = _OUTCOMES[np.minimum(action, 3), np.minimum(cause, 4)]
        directions = [record.direction for record in records]
        if directions.count(None) != count:
            added = np.fromiter((_DIRECTIONS.get(d, _BAD) for d in directions), np.uint8, count)
            bad |= added == _BAD
            outcome = outcome | np.where(added == _BAD, 0, added).astype(np.uint8)
        outcome[bad] = _BAD
        return outcome

    def intern(self, events: EventLists) -> tuple[EventColumns, list[Reject]]:
        """Turn a parser's events into columns; keys that can be none become rejects."""
        rejects: list[Reject] = []
        columns = self._intern(
            record=np.array(events.record, np.int64),
            time_ms=np.array(events.time_ms, np.int64),
            received_ms=None if events.received_ms is None else np.array(events.received_ms),
            client_ip=list(events.client_ip),
            recipient=list(events.recipient),
            sender=events.sender,
            outcome=np.array(events.outcome, np.uint8),
            asn=None if events.asn is None else np.array(events.asn, np.int64),
            is_beat=None,
            rejects=rejects,
            describe=lambda row: repr(
                (events.time_ms[row], events.client_ip[row], events.recipient[row])
            ).encode("utf-8", "backslashreplace"),
        )
        return columns, rejects

    def _intern(  # noqa: PLR0913 - one argument a column
        self,
        *,
        record: NDArray[np.int64],
        time_ms: NDArray[np.int64],
        received_ms: NDArray[np.int64] | None,
        client_ip: list[str | None],
        recipient: list[str | list[str] | None] | list[str | None],
        sender: list[str | None],
        outcome: NDArray[np.uint8],
        asn: NDArray[np.int64] | None,
        is_beat: NDArray[np.bool_] | None,
        rejects: list[Reject],
        describe: Any,  # noqa: ANN401 - row to bytes
    ) -> EventColumns:
        count = record.size
        ip = self.tables.ips.slots(client_ip, count)
        lists = [i for i, value in enumerate(recipient) if value.__class__ is list]
        rcpt_texts: list[str | None] = recipient  # type: ignore[assignment]
        domains = [text[text.rfind("@") + 1 :] if text else text for text in sender]
        bits = np.fromiter(map(self._bits.__getitem__, domains), np.uint8, count)
        bad: dict[int, tuple[str, str]] = {}
        repeat: NDArray[np.int64] | None = None
        if lists:
            repeat, rcpt_texts = _expanded(recipient, lists, bad)
        rcpt = self.tables.mailboxes.slots(rcpt_texts, len(rcpt_texts))
        if repeat is not None:
            rows = np.repeat(np.arange(count), repeat)
        else:
            rows = None
        wrong = (ip < 0) | (outcome == _BAD) | (time_ms == BAD_TIME)
        if received_ms is not None:
            wrong |= received_ms == BAD_TIME
        if asn is not None:
            wrong |= asn == BAD_TIME
        connect = (outcome & 15 >= 2) & (outcome & 15 <= 6)  # noqa: PLR2004 - the reject codes
        if rows is None:
            wrong |= (rcpt == BAD_KEY) | ((rcpt == NO_KEY) & ~connect)
        else:
            np.logical_or.at(wrong, rows, (rcpt == BAD_KEY) | ((rcpt == NO_KEY) & ~connect[rows]))
        if is_beat is not None:
            wrong = np.where(is_beat, time_ms == BAD_TIME, wrong)
            ip = np.where(is_beat, HEARTBEAT, ip).astype(np.int32)
        if bad:
            wrong[list(bad)] = True
        for row in np.flatnonzero(wrong).tolist():
            reason, detail = bad.get(row) or _explain(
                bool(time_ms[row] == BAD_TIME), int(ip[row]), int(outcome[row]),
                client_ip[row], recipient[row],
                received_ms is not None and bool(received_ms[row] == BAD_TIME),
                asn is not None and bool(asn[row] == BAD_TIME),
            )
            rejects.append(_reject(int(record[row]), reason, detail, describe(row)))
        if rows is None and not wrong.any():
            return EventColumns(record, time_ms, received_ms, ip, rcpt, outcome, bits, asn)
        keep = ~wrong if rows is None else rows[~wrong[rows]]
        kept_rcpt = rcpt[keep] if rows is None else rcpt[~wrong[rows]]
        return EventColumns(
            record[keep],
            time_ms[keep],
            None if received_ms is None else received_ms[keep],
            ip[keep],
            kept_rcpt,
            outcome[keep],
            bits[keep],
            None if asn is None else asn[keep],
        )


def _expanded(
    recipient: Any, lists: list[int], bad: dict[int, tuple[str, str]]  # noqa: ANN401
) -> tuple[NDArray[np.int64], list[str | None]]:
    """Spread list-valued recipients: how often each record repeats, and the flat texts."""
    repeat = np.ones(len(recipient), np.int64)
    for row in lists:
        names = recipient[row]
        repeat[row] = max(1, len(names))
        if not names:
            bad[row] = ("missing_field", "recipient: got an empty list")
        elif len(names) > MOST_RECIPIENTS:
            repeat[row] = 1
            bad[row] = ("too_many_recipients", f"got {len(names)}, at most {MOST_RECIPIENTS}")
    flat: list[str | None] = []
    for row, names in enumerate(recipient):
        if isinstance(names, list):
            flat += names if row not in bad else ["rejected"]
        else:
            flat.append(names)
    return repeat, flat


def _optional_times(values: list[int | str | None]) -> NDArray[np.int64]:
    present = [i for i, value in enumerate(values) if value is not None]
    out = np.full(len(values), ABSENT, np.int64)
    out[present] = times_ms([values[i] for i in present])
    return out


def _optional_asns(values: list[int | None]) -> NDArray[np.int64]:
    return np.array(
        [ABSENT if v is None else v if 0 <= v < _LARGEST_ASN else BAD_TIME for v in values], np.int64
    )


def _explain(  # noqa: PLR0913 - one flag a field
    bad_time: bool, ip: int, outcome: int, client_ip: object, recipient: object,
    bad_received: bool, bad_asn: bool,
) -> tuple[str, str]:
    """Say in words what is wrong with one event; the first fault found."""
    if bad_time:
        return "bad_time", "time: want RFC 3339 with offset or integer Unix milliseconds"
    if ip == NO_KEY and client_ip is None:
        return "missing_field", "client_ip: missing"
    if ip in {NO_KEY, BAD_KEY}:
        return "bad_client_ip", f"client_ip: got {str(client_ip)[:64]!r}, want an IP address"
    if outcome == _BAD:
        return "bad_value", (
            "action: want accept, reject, defer or discard; cause: blocklist, unknown_user, rate,"
            " content or other; direction: inbound or outbound"
        )
    if bad_received:
        return "bad_time", "received: want RFC 3339 with offset or integer Unix milliseconds"
    if bad_asn:
        return "bad_value", "asn: want 0 to 4294967295"
    if recipient is None:
        return "missing_field", "recipient: may be missing only on a reject at connect"
    return "bad_recipient", f"recipient: got {str(recipient)[:64]!r}, want a mailbox"


def _reject(position: int, reason: str, detail: str, line: bytes) -> Reject:
    return Reject(position, reason, detail[:EXCERPT_BYTES], line[:EXCERPT_BYTES])
