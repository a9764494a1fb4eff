"""Memory of the process: when garbage is looked for, and when what was freed goes back."""

import contextlib
import ctypes
import gc
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["give_back", "keep_freed", "lazy_garbage"]


def _found(name: str) -> Callable[..., int] | None:
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):  # not glibc
        return None
    return found


_TRIM: Final = _found("malloc_trim")
_TUNE: Final = _found("mallopt")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES: Final = 1 << 28
_MAPPED_FROM_BYTES: Final = 1 << 25


def give_back() -> None:
    """Give freed pages back (glibc keeps them else, between small things that stay).

    Cost: some milliseconds, and a page fault for each page that is needed again.
    """
    if _TRIM is not None:
        _TRIM(0)


def keep_freed() -> None:
    """Keep freed pages until `give_back`.

    Columns of a second are some hundred KB. By itself glibc gives them back as soon as they are
    free, and a tenth of the detector's time went into having their pages made again.
    """
    if _TUNE is not None:
        _TUNE(_TRIM_THRESHOLD, _KEPT_BYTES)
        _TUNE(_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)


@contextlib.contextmanager
def lazy_garbage() -> Iterator[None]:
    """Collect garbage rarely: a block makes many objects and no circles (1.5 x on decoding)."""
    keep_freed()
    before = gc.get_threshold()
    gc.set_threshold(200_000, 50, 50)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
