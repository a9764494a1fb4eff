"""What ends a recipient's fate before a delivery: `reject:`, `discard:`, `hold:`, `redirect:`.

They come from smtpd, cleanup and postscreen, and with `milter-` before the word where a milter
decided. `hold` and `redirect` accept: the message waits for an operator, or goes elsewhere.
`reject_warning`, `warn`, `info`, `filter`, `prepend` and others change no fate: a delivery follows.

Everything is read from the left. The client address comes from the field that Postfix itself
writes, `name[address]`, where the name is a host name or `unknown` and can hold no bracket, and
nothing that a client chose stands before it (in header and body checks it does: there the
client is that of the message's own `client=` line). So no text of a sender, recipient, HELO,
header or reply yields another client address.

What remains forgeable: the *recipient and sender of the attacker's own refused attempt*. The
fields `from=<> to=<> proto= helo=<>` stand behind the reply text, which may echo an address
without its quotes. Where several places of one line fit the grammar of the fields, the one
counts whose sender or recipient is the address that the reply begins with, the longest if
several are; else the first. An attacker who writes a fitting echo into an address of his own
can make his own refused attempt name another recipient. In header and body checks the *last*
fitting place counts, and a forged one inside a quoted address has the same effect. A log written
with `info_log_addr_form = internal` quotes nothing, so there this holds for deliveries too.
"""

import re
from typing import Final, NamedTuple

from detector.events.contract import Outcome
from pipelines.parsers.postfix_causes import refusal_outcome, reply_outcome
from pipelines.parsers.postfix_lines import CLIENT, LONGEST_ADDRESS, address_end, decoded

__all__ = ["PLAIN_REFUSAL", "REFUSALS", "Refusal", "read_refusal"]

REFUSALS: Final = tuple(
    milter + action + b": "
    for action in (b"reject", b"discard", b"hold", b"redirect")
    for milter in (b"", b"milter-")
)
"""How a refusal begins, behind its queue id."""

_COMMA: Final = ord(",")
_FROM: Final = b"; from=<"
_AFTER_SENDER: Final = (b"> to=<", b">, to=<", b"> proto=", b">, proto=")
_AFTER_RECIPIENT: Final = (b"> proto=", b">, proto=")
# Postfix takes spaces out of a HELO (postscreen: its first word). Recent versions write SASL fields
# behind it; `: text` is the operator's text of a header check.
_PROTOCOL: Final = re.compile(
    rb"proto=[A-Za-z0-9]{1,16}(?:,? helo=<\S*>)?"
    rb"(?:,? sasl_method=[^\s,]*)?(,? sasl_username=.*)?(?:,? sasl_sender=.*)?(?:: .*)?\s*\Z",
    re.DOTALL,
)
PLAIN_REFUSAL: Final = re.compile(
    rb"reject: RCPT from "
    + CLIENT.pattern
    + rb"(?::\d{1,5})?: "
    + rb'(\d\d\d [245]\.\d\.\d{1,3} )(?:<[^<>"\s;]{0,1024}>: )?([^<>"]*)'
    + rb'; from=<([^<>"\s]{0,1024})>,? to=<([^<>"\s]{1,1024})>,? proto=[A-Za-z0-9]{1,16},? '
    + rb"helo=<[^<>\s]*>\s*\Z"
)
"""A refusal without oddities, whole: no quotes and no brackets but Postfix's own, so that nothing
in it can be read in a second way. Groups: client, code and status, reply, sender, recipient."""
_BEGINNING: Final = re.compile(
    rb"(milter-)?(reject|discard|hold|redirect): (?:(header|body|content) "
    rb"|(DATA content|[A-Z][A-Z -]{2,19}) from (?:" + CLIENT.pattern + rb"(?::\d{1,5})?: )?)"
)
_OUTCOMES: Final = {
    b"discard": Outcome.DISCARD, b"hold": Outcome.ACCEPT, b"redirect": Outcome.ACCEPT,
}  # fmt: skip
_MOST_PLACES: Final = 8  # places tried in one line; an attacker can write more, we need not look


class Refusal(NamedTuple):
    """What was refused to whom. Texts as logged; "" is the null sender, None is not there."""

    where: bytes
    """The state of the SMTP session, such as `RCPT`, or `header`, `body`, `content`."""
    client: bytes
    """The address in Postfix's own field; empty where it has none."""
    sender: str | None
    recipient: str | None
    authenticated: bool
    outcome: Outcome


class _Fields(NamedTuple):
    start: int
    sender: str | None
    recipient: str | None
    authenticated: bool


_NO_FIELDS: Final = _Fields(-1, None, None, authenticated=False)


def read_refusal(text: bytes, known_client: bytes) -> Refusal | None:
    """Read a message that begins like one of `REFUSALS`; None where it is of another shape.

    `known_client` is the address of the message's client, which is what a header or body check
    is attributed to; those have no client field that comes before the client's own text.
    """
    plain = PLAIN_REFUSAL.match(text)
    if plain is not None:
        client, status, reply, sender, recipient = plain.groups()
        outcome = reply_outcome(b"RCPT", status, reply, False)
        return Refusal(b"RCPT", client, decoded(sender), decoded(recipient), False, outcome)
    beginning = _BEGINNING.match(text)
    if beginning is None:
        return None
    milter, action, content, where, client = beginning.groups()
    reply_at = beginning.end()
    if content is not None:
        where, client, outcome = content, known_client, Outcome.REJECT_CONTENT
        fields = _content_fields(text, reply_at, known_client)
    else:
        fields = _fields_after(text, reply_at)
        reply = text[reply_at : _reply_end(text, reply_at, fields)]
        echo_bytes = max(
            _echo_bytes(text, reply_at, address) for address in (fields.sender, fields.recipient)
        )
        outcome = refusal_outcome(where, reply, by_milter=milter is not None, echo_bytes=echo_bytes)
    outcome = _OUTCOMES.get(action, outcome)
    return Refusal(
        where, client or b"", fields.sender, fields.recipient, fields.authenticated, outcome
    )


def _reply_end(line: bytes, reply: int, fields: _Fields) -> int:
    """Find where the reply text ends: at its fields, or at what looks like them in a cut line."""
    if fields.start >= 0:
        return fields.start
    ends = [line.find(mark, reply) for mark in (_FROM, b"; to=<", b"; proto=")]
    return min((end for end in ends if end >= 0), default=len(line))


def _fields_after(line: bytes, reply: int) -> _Fields:
    """Give the fields behind the reply that begins at `reply` (`_NO_FIELDS` where none fit)."""
    place = line.find(_FROM, reply)
    if place < 0:
        return _NO_FIELDS
    first = _fields_at(line, place)
    if first is not None and line.find(_FROM, place + 1) < 0:
        return first
    echoed, echo_bytes = first, 0
    for _ in range(_MOST_PLACES):
        if place < 0:
            break
        found = _fields_at(line, place)
        if found is not None:
            first = first or found
            echo = max(
                _echo_bytes(line, reply, found.sender), _echo_bytes(line, reply, found.recipient)
            )
            if echo > echo_bytes:
                echoed, echo_bytes = found, echo
        place = line.find(_FROM, place + 1)
    return echoed or first or _NO_FIELDS


def _content_fields(line: bytes, at: int, client_ip: bytes) -> _Fields:
    """Give the fields of a header or body check, whose text begins at `at` (the last that fit)."""
    place = line.rfind(b"[" + client_ip + b"]" + _FROM, at)
    if place >= 0:
        found = _fields_at(line, place + len(client_ip) + 2)
        if found is not None:
            return found
    place = len(line)
    for _ in range(_MOST_PLACES):
        place = line.rfind(_FROM, at, place)
        if place < 0:
            break
        found = _fields_at(line, place)
        if found is not None:
            return found
    return _NO_FIELDS


def _fields_at(line: bytes, place: int) -> _Fields | None:
    """Read `; from=<S> to=<R> proto=P helo=<H>` (also with commas), the recipient optional."""
    at = place + len(_FROM)
    end = _field_end(line, at, _AFTER_SENDER)
    if end < 0 or end - at > LONGEST_ADDRESS:
        return None
    sender = decoded(line[at:end])
    recipient = None
    at = end + (3 if line[end + 1] == _COMMA else 2)
    if line.startswith(b"to=<", at):
        at += 4
        end = _field_end(line, at, _AFTER_RECIPIENT)
        if end < 0 or end - at > LONGEST_ADDRESS:
            return None
        recipient = decoded(line[at:end]) or None
        at = end + (3 if line[end + 1] == _COMMA else 2)
    rest = _PROTOCOL.match(line, at)
    if rest is None:
        return None
    return _Fields(place, sender, recipient, rest[1] is not None)


def _field_end(line: bytes, at: int, followers: tuple[bytes, ...]) -> int:
    """Find the `>` of a field that one of `followers` continues; -1 for none."""
    end = address_end(line, at)
    if end >= 0 and line.startswith(followers, end):
        return end
    # An unquoted address with `>` in it (internal form): the first `>` that fits.
    ends = [found for follower in followers if (found := line.find(follower, at)) >= 0]
    return min(ends, default=-1)


def _echo_bytes(line: bytes, reply: int, address: str | None) -> int:
    """Count the bytes of the address that the reply begins with; 0 for another or none.

    The reply holds the address as Postfix sees it, without the quotes of the fields.
    """
    if not address:
        return 0
    raw = address.encode()
    if raw[:1] == b'"':
        close = raw.rfind(b'"')
        raw = re.sub(rb"\\(.)", rb"\1", raw[1:close], flags=re.DOTALL) + raw[close + 1 :]
    start = line.find(b"<", reply, reply + 12)  # behind code and status
    return len(raw) if start >= 0 and line.startswith(b"<" + raw + b">: ", start) else 0
