"""Copies that the server makes: no attempts, told by a setting or by what nearly all mail has."""

import json

import pytest

from pipelines.parsers.postfix import PostfixParser
from pipelines.parsers.site import Site

ARCHIVE = "archive@example.org"
HEAD = "2026-03-14T08:00:00.000000+00:00 mx1 postfix/"


def message(queue_id: str, *recipients: str, client: str = "192.0.2.7") -> list[bytes]:
    """The lines of a message that is delivered to all its recipients."""
    lines = [
        f"{HEAD}smtpd[1]: {queue_id}: client=unknown[{client}]",
        f"{HEAD}qmgr[2]: {queue_id}: from=<a@example.net>, size=9, nrcpt=2 (queue active)",
        *(
            f"{HEAD}lmtp[3]: {queue_id}: to=<{one}>, relay=none, delay=0.1, status=sent (250 Ok)"
            for one in recipients
        ),
        f"{HEAD}qmgr[2]: {queue_id}: removed",
    ]
    return [line.encode() for line in lines]


def parser(**site: tuple[str, ...]) -> PostfixParser:
    return PostfixParser(reference_ms=1_773_500_000_000, site=Site(**site))


def mailboxes(one: PostfixParser, lines: list[bytes]) -> list[object]:
    return list(one.feed(lines, 0).events.recipient)


def usual(first: int, count: int, *copies: str) -> list[bytes]:
    """Mail to fifty mailboxes, each with its copies."""
    lines: list[bytes] = []
    for n in range(first, first + count):
        lines += message(f"A{n:06X}", f"u{n % 50}@example.org", *copies)
    return lines


@pytest.mark.parametrize("order", [("ann@example.org", ARCHIVE), (ARCHIVE, "ann@example.org")])
def test_a_configured_copy_is_no_attempt(order: tuple[str, str]) -> None:
    one = parser(copies=("Archive@Example.org",))
    assert mailboxes(one, message("A1", *order)) == ["ann@example.org"]


def test_mail_to_nobody_but_the_archive_counts_once() -> None:
    one = parser(copies=(ARCHIVE,))
    parsed = one.feed(message("A1", ARCHIVE), 10)
    assert list(parsed.events.recipient) == [ARCHIVE]
    assert list(parsed.events.record) == [13]
    assert sum(parsed.kinds.values()) == 3


def test_what_1000_messages_in_a_row_have_beside_others_is_a_copy() -> None:
    one = parser()
    before = mailboxes(one, usual(0, 1_000, ARCHIVE))
    assert before.count(ARCHIVE) == 1_000
    after = mailboxes(one, usual(1_000, 300, ARCHIVE))
    assert after.count(ARCHIVE) <= 1
    assert len(after) - after.count(ARCHIVE) == 300


def test_two_archives_are_found_and_a_change_of_the_archive_too() -> None:
    one = parser()
    mailboxes(one, usual(0, 1_001, ARCHIVE, "legal@example.org"))
    assert len(mailboxes(one, usual(2_000, 100, ARCHIVE, "legal@example.org"))) == 100
    mailboxes(one, usual(3_000, 2_000))
    mailboxes(one, usual(6_000, 1, "u1@example.org", "u2@example.org", "u3@example.org"))
    assert mailboxes(one, usual(7_000, 10, ARCHIVE)).count(ARCHIVE) == 10


def test_the_only_mailbox_of_a_site_is_never_taken_for_an_archive() -> None:
    """Both are in every message: which of them is the copy, only the operator can say."""
    one = parser()
    lines = [line for n in range(1_200) for line in message(f"A{n:X}", "ann@example.org", ARCHIVE)]
    assert mailboxes(one, lines).count("ann@example.org") == 1_200


def test_a_victim_whom_an_attacker_names_beside_others_still_counts() -> None:
    """The share is of all messages: a tenth of the site's mail is enough to tell them apart."""
    one = parser()
    lines: list[bytes] = []
    for n in range(3_000):
        others = ("ann@example.org",) if n % 10 else ()
        lines += message(f"A{n:06X}", f"u{n % 50}@example.org", *others)
    assert mailboxes(one, lines).count("ann@example.org") == 2_700


def test_what_was_learned_outlives_a_restart_at_any_line() -> None:
    lines = usual(0, 1_040, ARCHIVE)
    whole = mailboxes(parser(), lines)
    for cut in (7, 2_003, 5 * 1_000 + 3, 5 * 1_001 + 3, 5 * 1_020 + 1):
        first, second = parser(), parser()
        found = mailboxes(first, lines[:cut])
        second.restore(json.loads(json.dumps(first.state())))
        assert found + mailboxes(second, lines[cut:]) == whole


def test_a_state_from_before_copies_were_learned_is_still_read() -> None:
    state = parser().state()
    del state["copies"]
    one = parser()
    one.restore(state)
    assert mailboxes(one, usual(0, 1, ARCHIVE)) == ["u0@example.org", ARCHIVE]
