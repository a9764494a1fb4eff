"""What the judges find against a source, for those who list it."""

from typing import NamedTuple

__all__ = ["Offence"]


class Offence(NamedTuple):
    """A rule fired for the source in slot `ip`, which sent `messages` of a flood.

    `evidence` is enough to recompute it. `others` are the messages that it sent to anybody else, of
    `everything` that was sent.
    """

    ip: int
    asn: int
    rule: str
    first_tick: int
    last_tick: int
    messages: int
    evidence: dict[str, object]
    others: int = 0
    everything: int = 0
    flood: int = 0
    """The number of the flood."""
    domain: str = ""
    """The domain of its victim."""
