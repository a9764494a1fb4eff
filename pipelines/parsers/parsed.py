"""What a parser gives of a run of lines."""

from dataclasses import dataclass, field

from detector.events.contract import EventLists, Reject

__all__ = ["Parsed"]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a run of lines held.

    `kinds` counts the lines that made neither an event nor a reject, by kind; `evicted` counts
    the open messages that were forgotten to keep the bound. `examples` has the first line of each
    kind that this parser has not met before.
    """

    events: EventLists
    rejects: list[Reject]
    kinds: dict[str, int]
    evicted: int = 0
    examples: dict[str, bytes] = field(default_factory=dict)
