"""The counting core once more, slow and obvious: one event at a time, nothing kept in arrays."""

import ipaddress
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from detector.judge.rows import CaseRow

__all__ = ["Key", "NaiveCase", "NaiveEvent", "NaivePartition", "naive_events", "subject"]

Key = tuple[int, str, str | None, int]
"""(tick, subject, mailbox, outcome)"""

CODES: Final = {
    ("accept", None): 0, ("discard", None): 1,
    ("reject", None): 2, ("reject", "other"): 2, ("reject", "blocklist"): 3,
    ("reject", "unknown_user"): 4, ("reject", "rate"): 5, ("reject", "content"): 6,
    ("defer", None): 7, ("defer", "other"): 7, ("defer", "blocklist"): 8,
    ("defer", "unknown_user"): 9, ("defer", "rate"): 10, ("defer", "content"): 11,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NaiveEvent:
    """One record as far as counting goes; a heartbeat has no keys."""

    record: int
    time_ms: int
    received_ms: int | None
    keys: tuple[tuple[str, str | None, int], ...]
    null: bool


def subject(text: str) -> str:
    """Give what an address counts for."""
    address = ipaddress.ip_address(text)
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def mailbox(text: str) -> str:
    """Give the mailbox of a tame address."""
    local, _, domain = text.strip("<>").lower().partition("@")
    return f"{local.partition('+')[0]}@{domain}"


def naive_events(lines: Sequence[bytes]) -> list[NaiveEvent]:
    """Read tame records."""
    out = []
    for record, line in enumerate(lines):
        fields: dict[str, Any] = json.loads(line)
        if "heartbeat" in fields:
            out.append(NaiveEvent(record, fields["heartbeat"], None, (), null=False))
            continue
        code = CODES[fields["action"], fields.get("cause")]
        code += 16 * (fields.get("direction") == "outbound")
        named = fields.get("recipient")
        boxes = named if isinstance(named, list) else [named]
        ip = subject(fields["client_ip"])
        keys = tuple((ip, None if box is None else mailbox(box), code) for box in boxes)
        null = fields.get("sender") == ""
        out.append(NaiveEvent(record, fields["time"], fields.get("received"), keys, null))
    return out


@dataclass
class NaivePartition:
    """What the records of one finite partition come to, whoever reads them, in whatever batches.

    `counts_at` has, for each close, how often each key counts there.
    """

    lateness_s: int
    future_s: int
    rejected: set[int] = field(default_factory=set)
    counts: Counter[Key] = field(default_factory=Counter)
    nulls: Counter[Key] = field(default_factory=Counter)
    late: Counter[Key] = field(default_factory=Counter)
    counts_at: dict[int, Counter[Key]] = field(default_factory=dict)
    clock_ms: int | None = None
    _open: list[tuple[int, Key]] = field(default_factory=list)
    _late: list[Key] = field(default_factory=list)

    def read(self, events: Sequence[NaiveEvent]) -> None:
        """Read all records to the end."""
        limit = self.future_s * 1_000
        waiting = []
        for event in events:
            received = event.received_ms
            if received is not None and event.time_ms > received + limit:
                self.rejected.add(event.record)
            else:
                waiting.append(event)
        for index, event in enumerate(waiting):
            clock_ms = self.clock_ms
            if event.received_ms is None and (clock_ms is None or event.time_ms - clock_ms > limit):
                after = waiting[index + 1 : index + 17]
                before = sum(other.time_ms < event.time_ms - limit for other in after)
                if before > len(after) / 2:
                    self.rejected.add(event.record)
                    continue
            self._count(event)
        self._finish()

    def _through(self) -> int | None:
        """Give the last tick that has been passed."""
        if self.clock_ms is None:
            return None
        return (self.clock_ms - self.lateness_s * 1_000) // 1_000 - 1

    def _count(self, event: NaiveEvent) -> None:
        tick = event.time_ms // 1_000
        passed = self._through()
        for ip, box, code in event.keys:
            key = (tick, ip, box, code)
            self.counts[key] += 1
            self.nulls[key] += event.null
            if passed is not None and tick <= passed:
                self.late[key] += 1
                self._late.append(key)
            else:
                self._open.append((tick, key))
        self.clock_ms = max(event.time_ms, self.clock_ms or event.time_ms)
        now = self._through()
        assert now is not None
        if passed is None or now > passed:
            self._close(now)

    def _close(self, upto: int) -> None:
        """Close ticks; the late rows ride in the first tally that this makes."""
        due = sorted({tick for tick, _ in self._open if tick <= upto})
        for tick in due or [upto + 1]:
            for key in self._late:
                self._at(tick, key)
            self._late = []
        for tick, key in self._open:
            if tick <= upto:
                self._at(tick, key)
        self._open = [(tick, key) for tick, key in self._open if tick > upto]

    def _at(self, close: int, key: Key) -> None:
        self.counts_at.setdefault(close, Counter())[key] += 1

    def _finish(self) -> None:
        passed = self._through()
        if passed is None or not (self._open or self._late):
            return
        self._close(max([tick for tick, _ in self._open], default=passed))


class NaiveCase:
    """Exact windows by counting every row again each time it is asked."""

    def __init__(self) -> None:
        self.rows: list[CaseRow] = []

    def _inside(self, now: int, span_s: int) -> list[CaseRow]:
        return [row for row in self.rows if now - span_s < row.tick <= now]

    def by_group(self, now: int, span_s: int) -> dict[int, int]:
        """Sum the messages of the ticks in `(now - span_s, now]` by group."""
        out: Counter[int] = Counter()
        for row in self._inside(now, span_s):
            out[row.group] += row.all
        return {group: count for group, count in out.items() if count}

    def attempts(self, now: int, span_s: int) -> int:
        """Sum the attempts of the ticks in `(now - span_s, now]`."""
        return sum(row.attempts for row in self._inside(now, span_s))
