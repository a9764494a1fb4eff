"""Subjects: what is counted and listed, and how its text becomes a canonical key.

An IPv4 address is its own subject; IPv6 is counted at /64, because one host owns a whole /64.
IPv4-mapped IPv6 is the IPv4 address. The hand-written reader exists because it runs once per new
address (a rotation flood brings millions): it is three times faster than `ipaddress`, to which a
law compares it.
"""

from typing import Final

__all__ = ["MAPPED_PREFIX", "ip_key", "mailbox_key", "mailbox_masked", "subject_text"]

MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"
V6_GROUPS: Final = 8
LONGEST_MAILBOX: Final = 512
DECIMAL: Final = frozenset("0123456789")
HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")


def _ipv4(text: str) -> bytes | None:
    parts = text.split(".")
    if len(parts) != 4:  # noqa: PLR2004 - an IPv4 address has four parts
        return None
    for part in parts:
        if not part or len(part) > 3 or not DECIMAL.issuperset(part):  # noqa: PLR2004
            return None
        if part[0] == "0" and len(part) > 1:
            return None
    try:
        return bytes(map(int, parts))
    except ValueError:
        return None


def _groups(text: str) -> list[int] | None:
    """Read colon-separated hexadecimal groups; the last may be a dotted IPv4 address."""
    if not text:
        return []
    out: list[int] = []
    parts = text.split(":")
    for index, part in enumerate(parts):
        if "." in part and index == len(parts) - 1:
            quad = _ipv4(part)
            if quad is None:
                return None
            out += (quad[0] << 8 | quad[1], quad[2] << 8 | quad[3])
        elif not part or len(part) > 4 or not HEXADECIMAL.issuperset(part):  # noqa: PLR2004
            return None
        else:
            out.append(int(part, 16))
    return out


def ip_key(text: str) -> bytes | None:
    """Give the key of the subject an address belongs to, or None where it is no address.

    4 bytes for IPv4 (also IPv4-mapped IPv6), 8 bytes (the /64) for IPv6.

    >>> ip_key("192.0.2.7").hex(), ip_key("2001:db8:1:2::99").hex()
    ('c0000207', '20010db800010002')
    >>> ip_key("::ffff:192.0.2.7").hex(), ip_key("192.0.2.07")
    ('c0000207', None)
    """
    if ":" not in text:
        return _ipv4(text)
    head, double, tail = text.partition("::")
    left = _groups(head)
    right = _groups(tail) if double else []
    if left is None or right is None or (double and "." in head):
        return None
    missing = V6_GROUPS - len(left) - len(right)
    if missing < 0 or (missing > 0) != bool(double):
        return None
    full = left + [0] * missing + right
    packed = b"".join(group.to_bytes(2, "big") for group in full)
    return packed[12:] if packed.startswith(MAPPED_PREFIX) else packed[:8]


def _v6_text(groups: list[int]) -> str:
    """Write eight groups in the compressed form of RFC 5952."""
    best_start, best_length, start = -1, 1, 0
    while start < V6_GROUPS:
        end = start
        while end < V6_GROUPS and groups[end] == 0:
            end += 1
        if end - start > best_length:
            best_start, best_length = start, end - start
        start = max(end, start + 1)
    if best_start < 0:
        return ":".join(f"{group:x}" for group in groups)
    head = ":".join(f"{group:x}" for group in groups[:best_start])
    tail = ":".join(f"{group:x}" for group in groups[best_start + best_length :])
    return f"{head}::{tail}"


def subject_text(key: bytes) -> str:
    """Write a key as people and other programs read it.

    >>> subject_text(bytes([192, 0, 2, 7])), subject_text(ip_key("2001:db8:1:2::99"))
    ('192.0.2.7', '2001:db8:1:2::/64')
    """
    if len(key) == 4:  # noqa: PLR2004 - IPv4
        return ".".join(map(str, key))
    groups = [key[i] << 8 | key[i + 1] for i in range(0, 8, 2)]
    return _v6_text([*groups, 0, 0, 0, 0]) + "/64"


def mailbox_key(text: str) -> str | None:
    """Give the mailbox that an address counts for, or None where it can be no mailbox.

    Case is folded (mailboxes that differ only in case are one in practice, and a flood could
    otherwise spread over spellings), and the part behind a plus belongs to the same mailbox.

    >>> mailbox_key("<Ann+shop@Example.ORG>"), mailbox_key("postmaster"), mailbox_key("")
    ('ann@example.org', 'postmaster', None)
    """
    text = text.strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    if not text or len(text) > LONGEST_MAILBOX:
        return None
    local, at, domain = text.lower().rpartition("@")
    if not at:
        return text.lower()
    plus = local.find("+")
    if plus > 0:
        local = local[:plus]
    return f"{local}@{domain.rstrip('.')}"


def mailbox_masked(mailbox: str) -> str:
    """Hide who a victim is from the public, but let its own operator recognise it.

    >>> mailbox_masked("ann.lee@example.org"), mailbox_masked("example.org")
    ('a***@e***.org', 'e***.org')
    """
    local, at, domain = mailbox.rpartition("@")
    first, dot, rest = domain.rpartition(".")
    hidden = f"{first[:1]}***{dot}{rest}" if dot else f"{domain[:1]}***"
    return f"{local[:1]}***@{hidden}" if at else hidden
