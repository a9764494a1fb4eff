"""Recipients as other programs write them: display names, comments, lists in one string."""

import numpy as np
import pytest

from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from detector.events.recipient_texts import mailboxes_in, with_lists
from tests.events.test_decode import GOOD_LINE, event

LISTS = [
    ("ann@example.org, bob@example.org", ["ann@example.org", "bob@example.org"]),
    ("ann@example.org;bob@example.org;", ["ann@example.org", "bob@example.org"]),
    ("ann@example.org bob@example.org", ["ann@example.org", "bob@example.org"]),
    ("<ann@example.org>,<bob@example.org>", ["ann@example.org", "bob@example.org"]),
    ("<ann@example.org> <bob@example.org>", ["ann@example.org", "bob@example.org"]),
    ('"Ann, \\"A\\"" <ann@example.org>, bob@example.org', ["ann@example.org", "bob@example.org"]),
    ("Lee, Ann <ann@example.org>", ["ann@example.org"]),
    ("['ann@example.org', 'bob@example.org']", ["ann@example.org", "bob@example.org"]),
    ("team: ann@example.org, bob@example.org;", ["ann@example.org", "bob@example.org"]),
    ("ann@example.org, ann@example.org", ["ann@example.org"]),
    ("ann@example.org (Ann, of sales)", ["ann@example.org"]),
    ("mailto:ann@example.org", ["ann@example.org"]),
    ('"Ann" <"a,b"@example.org>', ['"a,b"@example.org']),
]
SINGLE = [
    "ann@example.org", "postmaster", '"a, b"@example.org', "a b@example.org",
    "ann@[IPv6:2001:db8::1]", "o'neil@example.org", '"unfinished@example.org', "<ann@example.org",
    "a,bob@example.org", "root; bob@example.org",
]  # fmt: skip
NONE = ["undisclosed-recipients:;", "Ann Lee", "Ann <>", "<>", ",", ""]


@pytest.mark.parametrize(("text", "names"), LISTS)
def test_a_text_names_the_mailboxes_in_it(text: str, names: list[str]) -> None:
    assert mailboxes_in(text) == names


@pytest.mark.parametrize("text", SINGLE)
def test_one_address_stays_as_it_is(text: str) -> None:
    assert with_lists([text, "a@example.org, b@example.org"])[0] == text


@pytest.mark.parametrize("text", NONE)
def test_a_text_without_a_mailbox_is_rejected_and_shown(text: str) -> None:
    _, [reject], _ = EventReader(KeyTables()).read_json(event(recipient=text), 0)
    assert reject.reason == "bad_recipient"
    assert repr(text) in reject.detail


def test_each_mailbox_of_a_list_in_one_string_gets_its_event() -> None:
    tables = KeyTables()
    lines = [
        GOOD_LINE,
        event(recipient='"Ann" <Ann@example.org>, bob@example.org'),
        event(recipient=["Cem <cem@example.org>", "bob@example.org"]),
        event(recipient=None, action="reject"),
    ]
    events, rejects, _ = EventReader(tables).read_json(b"\n".join(lines), 0)
    assert rejects == []
    assert events.record.tolist() == [0, 1, 1, 2, 2, 3]
    names = tables.mailboxes.names
    assert [names[slot] for slot in events.rcpt[np.arange(1, 5)].tolist()] == [
        "ann@example.org", "bob@example.org", "cem@example.org", "bob@example.org",
    ]  # fmt: skip


def test_a_list_in_one_string_has_the_same_bound_as_a_list() -> None:
    text = ",".join(f"u{n}@example.org" for n in range(5_000))
    _, [reject], _ = EventReader(KeyTables()).read_json(event(recipient=text), 0)
    assert reject.reason == "too_many_recipients"


@pytest.mark.parametrize("text", ["<", '"', "(", '"\\', '<"', "(\\", "'", "a,"])
def test_a_long_hostile_text_is_read_once(text: str) -> None:
    assert mailboxes_in(text * 200_000)
