"""What every model shares: the answer of one that has seen too little."""

from dataclasses import dataclass
from typing import Final

__all__ = ["NOT_READY", "Normal", "NotReady"]


@dataclass(frozen=True, slots=True)
class NotReady:
    """The model has learned nothing yet. It is never a number: 0 would mean "nothing is normal"."""


NOT_READY: Final = NotReady()


@dataclass(frozen=True, slots=True)
class Normal:
    """Learned normal of a count in 10 minutes: mean, standard deviation, and from how many."""

    mean: float
    deviation: float
    samples: int
