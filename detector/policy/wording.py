"""Durations, counts and shares in the words that people use, exact to the last digit."""

import textwrap
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

__all__ = ["aligned", "duration", "many", "number", "ordinal", "percent", "wrapped"]

UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
ENDINGS: Final = {1: "st", 2: "nd", 3: "rd"}


def duration(seconds: int) -> str:
    """Say a number of seconds in the units that people use, exactly.

    >>> duration(86_400), duration(5_400), duration(1_209_600), duration(61)
    ('24 hours', '1 hour 30 minutes', '14 days', '1 minute 1 second')
    """
    parts: list[str] = []
    units = UNITS if seconds >= 2 * UNITS[0][0] else UNITS[1:]
    for size, name in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(many(count, name))
    return " ".join(parts) or "0 seconds"


def many(count: int, one: str, more: str = "") -> str:
    """Say a count with its noun: "1 mailbox", "2 mailboxes" (`more` where an s is not enough)."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {more or one + 's'}"


def number(value: float) -> str:
    """Say a number: "1,000", "1.5", "3"."""
    return f"{value:,}" if isinstance(value, int) else f"{Decimal(repr(value)).normalize():f}"


def percent(share: float) -> str:
    """Say a share of 1 in per cent: "25 %"."""
    return f"{(Decimal(repr(share)) * 100).normalize():f} %"


def ordinal(place: int) -> str:
    """Say a place from 1 on: "third", "21st"."""
    if place <= len(ORDINALS):
        return ORDINALS[place - 1]
    teens = place // 10 % 10 == 1
    return f"{place:,}{'th' if teens else ENDINGS.get(place % 10, 'th')}"


def wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Break a text into lines, of which the first and the others are indented so."""
    wrapper = textwrap.TextWrapper(width, first, rest, break_long_words=False)
    wrapper.break_on_hyphens = False
    lines = wrapper.wrap(text.replace(" %", "\N{NO-BREAK SPACE}%"))
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """Align the cells of rows under each other.

    >>> aligned([("a", "1"), ("bcd", "22")])
    ['a    1', 'bcd  22']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [indent + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
