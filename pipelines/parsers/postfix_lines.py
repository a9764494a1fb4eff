"""The small grammar of Postfix messages: queue ids, addresses, clients."""

import re
from typing import Final

__all__ = [
    "CLIENT",
    "LONGEST_ADDRESS",
    "address_end",
    "decoded",
    "delivery_recipient",
    "is_queue_id",
    "moved_ids",
    "proxied_key",
]

LONGEST_ADDRESS: Final = 1_024
CLIENT: Final = re.compile(rb"[^\s\[\]<>\"]{0,255}\[([0-9A-Fa-f:.]{2,45})(?:%\w{1,16})?\]")
"""`name[address]`; the address is the group, without a scope (`%eth0`)."""

_BACKSLASH: Final = ord("\\")
_BELOW_G: Final = ord("G")
_REQUEUE: Final = re.compile(rb"([0-9A-Za-z]{5,24})(?:\.[0-9A-F]{5})? to ([0-9A-Za-z]{5,24})\s*\Z")
_ORIGINAL_ID: Final = re.compile(rb"> orig_id=([0-9A-Za-z]{5,24})\s*\Z")
_RELAY: Final = b">, relay="
_ORIGINAL: Final = b">, orig_to=<"


def decoded(raw: bytes) -> str:
    r"""Give logged bytes as text; bytes that are no UTF-8 become `\xff`, never an error."""
    return str(raw, "utf-8", "backslashreplace")


def address_end(line: bytes, at: int) -> int:
    r"""Find the `>` that ends the address at `at`, past a quoted local part; -1 for none.

    >>> address_end(rb'to=<"a>\" b"@example.org>, relay=none', 4)
    24
    """
    if line[at : at + 1] != b'"':
        return line.find(b">", at)
    quote = at
    while (quote := line.find(b'"', quote + 1)) > 0:
        before = quote - 1
        while before > at and line[before] == _BACKSLASH:
            before -= 1
        if (quote - before) % 2:
            return line.find(b">", quote)
    return -1


def is_queue_id(word: bytes) -> bool:
    """Tell the first word of a message about a queued mail, `4bX1Kq2zQz:` or `A9434A1A3CD:`.

    Both kinds begin with a digit or a letter up to F and hold letters and digits only.
    """
    return word[-1:] == b":" and word[:-1].isalnum() and word[0] < _BELOW_G


def delivery_recipient(text: bytes) -> bytes:
    """Give the recipient of `to=<R>, orig_to=<O>, relay=...`; empty where there is none.

    It is O, the address that the client named, where O is there and has a domain.
    """
    end = address_end(text, 4)
    if end < 0 or not text.startswith((_RELAY, _ORIGINAL), end):
        end = text.find(_RELAY)  # an unquoted address with `>` in it (internal form)
        if end < 0:
            return b""
    if text.startswith(_ORIGINAL, end):
        original = end + len(_ORIGINAL)
        original_end = address_end(text, original)
        if not text.startswith(_RELAY, original_end):
            original_end = text.find(_RELAY, original)
        if b"@" in text[original : max(0, original_end)]:
            return text[original:original_end]
    return text[4:end]


def moved_ids(line: bytes, body: int, word: bytes, text: bytes) -> tuple[bytes, bytes] | None:
    """Give the old and the new queue id of a message that is queued again, each with its colon.

    MailScanner writes `Requeue: OLD.A1B2C to NEW`; pickup, after `postsuper -r`, writes
    `NEW: uid=0 from=<..> orig_id=OLD`, which ends the line.
    """
    if word == b"Requeue:":
        found = _REQUEUE.match(text) if line.startswith(b"MailScanner", body) else None
        return (found[1] + b":", found[2] + b":") if found else None
    found = _ORIGINAL_ID.search(text) if is_queue_id(word) else None
    return (found[1] + b":", word) if found else None


def proxied_key(tag: bytes, host: bytes) -> bytes:
    """Give the key of the message that an smtpd process hands to its `smtpd_proxy_filter`."""
    return b"NOQUEUE:" + tag + b" " + host
