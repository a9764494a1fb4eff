"""What the first records of an input show before anything is decided: other fields, copies."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

import msgspec

from pipelines.replay.parquet import parquet_names
from pipelines.settings.source import SourceSettings
from pipelines.shapes.field_mapping import full_source
from pipelines.shapes.unknown_fields import field_names, unknown_fields
from pipelines.sources.files import InputError, UnreadableInputError

__all__ = ["check_copies", "problem_of_fields"]

_MOST_RECORDS: Final = 100
_BOM: Final = b"\xef\xbb\xbf"


def check_copies(heads: Mapping[str, bytes]) -> None:
    """Check that no two files begin with the same records; `heads` are the first bytes by path.

    A file that is a copy of another one, or of its beginning, would be counted twice: each rate
    would be double, and senders without fault be listed.

    Raises:
        InputError: two files do.
    """
    known = sorted(
        (head.removeprefix(_BOM).replace(b"\r\n", b"\n").strip(), path)
        for path, head in heads.items()
    )
    filled = [(head, path) for head, path in known if head]
    # What begins with a text stands right behind it in order.
    for (shorter, first), (longer, second) in pairwise(filled):
        if longer.startswith(shorter) and longer[len(shorter) : len(shorter) + 1] in {b"", b"\n"}:
            raise InputError(
                second,
                f"it begins with the same records as {ascii(first)[1:-1]}, which would be counted "
                "twice: name only one of them",
            )


def problem_of_fields(path: str, kind: str, head: bytes, source: SourceSettings) -> str:
    """Say which fields are missing in the records of a file, "" where they can be read."""
    if kind == "parquet":
        try:
            return unknown_fields(parquet_names(path), source)
        except UnreadableInputError:
            return ""  # which reading reports
    if kind != "ndjson":
        return ""
    return unknown_fields(field_names([r for r in _records(head) if _counts(r, source)]), source)


def _records(head: bytes) -> Iterator[Any]:
    for line in head.removeprefix(_BOM).split(b"\n")[:_MOST_RECORDS]:
        try:
            record = msgspec.json.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        if isinstance(record, dict) and set(record) != {"heartbeat"}:
            yield record


def _counts(record: dict[str, Any], source: SourceSettings) -> bool:
    """Say whether a record is of a kind that is read."""
    told = full_source(source)
    found = {str(value) for path in told.kind for value in _at(record, path)}
    return not told.kinds or not found or not found.isdisjoint(told.kinds)


def _at(record: Any, path: str) -> list[Any]:
    value = record.get(path)
    for part in path.split(".") if value is None else ():
        record = record.get(part) if isinstance(record, dict) else None
        value = record
    values = value if isinstance(value, list) else [value]
    return [one for one in values if one is not None]
