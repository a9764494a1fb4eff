"""Gates: the counters of ten minutes from which on a victim is examined.

They follow from what was learned and from the limits, so that they are set once a slot; in other
minutes only for domains whose youth ends, and for new victims.
"""

import numpy as np
from numpy.typing import NDArray

from detector.judge.rows import LONG_S
from detector.memory.relations import MESSAGE
from detector.memory.tracking import Victims
from detector.policy.settings import MINUTE_S
from detector.state import State

__all__ = ["Gates"]


class Gates:
    """Sets the gates of victims; nothing of it needs to outlast the process."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._of: object = None
        """What the gates were set from."""
        self._upto = 0

    def begin_minute(self, minute: int) -> None:
        """Set what is out of date in a minute."""
        state, end = self._state, _last_tick(minute)
        of = state.learner.edition, state.policy
        if of != self._of:
            self._of = of
            for victims in (state.mailboxes, state.domains):
                self._set(victims, np.flatnonzero(victims.known), end)
        else:
            self._end_youth(self._upto, end)
        self._upto = end

    def admit(self, mailboxes: NDArray[np.int64], domains: NDArray[np.int64], minute: int) -> None:
        """Set the gates of new victims."""
        self._set(self._state.domains, domains, _last_tick(minute))
        self._set(self._state.mailboxes, mailboxes, _last_tick(minute))

    def _set(self, victims: Victims, slots: NDArray[np.int64], end: int) -> None:
        """Set gates: the lowest limit beyond the mean, with room for chance.

        A young domain's limits are higher, unless it stops being young by tick `end`.
        """
        state = self._state
        rule, terms = state.policy.rules.victim_flood, state.policy.learning
        is_wide = victims is state.domains
        domain = slots if is_wide else victims.domain[slots]
        young = end - state.domains.since[domain] < terms.young_s
        base = rule.domain_per_min if is_wide else rule.mailbox_per_min
        least = np.where(young, np.ceil(base * terms.young_factor), base)
        learned_s = state.learner.relations.learned_s - victims.missed_s[slots]
        windows = np.maximum(learned_s, LONG_S) / LONG_S
        for gate, learned in ((victims.gate_all, victims.got), (victims.gate_new, victims.crowd)):
            mean = learned[slots] / MESSAGE / windows
            gate[slots] = np.minimum(least + mean + 2.0 * np.sqrt(mean), 4e9)

    def _end_youth(self, after: int, end: int) -> None:
        """Lower the gates of domains, and their mailboxes, whose youth ends in `(after, end]`."""
        domains, mailboxes = self._state.domains, self._state.mailboxes
        young_s = self._state.policy.learning.young_s
        grown_up = domains.known & (domains.since <= end - young_s)
        grown_up &= domains.since > after - young_s
        if grown_up.any():
            self._set(domains, np.flatnonzero(grown_up), end)
            theirs = mailboxes.known & grown_up[mailboxes.domain]
            self._set(mailboxes, np.flatnonzero(theirs), end)


def _last_tick(minute: int) -> int:
    return minute * MINUTE_S + MINUTE_S - 1
