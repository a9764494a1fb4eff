"""Liveness: each stage reports its progress, and the check looks at the time since then.

Alive means that something moved, not that a process answers: a stage that is stuck behind a lock
answers HTTP as well as ever. A stage that has nothing to do moves too, by its heartbeat.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines import clock

__all__ = ["Gate", "Health", "Pulse", "Stuck"]


@dataclass(frozen=True, slots=True)
class Stuck:
    """A check that did not move for longer than it may: how long, and since when (Unix ms)."""

    name: str
    silent_s: float
    within_s: float
    since_ms: int


class Pulse:
    """Belongs to one thing that must move at least every `within_s` seconds; born moving."""

    def __init__(self, name: str, within_s: float, elapsed_s: Callable[[], float]) -> None:
        self.name = name
        self.within_s = within_s
        self._elapsed_s = elapsed_s
        self._moved_s = elapsed_s()

    def beat(self) -> None:
        """Report progress. Cost: a reading of the clock."""
        self._moved_s = self._elapsed_s()

    def silent_s(self) -> float:
        """Give the time since the last progress."""
        return self._elapsed_s() - self._moved_s


class Gate:
    """One thing that must be so before work is taken; closed at first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_open = self.was_open = False

    def open(self) -> None:
        """Say that it is so: partitions are assigned, the state is restored."""
        self.is_open = self.was_open = True

    def shut(self) -> None:
        """Close the gate."""
        self.is_open = False


class Health:
    """The checks of a process.

    >>> now = [0.0]
    >>> health = Health(now_ms=lambda: 1_000_000 + int(now[0] * 1000), elapsed_s=lambda: now[0])
    >>> detect, gate = health.watch("detect", within_s=30), health.await_("restored")
    >>> now[0] = 31.0
    >>> health.stuck()
    [Stuck(name='detect', silent_s=31.0, within_s=30, since_ms=1000000)]
    >>> detect.beat()
    >>> health.stuck(), health.closed()
    ([], ['restored'])
    >>> gate.open()
    >>> health.closed()
    []
    """

    def __init__(
        self,
        *,
        now_ms: Callable[[], int] = clock.now_ms,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        self._pulses: list[Pulse] = []
        self._gates: list[Gate] = []
        self._now_ms = now_ms
        self._elapsed_s = elapsed_s

    def watch(self, name: str, within_s: float) -> Pulse:
        """Expect a beat at least every `within_s` seconds from now on."""
        pulse = Pulse(name, within_s, self._elapsed_s)
        self._pulses.append(pulse)
        return pulse

    def release(self, pulse: Pulse) -> None:
        """Expect nothing of it any more: it came to its end as it should."""
        self._pulses.remove(pulse)

    def await_(self, name: str) -> Gate:
        """Be not ready until this gate is open."""
        gate = Gate(name)
        self._gates.append(gate)
        return gate

    def stuck(self) -> list[Stuck]:
        """Give what did not move in its time, in the order it was registered."""
        now_ms = self._now_ms()
        found = []
        for pulse in self._pulses:
            silent_s = pulse.silent_s()
            if silent_s > pulse.within_s:
                since_ms = now_ms - int(silent_s * 1000)
                found.append(Stuck(pulse.name, silent_s, pulse.within_s, since_ms))
        return found

    def closed(self) -> list[str]:
        """Give the names of the gates that are not open."""
        return [gate.name for gate in self._gates if not gate.is_open]
