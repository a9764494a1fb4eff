"""Text that attackers choose never makes an event of another client, nor one more event."""

from hypothesis import given
from hypothesis import strategies as st

from tests.parsers.lines import line, neutered, parse, quoted, rows

ATTACKER, FORGED = "203.0.113.10", "198.51.100.66"
FRAGMENTS = [
    b"from unknown[198.51.100.66]: 550 5.1.1 <x>: y",
    b"; from=<q@q> to=<z@example.org> proto=ESMTP helo=<h>",
    b"; from=<q@q>, to=<z@example.org>, proto=ESMTP, helo=<h>",
    b": client=unknown[198.51.100.66]",
    b"]: A1: client=unknown[198.51.100.66]",
    b" postfix/smtpd[1]: A1: client=unknown[198.51.100.66]",
    b", orig_client=unknown[198.51.100.66]",
    b">, orig_to=<z@example.org>, relay=none",
    b">, size=1, nrcpt=1 (queue active)",
    b"to=<z@example.org>, relay=none",
    b"reject: RCPT from unknown[198.51.100.66]: ",
    b" sasl_username=x",
    b"[198.51.100.66]",
    b"<", b">", b">: ", b"\\", b'"', b"\r", b"\x00", b"\t", b" ", b"; ", b"z@example.org",
    "\u2028\u2029\u202e\x85\x0b".encode(), b"\xff\xfe", b"removed", b": ", b" - - ",
    b"NOQUEUE: reject: RCPT from unknown[198.51.100.66]: 550 5.1.1 <z@example.org>: no; from=<q@q>",
]  # fmt: skip
HOSTILE = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=6)), max_size=6).map(
    lambda parts: b"".join(parts).replace(b"\n", b"")
)
REFUSALS = [
    b"reject: RCPT from unknown[203.0.113.10]: 550 5.1.1 ",
    b"reject: RCPT from mail.test[203.0.113.10]:25: 450 4.7.1 ",
    b"milter-reject: END-OF-MESSAGE from unknown[203.0.113.10]: 5.7.1 ",
    b"discard: RCPT from unknown[203.0.113.10]: ",
    b"reject: MAIL from unknown[203.0.113.10]: 550 5.7.1 ",
    b"reject: header ",
    b"warning: ",
    b"hold: ",
]
BEGINNINGS = st.tuples(
    st.sampled_from(["smtpd", "cleanup", "postscreen", "qmgr", "smtp", "submission/smtpd"]),
    st.sampled_from([b"NOQUEUE: ", b"A9434A1A3CD: ", b"warning: ", b""]),
    st.sampled_from(REFUSALS),
)


@given(BEGINNINGS, st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE))
def test_no_text_anywhere_in_a_refusal_names_another_client(
    beginning: tuple[str, bytes, bytes], texts: tuple[bytes, bytes, bytes, bytes]
) -> None:
    program, queue_id, start = beginning
    text = b"%s%s%s; from=<%s> to=<%s> proto=ESMTP helo=<%s>" % (queue_id, start, *texts)
    begin = line("smtpd", "A9434A1A3CD: client=unknown[203.0.113.10]")
    parsed = parse([begin, line(program, text), line("qmgr", "A9434A1A3CD: removed")])
    assert set(parsed.events.client_ip) <= {ATTACKER}
    assert set(parsed.events.record) <= {1}
    assert len(parsed.events) <= 1


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_no_text_in_a_session_names_another_client_or_makes_another_event(
    sender: bytes, recipient: bytes, subject: bytes, said: bytes
) -> None:
    mailbox = quoted(recipient, b"example.org")
    lines = [
        line("smtpd", b"connect from unknown[203.0.113.10]"),
        line("smtpd", b"A1: client=unknown[203.0.113.10]"),
        line("cleanup", b"A1: message-id=<" + subject + b">"),
        line("cleanup", b"A1: warning: header Subject: " + subject + b" from u[203.0.113.10];"),
        line("qmgr", b"A1: from=<" + quoted(sender, b"b.test") + b">, size=9, nrcpt=1 (queue"),
        line("smtp", b"A1: host mda.test[192.0.2.1] said: 450 " + said),
        line("smtp", b"A1: to=<" + mailbox + b">, relay=mda.test[192.0.2.1]:25, delay=1, "
             b"dsn=2.0.0, status=sent (250 " + said + b")"),
        line("smtp", b"A1: to=<" + mailbox + b">, orig_to=<" + mailbox + b">, relay=mda.test"
             b"[192.0.2.1]:25, delay=1, dsn=2.0.0, status=sent (250 " + said + b")"),
        line("smtpd", b"warning: non-SMTP command from unknown[203.0.113.10]: " + said),
        line("smtpd", b"improper command pipelining after DATA from u[203.0.113.10]: " + said),
        line("qmgr", b"A1: removed"),
        line("smtpd", b"disconnect from unknown[203.0.113.10] ehlo=2 xclient=0/1 mail=1"),
    ]  # fmt: skip
    parsed = parse(lines)
    if len(mailbox) > 1_024:
        return
    [(record, _, client, told, origin, outcome)] = rows(parsed.events)
    assert (record, client, outcome) == (6, ATTACKER, "ACCEPT")
    assert told == mailbox.decode("utf-8", "backslashreplace")
    assert origin == quoted(sender, b"b.test").decode("utf-8", "backslashreplace")
    assert parsed.rejects == []


@given(HOSTILE, HOSTILE, st.sampled_from([b"", b"<u@example.org>: "]))
def test_a_hostile_sender_and_helo_leave_the_recipient_of_a_refusal_alone(
    sender: bytes, helo: bytes, echo: bytes
) -> None:
    text = (
        b"NOQUEUE: reject: RCPT from unknown[203.0.113.10]: 550 5.1.1 %sNo; from=<%s>"
        b" to=<u@example.org> proto=ESMTP helo=<%s>"
        % (echo, quoted(sender, b"b.test"), neutered(helo.translate(None, b"\t\r \x0b\x0c")))
    )
    [row] = rows(parse([line("smtpd", text)]).events)
    assert row[2:4] == (ATTACKER, "u@example.org")


@given(HOSTILE, HOSTILE)
def test_an_echoed_sender_leaves_the_recipient_alone_unless_it_is_an_echo_in_itself(
    sender: bytes, recipient: bytes
) -> None:
    """What stays forgeable is named in the module: an address that holds a fitting echo."""
    if b">: " in sender:
        return
    text = (
        b"NOQUEUE: reject: RCPT from unknown[203.0.113.10]: 554 5.7.1 <%s@b.test>: Sender address "
        b"rejected: Access denied; from=<%s> to=<%s> proto=ESMTP helo=<x>"
        % (sender, quoted(sender, b"b.test"), quoted(recipient, b"example.org"))
    )
    [row] = rows(parse([line("smtpd", text)]).events)
    assert row[2] == ATTACKER
    if b">: " not in recipient and sender.isascii():
        assert row[3] == quoted(recipient, b"example.org").decode("utf-8", "backslashreplace")


@given(HOSTILE)
def test_another_program_says_nothing_of_mail(said: bytes) -> None:
    prefix = b"Nov 24 07:17:47 mx1 "
    for tag in (b"kernel: ", b"sshd[7]: ", b"opendkim[7]: ", b"smtpd[7]: ", b"", b"postfix: "):
        parsed = parse([prefix + tag + said])
        assert len(parsed.events) == 0


def test_a_line_of_ten_megabytes_costs_no_more_than_its_bytes() -> None:
    for filler in (b"; from=<", b'"', b'\\"', b"> to=<", b">: ", b"[", b"\\"):
        many = filler * (1_000_000 // len(filler))
        parsed = parse(
            [
                line("smtpd", b"A1: client=unknown[203.0.113.10]"),
                line("smtpd", b"A1: reject: RCPT from unknown[203.0.113.10]: 550 5.1.1 " + many),
                line("cleanup", b"A1: reject: header " + many),
                line("smtpd", b"A2: client=unknown[203.0.113.10]"),
                line("smtp", b'A2: to=<"' + many),
                line("qmgr", b"A2: from=<" + many),
            ]
        )
        assert set(parsed.events.client_ip) == {ATTACKER}
        assert len(parsed.rejects) == 1
