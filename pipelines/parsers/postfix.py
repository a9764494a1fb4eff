"""Events out of raw Postfix logs: one event per message and recipient, and per refusal.

The page of this folder has the table of lines and what becomes of each.

Each line is either the record of an event (of several where it stands for repeats), or a `Reject`,
or counted in `kinds`, exactly once.
"""

from collections.abc import Collection, Sequence
from typing import Final

from detector.events.contract import OUTBOUND, EventLists, Outcome, Reject
from detector.events.decode import OVERSIZED
from pipelines.parsers.parsed import Parsed
from pipelines.parsers.postfix_causes import reply_outcome
from pipelines.parsers.postfix_clients import Clients
from pipelines.parsers.postfix_kinds import SkippedLines
from pipelines.parsers.postfix_lines import (
    LONGEST_ADDRESS,
    delivery_recipient,
    is_queue_id,
    moved_ids,
    proxied_key,
)
from pipelines.parsers.postfix_memory import CLIENT, DIRECTION, ParserMemory
from pipelines.parsers.postfix_refusals import PLAIN_REFUSAL, REFUSALS, read_refusal
from pipelines.parsers.postfix_tags import (
    CLEANUP,
    DELIVERY,
    INSTANCE_SHIFT,
    OTHER_PROGRAM,
    PICKUP,
    PROGRAM_MASK,
    QMGR,
    QUIET_NAMES,
    SMTPD,
    looks_like_postfix,
)
from pipelines.parsers.site import Site
from pipelines.parsers.syslog_time import SyslogTime
from pipelines.parsers.syslog_wrapping import MOST_REPEATS, unwrapped

__all__ = ["Parsed", "PostfixParser", "looks_like_postfix"]

_EXCERPT_BYTES: Final = 200
_BELOW_G, _COLON = b"G:"
_NO_MAIL: Final = {b"VRFY", b"ETRN"}
_CONTENT_CHECK: Final = {b"header", b"body", b"content"}
_END_OF_MESSAGE: Final = {b"END-OF-MESSAGE", b"DATA content", *_CONTENT_CHECK}
_MAY_LACK_RECIPIENT: Final = range(Outcome.REJECT_OTHER, Outcome.DEFER_OTHER)

_NOTHING_SAID: Final = Site()


class PostfixParser(ParserMemory):
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
        super().__init__(SyslogTime(reference_ms, utc_offset_s), most_open, site.copies)
        self._clients = Clients(trusted_relays, site.networks)
        self._skipped = SkippedLines()
        self._count, self._note = self._skipped.count, self._skipped.note
        self._fresh()

    def refer_to(self, reference_ms: int, utc_offset_s: int) -> None:
        """Read what follows by another latest time and zone: a log that grows outlives both."""
        self._time = SyslogTime(reference_ms, utc_offset_s, self._time.newest_day)

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

    def feed(self, lines: Sequence[bytes], first_position: int) -> Parsed:
        """Read lines without their LF; a line's position is `first_position` plus its index."""
        self._fresh()
        self._read(lines, first_position)
        return self._parsed(lines)

    def _read(  # noqa: C901, PLR0912, PLR0915 - the hot path: a call a line would halve its speed
        self, lines: Sequence[bytes], first_position: int
    ) -> None:
        events, held = self._events, self._held
        add_record, add_time = events.record.append, events.time_ms.append
        add_client, add_recipient = events.client_ip.append, events.recipient.append
        add_sender, add_outcome = events.sender.append, events.outcome.append
        messages, most_open, copies = self._messages, self._most_open, self._copies
        plain_clients, addresses = self._clients.plain, self._clients.addresses
        suffixes = self._tags.suffixes
        head, head_end, zone_at, zone = b"\n", 0, 0, b""
        second = now = body = 0
        host, framed, rest = b"", False, b""
        tags: dict[bytes, int] = {}
        quiet = [0] * len(QUIET_NAMES)
        connects = disconnects = clients = senders = ends = ids = repeats = copied = 0
        skipped = self._skipped

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
                    self._last.put(host, rest, framed=framed)
                    host, framed = prefix.host, prefix.framed
                    rest = self._last.of(host, framed=framed)
                    tags = self._tags.of_host(host, framed=framed)

            # A find, or a startswith with an offset, costs as much as this whole split.
            previous, rest = rest, line[body:]
            try:
                tag, word, text = rest.split(b" ", 2)
                code = tags[tag]
            except (KeyError, ValueError):
                if b"last message repeated " in rest[:48]:
                    rest = self._unwrap(line[:body], rest, previous, position)
                    continue
                code, start = self._tags.read(line, body, host, framed=framed)
                word, _, text = line[start:].partition(b" ")
            if code < 0:
                if code == PICKUP or word == b"Requeue:":
                    self._move(moved_ids(line, body, word, text), host)
                elif code == OTHER_PROGRAM and skipped.is_like_mail(line, body):
                    continue
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
                        if word != b"NOQUEUE:":
                            self._count("smtpd client without a queue id")
                            continue
                        self._count("smtpd client of a filtered message")
                        key = proxied_key(tag, host)
                    if key in messages:
                        self._forget(key)
                    client, direction = plain_clients.get(text[7:]), 0
                    if client is None:
                        found = self._clients.read(text, 7, messages, key[len(word) :])
                        if found is None:
                            self._reject(position, "bad_client_ip", "client: no address", line)
                            continue
                        client, direction = found
                    clients += word != b"NOQUEUE:"
                    if client:
                        if zone_at:
                            now = second + int(line[head_end : head_end + 3])
                        messages[key] = [now, client, None, None, direction]
                        if held:
                            for recipient in held.take(client.encode() + key[len(word) :]):
                                self._see(messages[key], recipient)
                        if len(messages) + self._more_recipients > most_open:
                            self._evict()
                    else:
                        skipped.begin_own(key, most_open)
                    continue
            elif program == QMGR:
                if text[:6] == b"from=<":
                    senders += 1
                    message = messages.get(key) or self._of_another_name(word, host)
                    if message is not None and message[2] is None:
                        if zone_at:
                            now = second + int(line[head_end : head_end + 3])
                        message[0] = now  # the session's client= line may be much older
                        end = text.rfind(b">, size=")
                        if 0 < end <= LONGEST_ADDRESS:
                            message[2] = text[6:end].decode("utf-8", "backslashreplace")
                    continue
                if text[:7] == b"removed":
                    ends += 1
                    message = messages.pop(key, None)
                    if message is None:
                        skipped.own.discard(key)
                    elif message[3].__class__ is set:
                        self._more_recipients -= len(message[3]) - 1
                    elif copies.known and copies.has(message[3] or b""):
                        ends -= 1
                        began, client, sender, seen, direction = message
                        recipient = seen.decode("utf-8", "backslashreplace")
                        self._add(position, began, client, recipient, sender, direction)
                    continue
            elif program == DELIVERY:
                if text[:4] == b"to=<":
                    message = messages.get(key) or self._of_another_name(word, host)
                    if message is None:
                        skipped.delivery(key, line)
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
            elif word == b"proxy-reject:" and program == SMTPD:
                if zone_at:
                    now = second + int(line[head_end : head_end + 3])
                self._proxy_refusal(text, proxied_key(tag, host), now, position)
            elif not word or word in {b"message", b"[ID"}:
                rest = self._unwrap(line[:body], rest, previous, position)
            else:
                skipped.message(program, word, text, line)

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
        self._last.put(host, rest, framed=framed)

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
        elif self._time.year_unclear:
            self._reject(
                position, "unclear_year", "the date lies more than half a year before that of an "
                "earlier line: a log without years in its dates may span at most one year; split "
                "it by year, or repair the clock", line,
            )  # fmt: skip
        else:
            self._reject(position, "bad_time", "want a syslog time and host at the start", line)

    def _unwrap(self, prefix: bytes, rest: bytes, previous: bytes, position: int) -> bytes:
        """Read a line that a syslog daemon has wrapped, or that says that another came again.

        Gives the line that it stands for.
        """
        text, times = unwrapped(rest, previous) or (rest, 0)
        if times > MOST_REPEATS:
            detail = f"repeated {times} times, want at most {MOST_REPEATS}"
            self._reject(position, "malformed_line", detail, prefix + rest)
        elif not times:
            kind = "postfix other" if text is rest else "repeated line"
            self._note(kind, prefix + rest)
            self._count(kind)
        else:
            events = self._events
            before = len(events)
            self._read([prefix + text], position)
            if times > 1 and len(events) > before:
                events.repeat_last(times - 1)
        return text

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

    def _proxy_refusal(self, text: bytes, key: bytes, now: int, position: int) -> None:
        """Read what a filter before the queue refused: its line does not repeat the client."""
        message = self._messages.get(key)
        where, found, reply = text.partition(b": ")
        if message is None or not found:
            self._count("refusal by a filter without a client")
            return
        named = b"reject: %b from x[%b]: %b" % (where, message[CLIENT].encode(), reply)
        self._refusal(named, key, SMTPD, now, position)

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
            if where in _END_OF_MESSAGE and outcome != Outcome.ACCEPT:
                self._forget(key)
        if not client:
            self._count("refusal of a client of our own")
        elif refusal.recipient is None and outcome not in _MAY_LACK_RECIPIENT:
            self._count(f"{outcome.name.partition('_')[0].lower()} without a recipient")
        elif outcome == Outcome.ACCEPT and not self._take(
            message, key, client, (refusal.recipient or "").encode()
        ):
            self._count("delivery again")
        else:
            self._add(position, now, client, refusal.recipient, refusal.sender, outcome | direction)
