"""The Postfix lines that make no event: a fixed set of kinds, counted, with an example of each."""

import re
from collections.abc import Sequence
from typing import Final

from pipelines.parsers.postfix_lines import decoded
from pipelines.parsers.postfix_tags import POSTSCREEN, PROGRAM_NAMES, SMTPD

__all__ = ["LIKE_MAIL", "NO_CLIENT", "OWN_DELIVERY", "SkippedLines", "is_like_mail", "kind_of"]

NO_CLIENT: Final = "delivery of a message without a client"
OWN_DELIVERY: Final = "delivery of a message of our own"
"""Of one that a client on this machine or a content filter handed in: it counted before."""
LIKE_MAIL: Final = "mail of another program"
"""Lines of a program with another name that have a client or a recipient, as Postfix's have."""

_SMTPD_KINDS: Final = tuple(
    (word.encode(), f"smtpd {word}")
    for word in (
        "warning", "lost connection", "timeout", "improper command", "too many errors",
        "Anonymous TLS", "Trusted TLS", "Untrusted TLS", "Verified TLS", "setting up TLS",
        "SSL_accept", "discarding EHLO", "statistics", "fatal",
    )
)  # fmt: skip
_ACTIONS: Final = (
    "reject_warning", "warn", "hold", "filter", "redirect", "prepend", "info", "permit", "bcc",
    "delay", "milter-hold", "client",
)  # fmt: skip
_POSTSCREEN_WORDS: Final = {
    b"CONNECT", b"DISCONNECT", b"PASS", b"PREGREET", b"HANGUP", b"DNSBL", b"ALLOWLISTED",
    b"DENYLISTED", b"WHITELISTED", b"BLACKLISTED", b"ALLOWLIST", b"WHITELIST",
    b"NOQUEUE:", b"NON-SMTP", b"BARE", b"COMMAND", b"cache",
}  # fmt: skip
_LIKE_MAIL: Final = re.compile(rb"\S+ (?:\[ID [^\]]*\] )?\w{1,32}: (?:to=<|client=)")
_EXAMPLE_BYTES: Final = 200
_MARKS: Final = {
    "smtpd connect": b": connect from ",
    "smtpd disconnect": b": disconnect from ",
    "smtpd client": b": client=",
    "qmgr from": b": from=<",
    "qmgr removed": b": removed",
    "cleanup message-id": b": message-id=",
    "delivery again": b": to=<",
}
"""Kinds that the hot path only counts, with a text by which a line of them is found."""


class SkippedLines:
    """Counts lines by kind, and keeps the first line of each kind."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self.own: set[bytes] = set()
        """Open messages from clients of our own: they are only counted, and not saved."""
        self.fresh()

    def fresh(self) -> None:
        """Begin the counts of the next run of lines."""
        self._counts: dict[str, int] = {}
        self._examples: dict[str, bytes] = {}

    def count(self, kind: str, lines: int = 1) -> None:
        """Count lines of a kind."""
        if lines:
            self._counts[kind] = self._counts.get(kind, 0) + lines

    def note(self, kind: str, line: bytes) -> None:
        """Keep the line if it is the first of its kind."""
        if kind not in self._known:
            self._known.add(kind)
            self._examples[kind] = line[:_EXAMPLE_BYTES]

    def message(self, program: int, word: bytes, text: bytes, line: bytes) -> None:
        """Count a message that is not read."""
        self._skip(kind_of(program, word, text), line)

    def begin_own(self, key: bytes, most: int) -> None:
        """Note that a message comes from a client of our own; past `most` all are forgotten."""
        if len(self.own) >= most:
            self.own.clear()
        self.own.add(key)

    def delivery(self, key: bytes, line: bytes) -> None:
        """Count a delivery of a message that has no client."""
        self._skip(OWN_DELIVERY if key in self.own else NO_CLIENT, line)

    def is_like_mail(self, line: bytes, start: int) -> bool:
        """Count a line of another program that looks like Postfix's; say whether it does."""
        if found := is_like_mail(line, start):
            self._skip(LIKE_MAIL, line)
        return found

    def _skip(self, kind: str, line: bytes) -> None:
        """Count a line, and keep it if it is the first of its kind."""
        self.count(kind)
        self.note(kind, line)

    def found(self, lines: Sequence[bytes]) -> tuple[dict[str, int], dict[str, bytes]]:
        """Give the counts of this run, `lines`, and examples of kinds that are new in it."""
        for kind, mark in _MARKS.items():
            if kind in self._counts and kind not in self._known:
                self.note(kind, next((line for line in lines if mark in line), b""))
        return self._counts, self._examples


def is_like_mail(line: bytes, start: int) -> bool:
    """Say whether a message, from its tag on, names a queue id, then a client or a recipient.

    >>> is_like_mail(b"mx1 mailer[7]: 4A1: to=<a@b.example>", 4)
    True
    >>> is_like_mail(b"mx1 sshd[7]: Invalid user 4A1: client=x", 4)
    False
    """
    return _LIKE_MAIL.match(line, start) is not None


def kind_of(program: int, word: bytes, text: bytes) -> str:
    """Name the kind of a message, given as its first word and the rest, by the program."""
    name = PROGRAM_NAMES[program]
    if program == SMTPD:
        for action in _ACTIONS:
            if text.startswith(action.encode() + b": "):
                return f"smtpd {action}"
        message = word + b" " + text
        for beginning, kind in _SMTPD_KINDS:
            if message.startswith(beginning):
                return kind
    elif word == b"warning:":
        return f"{name} warning"
    elif program == POSTSCREEN and word in _POSTSCREEN_WORDS:
        return f"postscreen {decoded(word)}"
    return f"{name} other"
