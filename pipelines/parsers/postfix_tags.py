"""The tag of a syslog line: which Postfix program wrote it, and of which host and instance."""

import re
from collections.abc import Sequence
from typing import Final

from pipelines.parsers.syslog_time import SyslogTime

__all__ = [
    "CLEANUP",
    "DELIVERY",
    "INSTANCE_SHIFT",
    "OTHER_PROGRAM",
    "PICKUP",
    "POSTSCREEN",
    "PROGRAM_MASK",
    "PROGRAM_NAMES",
    "QMGR",
    "QUIET_NAMES",
    "SMTPD",
    "TagTable",
    "looks_like_postfix",
]

SMTPD, QMGR, DELIVERY, CLEANUP, POSTSCREEN = range(5)
PROGRAM_NAMES: Final = ("smtpd", "qmgr", "delivery", "cleanup", "postscreen")
INSTANCE_SHIFT: Final = 3
PROGRAM_MASK: Final = (1 << INSTANCE_SHIFT) - 1
QUIET_NAMES: Final = (
    "other program", "postfix other", "anvil", "bounce", "dnsblog", "master", "pickup",
    "postfix-script", "postlogd", "proxymap", "scache", "tlsmgr", "tlsproxy", "trivial-rewrite",
    "verify",
)  # fmt: skip
"""Programs whose lines are counted and not read. Their code is ~index, which is negative."""
OTHER_PROGRAM: Final = ~QUIET_NAMES.index("other program")

PICKUP: Final = ~QUIET_NAMES.index("pickup")

_POSTFIX_OTHER: Final = ~QUIET_NAMES.index("postfix other")
_CODES: Final = {name.encode(): ~index for index, name in enumerate(QUIET_NAMES)} | {
    b"smtpd": SMTPD,
    b"cleanup": CLEANUP,
    b"postscreen": POSTSCREEN,
    **dict.fromkeys((b"qmgr", b"nqmgr", b"oqmgr", b"postsuper"), QMGR),
    **dict.fromkeys(
        (b"smtp", b"lmtp", b"local", b"virtual", b"pipe", b"error", b"retry", b"discard"), DELIVERY
    ),
}
_NAME: Final = rb"([\w.-]{1,64}(?:/[\w.-]{1,64}){0,4})"
_CLASSIC: Final = re.compile(rb"(" + _NAME + rb"(?:\[\d{1,10}\])?:) ")
# RFC 5424: APP-NAME PROCID MSGID STRUCTURED-DATA, and a byte order mark before the message.
_FRAMED: Final = re.compile(
    rb"(" + _NAME + rb" (?:\d{1,10}|-)) \S+ "
    rb'(?:-|(?:\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\])+) (?:\xef\xbb\xbf)?',
    re.DOTALL,
)
_ANY_TIME_MS: Final = 4_000_000_000_000
_MOST_HOSTS: Final = 1_024
_MOST_TAGS: Final = 8_192
_MOST_INSTANCES: Final = 4_096


class TagTable:
    """Codes of tags, remembered by host.

    A code is negative for a program that is not read (see `QUIET_NAMES`); else its low bits are
    the program and the bits above them index `suffixes`: what tells the queue ids of one host
    and instance from those of others. The first one seen has none, which is the common case.
    Past 4,096 instances further ones count as other programs.
    """

    def __init__(self) -> None:
        self.suffixes: list[bytes] = []
        self._instances: dict[tuple[bytes, bytes], int] = {}
        self._hosts: dict[bytes, dict[bytes, int]] = {}

    def of_host(self, host: bytes, *, framed: bool) -> dict[bytes, int]:
        """Give the codes known of a host, by the tag's word (two words if framed)."""
        if len(self._hosts) >= _MOST_HOSTS:
            self._hosts.clear()
        return self._hosts.setdefault(host + b" framed" if framed else host, {})

    def read(self, line: bytes, body: int, host: bytes, *, framed: bool) -> tuple[int, int]:
        """Read the tag at `body`, strictly: its code, and where the message begins."""
        found = (_FRAMED if framed else _CLASSIC).match(line, body)
        if found is None:
            return OTHER_PROGRAM, len(line)
        code = self._code(host, found[2].split(b"/"))
        tags = self.of_host(host, framed=framed)
        if len(tags) >= _MOST_TAGS:
            tags.clear()
        if found[2] != b"syslogd":  # it may repeat lines of others: such lines are looked at
            tags[found[1]] = code
        return code, found.end()

    def suffixes_of(self, host: bytes) -> list[bytes]:
        """Give the suffixes of all instances of a host."""
        return [self.suffixes[at] for (one, _), at in self._instances.items() if one == host]

    def state(self) -> list[list[str]]:
        """Give the instances seen, each as host and name, in the order of their suffixes."""
        return [[host.decode("latin-1"), name.decode("latin-1")] for host, name in self._instances]

    def restore(self, instances: Sequence[tuple[str, str]]) -> None:
        """Know the instances of another table, which gave its `state`, and no others."""
        self._hosts, self._instances, self.suffixes = {}, {}, []
        for host, name in instances:
            self._instance(host.encode("latin-1"), name.encode("latin-1"))

    def _instance(self, host: bytes, name: bytes) -> int:
        index = self._instances[host, name] = len(self.suffixes)
        self.suffixes.append(b" " + b"/".join((host, name)) if index else b"")
        return index

    def _code(self, host: bytes, names: list[bytes]) -> int:
        if len(names) == 1:
            return OTHER_PROGRAM
        code = _CODES.get(names[-1])
        if code is None:
            return _POSTFIX_OTHER if names[0].startswith(b"postfix") else OTHER_PROGRAM
        if code < 0:
            return code
        index = self._instances.get((host, names[0]))
        if index is None:
            if len(self.suffixes) >= _MOST_INSTANCES:
                return OTHER_PROGRAM
            index = self._instance(host, names[0])
        return code | index << INSTANCE_SHIFT


def looks_like_postfix(sample: Sequence[bytes]) -> bool:
    """Tell a Postfix log: at least one line of Postfix, and syslog prefixes on most of the lines.

    >>> looks_like_postfix([b"Nov 24 07:17:47 mx postfix/qmgr[7]: A1: removed"])
    True
    >>> looks_like_postfix([b'{"time": 1}'])
    False
    """
    time, tags = SyslogTime(_ANY_TIME_MS), TagTable()
    filled = [line for line in sample if line.strip()]
    prefixes = [(line, prefix) for line in filled if (prefix := time.read(line)) is not None]
    return 2 * len(prefixes) > len(filled) and any(
        tags.read(line, prefix.body, prefix.host, framed=prefix.framed)[0] != OTHER_PROGRAM
        for line, prefix in prefixes
    )
