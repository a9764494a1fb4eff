"""Detects the format of a file from its first bytes, and makes its reader."""

import re
from typing import Final

from detector.events.decode import EventReader
from pipelines.parsers.postfix import PostfixParser, looks_like_postfix
from pipelines.settings.source import SourceSettings
from pipelines.shapes.field_mapping import lines_of
from pipelines.shapes.raw_postfix import PostfixLines, PostfixTerms
from pipelines.stages.ingest import LineReader

__all__ = ["FORMATS", "HEAD_BYTES", "LOG_MAGIC", "detect_format", "line_reader"]

FORMATS: Final = ("ndjson", "postfix", "parquet", "log")
HEAD_BYTES: Final = 1 << 16
"""How much of a file is looked at."""
LOG_MAGIC: Final = b"floodwatch log 1\n"
_PARQUET: Final = b"PAR1"
_JSON: Final = re.compile(rb'\s*\{\s*"')
_BOM: Final = b"\xef\xbb\xbf"


def detect_format(head: bytes, *, named: bool) -> str | None:
    r"""Name the format of what begins with `head`: "" for an empty file, None for none we know.

    One JSON object is enough where somebody `named` the file, so that its bad lines are told; of a
    file that lies about in a folder most lines must be.

    >>> detect_format(b'{"time": 1}\n', named=True), detect_format(b"%PDF-1.7", named=True)
    ('ndjson', None)
    """
    if head.startswith(LOG_MAGIC):
        return "log"
    if head.startswith(_PARQUET):
        return "parquet"
    lines = [line for line in head.removeprefix(_BOM).split(b"\n") if line.strip()]
    if not lines:
        return ""
    if len(lines) > 1 and len(head) >= HEAD_BYTES:
        lines.pop()  # cut short, perhaps
    if looks_like_postfix(lines):
        return "postfix"
    objects = sum(_JSON.match(line) is not None for line in lines)
    return "ndjson" if objects and (named or 2 * objects > len(lines)) else None


def line_reader(
    name: str, events: EventReader, terms: PostfixTerms, source: SourceSettings, newest_ms: int
) -> LineReader:
    """Make the reader of one partition; `newest_ms` is the date of its newest file."""
    if name != "postfix":
        return lines_of(source, events)
    reference = newest_ms if terms.reference_ms is None else terms.reference_ms
    parser = PostfixParser(
        reference_ms=reference,
        utc_offset_s=terms.utc_offset_s,
        trusted_relays=terms.trusted_relays,
        site=terms.site,
    )
    return PostfixLines(parser, events)
