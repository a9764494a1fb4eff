"""What a field of the contract is, given where it may stand in a foreign record."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from detector.events.event_time import LATEST_MS
from pipelines.shapes.record_shape import Find

__all__ = ["Pick", "field_pick", "first_there", "meant_pick", "sender_pick", "time_pick"]

Pick = Callable[[Any], Any]
"""Gives the value of one field of a record, None where the record does not say."""

_MOST_REMEMBERED: Final = 1_024
"""Values whose meaning is kept at hand, per field."""
_ANYTHING: Final = "*"
_CODE_DIGITS: Final = 3
_CODE_CLASSES: Final = "2345"


def first_there(finds: tuple[Find, ...], absent: Collection[str]) -> Pick:
    """Pick the first value that is there; an empty one is not, nor one of those in `absent`."""

    def pick(record: Any) -> Any:
        for find in finds:
            value = find(record)
            kind = type(value)
            if kind is str:
                if value and value not in absent:
                    return value
            elif kind is list:
                if absent:
                    value = [v for v in value if type(v) is not str or v not in absent]
                if value:
                    return value
            elif value is not None:
                return value
        return None

    return pick


def field_pick(finds: tuple[Find, ...], absent: Collection[str]) -> Pick:
    """Pick a field of one value; a list of several is left for the reader to reject."""
    first = first_there(finds, absent)
    return lambda record: _alone(first(record))


def sender_pick(finds: tuple[Find, ...], absent: Collection[str]) -> Pick:
    """Pick the sender, "" for the null one; what is no text says nothing of it."""

    def pick(record: Any) -> str | None:
        for find in finds:
            value = _alone(find(record))
            if isinstance(value, str) and value not in absent:
                return value
        return None

    return pick


def time_pick(finds: tuple[Find, ...], absent: Collection[str], milliseconds: int) -> Pick:
    """Pick a time: Unix milliseconds for a number of units so long, and anything else as it is."""
    first = first_there(finds, absent)

    def pick(record: Any) -> Any:
        value = _alone(first(record))
        if type(value) is int or type(value) is float:
            scaled = value * milliseconds
            if 0 <= scaled < LATEST_MS:
                return int(scaled)
        return value

    return pick


def meant_pick(finds: tuple[Find, ...], absent: Collection[str], words: Mapping[str, str]) -> Pick:
    """Pick what the first value stands for that stands for something.

    If none does, pick the first as it is: the reader rejects it, unless it is one of ours.
    """
    firsts = [first_there((find,), absent) for find in finds]
    remembered: dict[str | int, str | None] = {}

    def meaning(value: Any) -> str | None:
        if type(value) is not str and type(value) is not int:
            return _meaning(words, _text(value))
        if value not in remembered:
            if len(remembered) >= _MOST_REMEMBERED:
                remembered.clear()
            remembered[value] = _meaning(words, str(value))
        return remembered[value]

    def pick(record: Any) -> Any:
        unknown: Any = None
        for first in firsts:
            value = first(record)
            if value is None:
                continue
            meant = meaning(value)
            if meant:
                return meant
            if meant is None and unknown is None:
                unknown = value
        return _alone(unknown)

    return pick


def _meaning(words: Mapping[str, str], text: str) -> str | None:
    """Give the word for a text, "" if it says nothing, None if it is unknown."""
    meant = words.get(text)
    if meant is None and len(text) == _CODE_DIGITS and text.isascii() and text.isdigit():
        meant = words.get(f"{text[0]}xx") if text[0] in _CODE_CLASSES else None
    return words.get(_ANYTHING) if meant is None else meant


def _alone(value: Any) -> Any:
    """Give the entry of a list of one; other lists are none of ours."""
    return value[0] if type(value) is list and len(value) == 1 else value


def _text(value: Any) -> str:
    """Give a value as the words of the settings write it, three numbers in an object as 5.1.1."""
    value = _alone(value)
    if isinstance(value, dict):
        parts = list(value.values())
        if list(map(type, parts)) != [int, int, int]:
            return ""
        return ".".join(map(str, parts))
    return str(value)
