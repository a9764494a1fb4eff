"""What the rules on victims are asked about, and what they answer with."""

from dataclasses import dataclass
from typing import Protocol

from detector.judge.cases import Case

__all__ = ["Finding", "Limits", "Offence", "Scene", "Source", "Victim"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one victim may get from strangers now, per minute and 10 minutes, and from all."""

    per_min: int
    per_10min: int
    all_per_min: int
    all_10min: int
    normal_10min: float | None


@dataclass(frozen=True, slots=True)
class Victim:
    """A victim as the rules see it: its hash, for a mailbox also its domain's, its limits."""

    hash: int
    domain_hash: int | None
    limits: Limits
    missed_s: int
    """Of the seconds behind its relations, those that taught nothing: it was flooded."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a case is a flood: `count` messages in `span_s` seconds, where `limit` are allowed."""

    span_s: int
    count: int
    limit: int
    normal: float | None


@dataclass(frozen=True, slots=True)
class Offence:
    """A rule fired for the source in slot `ip`, which sent `messages` of it.

    `evidence` is enough to recompute it.
    """

    ip: int
    asn: int
    rule: str
    first_tick: int
    last_tick: int
    messages: int
    evidence: dict[str, object]


@dataclass(frozen=True, slots=True)
class Source:
    """A source as the rules see it: its slot, its hash, those of its network and ASN group."""

    ip: int
    hash: int
    net: int
    group: int
    volume_h: int
    """What its ASN sent to everybody in the last hour."""
    learned: int
    """Clean messages learned from the source itself."""
    others: int
    """Its messages to others, up to now."""
    busy: float
    """Messages to others from which on a first one into a flood proves nothing."""


class Scene(Protocol):
    """What the rules must know beyond the case; asked only when a limit is passed."""

    @property
    def cold_s(self) -> int | None:
        """Seconds since the log's start while it is cold, then None."""

    @property
    def catch_up_s(self) -> float:
        """Seconds of usual mail that come late now, after our own outage."""

    def volumes(self, span_s: int) -> dict[int, int]:
        """Messages to everybody in the last seconds, by group hash."""

    def share(self, case: Case, span_s: int) -> float:
        """The victim's usual share of all mail, from before the last seconds."""

    def activity(self, case: Case, span_s: int) -> float:
        """How many times more other mailboxes than usual got mail lately, 1 or more."""

    def surge(self, group: int, others: int, span_s: int) -> float:
        """How many times more than usual a group sends to others, 1 or more."""

    def awaited(self, case: Case) -> frozenset[tuple[int, int]]:
        """Give the (mailbox, group) of a domain that were told to come again lately."""

    def usual(self, mailbox: int, place: int, span_s: int) -> float:
        """Messages that a network or group usually sends a mailbox (its slot) in a span."""

    def allowed(
        self, victim: Victim, group: int, span_s: int, activity: float, *, chance: bool
    ) -> float:
        """Messages that the victim's relation with a group allows in a span; 0 for strangers.

        With `chance` a few at least: not for a domain, which gets some of very many ASNs.
        """
