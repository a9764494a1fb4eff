"""What our side answered: mixes of outcomes, and the words that stand in the log for them."""

from typing import Final

import numpy as np
from numpy.random import Generator

from detector.events.contract import Outcome
from pipelines.simulate.columns import IntArray, as_ints

__all__ = ["ACTIONS", "CAUSES", "REASONS", "flood_outcomes", "mixed", "staged"]

ACTIONS: Final[dict[int, str]] = {
    outcome: "accept" if outcome == 0 else outcome.name.partition("_")[0].lower()
    for outcome in Outcome
}
"""The `action` of an event, by outcome."""

CAUSES: Final[dict[int, str]] = {
    outcome: outcome.name.partition("_")[2].lower()
    for outcome in Outcome
    if outcome.name.startswith(("REJECT", "DEFER"))
}
"""The `cause` of an event, by outcome; accepted and discarded mail has none."""

REASONS: Final[dict[int, tuple[str, ...]]] = {
    Outcome.REJECT_OTHER: (
        "554 5.7.1 Access denied",
        "504 5.5.2 Helo command rejected: need fully-qualified hostname",
    ),
    Outcome.REJECT_BLOCKLIST: (
        "554 5.7.1 Service unavailable; Client host blocked using bl.example",
        "550 5.7.1 blocked using lists.example, see https://lists.example/",
    ),
    Outcome.REJECT_UNKNOWN_USER: (
        "550 5.1.1 Recipient address rejected: User unknown in virtual mailbox table",
        "550 5.1.1 no such user",
    ),
    Outcome.REJECT_RATE: ("550 5.7.1 too many messages", "554 5.7.1 rate limit exceeded"),
    Outcome.REJECT_CONTENT: (
        "550 5.7.1 Spam message rejected",
        "554 5.7.1 message content rejected",
    ),
    Outcome.DEFER_OTHER: (
        "450 4.2.0 Recipient address rejected: Greylisted, try again later",
        "452 4.2.2 mailbox full",
    ),
    Outcome.DEFER_BLOCKLIST: ("450 4.7.1 temporarily blocked using bl.example",),
    Outcome.DEFER_UNKNOWN_USER: ("450 4.1.1 unverified address",),
    Outcome.DEFER_RATE: ("451 4.7.1 rate limit, slow down", "450 4.7.1 too many connections"),
    Outcome.DEFER_CONTENT: ("451 4.7.1 try again later (content)",),
}
"""Texts of the `reason` field, by outcome."""

_NAMED: Final = (
    Outcome.REJECT_CONTENT,
    Outcome.REJECT_RATE,
    Outcome.REJECT_BLOCKLIST,
    Outcome.DEFER_OTHER,
    Outcome.DEFER_RATE,
    Outcome.DEFER_CONTENT,
)


def mixed(rng: Generator, count: int, shares: dict[Outcome, float]) -> IntArray:
    """Draw `count` outcomes with the given shares; the rest is accepted."""
    outcomes = np.zeros(count, dtype=np.int64)
    drawn, edge = rng.random(count), 0.0
    for outcome, share in shares.items():
        outcomes[(drawn >= edge) & (drawn < edge + share)] = int(outcome)
        edge += share
    return outcomes


def staged(rng: Generator, count: int, outcome: Outcome, start: float, share: float) -> IntArray:
    """Draw outcomes that are accepted at first; from part `start` on, `share` are `outcome`."""
    late = np.arange(count) >= start * count
    return as_ints(np.where(late & (rng.random(count) < share), int(outcome), 0))


def flood_outcomes(rng: Generator, count: int) -> IntArray:
    """Draw the outcomes of a flood: mostly accepted, mixed, or answered differently from midway."""
    style = rng.random()
    if style < 0.5:  # noqa: PLR2004
        share = rng.uniform(0, 0.06)
        return mixed(rng, count, {Outcome.REJECT_CONTENT: share})
    picked = [_NAMED[int(i)] for i in rng.choice(len(_NAMED), size=2, replace=False)]
    if style < 0.8:  # noqa: PLR2004
        shares = rng.dirichlet([3.0, 1.0, 0.5])
        return mixed(rng, count, {picked[0]: float(shares[1]), picked[1]: float(shares[2])})
    return staged(rng, count, picked[0], rng.uniform(0.1, 0.8), rng.uniform(0.2, 0.95))
