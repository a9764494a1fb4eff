"""Log lines of the running process, on stderr: lines for people on a terminal, JSON elsewhere.

Every value is escaped, because most of them come from logs that attackers write. Loggers are bound
to `logging` by themselves: nothing here depends on structlog's global configuration, and a program
that never calls `start_logging` still has its warnings on stderr.
"""

import logging
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from pipelines import clock
from pipelines.console.escaped import escaped

__all__ = ["Level", "Throttle", "logger_of", "start_logging", "stop_logging"]

Level = Literal["debug", "info", "warning", "error"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DEPTH: Final = 4
_MAX_TEMPLATES: Final = 64
_NOISY: Final = ("aiokafka", "uvicorn")
_TRACES: Final = {"exception", "stack"}
"""Values that may have lines, since Python made them; each line is escaped."""


def logger_of(name: str) -> structlog.stdlib.BoundLogger:
    """Give the logger of a component: `floodwatch.<name>`; values go by name.

    Write `logger.warning("webhook answered", status=500)`: a fixed sentence, then its values.
    """
    bound: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(f"floodwatch.{name}"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return bound


def start_logging(
    level: Level = "info",
    *,
    stream: TextIO | None = None,
    elapsed_s: Callable[[], float] = clock.elapsed_s,
) -> logging.Handler:
    """Write what all loggers say from `level` up to `stream` (stderr); give the handler.

    Libraries are heard from `warning` up. Of aiokafka at most one line comes in a minute, because
    it writes about 100 a second while a broker is down; of uvicorn too, because whoever reaches its
    port can make it write. Undo with `stop_logging`.
    """
    out = sys.stderr if stream is None else stream
    handler = _Handler(out, [Throttle(name, elapsed_s=elapsed_s) for name in _NOISY])
    handler.setFormatter(_formatter(for_people=out.isatty()))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("floodwatch").setLevel(level.upper())
    return handler


def stop_logging(handler: logging.Handler) -> None:
    """Remove the handler; suppressed lines are reported as a count."""
    logging.getLogger().removeHandler(handler)
    handler.close()


class Throttle(logging.Filter):
    """Lets through at most `most` records of a library in `span_s` seconds.

    It is about `name` and the loggers below it; all others pass. What was held back is counted by
    its template, the text before its values are filled in; `owed` gives the number and the template
    that came most often once the span is over. At most 64 templates are counted separately.

    >>> now = [0.0]
    >>> throttle = Throttle("noisy", span_s=10, elapsed_s=lambda: now[0])
    >>> record = logging.LogRecord("noisy.part", logging.ERROR, "", 0, "down: %s", (1,), None)
    >>> [throttle.filter(record) for _ in range(4)], throttle.owed()
    ([True, False, False, False], None)
    >>> now[0] = 10.0
    >>> throttle.owed(), throttle.filter(record)
    ((3, 'down: %s'), True)
    """

    def __init__(
        self,
        name: str,
        *,
        most: int = 1,
        span_s: float = 60.0,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        super().__init__(name)
        self._most = most
        self._span_s = span_s
        self._elapsed_s = elapsed_s
        self._since_s = elapsed_s()
        self._passed = 0
        self._held: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the record may be written now."""
        if not super().filter(record):
            return True
        now_s = self._elapsed_s()
        if self._passed >= self._most and now_s - self._since_s < self._span_s:
            template = str(record.msg)
            is_known = template in self._held or len(self._held) < _MAX_TEMPLATES
            self._held[template if is_known else "lines of many kinds"] += 1
            return False
        if now_s - self._since_s >= self._span_s or not self._passed:
            self._since_s, self._passed = now_s, 0
        self._passed += 1
        return True

    def owed(self, *, all_of_it: bool = False) -> tuple[int, str] | None:
        """Give (count, commonest template) of what was held back in a span that is over; once.

        With `all_of_it` a running span ends now. Call it before `filter`.
        """
        is_over = all_of_it or self._elapsed_s() - self._since_s >= self._span_s
        if not self._held or not is_over:
            return None
        count, (template, _) = self._held.total(), self._held.most_common(1)[0]
        self._held.clear()
        return count, template


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to a stream; before each line it reports how many lines the throttles suppressed."""

    def __init__(self, stream: TextIO, throttles: Sequence[Throttle]) -> None:
        super().__init__(stream)
        self._throttles = throttles

    def emit(self, record: logging.LogRecord) -> None:
        self._tell_owed(all_of_it=False)
        if all(throttle.filter(record) for throttle in self._throttles):
            super().emit(record)

    def close(self) -> None:
        self._tell_owed(all_of_it=True)
        super().close()

    def _tell_owed(self, *, all_of_it: bool) -> None:
        for throttle in self._throttles:
            owed = throttle.owed(all_of_it=all_of_it)
            if owed is not None:
                said = "%d similar lines were suppressed, the most frequent: %s"
                record = logging.LogRecord(throttle.name, logging.WARNING, "", 0, said, owed, None)
                super().emit(record)


def _formatter(*, for_people: bool) -> logging.Formatter:
    shown: Processor
    if for_people:
        plain = structlog.dev.plain_traceback
        shown = structlog.dev.ConsoleRenderer(exception_formatter=plain)
    else:
        shown = structlog.processors.JSONRenderer()
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            _named_and_timed,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _escaped_values,
            shown,
        ],
    )


def _named_and_timed(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put time, level and logger first; `logging` took the time when the line was said."""
    record = event["_record"]
    at = _EPOCH + timedelta(milliseconds=int(record.created * 1000))
    known = {
        "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
    }
    return {**known, **event}


def _escaped_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {
        escaped(str(key)): _escaped_lines(value) if key in _TRACES else _safe(value, _MAX_DEPTH)
        for key, value in event.items()
    }


def _safe(value: object, depth: int) -> object:
    """Give a value as JSON can carry it and nothing in it can move a cursor."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | PurePath | BaseException):
        return escaped(str(value))
    if depth and isinstance(value, Mapping):
        return {escaped(str(k)): _safe(v, depth - 1) for k, v in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_safe(item, depth - 1) for item in value]
    return escaped(repr(value))


def _escaped_lines(text: Any) -> str:
    return "\n".join(escaped(line) for line in str(text).split("\n"))
