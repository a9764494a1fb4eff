"""What a syslog daemon puts around a program's message: repeats in short, message ids, spaces.

| line, behind its prefix | written by | is read as |
|---|---|---|
| `postfix/smtpd[7]: message repeated 3 times: [ A1: ...]` | rsyslog | the inner text, 3 times |
| `last message repeated 3 times` | BSD, Solaris | the host's previous line, 3 times |
| `postfix/smtpd[7]: [ID 197553 mail.info] A1: ...` | Solaris | the text behind the bracket |
"""

import re
from collections.abc import Sequence
from typing import Any, Final

__all__ = ["MOST_REPEATS", "LastLines", "unwrapped"]

MOST_REPEATS: Final = 100_000
"""A line that says more is not believed: no daemon waits for so many."""

_MOST_HOSTS: Final = 1_024
_LONGEST: Final = 4_096
_TAG: Final = rb"(\S+ (?:(?:\d{1,10}|-) \S+ - )?)"
_REPEATED: Final = re.compile(
    _TAG + rb"message repeated (\d{1,9}) times?: \[ ?(.*?)\]?\s*\Z", re.DOTALL
)
_LAST: Final = re.compile(
    rb"(?:--- |syslogd(?:\[\d{1,10}\])?: )?last message repeated (\d{1,9}) times?(?: ---)?\s*\Z"
)
_AROUND: Final = re.compile(_TAG + rb"(?: |\[ID \d{1,10} \w{1,16}\.\w{1,16}\] )+")
_ATTEMPT: Final = re.compile(
    _TAG + rb"[0-9A-Za-z]{1,24}: (?:milter-)?(?:reject|discard|hold|redirect): "
)


def unwrapped(rest: bytes, previous: bytes) -> tuple[bytes, int] | None:
    """Give what a line without its prefix stands for, and how often; None for a plain line.

    `previous` is the host's line before it. What is no attempt of its own each time that it comes
    (see `LastLines`) is read 0 times where it is repeated.

    >>> unwrapped(b"smtpd[7]: message repeated 2 times: [ A1: hold: x]", b"")
    (b'smtpd[7]: A1: hold: x', 2)
    >>> unwrapped(b"smtpd[7]: [ID 197553 mail.info] A1: removed", b"")
    (b'smtpd[7]: A1: removed', 1)
    """
    if found := _LAST.match(rest):
        return previous, int(found[1]) * _is_attempt(previous)
    if found := _REPEATED.match(rest):
        inner = found[1] + found[3]
        if previous.startswith(inner):  # the daemon may have cut it
            inner = previous
        return inner, int(found[2]) * _is_attempt(inner)
    if found := _AROUND.match(rest):
        return found[1] + rest[found.end() :], 1
    return None


class LastLines:
    """The last line of each host, where it is a refusal, hold or redirect: those can be repeated.

    Lines are without their prefix and at most 4,096 bytes long. Past 1,024 hosts the one that was
    put down first is forgotten.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[bytes, bool], bytes] = {}

    def of(self, host: bytes, *, framed: bool) -> bytes:
        """Give the last line of a host; empty where it is none that can be repeated."""
        return self._lines.get((host, framed), b"")

    def put(self, host: bytes, rest: bytes, *, framed: bool) -> None:
        """Put down the last line of a host."""
        self._lines.pop((host, framed), None)
        if _is_attempt(rest):
            if len(self._lines) >= _MOST_HOSTS:
                del self._lines[next(iter(self._lines))]
            self._lines[host, framed] = rest

    def state(self) -> list[list[Any]]:
        """Give the lines as plain JSON."""
        return [
            [host.decode("latin-1"), framed, rest.decode("latin-1")]
            for (host, framed), rest in self._lines.items()
        ]

    def restore(self, state: Sequence[tuple[str, bool, str]]) -> None:
        """Know the lines of another one, which gave its `state`, and no others."""
        self._lines = {
            (host.encode("latin-1"), framed): rest.encode("latin-1") for host, framed, rest in state
        }


def _is_attempt(rest: bytes) -> bool:
    return len(rest) <= _LONGEST and _ATTEMPT.match(rest) is not None
