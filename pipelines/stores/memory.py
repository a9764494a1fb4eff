"""A block store that lives as long as the program."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from pipelines.ports import Change, FloodRecord, Listing, StoredRequest
from pipelines.stores.flood_ledger import (
    FloodRow,
    flood_ids,
    read_floods,
    stale_floods,
    take_floods,
)
from pipelines.stores.ledger import check_start, checked_steps, fold, new_steps, storable

__all__ = ["MemoryStore"]

_ADDRESS = "memory:"


class MemoryStore:
    """The block store in dictionaries; about 1 kB a change."""

    def __init__(self) -> None:
        self._behind = 0
        self._changes: list[str] = []
        self._by_subject: dict[str, list[int]] = {}
        self._listed: dict[str, Listing] = {}
        self._held: dict[str, Listing] = {}
        self._requests: list[StoredRequest] = []
        self._facts: dict[str, str] = {}
        self._floods: dict[str, FloodRow] = {}

    def apply(
        self, changes: Sequence[Change], facts: Mapping[str, str] | None = None,
        floods: Sequence[FloodRecord] = (),
    ) -> int:  # fmt: skip
        """Store the changes that are new, with the facts, all of it or nothing."""
        steps = checked_steps(_ADDRESS, changes)
        fresh = new_steps(_ADDRESS, steps, self.last_seq(), self._standing)
        there = [self._floods[name] for name in flood_ids(floods) if name in self._floods]
        moved = take_floods(_ADDRESS, floods, {row.id: row.text for row in there})
        net = fold(fresh)
        for subject in net.clear_listed:
            self._listed.pop(subject, None)
        for subject in net.clear_held:
            self._held.pop(subject, None)
        _put(self._listed, net.put_listed)
        _put(self._held, net.put_held)
        for step in fresh:
            self._changes.append(step.text)
            self._by_subject.setdefault(step.subject, []).append(step.seq)
        for number, seq in net.answers.items():
            if 0 < number <= len(self._requests):
                request = self._requests[number - 1]
                if request.answered_seq is None:
                    self._requests[number - 1] = replace(request, answered_seq=seq)
        for key, text in (facts or {}).items():
            self.set_fact(key, text)
        self._put_floods(moved)
        return len(fresh)

    def _put_floods(self, rows: Sequence[FloodRow]) -> None:
        self._floods |= {row.id: row for row in rows}
        if rows:
            for name in stale_floods({name: row.tick for name, row in self._floods.items()}):
                del self._floods[name]

    def floods(self) -> list[dict[str, Any]]:
        """Give the last record of each flood, by the time at which it was found."""
        return read_floods([row.text for row in self._floods.values()])

    def last_seq(self) -> int:
        """Give the number of the last change, 0 where there is none."""
        return self._behind + len(self._changes)

    def start_behind(self, seq: int) -> None:
        """Take the changes up to `seq` for gone."""
        check_start(_ADDRESS, seq, self.last_seq())
        self._behind = seq

    def get(self, subject: str, now_ms: int) -> Listing | None:
        """Give the subject's listing, or None."""
        row = self._listed.get(subject)
        return row if row is not None and row.hard_until_ms > now_ms else None

    def listings(
        self,
        now_ms: int,
        *,
        rule: str | None = None,
        policy: str | None = None,
        after: str = "",
        limit: int | None = None,
    ) -> list[Listing]:
        """Give the active listings by subject."""
        found = [
            row
            for subject, row in sorted(self._listed.items())
            if subject > after
            and row.hard_until_ms > now_ms
            and rule in (None, row.rule)
            and policy in (None, row.policy)
        ]
        return found[:limit]

    def held(self, now_ms: int) -> list[Listing]:
        """Give what waits for an operator, by subject."""
        rows = sorted(self._held.items())
        return [row for _, row in rows if row.hard_until_ms > now_ms]

    def audit(self, subject: str) -> list[dict[str, Any]]:
        """Give every change of the subject as it was applied, in order."""
        seqs = self._by_subject.get(subject, ())
        return [orjson.loads(self._changes[seq - self._behind - 1]) for seq in seqs]

    def changes_behind(self, seq: int, most: int) -> list[dict[str, Any]]:
        """Give the next changes behind a number."""
        start = max(0, seq - self._behind)
        return [orjson.loads(text) for text in self._changes[start : start + most]]

    def add_request(self, kind: str, subject: str, time_ms: int, text: str) -> int:
        """Keep a request with its time of receipt; give its id."""
        number = len(self._requests) + 1
        texts = storable(kind), storable(subject), time_ms, storable(text)
        self._requests.append(StoredRequest(number, *texts, None))
        return number

    def requests(self, *, pending_only: bool) -> list[StoredRequest]:
        """Give the requests in order of their ids."""
        return [r for r in self._requests if r.answered_seq is None or not pending_only]

    def set_fact(self, key: str, text: str) -> None:
        """Keep a text under a key."""
        self._facts[storable(key)] = storable(text)

    def fact(self, key: str) -> str | None:
        """Give the text under a key."""
        return self._facts.get(storable(key))

    def close(self) -> None:
        """Let go of the store."""

    def _standing(self, first: int, last: int) -> dict[int, str]:
        kept = range(max(first, self._behind + 1), last + 1)
        return {seq: self._changes[seq - self._behind - 1] for seq in kept}


def _put(rows: dict[str, Listing], coming: Mapping[str, Listing]) -> None:
    for subject, row in coming.items():
        old = rows.get(subject)
        if old is None:
            rows[subject] = row
        else:
            rows[subject] = replace(row, listed_seq=old.listed_seq, listed_ms=old.listed_ms)
