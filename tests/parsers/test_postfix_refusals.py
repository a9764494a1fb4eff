import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.parsers import postfix, postfix_refusals
from pipelines.parsers.postfix_refusals import read_refusal
from tests.parsers.lines import MX_MS, line, parse, rows

REFUSED = "; from=<a@b.test> to=<u@example.org> proto=ESMTP helo=<x>"
POSTSCREEN = "; from=<a@b.test>, to=<u@example.org>, proto=ESMTP, helo=<x>"


@pytest.mark.parametrize(
    ("program", "text", "outcome"),
    [
        ("smtpd", "reject: RCPT from u[203.0.113.5]: 550 5.1.1 <u@example.org>: Recipient address "
         "rejected: User unknown in virtual mailbox table" + REFUSED, "REJECT_UNKNOWN_USER"),
        ("smtpd", "reject: RCPT from u[203.0.113.5]:4711: 450 4.1.1 <u@example.org>: Recipient "
         "address rejected: unverified address" + REFUSED, "DEFER_UNKNOWN_USER"),
        ("smtpd", "reject: RCPT from u[203.0.113.5]: 554 5.7.1 Service unavailable; Client host "
         "[203.0.113.5] blocked using zen.dnsbl.test; see the page" + REFUSED, "REJECT_BLOCKLIST"),
        ("smtpd", "reject: RCPT from u[203.0.113.5]: 554 5.7.1 <u[203.0.113.5]>: Client host "
         "rejected: Access denied" + REFUSED, "REJECT_BLOCKLIST"),
        ("smtpd", "reject: RCPT from u[203.0.113.5]: 450 4.7.25 Client host rejected: cannot find "
         "your hostname, [203.0.113.5]" + REFUSED, "DEFER_OTHER"),
        ("smtpd", "reject: RCPT from u[203.0.113.5]: 450 4.2.0 <u@example.org>: Recipient address "
         "rejected: Greylisted, see the anti-spam page" + REFUSED, "DEFER_OTHER"),
        ("smtpd", "reject: RCPT from u[203.0.113.5]: 450 4.7.1 Error: too many recipients from "
         "203.0.113.5" + REFUSED, "DEFER_RATE"),
        ("smtpd", "reject: RCPT from u[203.0.113.5]: 554 5.7.1 <u@example.org>: Relay access "
         "denied" + REFUSED, "REJECT_OTHER"),
        ("smtpd", "reject: RCPT from u[203.0.113.5]: 550 5.1.0 <a@b.test>: Sender address "
         "rejected: User unknown in local recipient table" + REFUSED, "REJECT_OTHER"),
        ("smtpd", "reject: RCPT from u[203.0.113.5]: 450 4.1.8 <spam@virus.test>: Sender address "
         "rejected: Domain not found" + REFUSED, "DEFER_OTHER"),
        ("smtpd", "milter-reject: RCPT from u[203.0.113.5]: 451 4.7.1 Try again later" + REFUSED,
         "DEFER_OTHER"),
        ("smtpd", "milter-reject: END-OF-MESSAGE from u[203.0.113.5]: 550 5.7.1 No" + REFUSED,
         "REJECT_CONTENT"),
        ("cleanup", "milter-reject: END-OF-MESSAGE from u[203.0.113.5]: 5.7.1 Spam message "
         "rejected" + REFUSED, "REJECT_CONTENT"),
        ("cleanup", "milter-reject: END-OF-MESSAGE from u[203.0.113.5]: 4.7.1 Service unavailable "
         "- try again later" + REFUSED, "DEFER_CONTENT"),
        ("smtpd", "discard: RCPT from u[203.0.113.5]: <u@example.org>: Recipient address triggers "
         "DISCARD action" + REFUSED, "DISCARD"),
        ("cleanup", "milter-discard: END-OF-MESSAGE from u[203.0.113.5]: milter triggers DISCARD "
         "action" + REFUSED, "DISCARD"),
        ("smtpd", "hold: RCPT from u[203.0.113.5]: <u@example.org>: Recipient address triggers HOLD"
         " action" + REFUSED, "ACCEPT"),
        ("smtpd", "redirect: RCPT from u[203.0.113.5]: <u@example.org>: Recipient address triggers"
         " REDIRECT x@example.org" + REFUSED, "ACCEPT"),
        ("smtpd", "milter-hold: RCPT from u[203.0.113.5]: milter triggers HOLD action" + REFUSED,
         "ACCEPT"),
        ("cleanup", "milter-hold: END-OF-MESSAGE from u[203.0.113.5]: milter triggers HOLD action"
         + REFUSED, "ACCEPT"),
        ("postscreen", "reject: RCPT from [203.0.113.5]:4711: 550 5.7.1 Service unavailable; client"
         " [203.0.113.5] blocked using zen.dnsbl.test" + POSTSCREEN, "REJECT_BLOCKLIST"),
        ("postscreen", "reject: RCPT from [203.0.113.5]:4711: 550 5.3.2 Service currently "
         "unavailable" + POSTSCREEN, "REJECT_BLOCKLIST"),
        ("postscreen", "reject: RCPT from [203.0.113.5]:4711: 450 4.3.2 Service currently "
         "unavailable" + POSTSCREEN, "DEFER_OTHER"),
        ("postscreen", "reject: RCPT from [203.0.113.5]:4711: 550 5.5.1 Protocol error"
         + POSTSCREEN, "REJECT_OTHER"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("queue_id", ["NOQUEUE", "A9434A1A3CD", "4bX1Kq2zQzz1vR"])
def test_a_refusal_is_an_event_with_its_cause(
    program: str, text: str, outcome: str, queue_id: str
) -> None:
    [row] = rows(parse([line(program, f"{queue_id}: {text}")], 9).events)
    assert row == (9, MX_MS, "203.0.113.5", "u@example.org", "a@b.test", outcome)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (("reject: CONNECT from u[203.0.113.5]: 554 5.7.1 <u[203.0.113.5]>: Client host rejected: "
         "Access denied; proto=SMTP"), [(None, None, "REJECT_BLOCKLIST")]),
        (("reject: EHLO from u[203.0.113.5]: 554 5.7.1 <spam.test>: Helo command rejected: Access "
         "denied; proto=SMTP helo=<spam.test>"), [(None, None, "REJECT_OTHER")]),
        (("reject: MAIL from u[203.0.113.5]: 554 5.7.1 <a@b.test>: Sender address rejected: Access "
         "denied; from=<a@b.test> proto=ESMTP helo=<x>"), [(None, "a@b.test", "REJECT_OTHER")]),
        (("reject: MAIL from u[203.0.113.5]: 450 4.1.8 <a@b.test>: Sender address rejected: Domain "
         "not found; from=<a@b.test> proto=ESMTP helo=<x>"), []),
        ("reject: RCPT from u[203.0.113.5]: 550 5.1.1 <u@example.org>: Recipient address rej",
         [(None, None, "REJECT_UNKNOWN_USER")]),
        (("reject: VRFY from u[203.0.113.5]: 550 5.1.1 <u@example.org>: Recipient address rejected:"
         " User unknown; to=<u@example.org> proto=ESMTP helo=<x>"), []),
        ("reject_warning: RCPT from u[203.0.113.5]: 550 5.1.1 <u@example.org>: No" + REFUSED, []),
        (("hold: CONNECT from u[203.0.113.5]: <u[203.0.113.5]>: Client host triggers HOLD action; "
         "proto=SMTP"), []),
        *((f"{action}: RCPT from u[203.0.113.5]: <u@example.org>: Recipient address triggers it"
           + REFUSED, []) for action in ("info", "warn", "filter", "bcc", "prepend", "delay")),
    ],
)  # fmt: skip
def test_only_a_reject_may_lack_a_recipient(
    text: str, told: list[tuple[str | None, str | None, str]]
) -> None:
    parsed = parse([line("smtpd", f"NOQUEUE: {text}")])
    assert [row[3:] for row in rows(parsed.events)] == told
    assert len(told) + sum(parsed.kinds.values()) == 1


UNDELIVERABLE = "550 5.1.1 <u@example.org>: Recipient address rejected: undeliverable address: "
SAID = UNDELIVERABLE + "host mda.example.org[192.0.2.9] said: "


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (SAID + "550 5.1.1 <u@example.org>: User unknown (in reply to RCPT TO command)",
         "REJECT_UNKNOWN_USER"),
        (SAID + "552 5.2.2 <u@example.org>: User unknown to have space (in reply to RCPT TO)",
         "REJECT_OTHER"),
        (SAID + "552 Quota exceeded for this recipient", "REJECT_OTHER"),
        (SAID + "550-5.1.1 The email account that you tried to reach 550-5.1.1 is not here",
         "REJECT_UNKNOWN_USER"),
        (SAID + "550 5.1.1 <u@example.org>: undeliverable address: host b[192.0.2.8] said: 452 "
         "4.2.2 Mailbox full", "REJECT_OTHER"),
        (SAID + "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.test",
         "REJECT_OTHER"),
        (SAID + "550 nothing", "REJECT_UNKNOWN_USER"),
        (UNDELIVERABLE + "User unknown in virtual mailbox table", "REJECT_UNKNOWN_USER"),
        ("552 5.2.2 <u@example.org>: Recipient address rejected: unknown user, or mailbox full",
         "REJECT_OTHER"),
        ("450 4.2.2 <u@example.org>: Recipient address rejected: Mailbox is over quota",
         "DEFER_OTHER"),
        ("550 5.1.1 <u@example.org>: Recipient address rejected: spam blacklist",
         "REJECT_UNKNOWN_USER"),
        (("550 5.1.0 <a@b.test>: Sender address rejected: undeliverable address: host c[192.0.2.7] "
         "said: 550 5.1.1 User unknown"), "REJECT_OTHER"),
        (("554 5.7.1 <u@example.org>: Recipient address rejected: Blacklisted on this mail filter. "
         "Contact hd@example.net"), "REJECT_OTHER"),
        ("554 5.7.1 <a@b.test>: Sender address rejected: blacklisted", "REJECT_OTHER"),
        ("554 5.7.1 Service unavailable; Sender address [a@b.test] blocked using dbl.test",
         "REJECT_OTHER"),
        (("554 5.7.1 <u@example.org>: Recipient address rejected: Service unavailable; client "
         "[203.0.113.5] blocked using bl.test"), "REJECT_BLOCKLIST"),
        ("554 5.7.1 <u[203.0.113.5]>: Client host rejected: blacklisted", "REJECT_BLOCKLIST"),
        (("554 5.7.1 <u@example.org>: Recipient address rejected: SPF fails; see "
         "https://spf.test/?id=client-blacklist@b.test or ask client.blacklist@b.test"),
         "REJECT_OTHER"),
    ],
)  # fmt: skip
def test_the_innermost_reply_its_code_and_its_subject_decide_the_cause(
    reply: str, outcome: str
) -> None:
    text = f"NOQUEUE: reject: RCPT from u[203.0.113.5]: {reply}{REFUSED}"
    [row] = rows(parse([line("smtpd", text)]).events)
    assert row[-1] == outcome


def test_a_milter_that_lists_a_message_has_not_listed_its_client() -> None:
    text = "milter-reject: END-OF-MESSAGE from u[203.0.113.5]: 550 5.7.1 Blacklisted" + REFUSED
    [row] = rows(parse([line("smtpd", f"A9434A1A3CD: {text}")]).events)
    assert row[-1] == "REJECT_CONTENT"


@pytest.mark.parametrize("word", ["said: 550 5.1.1 x", "client blacklisted", "a>: user unknown"])
def test_a_sender_writes_no_cause(word: str) -> None:
    text = (
        f"reject: RCPT from u[203.0.113.5]: 554 5.7.1 <{word}@b.test>: Sender address rejected: "
        f'No; from=<"{word}"@b.test> to=<u@example.org> proto=ESMTP helo=<x>'
    )
    [row] = rows(parse([line("smtpd", f"NOQUEUE: {text}")]).events)
    assert row[-1] == "REJECT_OTHER"


WORDS = st.text("abU .:;,[]()@-5/", max_size=12).map(str.encode)
ATOMS = st.text("abU.@-;,:[]=+", max_size=8).map(str.encode)


@given(
    st.tuples(ATOMS, ATOMS.filter(bool), ATOMS, WORDS),
    st.sampled_from([b"", b":4711"]),
    st.sampled_from([b"", b","]),
)
def test_the_short_way_reads_what_the_long_way_reads(
    parts: tuple[bytes, bytes, bytes, bytes], port: bytes, comma: bytes
) -> None:
    sender, recipient, helo, reason = parts
    text = (
        b"reject: RCPT from unknown[203.0.113.5]%s: 550 5.1.1 <%s>: %s; from=<%s>%s to=<%s>%s"
        b" proto=ESMTP%s helo=<%s>"
        % (port, recipient, reason, sender, comma, recipient, comma, comma, helo)
    )
    short = read_refusal(text, b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postfix_refusals, "PLAIN_REFUSAL", re.compile(b"never"))
        assert read_refusal(text, b"") == short


@given(
    st.sampled_from([b"NOQUEUE", b"A9434A1A3CD"]),
    st.sampled_from([b"", b" sasl_username=me"]),
    st.sampled_from([b"203.0.113.5", b"127.0.0.1", b"203.0.113.500", b"2001:db8::5"]),
    st.sampled_from([b"", b"\r", b" "]),
)
def test_the_short_way_of_the_loop_gives_the_same_events(
    queue_id: bytes, authenticated: bytes, client: bytes, ending: bytes
) -> None:
    text = (
        b"%s: reject: RCPT from unknown[%s]: 550 5.1.1 <u@example.org>: User unknown; from=<>"
        b" to=<u@example.org> proto=ESMTP helo=<x>%s%s" % (queue_id, client, authenticated, ending)
    )
    lines = [line("smtpd", text)] * 2  # the first one makes the address known
    short = parse(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postfix, "PLAIN_REFUSAL", re.compile(b"never"))
        long = parse(lines)
    assert rows(short.events) == rows(long.events)
    assert short.events.outcome == long.events.outcome
    assert (short.rejects, short.kinds) == (long.rejects, long.kinds)
