"""Events out of raw Postfix logs: one event per message and recipient, and per refusal.

How lines become events:

| line | becomes |
|---|---|
| `smtpd[..]: ID: client=name[ip]` | a message begins: its client and arrival time |
| `qmgr[..]: ID: from=<..>, size=` | its sender |
| first `ID: to=<..>` of a recipient | ACCEPT, dated by the arrival; `orig_to` is the recipient |
| later `ID: to=<..>` of that recipient | nothing: a retry inside our server is no new attempt |
| `to=` of a mailbox that gets copies | nothing, unless the message has no other recipient |
| `ID: removed` | the message ends; its queue id may come again |
| `reject:` `milter-reject:` | REJECT on 5xx, DEFER on 4xx, with a cause |
| `discard:` `milter-discard:` | DISCARD |
| `reject: header` or `body` (cleanup) | REJECT_CONTENT, the client from the message's `client=` |

Outbound: mail that one of our users (`sasl_username=`) or a host of the site's networks submits;
all its events carry `OUTBOUND`, also refusals, where the refusal itself names them.

A client behind a relay: `orig_client=` counts where the client is a trusted relay or on our own
machine (a proxy or filter). A message that comes back from a filter of ours, which is one from a
loopback address without `orig_client`, or one whose `orig_queue_id` is an open message, is no
second event. Mail from `pickup` and our own bounces has no client and gives no event.

Queue ids are joined per host and Postfix instance (the first word of the tag): a log of many
servers may be one file.

Each line is either the record of one event, or a `Reject`, or counted in `kinds`, exactly once.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from detector.events.contract import OUTBOUND, EventLists, Outcome, Reject
from detector.events.decode import OVERSIZED
from pipelines.parsers.parsed import Parsed
from pipelines.parsers.postfix_causes import reply_outcome
from pipelines.parsers.postfix_clients import Clients
from pipelines.parsers.postfix_copies import Copies
from pipelines.parsers.postfix_kinds import SkippedLines, kind_of
from pipelines.parsers.postfix_lines import LONGEST_ADDRESS, delivery_recipient, is_queue_id
from pipelines.parsers.postfix_messages import (
    CLIENT,
    DIRECTION,
    SEEN,
    Message,
    read_messages,
    written_messages,
)
from pipelines.parsers.postfix_refusals import PLAIN_REFUSAL, REFUSALS, read_refusal
from pipelines.parsers.postfix_tags import (
    CLEANUP,
    DELIVERY,
    INSTANCE_SHIFT,
    PROGRAM_MASK,
    QMGR,
    QUIET_NAMES,
    SMTPD,
    TagTable,
    looks_like_postfix,
)
from pipelines.parsers.site import Site
from pipelines.parsers.syslog_time import SyslogTime

__all__ = ["Parsed", "PostfixParser", "looks_like_postfix"]

_EXCERPT_BYTES: Final = 200
_BELOW_G, _COLON = b"G:"
_NO_MAIL: Final = {b"VRFY", b"ETRN"}
_CONTENT_CHECK: Final = {b"header", b"body", b"content"}
_END_OF_MESSAGE: Final = {b"END-OF-MESSAGE", b"DATA content", *_CONTENT_CHECK}
_MAY_LACK_RECIPIENT: Final = range(Outcome.REJECT_OTHER, Outcome.DEFER_OTHER)

_NOTHING_SAID: Final = Site()


class PostfixParser:
    """Reads one log, in order, in runs of any length; how it is split changes nothing.

    Args:
        reference_ms: Latest plausible time, Unix ms, for dates without a year.
        utc_offset_s: Seconds east of UTC, for times without a zone.
        trusted_relays: Addresses and networks whose `orig_client=` is believed.
        site: What the operator says of the site.
        most_open: Bound of what is remembered: open messages, and their recipients beyond the
            first. Past it the oldest quarter is forgotten; what those messages deliver later
            makes no event.

    Raises:
        ValueError: A relay or a network of `site` is no address or network.
    """

    def __init__(
        self,
        *,
        reference_ms: int,
        utc_offset_s: int = 0,
        trusted_relays: Collection[str] = (),
        site: Site = _NOTHING_SAID,
        most_open: int = 131_072,
    ) -> None:
        self._time = SyslogTime(reference_ms, utc_offset_s)
        self._tags = TagTable()
        self._clients = Clients(trusted_relays, site.networks)
        self._copies = Copies(site.copies)
        self._messages: dict[bytes, Message] = {}
        self._most_open = most_open
        self._more_recipients = 0
        self._skipped = SkippedLines()
        self._count, self._note = self._skipped.count, self._skipped.note
        self._fresh()

    def refer_to(self, reference_ms: int, utc_offset_s: int) -> None:
        """Read what follows by another latest time and zone: a log that grows outlives both."""
        self._time = SyslogTime(reference_ms, utc_offset_s)

    def state(self) -> dict[str, Any]:
        """Give what is remembered of the lines so far, as plain JSON: open messages, instances."""
        return {
            "instances": self._tags.state(),
            "copies": self._copies.state(),
            "messages": written_messages(self._messages),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on, as a new parser, where another one gave its `state`.

        Raises:
            KeyError, TypeError, ValueError: it is no state of a parser.
        """
        self._tags.restore(state["instances"])
        if "copies" in state:  # not written before 0.2
            self._copies.restore(state["copies"])
        self._messages, self._more_recipients = read_messages(state["messages"])

    def _fresh(self) -> None:
        self._events = EventLists()
        self._rejects: list[Reject] = []
        self._skipped.fresh()
        self._evicted = 0

    def finish(self) -> Parsed:
        """End the log: nothing more comes, since a message is an event from its first delivery."""
        self._messages.clear()
        self._more_recipients = 0
        self._fresh()
        return self._parsed(())

    def feed(  # noqa: C901, PLR0912, PLR0915 - the hot path: a call a line would halve its speed
        self, lines: Sequence[bytes], first_position: int
    ) -> Parsed:
        """Read lines without their LF; a line's position is `first_position` plus its index."""
        self._fresh()
        events = self._events
        add_record, add_time = events.record.append, events.time_ms.append
        add_client, add_recipient = events.client_ip.append, events.recipient.append
        add_sender, add_outcome = events.sender.append, events.outcome.append
        messages, most_open, copies = self._messages, self._most_open, self._copies
        plain_clients, addresses = self._clients.plain, self._clients.addresses
        suffixes = self._tags.suffixes
        head, head_end, zone_at, zone = b"\n", 0, 0, b""
        second = now = body = 0
        host, framed = b"", False
        tags: dict[bytes, int] = {}
        quiet = [0] * len(QUIET_NAMES)
        connects = disconnects = clients = senders = ends = ids = repeats = strangers = copied = 0

        for position, line in enumerate(lines, first_position):
            if line[:head_end] != head or (
                zone_at and not (line[zone_at:body] == zone and line[head_end:zone_at].isdigit())
            ):
                prefix = self._time.read(line)
                if prefix is None:
                    self._no_prefix(line, position)
                    continue
                second, now, body, head = prefix.second_ms, prefix.time_ms, prefix.body, prefix.head
                head_end, zone_at, zone = len(head), prefix.zone_at, prefix.zone
                if prefix.host != host or prefix.framed != framed:
                    host, framed = prefix.host, prefix.framed
                    tags = self._tags.of_host(host, framed=framed)

            # A find, or a startswith with an offset, costs as much as this whole split.
            try:
                tag, word, text = line[body:].split(b" ", 2)
                code = tags[tag]
            except (KeyError, ValueError):
                code, start = self._tags.read(line, body, host, framed=framed)
                word, _, text = line[start:].partition(b" ")
            if code < 0:
                if not quiet[~code]:
                    self._note(QUIET_NAMES[~code], line)
                quiet[~code] += 1
                continue
            program = code & PROGRAM_MASK
            if program == SMTPD:
                if word == b"connect":
                    connects += 1
                    continue
                if word == b"disconnect":
                    disconnects += 1
                    continue
            key = word if code <= PROGRAM_MASK else word + suffixes[code >> INSTANCE_SHIFT]

            if program == SMTPD:
                if text[:7] == b"client=":
                    if not word or word[0] >= _BELOW_G or word[-1] != _COLON:
                        self._count("smtpd client without a queue id")
                        continue
                    if key in messages:
                        self._forget(key)
                    client, direction = plain_clients.get(text[7:]), 0
                    if client is None:
                        found = self._clients.read(text, 7, messages, key[len(word) :])
                        if found is None:
                            self._reject(position, "bad_client_ip", "client: no address", line)
                            continue
                        client, direction = found
                    clients += 1
                    if client:
                        if zone_at:
                            now = second + int(line[head_end : head_end + 3])
                        messages[key] = [now, client, None, None, direction]
                        if len(messages) + self._more_recipients > most_open:
                            self._evict()
                    continue
            elif program == QMGR:
                if text[:6] == b"from=<":
                    senders += 1
                    message = messages.get(key)
                    if message is not None and message[2] is None:
                        end = text.rfind(b">, size=")
                        if 0 < end <= LONGEST_ADDRESS:
                            message[2] = text[6:end].decode("utf-8", "backslashreplace")
                    continue
                if text[:7] == b"removed":
                    ends += 1
                    message = messages.pop(key, None)
                    if message is not None and message[3].__class__ is set:
                        self._more_recipients -= len(message[3]) - 1
                    elif message is not None and copies.known and copies.has(message[3] or b""):
                        ends -= 1
                        began, client, sender, seen, direction = message
                        recipient = seen.decode("utf-8", "backslashreplace")
                        self._add(position, began, client, recipient, sender, direction)
                    continue
            elif program == DELIVERY:
                if text[:4] == b"to=<":
                    message = messages.get(key)
                    if message is None:
                        if not strangers:
                            self._note("delivery of a message without a client", line)
                        strangers += 1
                        continue
                    recipient, found_relay, _ = text.partition(b">, relay=")
                    if found_relay and b">" not in recipient and recipient[4:5] != b'"':
                        recipient = recipient[4:]
                    else:
                        recipient = delivery_recipient(text)
                    if not 0 < len(recipient) <= LONGEST_ADDRESS:
                        self._reject(position, "malformed_line", "delivery: no recipient", line)
                        continue
                    seen = message[3]
                    if seen is None:
                        message[3] = recipient
                        copies.messages += 1
                    elif seen == recipient or (seen.__class__ is set and recipient in seen):
                        repeats += 1
                        continue
                    else:
                        self._see_another(message, recipient)
                    if copies.known and copies.has(recipient):
                        copied += 1
                        continue
                    add_record(position)
                    add_time(message[0])
                    add_client(message[1])
                    add_recipient(recipient.decode("utf-8", "backslashreplace"))
                    add_sender(message[2])
                    add_outcome(message[4])
                    continue
            elif program == CLEANUP and text[:11] == b"message-id=":
                ids += 1
                continue
            if word == b"NOQUEUE:":  # most refusals, in short
                plain = PLAIN_REFUSAL.match(text)
                client = plain and addresses.get(plain[1])
                if plain is not None and client:
                    if zone_at:
                        now = second + int(line[head_end : head_end + 3])
                    _, status, reply, sender, recipient = plain.groups()
                    add_record(position)
                    add_time(now)
                    add_client(client)
                    add_recipient(recipient.decode("utf-8", "backslashreplace"))
                    add_sender(sender.decode("utf-8", "backslashreplace"))
                    add_outcome(int(reply_outcome(b"RCPT", status, reply, False)))
                    continue
            if text.startswith(REFUSALS) and (word == b"NOQUEUE:" or is_queue_id(word)):
                if zone_at:
                    now = second + int(line[head_end : head_end + 3])
                self._refusal(text, key, program, now, position)
            else:
                kind = kind_of(program, word, text)
                self._note(kind, line)
                self._count(kind)

        for name, count in zip(QUIET_NAMES, quiet, strict=True):
            self._count(name, count)
        self._count("smtpd connect", connects)
        self._count("smtpd disconnect", disconnects)
        self._count("smtpd client", clients)
        self._count("qmgr from", senders)
        self._count("qmgr removed", ends)
        self._count("cleanup message-id", ids)
        self._count("delivery again", repeats)
        self._count("delivery of a copy", copied)
        self._count("delivery of a message without a client", strangers)
        return self._parsed(lines)

    def _parsed(self, lines: Sequence[bytes]) -> Parsed:
        kinds, examples = self._skipped.found(lines)
        return Parsed(self._events, self._rejects, kinds, self._evicted, examples)

    def _reject(self, position: int, reason: str, detail: str, line: bytes) -> None:
        self._rejects.append(Reject(position, reason, detail, line[:_EXCERPT_BYTES]))

    def _no_prefix(self, line: bytes, position: int) -> None:
        if line.startswith(OVERSIZED):
            self._reject(position, "oversized", "the line is longer than the limit", line)
        elif not line.strip():
            self._count("empty line")
        else:
            self._reject(position, "bad_time", "want a syslog time and host at the start", line)

    def _add(
        self, position: int, time_ms: int, client: str, recipient: str | None,
        sender: str | None, outcome: int,
    ) -> None:  # fmt: skip
        """Make an event."""
        events = self._events
        events.record.append(position)
        events.time_ms.append(time_ms)
        events.client_ip.append(client)
        events.recipient.append(recipient)
        events.sender.append(sender)
        events.outcome.append(outcome)

    def _see_another(self, message: Message, recipient: bytes) -> None:
        """Note a recipient beyond the first."""
        if message[SEEN].__class__ is not set:
            self._copies.see(message[SEEN], 1)
            message[SEEN] = {message[SEEN]}
        message[SEEN].add(recipient)
        self._copies.see(recipient, len(message[SEEN]))
        self._more_recipients += 1
        if len(self._messages) + self._more_recipients > self._most_open:
            self._evict()

    def _forget(self, key: bytes) -> None:
        message = self._messages.pop(key, None)
        if message is not None and message[SEEN].__class__ is set:
            self._more_recipients -= len(message[SEEN]) - 1

    def _evict(self) -> None:
        """Forget the oldest open messages, a quarter at a time, until a quarter is free."""
        while len(self._messages) + self._more_recipients > self._most_open * 3 // 4:
            oldest = list(islice(self._messages, len(self._messages) // 4 + 1))
            for key in oldest:
                self._forget(key)
            self._evicted += len(oldest)

    def _refusal(self, text: bytes, key: bytes, program: int, now: int, position: int) -> None:
        """Read `reject: ...` and its kin of the message `key`."""
        message = self._messages.get(key)
        refusal = read_refusal(text, message[CLIENT].encode() if message else b"")
        if refusal is None or refusal.where in _NO_MAIL:
            self._count("refusal of something else")
            return
        where, outcome = refusal.where, refusal.outcome
        if where in _CONTENT_CHECK and (message is None or program != CLEANUP):
            self._count("content check of a message without a client")
            return
        client = self._clients.address(refusal.client)
        if client is None:
            self._reject(position, "bad_client_ip", "refusal: no client address", text)
            return
        direction = OUTBOUND if refusal.authenticated or self._clients.is_own(client) else 0
        if message is not None:
            client = self._clients.behind(client, message[CLIENT])
            direction |= message[DIRECTION]
            if where in _END_OF_MESSAGE:
                self._forget(key)
        if not client:
            self._count("refusal of a client of our own")
        elif refusal.recipient is None and outcome not in _MAY_LACK_RECIPIENT:
            self._count(f"{outcome.name.partition('_')[0].lower()} without a recipient")
        else:
            self._add(position, now, client, refusal.recipient, refusal.sender, outcome | direction)
