"""The only clock of the house: what is decided runs on the time in the log, not on this."""

import time

__all__ = ["elapsed_s", "now_ms"]


def now_ms() -> int:
    """Give the time of day, Unix milliseconds."""
    return time.time_ns() // 1_000_000


def elapsed_s() -> float:
    """Give seconds of a clock that never jumps, to measure how long something took."""
    return time.perf_counter()
