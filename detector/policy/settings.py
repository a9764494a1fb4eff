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
    "BackscatterRule",
    "BaselineModel",
    "ClockSpec",
    "ConcentrationRule",
    "GuardLimits",
    "ListingTerms",
    "MemoryBounds",
    "Policy",
    "RelationTerms",
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
    """When a mailbox or a customer domain counts as flooded (messages above its relations)."""

    enabled: bool = setting(default=True, meaning="whether the rule lists at all")
    mode: str = setting("on", "on lists, shadow only records", allowed=("on", "shadow"))
    mailbox_per_min: int = setting(20, "messages a minute at one mailbox", 5, 100_000)
    mailbox_per_10min: int = setting(40, "messages in 10 minutes at one mailbox", 10, 1_000_000)
    mailbox_per_hour: int = setting(120, "messages an hour at one mailbox", 20, 1_000_000)
    domain_per_min: int = setting(30, "messages a minute at one customer domain", 10, 1_000_000)
    domain_per_10min: int = setting(80, "messages in 10 minutes at one domain", 20, 1_000_000)
    domain_mailboxes: int = setting(10, "mailboxes of a domain that must be involved", 2, 10_000)
    single_source_factor: float = setting(1.1, "factor on limits fed by very few networks", 1, 100)
    domain_source_factor: float = setting(3.0, "the same factor for a domain's limits", 1, 100)
    baseline_factor: float = setting(
        2.0, "times the learned normal that a flood must exceed", 1, 50
    )
    baseline_sigmas: float = setting(4.0, "deviations above normal that it must exceed", 0, 50)
    diverse_networks: int = setting(8, "networks from which a flood counts as diverse", 2, 10_000)
    light_messages: int = setting(
        5, "strangers of light ASNs, beyond the usual, that make a crowd", 1, 100_000
    )
    light_factor: float = setting(3.0, "times the usual strangers that are no crowd yet", 1, 100)
    cold_factor: float = setting(
        5.0, "times the limits of a mailbox beyond doubt while nothing is known", 1, 1_000
    )
    cold_diverse_factor: float = setting(1.5, "the same for mail from many addresses", 1, 1_000)
    cold_10min_factor: float = setting(3.0, "the same for the limit of 10 minutes", 1, 1_000)
    calm_fraction: float = setting(
        0.25, "fraction of the 10-minute limit below which a flood is over", 0.01, 1
    )


@dataclass(frozen=True, slots=True)
class ConcentrationRule:
    """When an IP or an ASN counts as flooding a few victims, each below the victim's own limit."""

    enabled: bool = setting(default=True, meaning="whether the rule lists at all")
    mode: str = setting("on", "on lists, shadow only records", allowed=("on", "shadow"))
    per_min: int = setting(25, "messages a minute at its few victims", 5, 1_000_000)
    per_10min: int = setting(50, "messages in 10 minutes at its few victims", 10, 1_000_000)
    victims: int = setting(10, "victims that count as few", 1, 1_000)
    share: float = setting(0.8, "share of its messages that must go to them", 0.1, 1)
    per_victim: int = setting(10, "messages in 10 minutes that make a mailbox one of them", 2, 1000)
    baseline_factor: float = setting(3.0, "times the normal that an ASN must exceed", 1, 100)


@dataclass(frozen=True, slots=True)
class BackscatterRule:
    """Bounces to a forged address: told apart by the null sender, listed only on request."""

    enabled: bool = setting(default=False, meaning="whether sources of backscatter are listed")
    mode: str = setting("on", "on lists, shadow only records", allowed=("on", "shadow"))
    per_min: int = setting(60, "null-sender messages a minute at one mailbox", 5, 1_000_000)


@dataclass(frozen=True, slots=True)
class Rules:
    """The four listing rules."""

    source_flood: ConcentrationRule = field(default_factory=ConcentrationRule)
    victim_flood: VictimRule = field(default_factory=VictimRule)
    asn_flood: ConcentrationRule = field(
        default_factory=lambda: ConcentrationRule(per_min=50, per_10min=100)
    )
    backscatter: BackscatterRule = field(default_factory=BackscatterRule)


@dataclass(frozen=True, slots=True)
class RelationTerms:
    """What a source may send to a victim it has written to before."""

    learn_delay_s: int = setting(600, "seconds before clean mail becomes a relation", 60, 86_400)
    half_life_days: int = setting(14, "days after which a relation counts half", 1, 365)
    floor: int = setting(2, "messages a known source may always send into a flood", 0, 1000)
    factor: float = setting(1.5, "times its usual volume that a known source may send", 1, 100)


@dataclass(frozen=True, slots=True)
class BaselineModel:
    """The learned normal of busy victims and of ASNs."""

    cold_start_s: int = setting(
        1200, "seconds from the log's start while normal is guessed", 60, HOUR_S
    )
    fading: float = setting(0.05, "weight of the newest 10 minutes in the learned normal", 0.001, 1)
    busy_per_10min: int = setting(
        10, "messages in 10 minutes from which a normal is learned", 1, 10_000
    )


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
    victim_alert_share: float = setting(0.02, "the same for one victim's listings", 0.0, 1)
    warm_s: int = setting(DAY_S, "observed time before normal mail is known", 0, 30 * DAY_S)


@dataclass(frozen=True, slots=True)
class MemoryBounds:
    """What bounds the state, whatever the input is."""

    keys: int = setting(1_000_000, "sources and mailboxes tracked, each", 1_000, 100_000_000)
    evidence_rows: int = setting(2_000_000, "tally rows kept as evidence", 10_000, 200_000_000)
    relation_cells: int = setting(4_194_304, "cells of the relation table", 1_024, 2**30)
    cases: int = setting(20_000, "victims examined at the same time", 10, 10_000_000)


@dataclass(frozen=True, slots=True)
class Policy:
    """One active policy. Its digest stands in each decision."""

    mode: str = setting("on", "on publishes, shadow only records", allowed=("on", "shadow"))
    clock: ClockSpec = field(default_factory=ClockSpec)
    rules: Rules = field(default_factory=Rules)
    relations: RelationTerms = field(default_factory=RelationTerms)
    baseline: BaselineModel = field(default_factory=BaselineModel)
    listing: ListingTerms = field(default_factory=ListingTerms)
    guard: GuardLimits = field(default_factory=GuardLimits)
    memory: MemoryBounds = field(default_factory=MemoryBounds)


def policy_digest(policy: Policy) -> str:
    """Name a policy by its content: 12 hex digits of the SHA-256 of its canonical JSON."""
    text = json.dumps(asdict(policy), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
