"""Every number the detector decides by, with its unit, its limits and the reason it exists.

The sections mirror the TOML policy. `setting()` declares the allowed range and the sentence that
`floodwatch policy` and error messages show. What shapes a rule and is nobody's to tune (the share
that tells a newsletter, the room for chance) stands as a constant beside it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

__all__ = [
    "DAY_S",
    "HOUR_S",
    "MINUTE_S",
    "ClockSpec",
    "GuardLimits",
    "LearningTerms",
    "ListingTerms",
    "MemoryBounds",
    "Policy",
    "Rules",
    "VictimRule",
    "policy_digest",
    "setting",
]

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400


def setting(
    default: float | bool | str | tuple[str, ...],
    meaning: str,
    least: float | None = None,
    most: float | None = None,
    allowed: tuple[str, ...] | None = None,
) -> Any:
    """Declare one number of the policy: its default, its meaning in words and what is allowed."""
    return field(
        default=default,
        metadata={"meaning": meaning, "least": least, "most": most, "allowed": allowed},
    )


@dataclass(frozen=True, slots=True)
class ClockSpec:
    """How event time is cut. Hashed into each tally; changes only after an `end`."""

    lateness_s: int = setting(2, "seconds a tick stays open for events out of order", 0, 600)
    future_s: int = setting(300, "seconds an event may lie ahead of its receipt or clock", 1, 86400)


@dataclass(frozen=True, slots=True)
class VictimRule:
    """When a mailbox or a customer domain is flooded, and who takes part in it.

    The limits count messages beyond what the victim usually gets.
    """

    enabled: bool = setting(default=True, meaning="whether the rule lists at all")
    mode: str = setting("on", "on lists, shadow only records", allowed=("on", "shadow"))
    mailbox_per_min: int = setting(20, "messages a minute at one mailbox", 5, 100_000)
    mailbox_per_10min: int = setting(40, "messages in 10 minutes at one mailbox", 10, 1_000_000)
    mailbox_per_hour: int = setting(120, "messages an hour at one mailbox", 20, 1_000_000)
    domain_per_min: int = setting(30, "messages a minute at one customer domain", 10, 1_000_000)
    domain_per_10min: int = setting(80, "messages in 10 minutes at one domain", 20, 1_000_000)
    domain_per_hour: int = setting(240, "messages an hour at one customer domain", 20, 1_000_000)
    domain_mailboxes: int = setting(10, "mailboxes of a domain that must be involved", 2, 10_000)
    surprise: float = setting(
        3.0, "usual is what is exceeded at most once in 10 to the power of this windows", 1, 9
    )
    over_fraction: float = setting(
        0.25, "fraction of the limits of an hour below which a flood is over", 0.01, 1
    )
    innocent: float = setting(
        0.1, "chance of being innocent below which an address is listed", 0.0001, 0.5
    )
    cost: float = setting(
        0.3, "weight of a message to others beside one that is part of a flood", 0, 10
    )
    system_burst: float = setting(
        60.0, "times its usual 10 minutes that a regular sender may send in a burst", 1, 1_000
    )
    regular_slots: int = setting(
        12, "different 10 minutes in which a regular sender wrote to the mailbox", 2, 1_000
    )


@dataclass(frozen=True, slots=True)
class Rules:
    """The listing rules: there is one."""

    victim_flood: VictimRule = field(default_factory=VictimRule)


@dataclass(frozen=True, slots=True)
class LearningTerms:
    """How what is usual is learned, and how careful a young log makes the detector."""

    delay_s: int = setting(600, "seconds before mail counts as usual", 600, 86_400)
    half_life_days: int = setting(14, "days after which what was learned counts half", 1, 365)
    young_s: int = setting(
        HOUR_S, "seconds from the start of a log or a domain with higher limits", 60, DAY_S
    )
    young_factor: float = setting(3.0, "times the limits hold in that time", 1, 100)
    fading: float = setting(0.05, "weight of the newest 10 minutes in an AS's normal", 0.001, 1)


@dataclass(frozen=True, slots=True)
class ListingTerms:
    """How long a listing lasts and when its owner may ask for removal."""

    temporary_quiet_s: int = setting(
        DAY_S, "observed quiet after which a listing ends", 60, 30 * DAY_S
    )
    temporary_removal_quiet_s: int = setting(
        HOUR_S, "quiet before a request is granted", 0, 30 * DAY_S
    )
    temporary_hard_s: int = setting(
        3 * DAY_S, "latest end after the last attempt", HOUR_S, 60 * DAY_S
    )
    standing_quiet_s: int = setting(
        7 * DAY_S, "observed quiet ending a standing one", 60, 90 * DAY_S
    )
    standing_removal_quiet_s: int = setting(
        6 * HOUR_S, "quiet before a request on a standing listing is granted", 0, 30 * DAY_S
    )
    standing_hard_s: int = setting(14 * DAY_S, "latest end of a standing one", HOUR_S, 180 * DAY_S)
    standing_listings: int = setting(3, "listings in the memory that make one standing", 2, 1000)
    standing_flood_s: int = setting(
        3 * DAY_S, "length of a flood that makes one standing", 60, 90 * DAY_S
    )
    memory_s: int = setting(
        30 * DAY_S, "how long earlier listings count as repeats", 0, 365 * DAY_S
    )
    most_quiet_s: int = setting(
        7 * DAY_S, "the quiet that repeats can reach at most", 60, 90 * DAY_S
    )
    extend_every_s: int = setting(HOUR_S, "least time between two extensions told", 1, DAY_S)
    connect_floor: int = setting(
        10, "attempts an hour without recipient that pause quiet", 1, 100_000
    )


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """What is never listed, and how much normal mail the listings may cost."""

    never_list: tuple[str, ...] = setting((), "own and allowed ranges, in CIDR")
    hold_share: float = setting(0.25, "share of normal mail blocked above which to hold", 0.0, 1)
    alert_share: float = setting(0.05, "share of normal mail blocked above which to alert", 0.0, 1)
    victim_alert_share: float = setting(
        0.02, "the same for the listings of one customer's domain", 0.0, 1
    )
    victim_hold_share: float = setting(
        0.1, "share that one domain's listings may block in the log's first day", 0.0, 1
    )
    first_day_s: int = setting(DAY_S, "observed time in which that holds", 0, 30 * DAY_S)


@dataclass(frozen=True, slots=True)
class MemoryBounds:
    """What bounds the state, whatever the input is."""

    keys: int = setting(1_000_000, "sources and mailboxes tracked, each", 1_000, 100_000_000)
    evidence_rows: int = setting(2_000_000, "tally rows kept as evidence", 10_000, 200_000_000)
    relation_cells: int = setting(4_194_304, "cells of the relation table", 1_024, 2**30)
    listings: int = setting(
        1_000_000, "listings at the same time, above which new ones are held", 1, 100_000_000
    )
    cases: int = setting(20_000, "victims examined at the same time", 10, 10_000_000)


@dataclass(frozen=True, slots=True)
class Policy:
    """One active policy. Its digest stands in each decision."""

    mode: str = setting("on", "on publishes, shadow only records", allowed=("on", "shadow"))
    clock: ClockSpec = field(default_factory=ClockSpec)
    rules: Rules = field(default_factory=Rules)
    learning: LearningTerms = field(default_factory=LearningTerms)
    listing: ListingTerms = field(default_factory=ListingTerms)
    guard: GuardLimits = field(default_factory=GuardLimits)
    memory: MemoryBounds = field(default_factory=MemoryBounds)


def policy_digest(policy: Policy) -> str:
    """Name a policy by its content: 12 hex digits of the SHA-256 of its canonical JSON."""
    text = json.dumps(asdict(policy), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
