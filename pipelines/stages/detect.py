"""The detect stage in one process: records are numbered as the log would, and the engine acts."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from detector.engine import Engine
from detector.log.records import LogRecord
from detector.tally.tally import Tally
from pipelines.console.resident import give_back

__all__ = ["Detection"]

_TOGETHER_S: Final = 300
"""Tallies within this much event time are closed together; closing them apart changes nothing."""
_ROWS_TO_GIVE_BACK: Final = 1 << 15
"""Counting so many rows leaves behind freed memory worth giving back."""


class Detection:
    """Feeds the engine the log, record by record in order; `keep` sees each record first.

    `offset` is the number of the next record, for an engine that has seen others before.
    """

    def __init__(
        self, engine: Engine, keep: Callable[[LogRecord], None] | None = None, offset: int = 0
    ) -> None:
        self.engine = engine
        self.offset = offset
        self._keep = keep
        self._rows = 0

    @property
    def watermark_ms(self) -> int | None:
        """The last millisecond that has been closed, None before the first close."""
        tick = self.engine.watermark()
        return None if tick is None else tick * 1000 + 999

    def take(
        self, records: Sequence[LogRecord]
    ) -> Iterator[tuple[Sequence[LogRecord], list[dict[str, Any]]]]:
        """Take the next records; give them in groups, each with the changes that followed."""
        for group in _groups(records):
            if self._keep is not None:
                for record in group:
                    self._keep(record)
            changes = self.engine.accept(enumerate(group, self.offset))
            self.offset += len(group)
            self._rows += sum(len(one) for one in group if isinstance(one, Tally))
            if self._rows >= _ROWS_TO_GIVE_BACK:
                give_back()
                self._rows = 0
            yield group, changes


def _groups(records: Sequence[LogRecord]) -> Iterator[Sequence[LogRecord]]:
    start, begin = 0, None
    for index, record in enumerate(records):
        if not isinstance(record, Tally):
            continue
        if begin is not None and record.tick - begin >= _TOGETHER_S:
            yield records[start:index]
            start, begin = index, None
        if begin is None:
            begin = record.tick
    if start < len(records):
        yield records[start:]
