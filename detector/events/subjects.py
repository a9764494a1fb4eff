"""Subjects: what is counted and listed, and how its text becomes a canonical key.

An IPv4 address is its own subject; IPv6 is counted at /64, because one host owns a whole /64.
An IPv6 address that carries the IPv4 address of its host (mapped, NAT64, 6to4, Teredo) is that
IPv4 address: hosts that share nothing but a translator would share a /64.

The hand-written reader exists because it runs once per new
address (a rotation flood brings millions): it is three times faster than `ipaddress`, to which a
law compares it.
"""

import re
import unicodedata
from itertools import repeat
from typing import Final

import idna
import numpy as np

__all__ = [
    "MAPPED_PREFIX",
    "ip_key",
    "ip_subjects",
    "mailbox_key",
    "mailbox_masked",
    "subject_key",
    "subject_text",
]

MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"
_NAT64: Final = bytes.fromhex("0064ff9b") + bytes(8)
"""64:ff9b::/96 (RFC 6052)."""
_LOCAL_NAT64: Final = bytes.fromhex("0064ff9b0001")
"""64:ff9b:1::/48 (RFC 8215): the site chooses a longer prefix in it."""
_SIX_TO_FOUR: Final = bytes.fromhex("2002")
"""2002::/16 (RFC 3056): the IPv4 address follows."""
_TEREDO: Final = bytes.fromhex("20010000")
"""2001::/32 (RFC 4380): the IPv4 address is at the end, with all bits inverted."""
_HOST_SHARE: Final = "/64"
LONGEST_MAILBOX: Final = 512
_LONGEST_DOMAIN: Final = 255
_NEVER_SPLIT: Final = frozenset({"double-bounce", "mailer-daemon", "postmaster"})
_V6_BYTES: Final = 16
_GROUP_DIGITS: Final = 4
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_UNSEEN: Final = re.compile(
    "[\0-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u3000\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
"""Controls, bidi marks, odd spaces and what shows nothing: named here, since Pythons differ."""
_FIRST_LETTER: Final = re.compile(r"(?:\\u[0-9a-f]{4}|\\U[0-9a-f]{8}|.)?")
_MASK: Final = "***"
_BASIC_PLANE: Final = 0xFFFF
_HEX: Final = "(0|[1-9a-f][0-9a-f]{0,3})"
_USUAL_V6: Final = re.compile(
    rf"(?!64:|2002:|2001:0:){_HEX}:{_HEX}:{_HEX}:(?!0:){_HEX}(?:(?::[0-9a-f]{{1,4}}){{4}}|:(?::[0-9a-f]{{1,4}}){{1,3}}|::)"
)
"""Four groups of a network in their canonical form, and any host; none that carries IPv4."""
_OCTETS: Final = {str(number): number for number in range(256)}


def _ipv4(text: str) -> bytes | None:
    try:
        a, b, c, d = text.split(".", 4)
        return bytes((_OCTETS[a], _OCTETS[b], _OCTETS[c], _OCTETS[d]))
    except (ValueError, KeyError):
        return None


def _groups(text: str) -> bytes | None:
    """Read colon-separated hexadecimal groups; the last may be a dotted IPv4 address."""
    if not text:
        return b""
    parts = text.split(":", 8)
    quad: bytes | None = b""
    if "." in parts[-1]:
        quad = _ipv4(parts.pop())
    digits = "".join([part.zfill(_GROUP_DIGITS) for part in parts])
    if quad is None or "" in parts or len(digits) != _GROUP_DIGITS * len(parts):
        return None
    if parts and not digits.isalnum():  # fromhex passes over spaces
        return None
    try:
        return bytes.fromhex(digits) + quad
    except ValueError:
        return None


def ip_key(text: str) -> bytes | None:
    """Give the key of the subject an address belongs to, or None where it is no address.

    4 bytes for IPv4 (also inside IPv6: mapped, NAT64, 6to4, Teredo), 8 bytes (the /64) for IPv6.

    >>> ip_key("192.0.2.7").hex(), ip_key("2001:db8:1:2::99").hex()
    ('c0000207', '20010db800010002')
    >>> ip_key("::ffff:192.0.2.7").hex(), ip_key("192.0.2.07")
    ('c0000207', None)
    >>> ip_key("64:ff9b::192.0.2.7").hex(), ip_key("2002:c000:207::1").hex()
    ('c0000207', 'c0000207')
    """
    if ":" not in text:
        return _ipv4(text)
    packed = _ipv6(text)
    return packed and (_carried_ipv4(packed) or packed[:8])


def subject_key(text: str) -> bytes | None:
    """Give the key of an address, or of a subject's own text; None where it is neither.

    >>> subject_key("2001:db8:1:2::/64") == subject_key("2001:db8:1:2::99")
    True
    """
    if not text.endswith(_HOST_SHARE):
        return ip_key(text)
    packed = _ipv6(text.removesuffix(_HOST_SHARE))
    return packed and packed[:8]


def _ipv6(text: str) -> bytes | None:
    """Read the 16 bytes of an IPv6 address."""
    head, double, tail = text.partition("::")
    left = _groups(head)
    right = _groups(tail) if double else b""
    if left is None or right is None or (double and "." in head):
        return None
    missing = _V6_BYTES - len(left) - len(right)
    if missing < 0 or (missing > 0) != bool(double):
        return None
    return left + bytes(missing) + right


def _carried_ipv4(packed: bytes) -> bytes | None:
    """Give the IPv4 address of the host that an IPv6 address stands for, None where it has none."""
    if packed.startswith((MAPPED_PREFIX, _NAT64)):
        return packed[12:]
    if packed.startswith(_SIX_TO_FOUR):
        return packed[2:6]
    if packed.startswith(_TEREDO):
        return bytes(0xFF ^ byte for byte in packed[12:])
    if packed.startswith(_LOCAL_NAT64):
        return _carried_locally(packed)
    return None


def _carried_locally(packed: bytes) -> bytes:
    """Read an address of the local NAT64 prefix by where its bytes end (RFC 6052, 2.2).

    A prefix of 48, 56 or 64 bits leaves byte 8 and all bytes behind the IPv4 address zero.
    """
    beside = packed[6:8] + packed[9:]
    for start in (0, 1, 2):
        if packed[8] == 0 and not any(beside[start + 4 :]):
            return beside[start : start + 4]
    return packed[12:]


def subject_text(key: bytes) -> str:
    """Write a key as people and other programs read it (RFC 5952).

    The host half of a /64 is its longest run of zeros, so that run is the one to shorten.

    >>> subject_text(bytes([192, 0, 2, 7])), subject_text(ip_key("2001:db8:1:2::99"))
    ('192.0.2.7', '2001:db8:1:2::/64')
    """
    if len(key) == 4:  # noqa: PLR2004 - IPv4
        return f"{key[0]}.{key[1]}.{key[2]}.{key[3]}"
    network = f"{key[0] << 8 | key[1]:x}:{key[2] << 8 | key[3]:x}:{key[4] << 8 | key[5]:x}"
    last = key[6] << 8 | key[7]
    if last:
        return f"{network}:{last:x}::/64"
    while network == "0" or network.endswith(":0"):
        network = network[:-2]
    return network + "::/64"


def ip_subjects(texts: list[str]) -> list[tuple[str, int] | None]:
    """Give text and number of the subject each address belongs to, None where it is no address.

    The number is the IPv4 address, or the upper half of the IPv6 address. A subject's own text
    stands for itself. Cost: 0.3 µs for IPv4 among IPv4, 3 µs for IPv6.

    >>> ip_subjects(["192.0.2.7", "2001:DB8::1", "2001:db8::/64", "192.0.2.7/64"])[:1]
    [('192.0.2.7', 3221225991)]
    >>> ip_subjects(["2001:DB8::1", "2001:db8::/64", "192.0.2.7/64"])[1:]
    [('2001:db8::/64', 2306139568115548160), None]
    """
    plain = [text for text in texts if ":" not in text]
    if set(map(str.count, plain, repeat("."))) <= {3}:
        try:
            octets = bytes(map(_OCTETS.__getitem__, ".".join(plain).split("."))) if plain else b""
        except KeyError:
            return [_ip_subject(text) for text in texts]
        numbers = iter(np.frombuffer(octets, ">u4").tolist())
        return [_ip_subject(text) if ":" in text else (text, next(numbers)) for text in texts]
    return [_ip_subject(text) for text in texts]


def _ip_subject(text: str) -> tuple[str, int] | None:
    if usual := _USUAL_V6.fullmatch(text):
        a, b, c, d = usual.groups()
        return text[: usual.end(4)] + "::/64", int(f"{a:0>4}{b:0>4}{c:0>4}{d:0>4}", 16)
    key = subject_key(text)
    if key is None or (text.endswith(_HOST_SHARE) and text != subject_text(key)):
        return None
    return (subject_text(key), int.from_bytes(key, "big"))


def mailbox_key(text: str, delimiters: str = "+") -> str | None:
    """Give the mailbox that an address counts for, or None where it can be no mailbox.

    Case is folded (mailboxes that differ only in case are one in practice, and a flood could
    otherwise spread over spellings), and the part behind a delimiter belongs to the same mailbox
    (`recipient_delimiter` of Postfix, and what Postfix never splits). A domain is written in
    A-labels (UTS 46), a local part in NFC.

    A key is its own key, whatever was written: what goes over the log comes back the same.

    >>> mailbox_key("<Ann+shop@Example.ORG>"), mailbox_key("postmaster"), mailbox_key("")
    ('ann@example.org', 'postmaster', None)
    >>> mailbox_key("< <ann@example.org>. >"), mailbox_key("ann-shop@bücher.example", "+-")
    ('ann@example.org', 'ann@xn--bcher-kva.example')
    """
    if text and _is_settled(text) and len(text) <= LONGEST_MAILBOX:
        text = text.lower()
        return text if not _ends_early(text, delimiters) else _mailbox(text, delimiters)
    key = _mailbox(text, delimiters)
    while key is not None and not _is_settled(key) and (again := _mailbox(key, delimiters)) != key:
        key = again
    return key


def _is_settled(key: str) -> bool:
    """Say whether another turn could change nothing (the common case, told at a glance)."""
    return key.isascii() and key[0].isalnum() and key[-1].isalnum()


def _ends_early(text: str, delimiters: str) -> bool:
    return any(one in text for one in delimiters)


def _mailbox(text: str, delimiters: str) -> str | None:
    """Normalise once; each further turn only shortens the text."""
    text = text.strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    if not text or len(text) > LONGEST_MAILBOX:
        return None
    if not text.isascii() and _SURROGATE.search(text):
        return None
    text = _folded(text)
    local, at, domain = text.rpartition("@")
    if not at:
        return text
    return f"{_unextended(local, delimiters)}@{_domain(domain.rstrip('.'))}"


def _folded(text: str) -> str:
    """Fold case, and write what can be written in several ways in one (NFC)."""
    text = text.lower()
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _unextended(local: str, delimiters: str) -> str:
    """Give a local part without its extension, as Postfix splits it."""
    if local in _NEVER_SPLIT:
        return local
    if "-" in delimiters and (local.startswith("owner-") or local.endswith("-request")):
        return local
    ends = [at for one in delimiters if (at := local.find(one)) >= 0]
    end = min(ends, default=0)
    return local[:end] if end > 0 else local


def _domain(domain: str) -> str:
    """Give a domain in A-labels; one that has none stays as it is."""
    if domain.isascii() or len(domain) > _LONGEST_DOMAIN:
        return domain
    try:
        return idna.encode(domain, uts46=True).decode().lower().rstrip(".")
    except (idna.IDNAError, UnicodeError):
        return domain


def mailbox_masked(mailbox: str) -> str:
    r"""Hide who a victim is from the public, but let its own operator recognise it.

    What a terminal would obey is escaped. A masked mailbox masks as itself.

    >>> mailbox_masked("ann.lee@example.org"), mailbox_masked("example.org")
    ('a***@e***.org', 'e***.org')
    >>> mailbox_masked("\x1b[2J@example.o\u202erg")
    '\\u001b***@e***.o\\u202erg'
    """
    local, at, domain = _UNSEEN.sub(_escape, mailbox).rpartition("@")
    first, dot, rest = domain.rpartition(".")
    hidden = f"{_initial(first)}{dot}{rest}" if dot else _initial(domain)
    return f"{_initial(local)}@{hidden}" if at else hidden


def _initial(name: str) -> str:
    """Give the first character, or the escape of one, and the mask."""
    first = _FIRST_LETTER.match(name)
    return _MASK if first is None or name == _MASK else first[0] + _MASK


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code <= _BASIC_PLANE else f"\\U{code:08x}"
