"""What the parser of Postfix logs remembers of earlier lines, and how it is saved.

A restart that restores it decides as the run that it continues.
"""

from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from pipelines.parsers.postfix_copies import Copies
from pipelines.parsers.postfix_held import Held
from pipelines.parsers.postfix_tags import TagTable
from pipelines.parsers.syslog_time import SyslogTime
from pipelines.parsers.syslog_wrapping import LastLines

__all__ = ["CLIENT", "DIRECTION", "Message", "ParserMemory"]

# A message: [arrival ms, client, sender or None, recipients seen, OUTBOUND or 0].
_ARRIVAL, CLIENT, _SENDER, _SEEN, DIRECTION = range(5)
Message = list[Any]


class ParserMemory:
    """Open messages, who was held before his message began, last lines and the latest date."""

    def __init__(self, time: SyslogTime, most_open: int, copies: Collection[str]) -> None:
        self._time = time
        self._copies = Copies(copies)
        self._tags = TagTable()
        self._messages: dict[bytes, Message] = {}
        self._most_open = most_open
        self._more_recipients = 0
        self._evicted = 0
        self._held = Held()
        self._last = LastLines()

    def state(self) -> dict[str, Any]:
        """Give what is remembered of the lines so far, as plain JSON: open messages, instances."""
        return {
            "instances": self._tags.state(),
            "copies": self._copies.state(),
            "messages": [
                [key.decode("latin-1"), arrival, client, sender, _texts(seen), direction]
                for key, (arrival, client, sender, seen, direction) in self._messages.items()
            ],
            "newest_day": self._time.newest_day,
            "held": self._held.state(),
            "last": self._last.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on, as a new parser, where another one gave its `state`.

        Raises:
            KeyError, TypeError, ValueError: it is no state of a parser.
        """
        self._tags.restore(state["instances"])
        if "copies" in state:  # not written before 0.2
            self._copies.restore(state["copies"])
        for key, arrival, client, sender, seen, direction in state["messages"]:
            recipients = [text.encode("latin-1") for text in seen]
            several = set(recipients) if len(recipients) > 1 else None
            self._messages[key.encode("latin-1")] = [
                arrival, client, sender, several or next(iter(recipients), None), direction,
            ]  # fmt: skip
            self._more_recipients += max(len(recipients) - 1, 0)
        self._time.newest_day = state.get("newest_day")
        self._held.restore(state.get("held", ()))
        self._last.restore(state.get("last", ()))

    def _see(self, message: Message, recipient: bytes) -> bool:
        """Note a recipient of a message; False where he is known."""
        seen = message[_SEEN]
        if seen is None:
            message[_SEEN] = recipient
        elif seen == recipient or (seen.__class__ is set and recipient in seen):
            return False
        else:
            self._see_another(message, recipient)
        return True

    def _see_another(self, message: Message, recipient: bytes) -> None:
        """Note a recipient beyond the first."""
        if message[_SEEN].__class__ is not set:
            self._copies.see(message[_SEEN], 1)
            message[_SEEN] = {message[_SEEN]}
        message[_SEEN].add(recipient)
        self._copies.see(recipient, len(message[_SEEN]))
        self._more_recipients += 1
        if len(self._messages) + self._more_recipients > self._most_open:
            self._evict()

    def _forget(self, key: bytes) -> None:
        message = self._messages.pop(key, None)
        if message is not None and message[_SEEN].__class__ is set:
            self._more_recipients -= len(message[_SEEN]) - 1

    def _move(self, ids: tuple[bytes, bytes] | None, host: bytes) -> None:
        """Follow a message to the queue id that it gets when it is queued again."""
        if ids is None:
            return
        for suffix in self._tags.suffixes_of(host):
            message = self._messages.pop(ids[0] + suffix, None)
            if message is not None:
                self._forget(ids[1] + suffix)
                self._messages[ids[1] + suffix] = message
                return

    def _of_another_name(self, word: bytes, host: bytes) -> Message | None:
        """Find a message that smtpd logged under another syslog name of the host.

        Only by a long queue id, which no two instances share; short ones are used again.
        """
        if not word[:-1].strip(b"0123456789ABCDEF"):
            return None
        keys = (word + suffix for suffix in self._tags.suffixes_of(host))
        return next((self._messages[key] for key in keys if key in self._messages), None)

    def _evict(self) -> None:
        """Forget open messages until a quarter is free.

        Unused queue ids (MAIL and RSET, again and again) go first, of the clients with most of
        them, the oldest of each; so nobody pushes out the messages of others.
        """
        surplus = len(self._messages) + self._more_recipients - self._most_open * 3 // 4
        unused: dict[str, list[bytes]] = {}
        for key, one in self._messages.items():
            if one[_SENDER] is one[_SEEN] is None:
                unused.setdefault(one[CLIENT], []).append(key)
        most = max(map(len, unused.values()), default=0)
        while most and sum(max(len(keys) - most, 0) for keys in unused.values()) < surplus:
            most //= 2
        idle = [key for keys in unused.values() for key in keys[: max(len(keys) - most, 0)]]
        for key in idle:
            self._forget(key)
        self._evicted += len(idle)
        while len(self._messages) + self._more_recipients > self._most_open * 3 // 4:
            oldest = list(islice(self._messages, len(self._messages) // 4 + 1))
            for key in oldest:
                self._forget(key)
            self._evicted += len(oldest)

    def _take(self, message: Message | None, key: bytes, client: str, recipient: bytes) -> bool:
        """Note whose message was held or redirected; False where he has been counted."""
        if message is not None:
            return self._see(message, recipient)
        self._held.put(client.encode() + key.partition(b":")[2], recipient)
        return True


def _texts(seen: bytes | set[bytes] | None) -> list[str]:
    """Give the recipients of a message as texts, in an order of their own."""
    if seen is None:
        return []
    return sorted(one.decode("latin-1") for one in (seen if isinstance(seen, set) else {seen}))
