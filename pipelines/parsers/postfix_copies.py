"""Mailboxes that get a copy of other mail: `always_bcc`, journals, archives.

A copy is no attempt at its mailbox. Which mailboxes get copies is configured, or learned: of 1,000
messages in a row, 950 or more had it as a recipient beside another one.

A sender cannot make a victim look like an archive at little cost: 19 of 20 messages of the whole
site must have the victim and somebody else as recipients, and each of them counts for both until
1,000 have come. After that each message still counts for its other recipients, and one without any
counts for the mailbox itself.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

__all__ = ["Copies"]

_BLOCK: Final = 1_000
_LEAST: Final = 950
_MOST_PER_MESSAGE: Final = 8
"""Recipients of a message that count as others: one with very many proves no more."""
_MOST_CANDIDATES: Final = 10_000


class Copies:
    """Learns which mailboxes get copies; all that it knows is in its state."""

    def __init__(self, configured: Collection[str] = ()) -> None:
        self._configured = frozenset(text.strip().lower().encode() for text in configured)
        self._learned: frozenset[bytes] = frozenset()
        self.known = self._configured
        """The mailboxes, in lower case."""
        self.messages = 0
        """Messages delivered in this block; the parser counts them."""
        self._mentions = 0
        self._counts: dict[bytes, int] = {}

    def has(self, recipient: bytes) -> bool:
        """Say whether a recipient gets copies."""
        return recipient.lower() in self.known

    def see(self, recipient: bytes, number: int) -> None:
        """Note the `number`-th recipient of a message that has several."""
        if self.messages > _BLOCK:
            self._end_block()
        if number <= _MOST_PER_MESSAGE:
            self._mentions += 1
        key, missed = recipient.lower(), _BLOCK - _LEAST
        if key in self._counts or self.messages <= missed + 1:
            self._counts[key] = self._counts.get(key, 0) + 1
            if len(self._counts) > _MOST_CANDIDATES:
                least = self.messages - missed
                self._counts = {one: n for one, n in self._counts.items() if n >= max(2, least)}

    def _end_block(self) -> None:
        """Find out which mailboxes got copies; where nobody else got mail, it cannot be told."""
        found = {key: count for key, count in self._counts.items() if count >= _LEAST}
        others = self._mentions - sum(found.values())
        self._learned = frozenset(found) if others >= _LEAST // 2 else frozenset()
        self.known = self._configured | self._learned
        self.messages, self._mentions, self._counts = 1, 0, {}

    def state(self) -> dict[str, Any]:
        """Give what was learned, as plain JSON."""
        return {
            "learned": sorted(key.decode("latin-1") for key in self._learned),
            "messages": self.messages,
            "mentions": self._mentions,
            "counts": sorted([key.decode("latin-1"), n] for key, n in self._counts.items()),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume where another one gave its `state`.

        Raises:
            KeyError, TypeError, ValueError: it is no such state.
        """
        self._learned = frozenset(text.encode("latin-1") for text in state["learned"])
        self.known = self._configured | self._learned
        self.messages, self._mentions = int(state["messages"]), int(state["mentions"])
        self._counts = {text.encode("latin-1"): int(n) for text, n in state["counts"]}
