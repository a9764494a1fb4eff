"""The guard's second half: what listings would cost in normal mail, and the breaker on it.

Normal mail is what the relations learned over about a week. Sums are integers, so that the share
is the same on every processor.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.policy.settings import GuardLimits

__all__ = ["Collateral", "Cost"]

LEAST: Final = 20
"""Messages that a share is read from at least: those of a minute's limit."""


class Cost(NamedTuple):
    """What one more listing would cost: shares of normal mail, and what follows from them."""

    own: float
    in_all: float
    for_victim: float
    hold: bool
    alert: bool


class Collateral:
    """Normal mail by source, and the part of it that the listings in force block."""

    def __init__(self, limits: GuardLimits) -> None:
        self.limits = limits
        self.total = 0
        self.observed_s = 0

    def cost(self, own: int, listed: int, for_victim: int, everything: int) -> Cost:
        """Judge a new listing of a source with `own` messages to others, of `everything` so far.

        `listed` are those that listings in force block already, `for_victim` those among them that
        were listed for the same victim. A handful of messages is no share of anything, and a source
        that sends nothing else is never held.
        """
        total = max(self.total, everything)
        if total <= 0:
            return Cost(0.0, 0.0, 0.0, hold=False, alert=False)
        in_all, victim = (listed + own) / total, (for_victim + own) / total
        limits = self.limits
        young = self.observed_s < limits.first_day_s
        hold = own > 0 and (
            (in_all > limits.hold_share and listed + own >= LEAST)
            or (young and victim > limits.victim_hold_share and for_victim + own >= LEAST)
        )
        alert = in_all > limits.alert_share or victim > limits.victim_alert_share
        return Cost(own / total, in_all, victim, hold=hold, alert=alert)

    def fade(self, normal: NDArray[np.uint32]) -> None:
        """Let one day's worth of normal mail go: a seventh, rounded so that small counts fade."""
        normal -= (normal + np.uint32(6)) // np.uint32(7)
        self.total = int(normal.sum(dtype=np.int64))
