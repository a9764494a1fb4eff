"""What is kept of one scored traffic, as plain numbers that JSON holds."""

from dataclasses import dataclass
from math import inf

__all__ = ["LEARNING_S", "Cell", "Flood", "Part"]

LEARNING_S = 3_600
"""Floods that begin in this part of a log are judged apart."""


@dataclass(frozen=True, slots=True)
class Part:
    """How many of some sources were listed."""

    listed: int
    total: int


@dataclass(frozen=True, slots=True)
class Flood:
    """One flood of 30 or more messages.

    `seconds` from its 30th message to its first listing, None if none came; `rate_per_min` at that
    listing; `early`: its first message lies in the log's first hour.
    """

    name: str
    shape: str
    fast: bool
    early: bool
    messages: int
    stopped: int
    oracle_stopped: int
    seconds: float | None
    rate_per_min: int | None

    @property
    def found(self) -> bool:
        """Tell whether one of its sources was listed while it lasted."""
        return self.seconds is not None

    @property
    def delay_s(self) -> float:
        """Give the seconds to the first listing; infinite if none came."""
        return inf if self.seconds is None else self.seconds


@dataclass(frozen=True, slots=True)
class Cell:
    """The figures of one traffic: `seed` of `generator`, at `version` of its source.

    `normal_events` and `flood_events` are lines of the event file; `legitimate` and the blocked are
    messages. `cpu_s` is the processor time of the replay, with its start.
    """

    generator: str
    version: str
    events: int
    seed: int
    normal_events: int
    flood_events: int
    legitimate: int
    floods: tuple[Flood, ...]
    must_not: Part
    patterns: dict[str, Part]
    far: Part
    bystanders: Part
    blocked_innocent: int
    blocked_guilty: int
    cpu_s: float
    wall_s: float

    @property
    def key(self) -> tuple[str, int, int]:
        """Give what makes two cells the same traffic, the version of the generator aside."""
        return self.generator, self.events, self.seed
