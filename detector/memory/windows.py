"""Sliding windows: numpy ring counters by slot, time-major, for spans of 10 min, 1 h and 24 h.

A ring of n steps holds the current step and the n - 1 before it:

    step        0 ... 594 ... 600 ... 660 s
    ring 10x60  [ the last ten minutes, the newest one still filling )

so a total is an upper bound of any window of `(n - 1) * step_s` that ends now. Exact windows to the
second are kept only for victims under examination (`cases`). Cost follows the events: a step that
ends touches only the slots that were counted in it.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["GROWTH", "Ring", "grown"]

GROWTH: Final = 1.125
NO_STEP: Final = -(2**40)
_NARROW_MOST: Final = 2**16 - 1

Slots = NDArray[np.int32] | NDArray[np.int64]
Counts = NDArray[np.uint32]


def grown(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Give an array with room for `size` slots in its last axis, new room zeroed."""
    have = array.shape[-1]
    if size <= have:
        return array
    room = max(size, int(have * GROWTH), 1024)
    out = np.zeros((*array.shape[:-1], room), array.dtype)
    out[..., :have] = array
    return out


class Ring:
    """Counts of the last `steps` steps by slot: counts (steps, slots), total (slots,) uint32.

    Sums above 2**32 - 1 in one window wrap; that is 7 million events a second for 10 minutes.
    `counts` are uint16 until a total needs more, then uint32.
    """

    def __init__(self, steps: int, step_s: int) -> None:
        self.steps = steps
        self.step_s = step_s
        self.step = NO_STEP
        self.counts: NDArray[np.uint16] | Counts = np.zeros((steps, 0), np.uint16)
        self.total: Counts = np.zeros(0, np.uint32)

    def ensure(self, size: int) -> None:
        """Make room for slots below `size`."""
        if size > self.total.size:
            self.total = grown(self.total, size)
            self.counts = grown(self.counts, self.total.size)

    def advance(self, step: int) -> None:
        """Move to a later step; what leaves the window is subtracted."""
        if self.step == NO_STEP:
            self.step = step
            return
        first = max(self.step + 1, step - self.steps + 1)
        for leaving in range(first, step + 1):
            row = self.counts[leaving % self.steps]
            touched = np.flatnonzero(row)
            if touched.size:
                self.total[touched] -= row[touched]
                row[touched] = 0
        self.step = max(self.step, step)

    def add(self, slots: Slots, counts: NDArray[Any], steps: NDArray[np.int64]) -> None:
        """Count events in their steps; what is older than the window is left out.

        `np.add.at` is ten times faster when index and values have the types of its fast path.
        """
        slots, counts = slots.astype(np.intp, copy=False), counts.astype(np.uint32, copy=False)
        late = np.flatnonzero(steps != self.step)
        if late.size:
            older = late[(steps[late] > self.step - self.steps) & (steps[late] < self.step)]
            flat = (steps[older] % self.steps) * self.total.size + slots[older]
            more, counts = counts[older], counts.copy()
            counts[late] = 0
            np.add.at(self.total, slots[older], more)
        np.add.at(self.total, slots, counts)
        if self.counts.dtype == np.uint16 and self.total[slots].max(initial=0) > _NARROW_MOST:
            self.counts = self.counts.astype(np.uint32)
        counts = counts.astype(self.counts.dtype, copy=False)
        np.add.at(self.counts[self.step % self.steps], slots, counts)
        if late.size:
            np.add.at(self.counts.reshape(-1), flat, more.astype(self.counts.dtype))

    def of_step(self, step: int) -> NDArray[np.uint16] | Counts:
        """Give the counts of one step inside the window: (slots,) uint16 or uint32."""
        counts: NDArray[np.uint16] | Counts = self.counts[step % self.steps]
        return counts

    def clear(self, slots: NDArray[np.int64]) -> None:
        """Forget slots (they are evicted)."""
        self.counts[:, slots] = 0
        self.total[slots] = 0

    def state(self, slots: NDArray[Any]) -> dict[str, Any]:
        """Give what a snapshot needs of some slots: the cells that are not 0, in their order."""
        picked = self.counts[:, slots].reshape(-1)
        cells = np.flatnonzero(picked)
        return {"step": self.step, "cells": cells, "counts": picked[cells].astype(np.uint32)}

    def restore(self, state: dict[str, Any], slots: NDArray[Any]) -> None:
        """Take back what `state` gave, into an empty ring; the slots may be others now."""
        self.step = state["step"]
        if state["counts"].max(initial=0) > _NARROW_MOST:
            self.counts = self.counts.astype(np.uint32)
        if slots.size:
            steps, place = np.divmod(state["cells"], slots.size)
            self.counts[steps, slots[place]] = state["counts"]
        self.total = self.counts.sum(axis=0, dtype=np.uint32)
