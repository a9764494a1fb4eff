"""What the product asks of the world, and no more: the block store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

__all__ = ["REMOVAL", "BlockStore", "Change", "FloodRecord", "Listing", "StoredRequest"]

REMOVAL: Final = "removal"
"""The kind of request that asks to remove a subject."""

Change = Mapping[str, Any]
"""A decision as its contract has it: a JSON object with a gapless `seq`, times in Unix ms."""

FloodRecord = Mapping[str, Any]
"""The figures of a flood at a close: a JSON object with the key `kind`, `id` and `tick`."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A subject as its last change left it, listed or held; all times in Unix milliseconds.

    `listed_seq` and `listed_ms` are those of the change that began this listing, `seq` that of the
    last one, whose `evidence` stands here. A `shadow` listing is kept but must not be published.
    """

    subject: str
    tier: str
    rule: str
    asn: int | None
    provider: str
    first_seen_ms: int
    last_seen_ms: int
    until_ms: int
    hard_until_ms: int
    policy: str
    shadow: bool
    listed_seq: int
    listed_ms: int
    seq: int
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A removal request or other control, and the change that answered it (None: pending)."""

    id: int
    kind: str
    subject: str
    time_ms: int
    text: str
    answered_seq: int | None


class BlockStore(Protocol):
    """The active listings, every change that made them, floods, requests and facts.

    A subject is listed, held or neither: `list`, `extend` and `release` list it, `hold` holds it,
    `remove` and `expire` clear it, `refuse` leaves it as it is; all of them stay in the audit
    trail. One thread at a time. Every method may raise a `StoreError`.
    """

    def apply(
        self, changes: Sequence[Change], facts: Mapping[str, str] | None = None,
        floods: Sequence[FloodRecord] = (),
    ) -> int:  # fmt: skip
        """Store the changes that are new, with the facts, all of it or nothing; count the new ones.

        A change that stands there already is compared with it, unless the store has let go of that
        one since. One whose `request` is the id of a pending request, as text, answers it.

        Of the records of a flood the one with the greatest tick is kept. A flood without a record
        for 30 days before the newest one is forgotten, and so are the oldest beyond 10,000.

        Raises:
            StoreConflictError: another change stands under that `seq`, or another record under the
                key of a flood.
            StoreGapError: a change is missing before this one.
            StoreChangeError: a change or a record outside the contract.
        """
        ...

    def last_seq(self) -> int:
        """Give the number of the last change, 0 where there is none."""
        ...

    def start_behind(self, seq: int) -> None:
        """Take the changes up to `seq` for gone, so that an empty store begins with the next one.

        `last_seq` gives `seq` from then on. What those changes listed is not known to the store.

        Raises:
            StoreError: the store is not empty, or `seq` is negative.
        """
        ...

    def get(self, subject: str, now_ms: int) -> Listing | None:
        """Give the subject's listing, or None; past its `hard_until` nothing is listed."""
        ...

    def listings(
        self,
        now_ms: int,
        *,
        rule: str | None = None,
        policy: str | None = None,
        after: str = "",
        limit: int | None = None,
    ) -> list[Listing]:
        """Give the active listings by subject, those behind the subject `after`."""
        ...

    def held(self, now_ms: int) -> list[Listing]:
        """Give what waits for an operator, by subject."""
        ...

    def audit(self, subject: str) -> list[dict[str, Any]]:
        """Give every change of the subject as it was applied, in order."""
        ...

    def changes_behind(self, seq: int, most: int) -> list[dict[str, Any]]:
        """Give the next changes behind `seq` that are still there, in order, at most so many."""
        ...

    def floods(self) -> list[dict[str, Any]]:
        """Give the last record of each flood, by the time at which it was found."""
        ...

    def add_request(self, kind: str, subject: str, time_ms: int, text: str) -> int:
        """Keep a request with its time of receipt; give its id."""
        ...

    def requests(self, *, pending_only: bool) -> list[StoredRequest]:
        """Give the requests in order of their ids."""
        ...

    def set_fact(self, key: str, text: str) -> None:
        """Keep a text under a key, in place of what stood there."""
        ...

    def fact(self, key: str) -> str | None:
        """Give the text under a key."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...
