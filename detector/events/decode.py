"""The narrow seam of ingest: bytes in; columns, slots, new keys and rejects out.

This pure reader is the product and the specification; a compiled twin may replace it behind
`EventReader`. A batch of records becomes columns, never an object per event that outlives the call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.events.contract import ABSENT, OUTBOUND, EventLists, Reject
from detector.events.event_records import EventRecord, Lists, add_records, empty_lists
from detector.events.event_time import BAD_TIME, EARLIEST_MS, time_fault, times_ms
from detector.events.framing import DEEPEST, depth, line_at, record_ends
from detector.events.interning import BAD_KEY, NO_KEY, NO_SENDER, NULL_SENDER, KeyTables
from detector.events.recipient_texts import with_lists

__all__ = ["HEARTBEAT", "NO_SENDER", "NULL_SENDER", "OVERSIZED", "EventColumns", "EventReader"]

HEARTBEAT: Final = -3
"""Slot in `ip` of a heartbeat: it moves the clock and is no event."""
OVERSIZED: Final = b"\x00oversized "
"""A source puts this before the beginning of a record that it refused to read whole."""
MOST_RECIPIENTS: Final = 4_096
EXCERPT_BYTES: Final = 200
_LARGEST_ASN: Final = 2**32
_OPENING, _CLOSING = b"{}"

_BAD: Final = 255
_ACTIONS: Final = {"accept": 0, "discard": 1, "reject": 2, "defer": 3, None: 4}
_CAUSES: Final = {None: 0, "other": 0, "blocklist": 1, "unknown_user": 2, "rate": 3, "content": 4}
_DIRECTIONS: Final = {None: 0, "inbound": 0, "outbound": OUTBOUND}
_OUTCOMES: Final = np.array(
    [[0] * 5, [1] * 5, [2, 3, 4, 5, 6], [7, 8, 9, 10, 11], [_BAD] * 5], np.uint8
)
"""By the codes of action and cause."""
_MAY_LACK_RECIPIENT: Final = np.zeros(256, np.bool_)
"""By outcome: rejects at connect, before a recipient was named."""
_MAY_LACK_RECIPIENT[[*range(2, 7), *range(2 | OUTBOUND, 7 | OUTBOUND)]] = True
_TOGETHER: Final = 448
_NOT_ONE_OF: Final = "Invalid enum value"


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

    def take(self, rows: Any) -> "EventColumns":
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


class EventReader:
    """Decodes records of the event contract and interns the keys of any parser's events."""

    def __init__(self, tables: KeyTables) -> None:
        self.tables = tables
        self._decoder = msgspec.json.Decoder(EventRecord)

    def read_json(self, block: bytes, first: int) -> tuple[EventColumns, list[Reject], int]:
        """Read records separated by LF. `first` is the position of the block's first record.

        Returns the events, the rejects by position, and how many records the block held (blank
        lines count: a position is a line number from 0).
        """
        rejects: list[Reject] = []
        ends = record_ends(block)
        lists = self._all_at_once(block, ends)
        if lists is not None:
            positions = np.arange(first, first + ends.size, dtype=np.int64)
        else:
            lists, positions = self._one_by_one(block, ends, first, rejects)

        def line(row: int) -> bytes:
            return line_at(block, ends, int(positions[row]) - first)

        columns = self._columns(lists, positions, rejects, line)
        rejects.sort(key=attrgetter("position"))
        return columns, rejects, ends.size

    def _all_at_once(self, block: bytes, ends: NDArray[np.int64]) -> Lists | None:
        """Read a block whose every line is one good record, or give None.

        The decoder itself takes any white space between records. Where each inner LF stands
        between braces, and there are as many records as lines, each line is one record. Some
        lines are decoded at a time: their records are still in the cache when they are taken apart.
        """
        lists = empty_lists()
        if not ends.size:
            return lists
        text = np.frombuffer(block, np.uint8)
        inner = ends[:-1]
        if (text[inner - 1] != _CLOSING).any() or (text[inner + 1] != _OPENING).any():
            return None
        if np.diff(ends, prepend=-1).max() > DEEPEST:
            return None
        try:
            for first in range(0, ends.size, _TOGETHER):
                some = ends[first : first + _TOGETHER]
                start = int(ends[first - 1]) + 1 if first else 0
                records: list[EventRecord] = self._decoder.decode_lines(
                    block[start : int(some[-1])]
                )
                if len(records) != some.size:
                    return None
                add_records(lists, records)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return None
        return lists

    def _one_by_one(
        self, block: bytes, ends: NDArray[np.int64], first: int, rejects: list[Reject]
    ) -> tuple[Lists, NDArray[np.int64]]:
        """Read a block that holds a bad, blank or long record, record by record."""
        records: list[EventRecord] = []
        positions: list[int] = []
        decode = self._decoder.decode
        for offset in range(ends.size):
            line = line_at(block, ends, offset)
            if not line or line.isspace():
                continue
            try:
                if len(line) > DEEPEST and depth(line) > DEEPEST:
                    raise RecursionError  # noqa: TRY301 - as the decoder would, at a fixed depth
                records.append(decode(line))
                positions.append(first + offset)
            except RecursionError:
                detail = f"nested deeper than {DEEPEST}"
                rejects.append(_reject(first + offset, "too_deep", detail, line))
            except msgspec.ValidationError as error:
                reason = "bad_value" if str(error).startswith(_NOT_ONE_OF) else "mistyped"
                rejects.append(_reject(first + offset, reason, str(error), line))
            except (msgspec.MsgspecError, ValueError) as error:
                over = line.startswith(OVERSIZED)
                reason = "oversized" if over else "malformed_json"
                detail = "the record is longer than the limit" if over else str(error)
                rejects.append(_reject(first + offset, reason, detail, line))
        lists = empty_lists()
        add_records(lists, records)
        return lists, np.array(positions, np.int64)

    def _columns(
        self, lists: Lists, positions: NDArray[np.int64], rejects: list[Reject],
        line: Callable[[int], bytes],
    ) -> EventColumns:  # fmt: skip
        times, is_beat = lists["time"], None
        if _any(lists["heartbeat"]):
            is_beat = np.array([beat is not None for beat in lists["heartbeat"]])
            times = [
                time if beat is None else beat
                for time, beat in zip(times, lists["heartbeat"], strict=True)
            ]
        return self._intern(
            record=positions,
            time_ms=_plausible(times_ms(times)),
            times=times,
            received_ms=_optional_times(lists["received"]),
            client_ip=lists["client_ip"],
            recipient=with_lists(lists["recipient"]),
            said=lists["recipient"],
            sender=lists["sender"],
            outcome=_outcomes(lists),
            asn=_optional_asns(lists["asn"]),
            is_beat=is_beat,
            rejects=rejects,
            line=line,
        )

    def intern(self, events: EventLists) -> tuple[EventColumns, list[Reject]]:
        """Turn a parser's events into columns; keys that can be none become rejects."""
        rejects: list[Reject] = []

        def line(row: int) -> bytes:
            shown = (events.time_ms[row], events.client_ip[row], events.recipient[row])
            return repr(shown).encode("utf-8", "backslashreplace")

        columns = self._intern(
            record=np.array(events.record, np.int64),
            time_ms=times_ms(events.time_ms),
            times=events.time_ms,
            received_ms=(
                None if events.received_ms is None else np.array(events.received_ms, np.int64)
            ),
            client_ip=events.client_ip,
            recipient=events.recipient,
            said=events.recipient,
            sender=events.sender,
            outcome=np.array(events.outcome, np.uint8),
            asn=None if events.asn is None else np.array(events.asn, np.int64),
            is_beat=None,
            rejects=rejects,
            line=line,
        )
        return columns, rejects

    def _intern(
        self,
        *,
        record: NDArray[np.int64],
        time_ms: NDArray[np.int64],
        times: Sequence[object],
        received_ms: NDArray[np.int64] | None,
        client_ip: Sequence[str | None],
        recipient: Sequence[str | list[str] | None],
        said: Sequence[str | list[str] | None],
        sender: list[str | None],
        outcome: NDArray[np.uint8],
        asn: NDArray[np.int64] | None,
        is_beat: NDArray[np.bool_] | None,
        rejects: list[Reject],
        line: Callable[[int], bytes],
    ) -> EventColumns:
        count = record.size
        ip = self.tables.ips.slots(client_ip, count)
        bad: dict[int, tuple[str, str]] = {}
        rows: NDArray[np.int64] | None = None
        try:
            rcpt = self.tables.mailboxes.slots(cast("Sequence[str | None]", recipient), count)
        except TypeError:  # a list has no hash
            repeat, texts = _expanded(recipient, bad)
            rows = np.repeat(np.arange(count), repeat)
            rcpt = self.tables.mailboxes.slots(texts, len(texts))
        wrong = (ip < 0) | (outcome == _BAD) | (time_ms == BAD_TIME)
        if received_ms is not None:
            wrong |= received_ms == BAD_TIME
        if asn is not None:
            wrong |= asn == BAD_TIME
        nameless = rcpt < 0
        if nameless.any():
            own = outcome if rows is None else outcome[rows]
            nameless &= (rcpt == BAD_KEY) | ~_MAY_LACK_RECIPIENT[own]
            wrong[np.flatnonzero(nameless) if rows is None else rows[nameless]] = True
        if is_beat is not None:
            wrong = np.where(is_beat, time_ms == BAD_TIME, wrong)
            ip = np.where(is_beat, np.int32(HEARTBEAT), ip)
        if bad:
            wrong[list(bad)] = True
        for row in np.flatnonzero(wrong).tolist():
            reason, detail = bad.get(row) or _explain(
                bad_time=bool(time_ms[row] == BAD_TIME),
                time=times[row],
                ip=int(ip[row]),
                outcome=int(outcome[row]),
                client_ip=client_ip[row],
                recipient=said[row],
                bad_received=received_ms is not None and bool(received_ms[row] == BAD_TIME),
                bad_asn=asn is not None and bool(asn[row] == BAD_TIME),
            )
            rejects.append(_reject(int(record[row]), reason, detail, line(row)))
        events = EventColumns(
            record, time_ms, received_ms, ip, rcpt, outcome, self.tables.senders.look(sender), asn
        )
        if rows is not None:
            kept = ~wrong[rows]
            rcpt, events = rcpt[kept], events.take(rows[kept])
            return replace(events, rcpt=rcpt)
        return events.take(~wrong) if wrong.any() else events


def _any(values: list[Any]) -> bool:
    return values.count(None) < len(values)


def _plausible(time_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Take times before 2000 for none: they are seconds, or what a clock shows that was not set."""
    return np.where(time_ms < EARLIEST_MS, BAD_TIME, time_ms)


def _outcomes(lists: Lists) -> NDArray[np.uint8]:
    """Give the outcome of each record, _BAD without an action."""
    cause = _codes(_CAUSES, lists["cause"]) if _any(lists["cause"]) else 0
    outcome: NDArray[np.uint8] = _OUTCOMES[_codes(_ACTIONS, lists["action"]), cause]
    if _any(lists["direction"]):
        outcome |= _codes(_DIRECTIONS, lists["direction"])
    return outcome


def _codes(codes: dict[Any, int], texts: list[Any]) -> NDArray[np.uint8]:
    return np.frombuffer(bytes(map(codes.__getitem__, texts)), np.uint8)


def _expanded(
    recipient: Sequence[str | list[str] | None], bad: dict[int, tuple[str, str]]
) -> tuple[list[int], list[str | None]]:
    """Spread list-valued recipients: how often each record repeats, and the flat texts."""
    repeat: list[int] = []
    flat: list[str | None] = []
    for row, names in enumerate(recipient):
        if not isinstance(names, list):
            flat.append(names)
            repeat.append(1)
            continue
        if not names:
            bad[row] = ("missing_field", "recipient: got an empty list")
        elif len(names) > MOST_RECIPIENTS:
            bad[row] = ("too_many_recipients", f"got {len(names)}, at most {MOST_RECIPIENTS}")
        kept: list[str | None] = [None] if row in bad else [*names]
        flat += kept
        repeat.append(len(kept))
    return repeat, flat


def _optional_times(values: list[int | str | None]) -> NDArray[np.int64] | None:
    if not _any(values):
        return None
    if None not in values:
        return times_ms(values)
    present = [row for row, value in enumerate(values) if value is not None]
    out = np.full(len(values), ABSENT, np.int64)
    out[present] = times_ms([values[row] for row in present])
    return out


def _optional_asns(values: list[int | None]) -> NDArray[np.int64] | None:
    if not _any(values):
        return None
    try:
        out = np.array(values, np.int64)
        return np.where((out >= 0) & (out < _LARGEST_ASN), out, BAD_TIME)
    except (TypeError, OverflowError):
        known = [ABSENT if v is None else v if 0 <= v < _LARGEST_ASN else BAD_TIME for v in values]
        return np.array(known, np.int64)


def _explain(
    *,
    bad_time: bool,
    time: object,
    ip: int,
    outcome: int,
    client_ip: object,
    recipient: object,
    bad_received: bool,
    bad_asn: bool,
) -> tuple[str, str]:
    """Say in words what is wrong with one event; the first fault found."""
    if bad_time:
        return "bad_time", f"time: {time_fault(time)}"
    if ip == NO_KEY and client_ip is None:
        return "missing_field", "client_ip: missing"
    if ip in {NO_KEY, BAD_KEY}:
        return "bad_client_ip", f"client_ip: got {str(client_ip)[:64]!r}, want an IP address"
    if outcome == _BAD:
        return "missing_field", "action: want accept, reject, defer or discard"
    if bad_received:
        return "bad_time", "received: want RFC 3339 with offset or integer Unix milliseconds"
    if bad_asn:
        return "bad_value", "asn: want 0 to 4294967295"
    if recipient is None:
        return "missing_field", "recipient: may be missing only on a reject at connect"
    return "bad_recipient", f"recipient: got {str(recipient)[:64]!r}, want a mailbox"


def _reject(position: int, reason: str, detail: str, line: bytes) -> Reject:
    return Reject(position, reason, detail[:EXCERPT_BYTES], line[:EXCERPT_BYTES])
