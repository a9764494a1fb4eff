"""Raw Postfix logs as lines of a partition, and what such a log does not say itself."""

from dataclasses import dataclass, field

from detector.events.decode import EventReader
from pipelines.parsers.postfix import PostfixParser
from pipelines.parsers.site import Site
from pipelines.settings.model import SiteSettings
from pipelines.stages.ingest import ReadLines

__all__ = ["PostfixLines", "PostfixTerms", "site_of"]


@dataclass(frozen=True, slots=True)
class PostfixTerms:
    """What a raw log does not say itself.

    `reference_ms`: latest plausible time, for dates without a year (None: the file's own date).
    """

    reference_ms: int | None = None
    utc_offset_s: int = 0
    trusted_relays: tuple[str, ...] = ()
    site: Site = field(default_factory=Site)


def site_of(settings: SiteSettings) -> Site:
    """Give what a parser needs of the settings."""
    return Site(settings.copies, settings.networks)


class PostfixLines:
    """A raw Postfix log, joined by its queue ids."""

    def __init__(self, parser: PostfixParser, events: EventReader) -> None:
        self._parser = parser
        self._events = events

    @property
    def parser(self) -> PostfixParser:
        """What reads the lines, and remembers open messages."""
        return self._parser

    def read(self, block: bytes, first: int) -> ReadLines:
        """Read a block of whole lines."""
        if b"\r\n" in block:
            block = block.replace(b"\r\n", b"\n")
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        parsed = self._parser.feed(lines, first)
        columns, rejects = self._events.intern(parsed.events)
        return ReadLines(
            columns, parsed.rejects + rejects, len(lines), parsed.kinds, parsed.evicted,
            parsed.examples,
        )  # fmt: skip
