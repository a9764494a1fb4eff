from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.events.contract import OUTBOUND, Outcome
from pipelines.parsers.postfix import PostfixParser, looks_like_postfix
from pipelines.parsers.postfix_kinds import LIKE_MAIL
from tests.parsers.lines import MX, MX_MS, REFERENCE_MS, Row, line, message, parse, rows

REAL = Path(__file__).parent / "real"


@pytest.mark.parametrize(("log", "wanted"), [("mx", "events"), ("actions", "actions-events")])
def test_a_real_log_gives_the_events_that_were_checked_by_hand(log: str, wanted: str) -> None:
    lines = (REAL / f"{log}.txt").read_bytes().split(b"\n")[:-1]
    parsed = parse(lines, 1)
    told = [
        (str(record), client, str(recipient), str(sender), outcome)
        for record, _, client, recipient, sender, outcome in rows(parsed.events)
    ]
    checked = (REAL / f"{wanted}.txt").read_text("utf-8").split("\n")[:-1]
    assert told == [tuple(row.split("\t")) for row in checked]
    assert parsed.rejects == []
    assert len(told) + sum(parsed.kinds.values()) == len(lines)


def test_a_delivery_is_dated_by_the_arrival_of_its_message() -> None:
    lines = message("A9434A1A3CD", sender="news@big.test")
    lines[3] = lines[3].replace(b"07:17:47", b"07:19:00")
    [row] = rows(parse(lines, 100).events)
    assert row == (103, MX_MS, "203.0.113.5", "u@example.org", "news@big.test", "ACCEPT")


def test_a_retry_inside_our_server_is_not_another_attempt() -> None:
    lines = message("4bX1Kq2zQzz1vR", recipients=("u@example.org", "v@example.org"))
    lines[4:4] = [lines[3], lines[3]]
    parsed = parse(lines)
    assert [row[3] for row in rows(parsed.events)] == ["u@example.org", "v@example.org"]
    assert parsed.kinds["delivery again"] == 2


@pytest.mark.parametrize("ending", [[], [line("qmgr", "A1: removed")]])
def test_a_queue_id_that_comes_again_is_a_new_message(ending: list[bytes]) -> None:
    first = message("A1", client="unknown[203.0.113.5]")[:-1]
    again = message("A1", client="mail.test[2001:db8::7]", sender="")
    assert [(row[2], row[4]) for row in rows(parse([*first, *ending, *again]).events)] == [
        ("203.0.113.5", "a@b.test"),
        ("2001:db8::7", ""),
    ]


def test_queue_ids_of_other_hosts_and_instances_are_other_messages() -> None:
    here = message("A1", client="unknown[203.0.113.5]")
    there = [one.replace(b" mx1 ", b" mx2 ").replace(b".5]", b".6]") for one in here]
    beside = [one.replace(b"postfix/", b"postfix-in/").replace(b".5]", b".7]") for one in here]
    mixed = [one for three in zip(here, there, beside, strict=True) for one in three]
    assert [row[2] for row in rows(parse(mixed).events)] == [
        "203.0.113.5", "203.0.113.6", "203.0.113.7",
    ]  # fmt: skip


def test_a_service_of_its_own_name_shares_the_queue_of_its_instance() -> None:
    lines = message("A1")
    lines[0] = lines[0].replace(b"postfix/smtpd", b"postfix/mx-in/smtpd")
    assert len(parse(lines).events) == 1


def test_the_address_that_the_client_named_is_the_recipient() -> None:
    lines = message("A1", recipients=("a@store.test>, orig_to=<list@example.org",))
    lines += message("A2", recipients=("postmaster@mx.test>, orig_to=<postmaster",))
    assert [row[3] for row in rows(parse(lines).events)] == [
        "list@example.org",
        "postmaster@mx.test",
    ]


def test_mail_without_a_client_gives_no_event() -> None:
    lines = message("A1")
    lines[0] = line("pickup", "A1: uid=0 from=<root>")
    parsed = parse(lines)
    assert len(parsed.events) == 0
    assert parsed.kinds["delivery of a message without a client"] == 1


def test_mail_of_our_own_users_is_outbound() -> None:
    lines = message("A1", client="unknown[203.0.113.5], sasl_method=PLAIN, sasl_username=me")
    refused = (
        "NOQUEUE: reject: RCPT from unknown[203.0.113.5]: 550 5.1.1 <x@y.test>: Recipient address"
        " rejected: User unknown; from=<me@example.org> to=<x@y.test> proto=ESMTP helo=<pc>"
        " sasl_method=PLAIN sasl_username=me"
    )
    lines.append(line("smtpd", refused))
    assert parse(lines).events.outcome == [
        Outcome.ACCEPT + OUTBOUND,
        Outcome.REJECT_UNKNOWN_USER + OUTBOUND,
    ]


@pytest.mark.parametrize(
    "rest",
    [
        ", sasl_sender=a, sasl_method=PLAIN, sasl_username=me",
        ", sasl_sender=, sasl_username=me",
        ", sasl_username=me",
        ", sasl_sender=x, orig_client=y[203.0.113.9], sasl_username=me",
    ],
)
def test_what_a_client_says_of_itself_is_no_login(rest: str) -> None:
    """AUTH= of MAIL FROM needs no login; its text stands behind `sasl_sender=`."""
    parsed = parse(message("A1", client=f"unknown[203.0.113.5]{rest}"))
    assert [row[2] for row in rows(parsed.events)] == ["203.0.113.5"]
    assert parsed.events.outcome == [Outcome.ACCEPT]


def test_a_filter_on_our_own_machine_is_believed() -> None:
    parsed = parse(
        message("A1", client="localhost[127.0.0.1], orig_queue_id=B7, orig_client=x[198.51.100.9]")
    )
    assert parsed.events.client_ip == ["198.51.100.9"]


ORIGINAL = "relay.test[192.0.2.1], orig_queue_id=B7, orig_client=ext.test[198.51.100.9]"


@pytest.mark.parametrize(
    ("trusted", "client"),
    [((), "192.0.2.1"), (("192.0.2.0/24",), "198.51.100.9"), (("192.0.2.2",), "192.0.2.1")],
)
def test_only_a_trusted_relay_is_believed(trusted: tuple[str, ...], client: str) -> None:
    parsed = parse(message("A1", client=ORIGINAL), trusted_relays=trusted)
    assert parsed.events.client_ip == [client]


def test_mail_that_comes_back_from_a_filter_is_no_second_event() -> None:
    outer = message("B7A11", client="ext.test[198.51.100.9]")
    inner = message(
        "A1", client="localhost[127.0.0.1], orig_queue_id=B7A11, orig_client=ext.test[198.51.100.9]"
    )
    plain = message("A2", client="localhost[::1]")
    lines = [*outer[:3], *inner, *plain, *outer[3:]]
    for trusted in ((), ("127.0.0.1",)):
        assert [row[:3] for row in rows(parse(lines, trusted_relays=trusted).events)] == [
            (13, MX_MS, "198.51.100.9")
        ]


def test_a_bad_trusted_relay_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="mx1"):
        PostfixParser(reference_ms=REFERENCE_MS, trusted_relays=["mx1"])


def test_past_the_bound_the_oldest_messages_are_forgotten() -> None:
    begun = [message(f"A{number:04}")[:3] for number in range(100)]
    ended = [message(f"A{number:04}")[3:] for number in range(100)]
    lines = [one for group in (begun, ended) for parts in group for one in parts]
    parsed = parse(lines, most_open=40)
    assert len(parsed.events) + parsed.evicted == 100
    assert 30 <= len(parsed.events) <= 40
    assert rows(parsed.events)[-1][0] == len(lines) - 2


def test_recipients_count_into_the_bound() -> None:
    many = tuple(f"u{number}@example.org" for number in range(100))
    parser = PostfixParser(reference_ms=REFERENCE_MS, most_open=40)
    parsed = parser.feed(message("A1", recipients=many), 0)
    assert parsed.evicted == 1
    assert len(parsed.events) == 41
    assert parser.feed(message("A2"), 0).evicted == 0


REFUSED = "; from=<a@b.test> to=<u@example.org> proto=ESMTP helo=<x>"


def test_a_refusal_without_an_address_is_a_reject() -> None:
    text = "NOQUEUE: reject: RCPT from unknown[unknown]: 550 5.1.1 [198.51.100.66]" + REFUSED
    parsed = parse([line("smtpd", text), line("smtpd", "A1: client=unknown[unknown]")], 5)
    assert [(one.position, one.reason) for one in parsed.rejects] == [
        (5, "bad_client_ip"),
        (6, "bad_client_ip"),
    ]
    assert len(parsed.events) == 0


def test_bad_lines_are_rejects_and_stop_nothing() -> None:
    lines = [b"Nov 31 07:17:47 mx x[1]: y", b"\x00\x01\xff", b"\x00oversized Nov", b"", b"\r"]
    parsed = parse([*lines, *message("A1")])
    assert [(one.position, one.reason, one.excerpt) for one in parsed.rejects] == [
        (0, "bad_time", lines[0]),
        (1, "bad_time", lines[1]),
        (2, "oversized", lines[2]),
    ]
    assert parsed.kinds["empty line"] == 2
    assert len(parsed.events) == 1


PREFIXES = {
    "classic": b"Nov 24 07:17:47 mx1 postfix/%s[12]: ",
    "classic with a priority": b"<22>Nov 24 07:17:47 mx1 postfix/%s[12]: ",
    "RFC 3339": b"2026-11-24T08:17:47.000001+01:00 mx1 postfix/%s[12]: ",
    "RFC 5424": b"<22>1 2026-11-24T07:17:47.000Z mx1 postfix/%s 12 - - ",
    "RFC 5424 with a mark": b"<22>1 2026-11-24T07:17:47.000Z mx1 postfix/%s 12 - - \xef\xbb\xbf",
    "RFC 5424 with data": b'<22>1 2026-11-24T07:17:47Z mx1 postfix/%s 12 M1 [a b="]"][c] ',
}


@pytest.mark.parametrize("name", PREFIXES)
@pytest.mark.parametrize("ending", [b"", b"\r"])
def test_every_prefix_reads_alike(name: str, ending: bytes) -> None:
    lines = []
    for one in message("A1", client="unknown[2001:db8::5]:4711"):
        program, text = one.split(b"postfix/", 1)[1].split(b"[1234]: ", 1)
        lines.append(PREFIXES[name] % program + text + ending)
    assert looks_like_postfix(lines)
    parsed = parse(lines)
    assert rows(parsed.events) == [
        (3, MX_MS - 123, "2001:db8::5", "u@example.org", "a@b.test", "ACCEPT")
    ]
    assert sum(parsed.kinds.values()) == 4


def test_other_programs_are_counted_and_other_formats_not_taken_for_postfix() -> None:
    lines = [
        b"Nov 24 07:17:47 mx1 dovecot: lmtp(u)<1><x>: A1: client=unknown[198.51.100.66]",
        b"Nov 24 07:17:47 mx1 sshd[7]: A1: client=unknown[198.51.100.66]",
        b"Nov 24 07:17:47 mx1 kernel: postfix/smtpd[7]: A1: client=unknown[198.51.100.66]",
        b"Nov 24 07:17:47 mx1 postfix/anvil[7]: statistics: max connection rate 1/60s",
    ]
    assert parse(lines).kinds == {"other program": 2, LIKE_MAIL: 1, "anvil": 1}
    assert not looks_like_postfix(lines[:3])
    assert not looks_like_postfix([b'{"time":1,"client_ip":"203.0.113.5"}'])
    assert not looks_like_postfix([])


CLIENTS = st.sampled_from(["unknown[203.0.113.5]", "mail.test[2001:db8::5]", "a[192.0.2.7]:99"])
MESSAGES = st.lists(
    st.tuples(CLIENTS, st.sampled_from(["", "a@b.test"]), st.sets(st.integers(0, 5), max_size=4)),
    max_size=12,
)


@given(MESSAGES, st.randoms(use_true_random=False))
def test_any_interleaving_of_messages_gives_their_events(messages: list, random) -> None:  # type: ignore[no-untyped-def,type-arg]  # noqa: ANN001
    queues, wanted = [], set()
    for number, (client, sender, mailboxes) in enumerate(messages):
        recipients = tuple(f"u{mailbox}@example.org" for mailbox in sorted(mailboxes))
        queues.append(message(f"A{number}", client, sender, recipients))
        address = client.split("[")[1].split("]")[0]
        wanted |= {(number, address, recipient, sender) for recipient in recipients}
    lines: list[bytes] = []
    owners: list[int] = []
    while any(queues):
        number = random.choice([number for number, queue in enumerate(queues) if queue])
        lines.append(queues[number].pop(0))
        owners.append(number)
    told = [
        (owners[record], client, recipient, sender)
        for record, _, client, recipient, sender, _ in rows(parse(lines).events)
    ]
    assert len(told) == len(set(told))
    assert set(told) == wanted


LOG = (REAL / "mx.txt").read_bytes().split(b"\n")[:-1]
BROKEN = st.one_of(
    st.sampled_from(LOG),
    st.sampled_from(LOG).flatmap(
        lambda one: st.integers(0, len(one)).map(lambda end: one[:end])
    ),
    st.tuples(st.sampled_from(LOG), st.integers(0, 120), st.binary(max_size=9)).map(
        lambda cut: (cut[0][: cut[1]] + cut[2] + cut[0][cut[1] :]).replace(b"\n", b"")
    ),
    st.sampled_from([one.replace(b"Nov 24 ", b"2026-11-24T").replace(b" mx ", b".123+01:00 mx ")
                     for one in LOG]),
    st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b"")),
)  # fmt: skip


@given(st.lists(BROKEN, max_size=40), st.lists(st.integers(1, 9), min_size=1))
def test_the_split_into_runs_changes_nothing_and_each_line_counts_once(
    lines: list[bytes], sizes: list[int]
) -> None:
    whole = parse(lines)
    parser = PostfixParser(reference_ms=REFERENCE_MS)
    told: list[Row] = []
    rejects = []
    kinds: dict[str, int] = {}
    at, turn = 0, 0
    while at < len(lines):
        size = sizes[turn % len(sizes)]
        part = parser.feed(lines[at : at + size], at)
        told += rows(part.events)
        rejects += part.rejects
        for kind, count in part.kinds.items():
            kinds[kind] = kinds.get(kind, 0) + count
        at, turn = at + size, turn + 1
    assert (told, rejects, kinds) == (rows(whole.events), whole.rejects, whole.kinds)
    places = [*whole.events.record, *(one.position for one in rejects)]
    assert len(set(places)) == len(places)
    assert len(places) + sum(kinds.values()) == len(lines)


def test_finish_forgets_what_was_open() -> None:
    parser = PostfixParser(reference_ms=REFERENCE_MS)
    parser.feed(message("A1")[:3], 0)
    assert len(parser.finish().events) == 0
    assert len(parser.feed(message("A1")[3:], 3).events) == 0


@pytest.mark.parametrize(
    "moves",
    [
        [MX + b"MailScanner[77]: Requeue: A1B2C3D4E5.A1B2C to B2B2B2B2"],
        [line("postsuper", "A1B2C3D4E5: requeued"),
         line("pickup", "B2B2B2B2: uid=0 from=<a@b.test> orig_id=A1B2C3D4E5")],
    ],
)  # fmt: skip
def test_a_message_is_followed_to_its_new_queue_id(moves: list[bytes]) -> None:
    events = parse([*message("A1B2C3D4E5")[:2], *moves, *message("B2B2B2B2")[2:]]).events
    assert events.client_ip == ["203.0.113.5"]


def test_a_long_queue_id_is_found_under_another_syslog_name() -> None:
    lines = [one.replace(b"postfix/", b"postfix-out/") for one in message("4bX1Kq2zQz")[1:]]
    assert len(parse([message("4bX1Kq2zQz")[0], *lines]).events) == 1


def test_a_message_is_dated_when_the_server_had_it() -> None:
    lines = message("A1")
    lines[0] = lines[0].replace(b"07:17:47", b"07:07:47")
    assert parse(lines).events.time_ms == [MX_MS]


def test_unused_queue_ids_do_not_push_out_open_messages() -> None:
    unused = [message(f"B{at}")[0] for at in range(40)]
    found = parse([*message("A1")[:3], *unused, *message("A1")[3:]], most_open=16)
    assert len(found.events) == 1


def test_unused_queue_ids_of_one_client_push_out_no_message_of_another() -> None:
    """A client that says MAIL and RSET again and again opens queue ids that nothing follows."""
    open_flood = [message(f"B{n:04}", client=f"x[198.51.100.{n}]")[0] for n in range(1, 50)]
    churn = [message(f"A{n:04}", client="x[203.0.113.5]")[0] for n in range(400)]
    rest = [one for n in range(1, 50) for one in message(f"B{n:04}", client="x[1.1.1.1]")[1:]]
    parsed = parse([*open_flood, *churn, *rest], most_open=100)
    assert len(parsed.events.client_ip) == 49
    assert parsed.evicted > 300
