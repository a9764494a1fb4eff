"""Key tables: text to slot, once per new text; slots are indexes into every array of the detector.

Slot numbers never influence a result and never leave the process: what is written carries keys.
A text is known by Python's 64-bit hash of it (SipHash, salted per process), because a table of
numbers answers thousands of texts at once, several times faster than a dict: two of ten million
texts share a hash once in 400,000 runs.
"""

import zlib
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.events.key_texts import KeyTexts, SubjectTexts, Texts
from detector.events.subjects import ip_subjects, mailbox_key

__all__ = [
    "BAD_KEY",
    "NO_KEY",
    "NO_SENDER",
    "NULL_SENDER",
    "KeyTable",
    "KeyTables",
    "SenderBits",
]

NO_KEY: Final = -1
"""Slot of a missing key (an attempt without a recipient)."""
BAD_KEY: Final = -2
"""Slot of a text that can be no key; never remembered, so that rubbish costs no memory."""
NULL_SENDER: Final = 254
"""In place of a sender domain's bit: the null sender."""
NO_SENDER: Final = 255
"""In place of a sender domain's bit: the sender is not known."""
_UNKNOWN: Final = -3
_SENDERS_REMEMBERED: Final = 1 << 19
_LEAST_PLACES: Final = 1 << 12

Slots = NDArray[np.int32]
Hashes = NDArray[np.int64]


def _hashes(texts: Sequence[str | None]) -> Hashes:
    return np.fromiter(map(hash, texts), np.int64, len(texts))


class _Spellings:
    """Slots by hash: open addressing with linear probing, at most half full; 12 B a place."""

    def __init__(self, expected: int = 0) -> None:
        self.used = 0
        self._make(max(_LEAST_PLACES, 1 << (2 * expected).bit_length()))

    def _make(self, places: int) -> None:
        self._mask = places - 1
        self._hashes = np.zeros(places, np.int64)
        self._slots = np.full(places, _UNKNOWN, np.int32)

    def look(self, hashes: Hashes) -> Slots:
        """Give the slot of each hash, or _UNKNOWN."""
        place = hashes & self._mask
        slots: Slots = self._slots[place]
        other = np.flatnonzero((self._hashes[place] != hashes) & (slots != _UNKNOWN))
        while other.size:
            place[other] = (place[other] + 1) & self._mask
            there = place[other]
            slots[other] = self._slots[there]
            other = other[(self._hashes[there] != hashes[other]) & (slots[other] != _UNKNOWN)]
        return slots

    def put(self, hashes: Hashes, slots: Slots) -> None:
        """Add hashes that are different from each other and not in the table yet."""
        self.used += hashes.size
        if 2 * self.used > self._mask:
            taken = self._slots != _UNKNOWN
            old_hashes, old_slots = self._hashes[taken], self._slots[taken]
            self._make(1 << (2 * self.used).bit_length())
            self._insert(old_hashes, old_slots)
        self._insert(hashes, slots)

    def _insert(self, hashes: Hashes, slots: Slots) -> None:
        place = hashes & self._mask
        while hashes.size:
            free = self._slots[place] == _UNKNOWN
            self._hashes[place[free]] = hashes[free]
            self._slots[place[free]] = slots[free]
            left = np.flatnonzero(self._hashes[place] != hashes)
            hashes, slots, place = hashes[left], slots[left], (place[left] + 1) & self._mask


class KeyTable:
    """Slots of one kind of key: `kind` is "ip", "mailbox" or "domain"."""

    def __init__(self, kind: str, delimiters: str = "+") -> None:
        self.kind = kind
        self._delimiters = delimiters
        self.subjects = SubjectTexts()
        """By slot, for "ip" only: the numbers of the addresses."""
        self.names: KeyTexts = self.subjects if kind == "ip" else Texts()
        """Canonical text by slot (free slots have any)."""
        self.free: list[int] = []
        self.settled = 0
        """Spellings remembered after the last release: what was live then."""
        self._forget()

    def _forget(self, expected: int = 0) -> None:
        self._spellings = _Spellings(expected)
        self._spellings.put(_hashes([None]), np.array([NO_KEY], np.int32))

    def __len__(self) -> int:
        """Count the slots ever made (free ones included)."""
        return len(self.names)

    @property
    def texts(self) -> int:
        """Count the spellings remembered (that of a missing key included)."""
        return self._spellings.used

    def slots(self, texts: Sequence[str | None], count: int) -> Slots:
        """Give the slot of each of `count` texts: (count,) int32, with NO_KEY and BAD_KEY."""
        if not count:
            return np.zeros(0, np.int32)
        hashes = _hashes(texts)
        slots = self._spellings.look(hashes)
        unknown = np.flatnonzero(slots == _UNKNOWN)
        if unknown.size:
            keys = hashes[unknown].tolist()
            new = dict(zip(keys, map(texts.__getitem__, unknown.tolist()), strict=True))
            learned = self._learn(list(new), [text for text in new.values() if text is not None])
            slots[unknown] = list(map(learned.__getitem__, keys))
        return slots

    def adopt(self, names: list[str]) -> Slots:
        """Give the slots of canonical names, all of them different; for half the cost of `slots`.

        Raises:
            ValueError: a name in a table of addresses is none.
        """
        hashes = _hashes(names)
        slots = self._spellings.look(hashes)
        unknown = np.flatnonzero(slots == _UNKNOWN)
        if unknown.size:
            fresh = list(map(names.__getitem__, unknown.tolist()))
            read = ip_subjects(fresh) if self.kind == "ip" else [(name, 0) for name in fresh]
            subjects = [one for one in read if one is not None]
            if len(subjects) < len(read):
                raise ValueError("a name that is no address")
            slots[unknown] = self._make(subjects)
            self._spellings.put(hashes[unknown], slots[unknown])
        return slots

    def slot(self, text: str | None) -> int:
        """Give the slot of one text, making it when new."""
        return int(self.slots([text], 1)[0])

    def find(self, text: str) -> int:
        """Give the slot of a canonical text, or NO_KEY where it is not in the table."""
        return self.find_all([text])[0]

    def find_all(self, texts: Sequence[str]) -> list[int]:
        """Give the slots of canonical texts, NO_KEY for those that are not in the table."""
        slots = self._spellings.look(_hashes(texts)).tolist()
        return [
            slot if slot >= 0 and self.names[slot] == text else NO_KEY
            for slot, text in zip(slots, texts, strict=True)
        ]

    def canonical(self, text: str) -> str | None:
        """Give the canonical form of a text, or None where it can be no key."""
        (read,) = self._read([text])
        return None if read is None else read[0]

    def _read(self, texts: list[str]) -> list[tuple[str, int] | None]:
        """Give the canonical form of each text, for "ip" with its number."""
        if self.kind == "ip":
            return ip_subjects(texts)
        if self.kind == "domain":
            return [(text, 0) for text in texts]
        return [
            None if (name := mailbox_key(text, self._delimiters)) is None else (name, 0)
            for text in texts
        ]

    def key(self, slot: int) -> bytes:
        """Give the key of an "ip" slot: 4 or 8 bytes."""
        return self.subjects.key(slot)

    def by_name(self, slots: Iterable[int]) -> list[int]:
        """Put slots in the order of their names."""
        some = list(slots)
        if len(some) > 1:
            some.sort(key=self.names.__getitem__)
        return some

    def _learn(self, keys: list[int], texts: list[str]) -> dict[int, int]:
        """Remember new texts, whose hashes are `keys`; give the slot of each, or BAD_KEY."""
        read = self._read(texts)
        own: dict[int, tuple[str, int]] = {}
        other: dict[int, tuple[str, int]] = {}
        for key, text, one in zip(keys, texts, read, strict=True):
            if one is not None:
                (own if one[0] == text else other)[key] = one
        slots = dict.fromkeys(keys, BAD_KEY) | self._add(own)
        if other:
            # The canonical form may have a slot already.
            names = _hashes([name for name, _ in other.values()])
            there = self._spellings.look(names).tolist()
            named = zip(names.tolist(), other.values(), there, strict=True)
            self._add({key: one for key, one, slot in named if slot == _UNKNOWN})
            there = self._spellings.look(names)
            self._spellings.put(np.array(list(other), np.int64), there)
            slots |= zip(other, there.tolist(), strict=True)
        return slots

    def _add(self, subjects: dict[int, tuple[str, int]]) -> dict[int, int]:
        """Make slots of new names by their hashes."""
        slots = self._make(list(subjects.values()))
        self._spellings.put(np.array(list(subjects), np.int64), np.array(slots, np.int32))
        return dict(zip(subjects, slots, strict=True))

    def _make(self, subjects: list[tuple[str, int]]) -> list[int]:
        """Give free slots to new names."""
        first = len(self.names)
        again = min(len(self.free), len(subjects))
        slots = [self.free.pop() for _ in range(again)]
        slots += range(first, first + len(subjects) - again)
        self.names.extend(subjects[again:])
        for slot, subject in zip(slots[:again], subjects, strict=False):
            self.names.replace(slot, subject)
        return slots

    def release(self, live: NDArray[np.bool_]) -> int:
        """Free every slot that is not `live` ((len,) bool) and forget all other spellings.

        The caller vouches that no array outside refers to a slot it lets go. Returns how many
        slots were freed.
        """
        before = len(self.free)
        self.free = np.flatnonzero(~live).tolist()
        kept = np.flatnonzero(live)
        self.names.keep(kept.tolist())
        self._forget(kept.size)
        if kept.size:
            hashes = _hashes(list(map(self.names.__getitem__, kept.tolist())))
            self._spellings.put(hashes, kept.astype(np.int32))
        self.settled = self.texts
        return len(self.free) - before


class SenderBits:
    """The bit of each sender's domain: a stable 6-bit hash, the same everywhere.

    Lately seen senders are remembered in a direct-mapped table of fixed size (4.7 MB).
    """

    def __init__(self) -> None:
        self._tags = np.zeros(_SENDERS_REMEMBERED, np.int64)
        self._bits = np.full(_SENDERS_REMEMBERED, NULL_SENDER, np.uint8)  # hash("") is 0, a tag too

    def look(self, senders: Sequence[str | None]) -> NDArray[np.uint8]:
        """Give (n,) uint8: a bit, NULL_SENDER or NO_SENDER."""
        hashes = np.fromiter(map(hash, senders), np.int64, len(senders))
        place = hashes & (_SENDERS_REMEMBERED - 1)
        bits: NDArray[np.uint8] = self._bits[place]
        new = np.flatnonzero(self._tags[place] != hashes)
        if new.size:
            bits[new] = [_sender_bit(senders[row]) for row in new.tolist()]
            self._tags[place[new]] = hashes[new]
            self._bits[place[new]] = bits[new]
        return bits


def _sender_bit(sender: str | None) -> int:
    if sender is None:
        return NO_SENDER
    if sender in {"", "<>"}:
        return NULL_SENDER
    domain = sender.rpartition("@")[2].strip("<> .").lower()
    return zlib.crc32(domain.encode("utf-8", "backslashreplace")) & 63


class KeyTables:
    """The tables that the stages of one process share.

    `delimiters` end the name of a mailbox in an address, see `mailbox_key`.
    """

    def __init__(self, delimiters: str = "+") -> None:
        self.ips = KeyTable("ip")
        self.mailboxes = KeyTable("mailbox", delimiters)
        self.senders = SenderBits()
