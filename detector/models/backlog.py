"""Backlog: how much mail our own outage has kept away, which will now come all at once.

In seconds of usual mail. Minutes with less than half of it add to the backlog, minutes with far
more pay it off; what nobody sends any more fades with a half-life of about half an hour.
"""

from collections import deque
from typing import Any, Final

__all__ = ["Backlog"]

MINUTE_S: Final = 60
WINDOW_MIN: Final = 11
SILENT: Final = 0.5
SURPLUS: Final = 1.5
KEPT: Final = 0.98
MOST_S: Final = 6 * 3_600.0


class Backlog:
    """Learns the messages of each minute; `catch_up_s` is what windows of ten minutes may hold."""

    def __init__(self) -> None:
        self._owed_s = 0.0
        self._recent: deque[float] = deque([0.0], WINDOW_MIN)

    @property
    def catch_up_s(self) -> float:
        """Seconds of usual mail that the last ten minutes may have brought beside their own."""
        return max(self._recent)

    def learn_one(self, messages: int, usual: float) -> None:
        """Learn a minute in which `usual` messages were expected (0.0 while that is unknown)."""
        if usual > 0:
            part = messages / usual
            if part < SILENT:
                self._owed_s += MINUTE_S * (1.0 - part)
            else:
                self._owed_s *= KEPT
                if part > SURPLUS:
                    self._owed_s -= MINUTE_S * (part - 1.0)
            self._owed_s = min(max(self._owed_s, 0.0), MOST_S)
        self._recent.append(self._owed_s)

    def state(self) -> list[Any]:
        """Give what a snapshot needs."""
        return [self._owed_s, list(self._recent)]

    @classmethod
    def restored(cls, state: list[Any]) -> "Backlog":
        """Take back what `state` gave."""
        backlog = cls()
        backlog._owed_s = state[0]
        backlog._recent = deque(state[1], WINDOW_MIN)
        return backlog
