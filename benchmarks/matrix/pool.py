"""Measure several jobs at a time, each in a process of its own, and tell of those that fail."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

from benchmarks.quality_traffic import BadInputError

__all__ = ["in_processes"]

_FAILURES = (subprocess.CalledProcessError, BadInputError, OSError, EOFError, ValueError)
Job = TypeVar("Job")
Result = TypeVar("Result")


def in_processes(
    measure: Callable[[Job], Result],
    jobs: Sequence[Job],
    at_a_time: int,
    words: Callable[[Result], str],
) -> list[Result]:
    """Give the results in the order of their jobs, each told in `words` when it is there.

    Those that fail are told and left out.
    """
    found: dict[int, Result] = {}
    begun = time.monotonic()
    with ProcessPoolExecutor(at_a_time, get_context("spawn"), max_tasks_per_child=1) as pool:
        running = {pool.submit(measure, job): at for at, job in enumerate(jobs)}
        for number, done in enumerate(as_completed(running), 1):
            at = running[done]
            head = f"[{number}/{len(jobs)} {time.monotonic() - begun:.0f} s]"
            try:
                found[at] = done.result()
                sys.stderr.write(f"{head} {words(found[at])}\n")
            except _FAILURES as error:
                sys.stderr.write(f"{head} {jobs[at]}: FAILED: {error}\n")
            sys.stderr.flush()
    return [found[at] for at in sorted(found)]
