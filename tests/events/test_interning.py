"""Key tables: one slot a key, whatever the spelling, whatever the order."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.events.interning import BAD_KEY, NO_KEY, NO_SENDER, NULL_SENDER, KeyTable, SenderBits
from detector.events.subjects import ip_subjects, mailbox_key

spellings = {
    "ip": st.sampled_from(
        [
            *("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "::ffff:c000:202", "2001:db8::1"),
            *("2001:DB8::2", "2001:db8::/64", "2001:db8:0:1::1", "rubbish", "", "192.0.2.01"),
        ]
    ),
    "mailbox": st.sampled_from(
        ["a@x.org", "A@x.org", "<a@X.org>", "a+1@x.org", "b@x.org", "b@x.org.", "", " ", "a" * 600]
    ),
    "domain": st.sampled_from(["x.org", "y.org", ""]),
}


def canonical(kind: str, text: str) -> str | None:
    if kind == "ip":
        (read,) = ip_subjects([text])
        return None if read is None else read[0]
    return mailbox_key(text) if kind == "mailbox" else text


@pytest.mark.parametrize("kind", ["ip", "mailbox", "domain"])
@given(data=st.data())
def test_spellings_of_one_key_share_a_slot_and_nothing_else_does(
    kind: str, data: st.DataObject
) -> None:
    """Against a dict; slots are released in between, as the detector does when memory is short."""
    table = KeyTable(kind)
    slot_of: dict[str, int] = {}
    batch = st.lists(spellings[kind] | st.none(), max_size=12)
    for texts in data.draw(st.lists(batch, max_size=6)):
        slots = table.slots(texts, len(texts))
        assert slots.dtype == np.int32
        for text, slot in zip(texts, slots.tolist(), strict=True):
            name = None if text is None else canonical(kind, text)
            if name is None:
                assert slot == (NO_KEY if text is None else BAD_KEY)
                continue
            assert slot_of.setdefault(name, slot) == slot
            assert table.names[slot] == name
            assert table.find(name) == slot
        assert len(set(slot_of.values())) == len(slot_of)
        if data.draw(st.booleans()):
            kept = set(data.draw(st.sets(st.sampled_from(sorted(slot_of)))) if slot_of else ())
            live = np.zeros(len(table), np.bool_)
            live[[slot_of[name] for name in kept]] = True
            freed = table.release(live)
            assert freed == len(slot_of) - len(kept)
            assert all(table.find(name) == NO_KEY for name in slot_of if name not in kept)
            slot_of = {name: slot for name, slot in slot_of.items() if name in kept}
            assert table.texts == len(kept) + 1


def test_a_key_is_kept_as_bytes_too() -> None:
    table = KeyTable("ip")
    slots = table.slots(["192.0.2.7", "2001:db8:1:2::9", "::ffff:192.0.2.8"], 3).tolist()
    keys = [table.key(slot).hex() for slot in slots]
    assert keys == ["c0000207", "20010db800010002", "c0000208"]
    assert table.subjects.is_v6.tolist() == [0, 1, 0]


def test_freed_slots_are_used_again_with_the_new_key() -> None:
    table = KeyTable("ip")
    table.slots(["192.0.2.1", "192.0.2.2"], 2)
    table.release(np.array([False, True]))
    slot = table.slot("2001:db8::1")
    assert slot == 0
    assert (table.names[0], table.key(0).hex()) == ("2001:db8::/64", "20010db800000000")
    assert table.slot("192.0.2.1") == 2


@pytest.mark.parametrize("kind", ["mailbox", "domain"])
def test_texts_stay_when_others_go_and_their_slots_are_used_again(kind: str) -> None:
    table = KeyTable(kind)
    names = [f"{n * 'ü'}{n}@x.org" for n in range(9)]
    table.slots(names, len(names))
    table.release(np.arange(9) % 2 == 0)
    other = table.slots(["new@x.org", "newer.one@x.org"], 2).tolist()
    assert set(other) < {1, 3, 5, 7}
    assert [table.names[slot] for slot in other] == ["new@x.org", "newer.one@x.org"]
    assert [table.names[slot] for slot in range(0, 9, 2)] == names[::2]


def test_rubbish_is_not_remembered() -> None:
    table = KeyTable("ip")
    table.slots([f"rubbish{number}" for number in range(10_000)], 10_000)
    assert (len(table), table.texts) == (0, 1)


def test_a_large_table_forgets_nothing() -> None:
    table = KeyTable("mailbox")
    names = [f"name{number}@example.org" for number in range(50_000)]
    first = table.slots(names, len(names))
    assert np.unique(first).size == len(names)
    assert (table.slots(names[::-1], len(names))[::-1] == first).all()
    assert [table.names[slot] for slot in first[:100].tolist()] == names[:100]


def test_texts_with_like_hashes_are_told_apart() -> None:
    """Places are taken by the lower bits of a hash; these texts all want the same place."""
    places = 1 << 12
    alike = [t for t in (f"k{n}" for n in range(places * 300)) if hash(t) % places == 7][:200]
    table = KeyTable("domain")
    slots = table.slots(alike, len(alike))
    assert sorted(slots.tolist()) == list(range(len(alike)))
    assert (table.slots(alike, len(alike)) == slots).all()


def sender_bit(text: str | None) -> int:
    if text is None:
        return NO_SENDER
    if text in {"", "<>"}:
        return NULL_SENDER
    return zlib.crc32(text.rpartition("@")[2].strip("<> .").lower().encode()) % 64


@given(st.lists(st.lists(st.sampled_from(["", "<>", None, "a@x.org", "b@X.ORG", "@", "x"]))))
def test_a_sender_counts_by_its_domain(batches: list[list[str | None]]) -> None:
    bits = SenderBits()
    for senders in batches:
        assert bits.look(senders).tolist() == [sender_bit(sender) for sender in senders]


def test_only_an_empty_sender_is_the_null_sender() -> None:
    """An address without a domain is a sender: else a flood could pass itself off as bounces."""
    assert NULL_SENDER not in SenderBits().look(["a@", "@", "<@>", ".", " "]).tolist()


def test_senders_that_share_a_place_stay_apart() -> None:
    bits = SenderBits()
    senders = [f"a@d{number}.example" for number in range(300_000)]
    want = [sender_bit(sender) for sender in senders[:1000]]
    for _ in range(2):
        assert bits.look(senders)[:1000].tolist() == want
