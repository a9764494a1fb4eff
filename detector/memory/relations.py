"""Relations: how much a source normally sends a victim, in a fixed-size, decayed table.

The source is an AS (providers rotate addresses) or an address; the victim is a mailbox or its
customer domain. Of each pair the table keeps the messages and the sum of the squares of what came
in each slot of ten minutes, which says how a rate scatters. It is open-addressed with two places a
key; a cell is a 32-bit tag above a 32-bit count, so that a stranger is taken for an acquaintance
once in 2**30 look-ups. When both places are taken by stronger relations a new one is not learned
(and counted): a flood of strangers cannot push acquaintances out.
"""

import hashlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.memory.grouping import GOLDEN
from detector.tally.summing import begins

__all__ = ["KNOWN", "MESSAGE", "Relations", "mixed", "mixed_one", "text_hash"]

MESSAGE: Final = 16
"""One learned message; below a quarter of it a relation has faded."""
KNOWN: Final = MESSAGE // 4
WEAK: Final = 2 * MESSAGE
_TOGETHER: Final = 1 << 14

Hashes = NDArray[np.uint64]
_M1, _M2, _GOLDEN = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, int(GOLDEN)
_ALL: Final = 2**64 - 1
_TAG, _MOST, _SPREAD = np.uint64(32), np.uint64(2**32 - 1), 0x5BD1E995


def text_hash(text: str) -> int:
    """Hash a text to 64 bits, the same in every process (BLAKE2b)."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def mixed(left: Hashes, right: Hashes) -> Hashes:
    """Mix two hashes into one, element by element (the finaliser of SplitMix64, Steele 2014)."""
    x: Hashes = right * GOLDEN
    x += left
    x ^= x >> np.uint64(30)
    x *= np.uint64(_M1)
    x ^= x >> np.uint64(27)
    x *= np.uint64(_M2)
    x ^= x >> np.uint64(31)
    return x


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
        self._cells = np.zeros(1 << bits, np.uint64)
        self._squares = np.zeros(1 << bits, np.float32)
        self._empty = True
        self._moved = np.zeros(0, np.bool_)
        """Cells that a call of `learn` added to, while it runs."""
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
        """Give both places of each key, and its tag where a cell has it."""
        tags = (keys >> _TAG) | np.uint64(1)
        first = keys & self._mask
        second = (first ^ (tags * np.uint64(_SPREAD))) & self._mask
        return first.view(np.int64), second.view(np.int64), tags << _TAG

    def counts(self, keys: Hashes) -> Hashes:
        """Look keys up: (n,) uint64 learned counts, 0 for strangers."""
        if self._empty:
            return np.zeros(keys.size, np.uint64)
        first, second, tags = self._places(keys)
        found, other = self._cells[first] ^ tags, self._cells[second] ^ tags
        found *= found <= _MOST
        other *= other <= _MOST
        out: Hashes = np.maximum(found, other)
        return out

    def count(self, key: int) -> int:
        """Look one key up."""
        mask = int(self._mask)
        tag = (key >> 32) | 1
        first = key & mask
        cells = self._cells
        one, other = int(cells[first]), int(cells[(first ^ (tag * _SPREAD)) & mask])
        best = one & int(_MOST) if one >> 32 == tag else 0
        return max(best, other & int(_MOST)) if other >> 32 == tag else best

    def known(self, key: int) -> bool:
        """Say whether a relation exists at all."""
        return self.count(key) >= KNOWN

    def rate(self, key: int) -> tuple[float, float]:
        """Give the messages learned of a key, and the sum of the squares of its slots."""
        mask = int(self._mask)
        tag = (key >> 32) | 1
        first = key & mask
        second = (first ^ (tag * _SPREAD)) & mask
        cells = self._cells
        one, other = int(cells[first]), int(cells[second])
        best = one & int(_MOST) if one >> 32 == tag else -1
        place = first
        if other >> 32 == tag and other & int(_MOST) > best:
            best, place = other & int(_MOST), second
        if best <= 0:
            return 0.0, 0.0
        return best / MESSAGE, float(self._squares[place])

    def rates(self, keys: Hashes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give of each key what `rate` gives of one: (n,) float64 each."""
        first, second, tags = self._places(keys)
        found, other = self._cells[first] ^ tags, self._cells[second] ^ tags
        found *= found <= _MOST
        other *= other <= _MOST
        best = np.maximum(found, other)
        squares = self._squares[np.where(other > found, second, first)].astype(np.float64)
        squares[best == 0] = 0.0
        return best / MESSAGE, squares

    def usual(self, keys: Hashes, span_s: int, missed_s: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give what each key usually sends in a span, in whole units of 1/MESSAGE.

        `missed_s` of the learned seconds taught nothing of this victim.
        """
        observed_s = np.maximum(self.learned_s - missed_s, span_s)
        return self.counts(keys).astype(np.int64) * span_s // observed_s

    def decay(self, day: int, *beside: NDArray[np.int64]) -> None:
        """Let counts fade by one day for each day since the last call, and columns beside them."""
        days = min(day - self._day, 400) if self._day >= 0 else 0
        if days:
            # A long gap has many days and soon few counts: only those that are left are touched.
            left = np.flatnonzero(self._cells)
            cells, squares = self._cells[left], self._squares[left]
            self._cells = np.zeros_like(self._cells)
            self._squares[:] = 0.0
        for _ in range(days):
            counts = (cells & _MOST) * np.uint64(self._keep_of_1024) >> np.uint64(10)
            stays = counts > 0
            left, cells = left[stays], cells[stays] & ~_MOST | counts[stays]
            squares = squares[stays] * np.float32(self._keep_of_1024 / 1024)
            self.learned_s = self.learned_s * self._keep_of_1024 >> 10
            for column in beside:
                column[:] = column * self._keep_of_1024 >> 10
        if days:
            self._cells[left], self._squares[left] = cells, squares
        self._day = max(self._day, day)

    def learn(
        self, keys: Hashes, messages: NDArray[np.int64], unit: int = MESSAGE, *,
        scatter: NDArray[np.int64] | None = None,
    ) -> None:  # fmt: skip
        """Add the clean messages of one slot, each of so many units of 1/MESSAGE.

        Repeated keys are summed first, so that order never matters. Keys that come once may bring
        how many of their messages count for the `scatter` of their rates: (n,) int64.
        """
        if not keys.size:
            return
        self._empty = False
        if scatter is None:
            keys, amount = self._summed(keys, messages)
            scatter = amount
        else:
            amount = messages
        gained = np.minimum(amount * unit, int(_MOST)).astype(np.uint64)
        squares = (scatter * unit).astype(np.float32) / np.float32(MESSAGE)
        squares *= squares
        if self._moved.size != self._cells.size:
            self._moved = np.zeros(self._cells.size, np.bool_)
        moved = self._moved
        cuts, touched = range(0, keys.size, _TOGETHER), list[NDArray[np.int64]]()
        parts = [
            self._raised(
                keys[cut : cut + _TOGETHER],
                gained[cut : cut + _TOGETHER],
                squares[cut : cut + _TOGETHER],
                touched,
            )
            for cut in cuts
        ]
        keys, cells, squares, *sides = (np.concatenate(part) for part in zip(*parts, strict=True))
        first, second, count, other = sides
        for places, there in ((first, count), (second, other)):
            index = np.flatnonzero(moved[places])
            there[index] = self._cells[places[index]] & _MOST
        for places in touched:
            moved[places] = False
        place = np.where(count <= other, first, second)
        mine = np.flatnonzero(np.minimum(count, other) < WEAK)
        order = np.sort(place[mine] << 32 | mine)
        place, mine = order >> 32, order & int(_MOST)
        starts = np.flatnonzero(begins(place))
        best = starts.copy()
        rivals, behind = np.arange(starts.size), 1
        size = np.diff(starts, append=place.size)
        while (rivals := rivals[size[rivals] > behind]).size:  # few places are wanted twice
            rival = starts[rivals] + behind
            less = keys[mine[rival]] < keys[mine[best[rivals]]]
            best[rivals[less]] = rival[less]
            behind += 1
        chosen = mine[best]
        self._cells[place[starts]] = cells[chosen]
        self._squares[place[starts]] = squares[chosen]
        self.refused += keys.size - starts.size

    def _raised(
        self,
        keys: Hashes,
        gained: Hashes,
        squares: NDArray[np.float32],
        touched: list[NDArray[np.int64]],
    ) -> tuple[NDArray[Any], ...]:
        """Add to the relations that are there already, and say of which cells (`touched`).

        Of the other keys: the keys, the cells they would make, both places and the counts there.
        Columns of some thousand rows stay in the processor's cache.
        """
        first, second, tags = self._places(keys)
        found = self._cells[first], self._cells[second]
        in_first = found[0] ^ tags <= _MOST
        in_second = ~in_first & (found[1] ^ tags <= _MOST)
        for places, known in ((first, in_first), (second, in_second)):
            index = np.flatnonzero(known)
            cells = self._cells[places[index]]
            count = np.minimum((cells & _MOST) + gained[index], _MOST)
            self._cells[places[index]] = cells & ~_MOST | count
            self._squares[places[index]] += squares[index]
            self._moved[places[index]] = True
            touched.append(places[index])
        new = np.flatnonzero(~(in_first | in_second))
        columns = keys, tags | gained, squares, first, second, found[0] & _MOST, found[1] & _MOST
        return tuple(column[new] for column in columns)

    def _summed(
        self, keys: Hashes, messages: NDArray[np.int64]
    ) -> tuple[Hashes, NDArray[np.int64]]:
        """Give each key once with its sum, in the order of their first places (memory's order).

        Sorting the bare keys is several times faster than sorting an index to them; most rows
        bring one message, so that how often a key comes is nearly its sum.
        """
        low = np.uint64(int(self._mask).bit_length())
        high = np.uint64(64) - low
        keys = keys << high | keys >> low
        ordered = np.sort(keys)
        starts = np.flatnonzero(begins(ordered))
        each, amount = ordered[starts], np.diff(starts, append=keys.size)
        more = np.flatnonzero(messages != 1)
        np.add.at(amount, np.searchsorted(each, keys[more]), messages[more] - 1)
        return each << low | each >> high, amount

    def state(self) -> dict[str, Any]:
        """Give what a snapshot needs."""
        used = np.flatnonzero(self._cells)
        return {
            "cells": self._cells.size, "day": self._day, "learned_s": self.learned_s,
            "refused": self.refused, "used": used,
            "tags": (self._cells[used] >> _TAG).astype(np.uint32),
            "counts": self._cells[used].astype(np.uint32),
            "squares": self._squares[used].astype(np.float64),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._cells = np.zeros(state["cells"], np.uint64)
        self._mask = np.uint64(state["cells"] - 1)
        self._cells[state["used"]] = state["tags"].astype(np.uint64) << _TAG | state["counts"]
        self._squares = np.zeros(state["cells"], np.float32)
        self._squares[state["used"]] = state["squares"]
        self._empty = not state["used"].size
        self._day, self.learned_s = state["day"], state["learned_s"]
        self.refused = state["refused"]
