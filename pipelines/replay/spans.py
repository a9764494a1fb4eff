"""Spans of time by slot: when a source was listed and for whom, when a victim was flooded."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["NONE", "Spans"]

NONE: Final = -1
"""No span, no victim."""
_OPEN: Final = 2**62
_SCOPES: Final = ("mailbox", "domain")


class Spans:
    """Half-open spans `[since, until)`, Unix ms; those of a slot begin one after another.

    The newest of a slot is found in an array, and each span knows the one before it. Spans are
    kept until their slot is forgotten: 28 B each.
    """

    def __init__(self) -> None:
        self._newest = np.zeros(0, np.int32)
        self._used = 0
        self._since = np.zeros(0, np.int64)
        self._until = np.zeros(0, np.int64)
        self._before = np.zeros(0, np.int32)
        self._victim = np.zeros(0, np.int32)
        self._scope = np.zeros(0, np.int8)

    def begin(self, slot: int, time_ms: int, victim: tuple[str, int] | None = None) -> None:
        """Begin a span, with a victim (scope and slot): without one that of the span before."""
        self._newest = _sized(self._newest, slot + 1)
        before = int(self._newest[slot])
        span, self._used = self._used, self._used + 1
        for name in ("_since", "_until", "_before", "_victim", "_scope"):
            setattr(self, name, _sized(getattr(self, name), self._used))
        self._since[span], self._until[span], self._before[span] = time_ms, _OPEN, before
        if victim is not None:
            self._scope[span], self._victim[span] = _SCOPES.index(victim[0]), victim[1]
        elif before != NONE:
            self._scope[span], self._victim[span] = self._scope[before], self._victim[before]
        self._newest[slot] = span

    def end(self, slot: int, time_ms: int) -> None:
        """End the newest span of a slot, unless it has ended."""
        span = int(self._newest[slot]) if slot < self._newest.size else NONE
        if span != NONE:
            self._until[span] = min(int(self._until[span]), time_ms)

    def at(self, slots: NDArray[np.integer[Any]], time_ms: NDArray[np.int64]) -> NDArray[np.int32]:
        """Give the span of each slot that holds a time, or NONE: (n,) int32."""
        if not self._used:
            return np.full(slots.size, NONE, np.int32)
        if slots.size:
            self._newest = _sized(self._newest, int(slots.max()) + 1)
        span: NDArray[np.int32] = self._newest[slots]
        while (early := np.flatnonzero((span != NONE) & (time_ms < self._since[span]))).size:
            span[early] = self._before[span[early]]
        span[time_ms >= self._until[span]] = NONE
        return span

    def is_for(
        self, span: NDArray[np.int32], mailbox: NDArray[np.integer[Any]],
        domain: NDArray[np.integer[Any]],
    ) -> NDArray[np.bool_]:  # fmt: skip
        """Say whether the victim of a span is a mailbox or its domain: (n,) bool."""
        victim = self._victim[span]
        own = np.where(self._scope[span] == 0, mailbox, domain)
        out: NDArray[np.bool_] = (victim != NONE) & (victim == own)
        return out

    def forget(self, slots: Sequence[int]) -> None:
        """Forget the spans of slots."""
        some = np.array(slots, np.int64)
        self._newest[some[some < self._newest.size]] = NONE

    def forget_victims(self, scope: str, slots: Sequence[int]) -> None:
        """Forget that victims had these slots."""
        gone = (self._scope == _SCOPES.index(scope)) & np.isin(self._victim, slots)
        self._victim[gone] = NONE


def _sized(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Give the array with room for `size` entries."""
    if array.size >= size:
        return array
    new = np.full(max(size, array.size * 3 // 2), NONE, array.dtype)
    new[: array.size] = array
    return new
