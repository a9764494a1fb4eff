"""Relations: how much a source normally sends a victim, in a fixed-size, decayed table.

The source is an ASN (providers rotate addresses) or a network (an IPv4 /24, an IPv6 /48); the
victim is a mailbox or its customer domain. The table is open-addressed with two places a key and
a 32-bit tag, so a stranger is taken for an acquaintance once in 2**30 look-ups. When both places
are taken by stronger relations a new one is not learned (and counted): a flood of strangers cannot
push acquaintances out.
"""

import hashlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["KNOWN", "MESSAGE", "Relations", "mixed", "mixed_one", "text_hash"]

MESSAGE: Final = 16
"""One learned message; below a quarter of it a relation has faded."""
KNOWN: Final = MESSAGE // 4
WEAK: Final = 2 * MESSAGE
DAY_S: Final = 86_400

Hashes = NDArray[np.uint64]
_M1, _M2, _GOLDEN = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x9E3779B97F4A7C15
_ALL: Final = 2**64 - 1


def text_hash(text: str) -> int:
    """Hash a text to 64 bits, the same in every process (BLAKE2b)."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def mixed(left: Hashes, right: Hashes) -> Hashes:
    """Mix two hashes into one, element by element (the finaliser of SplitMix64, Steele 2014)."""
    x = left + right * np.uint64(_GOLDEN)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_M1)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_M2)
    out: Hashes = x ^ (x >> np.uint64(31))
    return out


def mixed_one(left: int, right: int) -> int:
    """Mix two hashes like `mixed`."""
    x = (left + right * _GOLDEN) & _ALL
    x = ((x ^ (x >> 30)) * _M1) & _ALL
    x = ((x ^ (x >> 27)) * _M2) & _ALL
    return x ^ (x >> 31)


class Relations:
    """Learned message counts by key hash, in units of 1/MESSAGE message."""

    def __init__(self, cells: int, half_life_days: int) -> None:
        bits = max(10, (cells - 1).bit_length())
        self._mask = np.uint64((1 << bits) - 1)
        self._tags = np.zeros(1 << bits, np.uint32)
        self._counts = np.zeros(1 << bits, np.uint32)
        self.set_half_life(half_life_days)
        self._day = -1
        self.learned_s = 0
        """Seconds of clean traffic behind the counts, decayed like them."""
        self.refused = 0
        """New relations that found no room."""

    def set_half_life(self, days: int) -> None:
        """Let counts fade to a half in this many days from now on."""
        self._keep_of_1024 = round(1024 * 0.5 ** (1 / days))

    def _places(self, keys: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64], Hashes]:
        tags = (keys >> np.uint64(32)) | np.uint64(1)
        first = keys & self._mask
        second = (first ^ (tags * np.uint64(0x5BD1E995))) & self._mask
        return first.astype(np.int64), second.astype(np.int64), tags

    def counts(self, keys: Hashes) -> NDArray[np.uint32]:
        """Look keys up: (n,) uint32 learned counts, 0 for strangers."""
        first, second, tags = self._places(keys)
        tags32 = tags.astype(np.uint32)
        found = np.where(self._tags[first] == tags32, self._counts[first], np.uint32(0))
        other = np.where(self._tags[second] == tags32, self._counts[second], np.uint32(0))
        return np.maximum(found, other)

    def count(self, key: int) -> int:
        """Look one key up."""
        mask = int(self._mask)
        tag = (key >> 32) | 1
        first = key & mask
        second = (first ^ (tag * 0x5BD1E995)) & mask
        best = int(self._counts[first]) if int(self._tags[first]) == tag else 0
        if int(self._tags[second]) == tag:
            best = max(best, int(self._counts[second]))
        return best

    def known(self, key: int) -> bool:
        """Say whether a relation exists at all."""
        return self.count(key) >= KNOWN

    def expected(self, key: int, span_s: int) -> float:
        """Give the messages a source usually sends in a span, 0.0 where nothing was learned."""
        if self.learned_s <= 0:
            return 0.0
        return self.count(key) / MESSAGE * span_s / max(self.learned_s, span_s)

    def decay(self, day: int) -> None:
        """Let counts fade by one day for each day since the last call."""
        days = min(day - self._day, 400) if self._day >= 0 else 0
        for _ in range(days):
            self._counts = (
                self._counts.astype(np.uint64) * np.uint64(self._keep_of_1024) >> np.uint64(10)
            ).astype(np.uint32)
            self.learned_s = self.learned_s * self._keep_of_1024 >> 10
        self._day = max(self._day, day)

    def learn(self, keys: Hashes, messages: NDArray[np.int64]) -> None:
        """Add clean messages; repeated keys are summed first, so that order never matters."""
        if not keys.size:
            return
        keys, where = np.unique(keys, return_inverse=True)
        amount = np.zeros(keys.size, np.int64)
        np.add.at(amount, where, messages)
        amount *= MESSAGE
        first, second, tags = self._places(keys)
        tags32 = tags.astype(np.uint32)
        in_first = self._tags[first] == tags32
        in_second = ~in_first & (self._tags[second] == tags32)
        self._strengthen(first[in_first], amount[in_first])
        self._strengthen(second[in_second], amount[in_second])
        new = np.flatnonzero(~in_first & ~in_second)
        place = np.where(
            self._counts[first[new]] <= self._counts[second[new]], first[new], second[new]
        )
        weak = self._counts[place] < WEAK
        place, chosen = np.unique(np.where(weak, place, -1), return_index=True)
        chosen = chosen[place >= 0]
        place = place[place >= 0]
        self._tags[place] = tags32[new[chosen]]
        self._counts[place] = np.minimum(amount[new[chosen]], 2**32 - 1)
        self.refused += new.size - chosen.size

    def _strengthen(self, places: NDArray[np.int64], amount: NDArray[np.int64]) -> None:
        self._counts[places] = np.minimum(self._counts[places] + amount, 2**32 - 1)

    def state(self) -> dict[str, Any]:
        """Give what a snapshot needs."""
        used = np.flatnonzero(self._counts)
        return {
            "cells": self._tags.size, "day": self._day, "learned_s": self.learned_s,
            "refused": self.refused, "used": used, "tags": self._tags[used],
            "counts": self._counts[used],
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._tags = np.zeros(state["cells"], np.uint32)
        self._counts = np.zeros(state["cells"], np.uint32)
        self._mask = np.uint64(state["cells"] - 1)
        self._tags[state["used"]] = state["tags"]
        self._counts[state["used"]] = state["counts"]
        self._day, self.learned_s = state["day"], state["learned_s"]
        self.refused = state["refused"]
