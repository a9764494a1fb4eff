"""What traffic to simulate, and how the result names its groups."""

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["FLOOD_SHAPES", "INNOCENT_PATTERNS", "Group", "Kind", "SimulationSpec", "TimeFormat"]

Kind = Literal["normal", "flood", "innocent"]
TimeFormat = Literal["ms", "rfc3339"]

FLOOD_SHAPES: Final = (
    "direct",
    "botnet",
    "list_bomb",
    "list_bomb_slow",
    "snowshoe",
    "pulse",
    "ipv6_rotation",
    "distributed",
    "slow_ramp",
    "busy_victim",
    "provider_pool",
    "first_minutes",
)
"""Every kind of flood: FIELD's table, and the hard circumstances named below it."""

INNOCENT_PATTERNS: Final = (
    "newsletter",
    "monitoring",
    "ticket",
    "big_provider",
    "greylist_retries",
    "backscatter",
    "harvesting",
    "busy_mailbox",
    "mailing_list",
    "login_codes",
    "outage_flush",
    "late_burst",
)
"""Every kind of traffic that must not be listed."""


@dataclass(frozen=True, slots=True)
class SimulationSpec:
    """Settings of one simulation. What is None is drawn from the seed.

    `events` lines are written over `hours` of event time. `flood_share` is the most of them that
    belong to floods; the size of a flood does not depend on `events`. `shapes` and `patterns`
    choose from `FLOOD_SHAPES` and `INNOCENT_PATTERNS`.
    `disorder=False` gives lines in exact time order, without a late lump.
    """

    seed: int
    events: int = 300_000
    hours: float = 24.0
    start_ms: int | None = None
    flood_share: float | None = None
    shapes: tuple[str, ...] = FLOOD_SHAPES
    patterns: tuple[str, ...] = INNOCENT_PATTERNS
    time_format: TimeFormat | None = None
    received: bool | None = None
    asn_field: bool | None = None
    disorder: bool = True

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: a number out of its range, or an unknown shape or pattern.
        """
        if self.events < 3_000:  # noqa: PLR2004
            raise ValueError(f"events: got {self.events}, must be >= 3000")
        if not 0.25 <= self.hours <= 24 * 60:  # noqa: PLR2004
            raise ValueError(f"hours: got {self.hours}, must be in [0.25, 1440]")
        if self.flood_share is not None and not 0 <= self.flood_share <= 0.3:  # noqa: PLR2004
            raise ValueError(f"flood_share: got {self.flood_share}, must be in [0, 0.3]")
        for got, allowed, name in (
            (self.shapes, FLOOD_SHAPES, "shapes"),
            (self.patterns, INNOCENT_PATTERNS, "patterns"),
        ):
            unknown = sorted(set(got) - set(allowed))
            if unknown:
                raise ValueError(f"{name}: got {unknown}, allowed are {list(allowed)}")


@dataclass(frozen=True, slots=True)
class Group:
    """One kind of traffic in the truth: the ordinary mail, one flood, or one innocent pattern.

    `start_ms` and `end_ms` are the times of its first and last event (0 and 0 without events).
    `fast` says that the first 30 messages of a flood came within a minute.
    """

    id: int
    kind: Kind
    shape: str
    name: str
    victims: tuple[str, ...]
    victim_domain: str | None
    fast: bool
    start_ms: int
    end_ms: int
    events: int
