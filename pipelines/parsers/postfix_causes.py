"""Why Postfix refused: the outcome of a refusal, read from its reply text.

What decides, in this order: the innermost reply that is quoted (`... said: 552 5.2.2 ...`), which
is that of the server that knows the mailbox; an enhanced status code that says enough (5.1.1 is an
unknown user, 5.2.2 a full mailbox); then the words. Words of block lists count only in a reply that
is about the client. Addresses and links in a reply are not checked: clients choose them.
"""

import re
from functools import lru_cache
from typing import Final

from detector.events.contract import Outcome

__all__ = ["refusal_outcome", "reply_outcome"]

_MOST_CACHED: Final = 4_096
_AT_CONTENT: Final = {b"END-OF-MESSAGE", b"DATA content"}
_LONGEST_STATUS: Final = len("550 5.7.100 ")
_BLOCKED: Final = re.compile(
    rb"blocked using|service unavailable; (?:unverified )?client|spamhaus|spamcop|dnsbl|\brbl\b"
    rb"|(?<![\w.=-])(?:block|black|deny) ?list(?:ed|ing)?(?![\w.=-])|listed (?:by|in|at|on)\b"
    rb"|poor reputation"
)
_OTHER_SUBJECT: Final = re.compile(
    rb"(?:service (?:temporarily )?unavailable; )?(?:sender address|helo command|recipient address)"
)
_CLIENT_NAMED: Final = re.compile(
    rb"(?<![\w.=-])(?:client|your (?:ip|host|server|mail ?server|network)|ip(?: address)?)"
    rb"(?![\w.=-])|\[[0-9a-f.:]{3,45}\]|(?<![\w.=-])\d{1,3}(?:\.\d{1,3}){3}(?![\w=-])"
)
_UNKNOWN_USER: Final = re.compile(
    rb"user unknown|unknown user|no such (?:user|recipient|mailbox|address)|undeliverable address"
    rb"|unverified address|(?:user|mailbox|account|address|recipient) (?:does not|doesn't) exist"
    rb"|(?:unknown|invalid) (?:recipient|mailbox|address)"
    rb"|(?:recipient|mailbox) (?:unknown|not found)"
    rb"|mailbox unavailable|account that you tried to reach does not exist"
    rb"|recipient address rejected: (?:undeliverable|unverified)"
)
_RATE: Final = re.compile(
    rb"too many|rate[- ]?limit|\brate\b|throttl|limit (?:exceeded|reached)|too fast|slow down"
)
_CONTENT: Final = re.compile(
    rb"spam|virus|malware|phish|infected|banned|content|header|body|attachment|dmarc|dkim"
)
_UNKNOWN_STATUS: Final = {b".1.1", b".1.10"}
_OTHER_STATUS: Final = re.compile(rb"\.(?:1\.[2-9]|2\.[1-4]|3\.\d{1,3}|4\.\d{1,3})\Z")
"""Statuses that say that it is neither: a mailbox that is full or closed, a bad domain, a system or
network in trouble. `.3.2` is left to the words: postscreen uses it for its deny list."""
_FULL: Final = re.compile(
    rb"quota|(?:mailbox|account|inbox) (?:is )?(?:over ?)?full|storage|full mailbox|disk space"
)
_SAID: Final = re.compile(
    rb" said: ([245]\d\d)(?:[ -]([245]\.\d{1,3}\.\d{1,3})(?=\s|\Z))?[ -]?(?:<[^>]{0,1024}>:? ?)?"
)
_GREYLIST: Final = re.compile(rb"gr[ea]y-?list")
_OTHER, _BLOCKLIST, _UNKNOWN, _RATE_LIMIT, _CONTENT_REFUSED = range(5)
_OF_SENDER: Final = (b"sender address rejected", b"helo command rejected")


def refusal_outcome(where: bytes, reply: bytes, *, by_milter: bool, echo_bytes: int = 0) -> Outcome:
    """Give the outcome of a refusal from its reply text: reject or defer, and the cause.

    `reply` may begin with an SMTP code, an enhanced status, both, or neither (postscreen's
    limits, which refuse for now). What stands in the echo `<...>: ` is not checked: clients
    choose it. `echo_bytes` is its length where it is known; else it ends at the last `>: `.
    A milter that refuses at the end of the message has seen the content.

    >>> refusal_outcome(b"RCPT", b"450 4.2.0 <u@example.org>: Greylisted", by_milter=False).name
    'DEFER_OTHER'
    """
    status, echo, rest = reply.partition(b"<")
    if not echo or len(status) > _LONGEST_STATUS:
        return reply_outcome(where, b"", reply, by_milter)
    text = rest[echo_bytes + len(b">: ") :] if echo_bytes else rest.rpartition(b">: ")[2]
    return reply_outcome(where, status, text, by_milter)


@lru_cache(maxsize=_MOST_CACHED)
def reply_outcome(where: bytes, status: bytes, text: bytes, by_milter: bool) -> Outcome:
    """Give the outcome of a reply without its echo: what stands before it, and behind it.

    Remembered: texts without an address come again and again.
    """
    whole = status + text
    code, _, rest = whole.partition(b" ")
    status = code
    if len(code) == 3 and code.isdigit():  # noqa: PLR2004 - digits of an SMTP code
        status, _, after = rest.partition(b" ")
        text = after if status[1:2] == b"." else rest
    elif code[1:2] == b".":
        text = rest
    else:
        text = whole
        code = b"5" if by_milter else b"4"
    text = text.lower()
    first = Outcome.DEFER_OTHER if code[:1] == b"4" else Outcome.REJECT_OTHER
    said = last[0] if (last := list(_SAID.finditer(text))[-1:]) else None
    if said is not None:
        return Outcome(first + _quoted_cause(status, text, said))
    return Outcome(first + _cause(where, code, status, _plain_words(text), by_milter))


def _cause(where: bytes, code: bytes, status: bytes, text: bytes, by_milter: bool) -> int:
    """Give the cause that a reply of our own server names, as the distance from `OTHER`."""
    at_content = by_milter and where in _AT_CONTENT
    if _GREYLIST.search(text):
        return _OTHER
    if not text.startswith(_OF_SENDER) and (known := _of_mailbox(status, text)) is not None:
        return known
    about_client = not (at_content or _OTHER_SUBJECT.match(text)) or _CLIENT_NAMED.search(text)
    if (about_client and _BLOCKED.search(text)) or _refused_client(code, status, text):
        return _BLOCKLIST
    if _RATE.search(text):
        return _RATE_LIMIT
    if at_content or _CONTENT.search(text):
        return _CONTENT_REFUSED
    return _OTHER


def _quoted_cause(status: bytes, text: bytes, said: re.Match[bytes]) -> int:
    """Give the cause that a quoted reply names: it refused our question, not the client."""
    if text.startswith(_OF_SENDER):
        return _OTHER
    known = _of_mailbox(said[2] or b"", _plain_words(text[said.end() :]))
    if known is None and not said[2] and status[1:] in _UNKNOWN_STATUS:
        return _UNKNOWN
    return known or _OTHER


def _of_mailbox(status: bytes, text: bytes) -> int | None:
    """Tell what a reply says of the mailbox: unknown, or there but closed; None for nothing."""
    if status[1:] in _UNKNOWN_STATUS:
        return _UNKNOWN
    if (_OTHER_STATUS.match(status[1:]) and status[1:] != b".3.2") or _FULL.search(text):
        return _OTHER
    return _UNKNOWN if _UNKNOWN_USER.search(text) else None


def _plain_words(text: bytes) -> bytes:
    """Give a text without its addresses and links, which clients choose."""
    if b"@" not in text and b"://" not in text:
        return text
    return b" ".join(word for word in text.split(b" ") if b"@" not in word and b"://" not in word)


def _refused_client(code: bytes, status: bytes, text: bytes) -> bool:
    """Tell a client that an access table or postscreen's deny list refuses for good."""
    if text.startswith(b"client host rejected: "):
        return code[:1] == b"5" and b"cannot find your" not in text
    return status == b"5.3.2" and text.startswith(b"service currently unavailable")
