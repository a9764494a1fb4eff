"""The guard's second half: what listings would cost in normal mail, and the breaker on it.

Normal mail is what the relations learned over about a week. Sums are integers, so that the share
is the same on every processor.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.policy.settings import GuardLimits

__all__ = ["Collateral", "Cost"]


@dataclass(frozen=True, slots=True)
class Cost:
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

    def cost(self, own: int, listed: int, for_victim: int) -> Cost:
        """Judge a new listing of a source with `own` normal messages.

        `listed` are the normal messages that listings in force block already, `for_victim` those
        among them that were listed for the same victim.
        """
        warm = self.observed_s >= self.limits.warm_s and self.total > 0
        if not warm:
            return Cost(0.0, 0.0, 0.0, hold=False, alert=False)
        in_all = (listed + own) / self.total
        victim = (for_victim + own) / self.total
        hold = own > 0 and max(in_all, victim) > self.limits.hold_share
        alert = in_all > self.limits.alert_share or victim > self.limits.victim_alert_share
        return Cost(own / self.total, in_all, victim, hold=hold, alert=alert)

    def fade(self, normal: NDArray[np.uint32]) -> None:
        """Let one day's worth of normal mail go: a seventh, rounded so that small counts fade."""
        normal -= (normal + np.uint32(6)) // np.uint32(7)
        self.total = int(normal.sum(dtype=np.int64))
