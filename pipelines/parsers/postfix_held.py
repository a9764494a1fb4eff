"""Recipients whose message was held or redirected before it had a queue id.

Postfix logs `NOQUEUE: hold:` for the first recipient of a message and its `client=` line behind it.
Where the message is released and delivered later, that recipient has been counted already.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

__all__ = ["Held"]

_MOST_CLIENTS: Final = 1_024


class Held:
    """Recipients by client and instance; past 1,024 of those the oldest is forgotten."""

    def __init__(self) -> None:
        self._recipients: dict[bytes, list[bytes]] = {}

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._recipients)

    def put(self, client: bytes, recipient: bytes) -> None:
        """Put down a recipient until the client's message begins."""
        if client not in self._recipients and len(self._recipients) >= _MOST_CLIENTS:
            del self._recipients[next(iter(self._recipients))]
        recipients = self._recipients.setdefault(client, [])
        if recipient not in recipients:
            recipients.append(recipient)

    def take(self, client: bytes) -> Iterable[bytes]:
        """Give the recipients of a client whose message begins, and forget them."""
        return self._recipients.pop(client, ())

    def state(self) -> list[list[Any]]:
        """Give the recipients as plain JSON."""
        return [
            [client.decode("latin-1"), [one.decode("latin-1") for one in recipients]]
            for client, recipients in self._recipients.items()
        ]

    def restore(self, state: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Know the recipients of another one, which gave its `state`, and no others."""
        self._recipients = {
            client.encode("latin-1"): [one.encode("latin-1") for one in recipients]
            for client, recipients in state
        }
