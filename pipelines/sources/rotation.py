"""Rotation families: the files of one rotated log, identified by their names alone."""

import re
from typing import Final

__all__ = ["rotation_families"]

_ROTATED: Final = re.compile(
    r"(?P<base>.+?)"
    r"(?:[.-](?P<date>\d{8}(?:[-_T]?\d{2,6})?|\d{4}-\d\d-\d\d|\d{10})|\.(?P<number>\d{1,4}))"
    r"(?:\.gz|\.zst)?",
    re.DOTALL,
)
_DATED, _NUMBERED, _CURRENT = range(3)
_LONGEST_DATE: Final = len("20260101120000")


def rotation_families(paths: list[str]) -> list[list[str]]:
    """Group the paths of one log, oldest first; every other file is a family of its own.

    A log is its current file (`mail.log`), numbered ones (`mail.log.1`, `mail.log.2.gz`; the
    highest number is the oldest) and dated ones (`mail.log-20260101`, with or without a time of
    day or compression), all of one folder. A name that is only compressed (`mail.log.gz`) says
    nothing of an order and stays alone. Families come in the order of their first paths; a path
    given twice counts once.

    >>> rotation_families(["mail.log", "mail.log.1", "other.log", "mail.log.2.gz"])
    [['mail.log.2.gz', 'mail.log.1', 'mail.log'], ['other.log']]
    """
    families: dict[str, list[tuple[tuple[int, str, int], str]]] = {}
    for path in dict.fromkeys(paths):
        base, age = _place(path)
        families.setdefault(base, []).append((age, path))
    return [[path for _, path in sorted(family)] for family in families.values()]


def _place(path: str) -> tuple[str, tuple[int, str, int]]:
    """Give the path of the log that a file belongs to, and a key that sorts it by age."""
    folder_end = path.rfind("/") + 1
    found = _ROTATED.fullmatch(path, folder_end)
    if found is None:
        return path, (_CURRENT, "", 0)
    base = path[:folder_end] + found["base"]
    if found["date"] is None:
        return base, (_NUMBERED, "", -int(found["number"]))
    digits = "".join(character for character in found["date"] if character.isdigit())
    return base, (_DATED, digits.ljust(_LONGEST_DATE, "0"), 0)
