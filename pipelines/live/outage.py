"""Reports a Kafka outage once a minute, with the stages that wait for it."""

from collections.abc import Callable, Mapping
from typing import Final

from pipelines import clock
from pipelines.console.messages import logger_of

__all__ = ["Outage"]

_EVERY_S: Final = 60.0
_WAITS: Final[Mapping[str, str]] = {
    "ingest": "records of the input",
    "progress": "records of the input",
    "detect": "records of the log",
    "publish": "listings for the store",
    "alert": "alerts",
}


class Outage:
    """Belongs to a process: its stages fail together, and one line tells of all of them.

    The first failure is reported at once, later ones at most once in 60 s, with their number. A
    stage that was ready in between has begun another outage; what it says is limited all the same.
    """

    def __init__(self, elapsed_s: Callable[[], float] = clock.elapsed_s) -> None:
        self._elapsed_s = elapsed_s
        self._log = logger_of("kafka")
        self._failed_s: dict[str, tuple[float, float]] = {}
        """Of each stage the first failure of its outage, and the last."""
        self._failures = 0
        self._told_s: float | None = None

    def failed(self, stage: str, reason: str, wait_s: float, *, was_ready: bool) -> None:
        """Note that a stage has failed and restarts in `wait_s`; report it if it is time."""
        now_s = self._elapsed_s()
        self._failures += 1
        since_s, _ = self._failed_s.get(stage, (now_s, now_s))
        self._failed_s[stage] = (now_s if was_ready else since_s, now_s)
        if self._told_s is not None and now_s - self._told_s < _EVERY_S:
            return
        self._told_s = now_s
        lately = {
            name: since_s
            for name, (since_s, last_s) in self._failed_s.items()
            if now_s - last_s < _EVERY_S
        }
        waiting = {_WAITS.get(name, name): None for name in lately}
        self._log.warning(
            "restarts after a Kafka failure", stage=stage, reason=reason, wait_s=wait_s,
            failures=self._failures, for_s=round(now_s - min(lately.values())),
            waiting=list(waiting),
        )  # fmt: skip
        self._failures = 0
