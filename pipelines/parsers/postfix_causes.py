"""Why Postfix refused: the outcome of a refusal, read from its reply text."""

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
    rb"|block ?list|black ?list|deny ?list|listed (?:by|in|at|on)\b|poor reputation"
)
_UNKNOWN_USER: Final = re.compile(
    rb"user unknown|unknown user|no such (?:user|recipient|mailbox|address)|undeliverable address"
    rb"|unverified address|(?:user|mailbox|account|address|recipient) (?:does not|doesn't) exist"
    rb"|recipient address rejected: (?:undeliverable|unverified)"
)
_RATE: Final = re.compile(
    rb"too many|rate[- ]?limit|\brate\b|throttl|limit (?:exceeded|reached)|too fast|slow down"
)
_CONTENT: Final = re.compile(
    rb"spam|virus|malware|phish|infected|banned|content|header|body|attachment|dmarc|dkim"
)
_GREYLIST: Final = re.compile(rb"gr[ea]y-?list")
_OF_SENDER: Final = (b"sender address rejected", b"helo command rejected")


def refusal_outcome(where: bytes, reply: bytes, *, by_milter: bool) -> Outcome:
    """Give the outcome of a refusal from its reply text: reject or defer, and the cause.

    `reply` may begin with an SMTP code, an enhanced status, both, or neither (postscreen's
    limits, which refuse for now). What stands in the echo `<...>: ` is not looked at: clients
    choose it. A milter that refuses at the end of the message has seen the content.

    >>> refusal_outcome(b"RCPT", b"450 4.2.0 <u@example.org>: Greylisted", by_milter=False).name
    'DEFER_OTHER'
    """
    status, echo, _ = reply.partition(b"<")
    if not echo or len(status) > _LONGEST_STATUS:
        return reply_outcome(where, b"", reply, by_milter)
    return reply_outcome(where, status, reply.rpartition(b">: ")[2], by_milter)


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
    of_sender = text.startswith(_OF_SENDER)
    if _GREYLIST.search(text):
        cause = 0
    elif not of_sender and (status[1:] == b".1.1" or _UNKNOWN_USER.search(text)):
        cause = 2
    elif _BLOCKED.search(text) or _refused_client(code, status, text):
        cause = 1
    elif _RATE.search(text):
        cause = 3
    elif _CONTENT.search(text) or (by_milter and where in _AT_CONTENT):
        cause = 4
    else:
        cause = 0
    return Outcome((Outcome.DEFER_OTHER if code[:1] == b"4" else Outcome.REJECT_OTHER) + cause)


def _refused_client(code: bytes, status: bytes, text: bytes) -> bool:
    """Tell a client that an access table or postscreen's deny list refuses for good."""
    if text.startswith(b"client host rejected: "):
        return code[:1] == b"5" and b"cannot find your" not in text
    return status == b"5.3.2" and text.startswith(b"service currently unavailable")
