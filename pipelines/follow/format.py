"""Detects the format of a followed log from its first lines, and makes its reader."""

import re
from typing import Final

from pipelines.clock import now_ms
from pipelines.follow.partition import KeepingLines
from pipelines.parsers.foreign_files import foreign_file, foreign_program
from pipelines.parsers.postfix import PostfixParser, looks_like_postfix
from pipelines.parsers.site import Site
from pipelines.parsers.syslog_time import SyslogTime
from pipelines.settings.model import SourceSettings
from pipelines.shapes.field_mapping import lines_of
from pipelines.shapes.raw_postfix import PostfixLines
from pipelines.sources.files import InputError
from pipelines.stages.ingest import LineReader

__all__ = ["FOLLOWED_FORMATS", "format_of", "reader_of"]

FOLLOWED_FORMATS: Final = ("postfix", "ndjson")
_JSON: Final = re.compile(rb'\s*\{\s*"')
_LOOKED_AT_BYTES: Final = 1 << 16
_SHOWN_BYTES: Final = 40


def format_of(path: str, lines: bytes) -> str:
    """Name the format of a log by its first whole lines.

    A system log counts as Postfix's before Postfix has written to it.

    Raises:
        InputError: it is neither.
    """
    head = lines[:_LOOKED_AT_BYTES]
    filled = [line for line in head.split(b"\n")[: lines.count(b"\n")] if line.strip()]
    time = SyslogTime(now_ms())
    dated = sum(time.read(line) is not None for line in filled)
    is_postfix = bool(filled) and looks_like_postfix(filled)
    if is_postfix or (2 * dated > len(filled) and not foreign_program(head)):
        return "postfix"
    if any(_JSON.match(line) for line in filled):
        return "ndjson"
    if not filled:
        return ""
    if known := foreign_file(head):
        raise InputError(path, f"it is {known}")
    shown = ascii(head[:_SHOWN_BYTES])[2:-1]
    raise InputError(
        path, f"not a format that can be followed: it starts with '{shown}', want a raw Postfix "
        "log, or events in JSON, one a line (or say --format postfix or ndjson)",
    )  # fmt: skip


def reader_of(
    kind: str, lines: KeepingLines, source: SourceSettings, utc_offset_s: int,
    trusted_relays: tuple[str, ...], site: Site,
) -> LineReader:  # fmt: skip
    """Make the reader of a format."""
    if kind == "ndjson":
        return lines_of(source, lines.events)
    parser = PostfixParser(
        reference_ms=now_ms(), utc_offset_s=utc_offset_s, trusted_relays=trusted_relays, site=site
    )
    return PostfixLines(parser, lines.events)
