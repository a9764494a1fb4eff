"""The numbers that decide and that no operator tunes, each with where it comes from.

Everything else that decides is a published limit of the policy. `python -m benchmarks.quality
sensitivity` shows what half and half as much again of each one changes.
"""

from typing import Final

__all__ = [
    "BUSIEST",
    "CROWD_SLOTS",
    "EACH",
    "LEARNED_MOST",
    "PAIR_SLOTS",
    "PATIENCE",
    "SHAPE",
    "SMOOTH",
    "TWICE",
    "UNSEEN",
]

SHAPE: Final = 0.05
"""Shape of the Gamma prior of any rate: most pairs of a source and a victim never write."""
PAIR_SLOTS: Final = 0.02
"""Slots of ten minutes that the prior of one pair is worth: 2.5 messages a slot before anything
is known."""
CROWD_SLOTS: Final = 0.1
"""The same for all newcomers of a mailbox together."""
EACH: Final = 3.0
"""Messages beyond its usual up to which a network belongs to the crowd of newcomers."""
TWICE: Final = 0.02
"""Of a newsletter or a mailing list, so much goes to the same mailbox again."""
UNSEEN: Final = 0.5
"""Sources of a network that a flood may have without any being seen (Good-Turing's first term)."""
SMOOTH: Final = 5.0
"""Messages that a ratio of two volumes is smoothed by: less is chance."""
BUSIEST: Final = 0.15
"""Of a site's mail, so much may one victim get, as long as nothing is known."""
LEARNED_MOST: Final = 0.5
"""A slot teaches at most what is exceeded once in 10 to the power of this slots."""
PATIENCE: Final = 0.05
"""A judgement is repeated when so much more has come, as a part of what there was."""
