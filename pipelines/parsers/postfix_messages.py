"""Open messages of a Postfix log, and how they are kept over a restart.

A message is a list, the cheapest thing that can be changed:
[arrival ms, client, sender or None, recipients seen, OUTBOUND or 0].
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = [
    "ARRIVAL",
    "CLIENT",
    "DIRECTION",
    "SEEN",
    "SENDER",
    "Message",
    "read_messages",
    "written_messages",
]

ARRIVAL: Final = 0
CLIENT: Final = 1
SENDER: Final = 2
SEEN: Final = 3
"""None, one recipient, or a set of several."""
DIRECTION: Final = 4
Message = list[Any]


def written_messages(messages: Mapping[bytes, Message]) -> list[list[Any]]:
    """Give messages as plain JSON."""
    return [
        [key.decode("latin-1"), arrival, client, sender, _texts(seen), direction]
        for key, (arrival, client, sender, seen, direction) in messages.items()
    ]


def read_messages(written: Sequence[Sequence[Any]]) -> tuple[dict[bytes, Message], int]:
    """Take back what `written_messages` gave, and count the recipients beyond the first.

    Raises:
        TypeError, ValueError: it is something else.
    """
    messages: dict[bytes, Message] = {}
    more = 0
    for key, arrival, client, sender, seen, direction in written:
        recipients = [text.encode("latin-1") for text in seen]
        several = set(recipients) if len(recipients) > 1 else None
        messages[key.encode("latin-1")] = [
            arrival, client, sender, several or next(iter(recipients), None), direction,
        ]  # fmt: skip
        more += max(len(recipients) - 1, 0)
    return messages, more


def _texts(seen: bytes | set[bytes] | None) -> list[str]:
    """Give the recipients of a message as texts, in an order of their own."""
    if seen is None:
        return []
    return sorted(one.decode("latin-1") for one in (seen if isinstance(seen, set) else {seen}))
