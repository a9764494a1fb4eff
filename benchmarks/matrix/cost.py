"""What listings for one flood cost others, and what the breaker held of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from benchmarks.quality_listings import DAY_MS, Listings, oracle
from benchmarks.quality_score import score
from benchmarks.quality_traffic import Traffic, json_lines

__all__ = ["Held", "Outcome", "outcome", "read_held"]

SHAPE: Final = "weapon"


@dataclass(frozen=True, slots=True)
class Held:
    """What a decision file says of the breaker.

    `without_reason` were held and do not say why; `without_mail` though they send nothing else;
    `alerts` are changes whose cost asks for an operator.
    """

    listed: int
    held: int
    without_reason: int
    without_mail: int
    withdrawn: int
    alerts: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The flood and its cost.

    `others` is mail to others from its start until its first day ends, or the log where that is
    over; `blocked` what the listings of its sources stop of that.
    """

    name: str
    stopped: int
    oracle_stopped: int
    others: int
    blocked: int

    @property
    def stopped_share(self) -> float:
        """Give what was stopped as a share of what the oracle stops."""
        return self.stopped / max(1, self.oracle_stopped)

    @property
    def blocked_share(self) -> float:
        """Give the share of others' mail that was blocked."""
        return self.blocked / max(1, self.others)


def read_held(path: Path) -> Held:
    """Read what was listed and held from a decision file.

    Raises: OSError; KeyError for what is no decision.
    """
    counts = dict.fromkeys(Held.__dataclass_fields__, 0)
    for _, line in json_lines(path):
        one = cast("dict[str, Any]", line)
        evidence = one["evidence"]
        cost = evidence.get("collateral", {})
        counts["listed"] += one["change"] == "list"
        counts["alerts"] += bool(cost.get("alert"))
        counts["withdrawn"] += evidence.get("reason") == "withdrawn"
        if one["change"] == "hold":
            counts["held"] += 1
            counts["without_reason"] += not evidence.get("held_for")
            counts["without_mail"] += not cost["expected_messages"]
    return Held(**counts)


def outcome(traffic: Traffic, listings: Listings) -> Outcome:
    """Score the one flood of a weapon's log, and count what it cost others."""
    floods = score(traffic, listings, oracle(traffic)).floods
    (flood,) = [one for one in floods if one.shape == SHAPE]
    (at,) = [at for at, group in enumerate(traffic.groups) if group.id == flood.id]
    attack = traffic.group == at
    begun_ms, day_ms = int(traffic.time_ms[attack][0]), int(traffic.time_ms[0]) + DAY_MS
    until_ms = day_ms if begun_ms < day_ms else int(traffic.time_ms[-1])
    own = np.isin(traffic.mailbox, np.unique(traffic.mailbox[attack]))
    others = (traffic.time_ms >= begun_ms) & (traffic.time_ms < until_ms) & ~attack & ~own
    sources = np.unique(traffic.source[attack])
    rows = np.flatnonzero(others & np.isin(traffic.source, sources))
    blocked = listings.blocks(traffic.source[rows], traffic.time_ms[rows])
    return Outcome(
        flood.name, flood.stopped, flood.oracle_stopped,
        int(np.count_nonzero(others)), int(np.count_nonzero(blocked)),
    )  # fmt: skip
