"""Many baselines side by side: bit for bit what `Baseline` learns, without an object for each."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BaselineColumns"]

_TYPES: Final = (np.float64, np.int64, np.float64, np.float64, np.bool_)
"""Fading, samples, mean and mean square (both shifted by one), and whether the mean fades yet."""


class BaselineColumns:
    """Baselines by their place in the columns; the caller knows whose each is."""

    def __init__(self) -> None:
        self._columns: list[NDArray[Any]] = [np.zeros(0, kind) for kind in _TYPES]

    def begin(self, count: int, fading: float, start: NDArray[np.float64] | None) -> None:
        """Append empty ones, or with `start` (count,) such that are already well founded."""
        new: list[Any] = [fading, 0, 0.0, 0.0, False]
        if start is not None:
            new = [fading, np.ceil(1 / fading), start + 1.0, start * start + 1.0, True]
        self._columns = [
            np.concatenate([column, np.full(count, value, column.dtype)])
            for column, value in zip(self._columns, new, strict=True)
        ]

    def learn(self, places: NDArray[np.intp], counts: NDArray[np.int64]) -> None:
        """Learn the counts of one step; each place comes once."""
        fading, samples, mean, square, fades = (column[places] for column in self._columns)
        settled = ~fades & (samples == np.ceil(1 / fading))
        mean = np.where(settled, mean - 1.0 + 1.0, mean)
        square = np.where(settled, square - 1.0 + 1.0, square)
        fades |= settled
        samples += 1
        for column, old, seen in ((2, mean, counts + 1.0), (3, square, counts * counts + 1.0)):
            faded = fading * seen + (1 - fading) * old
            averaged = old + (1.0 / samples) * (seen - old)
            self._columns[column][places] = np.where(fades, faded, averaged)
        self._columns[1][places], self._columns[4][places] = samples, fades

    def take(self, places: NDArray[np.intp]) -> None:
        """Keep these, in this order."""
        self._columns = [column[places] for column in self._columns]

    def normals(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Give means, standard deviations, and which have learned anything (else both are 0)."""
        _, samples, mean, square, _ = self._columns
        ready = samples > 0
        mean = np.where(ready, mean - 1.0, 0.0)
        variance = np.maximum(np.maximum(square - 1.0 - mean * mean, mean), 0.0)
        return mean, np.sqrt(variance), ready

    def state(self, places: NDArray[np.intp]) -> list[list[Any]]:
        """Give what a snapshot needs of some, each as `Baseline.state` does."""
        rows = zip(*(column[places].tolist() for column in self._columns), strict=True)
        return [list(row) for row in rows]

    def restore(self, states: list[list[Any]]) -> None:
        """Take back what `state` gave."""
        columns = zip(*states, strict=True) if states else [()] * len(_TYPES)
        self._columns = [
            np.array(column, kind) for column, kind in zip(columns, _TYPES, strict=True)
        ]
