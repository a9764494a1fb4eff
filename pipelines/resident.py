"""Resident memory: what was freed goes back to the system, where the C library can do that."""

import ctypes
from collections.abc import Callable
from typing import Final

__all__ = ["give_back"]


def _found() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # not glibc
        return None
    return trim


_TRIM: Final = _found()


def give_back() -> None:
    """Give freed pages back (glibc keeps them else, between small things that stay).

    Cost: some milliseconds, and a page fault for each page that is needed again.
    """
    if _TRIM is not None:
        _TRIM(0)
