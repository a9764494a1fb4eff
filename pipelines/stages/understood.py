"""Whether an input was understood: a log that is read wrong must not look healthy.

The counts of what was read decide, by two shares. Both are far from those of a log that is read
right: of a Postfix log about 15 % of the lines are events, and under 1 % of the deliveries have no
client.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pipelines.console.escaped import escaped_bytes
from pipelines.stages.ingest import NUMBERS, STALE_S, IngestCounts

__all__ = ["Misread", "UnderstandingWatch", "misread", "misread_inputs"]

LEAST_LINES: Final = 1_000
"""Fewer lines say nothing."""
_LEAST_EVENTS: Final = 0.01
_MOST_STRANGE: Final = 0.5
_LEAST_UNCLEAR: Final = 0.01
"""Fewer are those of a host whose clock was wrong."""
_STRETCH_LINES: Final = 10_000
_SHOWN_BYTES: Final = 160
_NO_CLIENT: Final = "delivery of a message without a client"
_OTHERS: Final = "other program"
"""A system log has many such lines: once there are events, they are no sign of anything."""
_CLIENT: Final = "smtpd client"
_UNCLEAR_YEAR: Final = "unclear_year"
_LOCAL: Final = ("pickup", "bounce")
"""Programs that bring mail without a client: each of their lines explains a delivery."""


@dataclass(frozen=True, slots=True)
class Misread:
    """Why an input was not understood.

    `kind` is a word for a metric; `problem` says what was seen, `most` which kind of line is most,
    with an example, and `advice` the likely cause and the next step.
    """

    kind: str
    problem: str
    most: str
    advice: str

    def __str__(self) -> str:
        return f"{self.problem}; {self.most}; {self.advice}"


def misread(counts: IngestCounts) -> Misread | None:
    """Say why these counts are not those of an input that was read right, or None."""
    rejects = sum(counts.rejects.values())
    # Not `counts.events`, which has those of closed ticks only.
    events = max(counts.records - rejects - counts.heartbeats, 0)
    if max(counts.lines, counts.records) < LEAST_LINES:
        return None
    if rejects and events < _LEAST_EVENTS * (counts.records - counts.heartbeats):
        share = "all" if rejects == counts.records - counts.heartbeats else "nearly all:"
        return Misread(
            "rejected",
            f"{share} {rejects:,} records were rejected",
            _most(counts.rejects, counts.examples),
            "the records have another shape, unit of time or encoding: `floodwatch schema event` "
            "describes what is read, and a preset or a mapping of fields reads other names",
        )
    unclear = counts.rejects[_UNCLEAR_YEAR]
    if unclear and unclear >= _LEAST_UNCLEAR * counts.lines:
        return Misread(
            _UNCLEAR_YEAR,
            f"the date of {unclear:,} of {counts.lines:,} lines lies more than half a year before "
            "that of an earlier line",
            f"one is{_shown(_UNCLEAR_YEAR, counts.examples)}",
            "the log spans more than a year and its dates name no year, so that its earlier lines "
            "are dated a year late: split it by year, and read each part with --log-ends",
        )
    strange = counts.kinds[_NO_CLIENT] - sum(counts.kinds[name] for name in _LOCAL)
    if strange >= _MOST_STRANGE * (strange + events) and strange >= LEAST_LINES // 10:
        return Misread(
            "no_clients",
            f"{strange:,} deliveries have no client, {events:,} events have one",
            _example(_NO_CLIENT, counts.examples),
            "the smtpd lines of these messages are missing: name the logs of all hosts and "
            "instances together, from before the first delivery",
        )
    clients = counts.kinds[_CLIENT]
    if clients >= LEAST_LINES // 10 and events + strange < _MOST_STRANGE * clients:
        return Misread(
            "no_deliveries",
            f"{clients:,} messages have a client, only {events:,} were delivered or refused",
            _example(_CLIENT, counts.examples),
            "the delivery lines are missing: name the log that has those of qmgr, smtp, lmtp, "
            "virtual or local too",
        )
    mail_lines = counts.lines - counts.kinds[_OTHERS] if events else counts.lines
    if counts.kinds and events < _LEAST_EVENTS * mail_lines:
        return Misread(
            "no_events",
            f"{counts.lines:,} lines made only {events:,} events",
            _most(counts.kinds, counts.examples),
            "the log is that of another program, or Postfix has another name or line format "
            "there: name the log that has the smtpd and delivery lines of Postfix",
        )
    if counts.stale > _MOST_STRANGE * counts.events:
        return Misread(
            "late",
            f"{counts.stale:,} of {counts.events:,} events are more than {STALE_S // 60} minutes "
            "late: their time is before that of lines read earlier",
            "late events count less",
            "several logs were concatenated into one file, or times have no zone or year: "
            "name each log as a file of its own, oldest first",
        )
    return None


def misread_inputs(
    named: Sequence[tuple[str, IngestCounts]], whole: IngestCounts
) -> Misread | None:
    """Judge each input by itself, so that good ones do not hide one; then all of them together."""
    found = [(name, misread(counts)) for name, counts in named]
    bad = [(name, verdict) for name, verdict in found if verdict is not None]
    if not bad:
        return misread(whole)
    name, first = bad[0]
    others = f" (and {len(bad) - 1:,} other)" if len(bad) > 1 else ""
    return replace(first, problem=f"{name}{others}: {first.problem}")


class UnderstandingWatch:
    """Judges a growing input, stretch by stretch, so that old lines excuse no new ones."""

    def __init__(self) -> None:
        self._before = IngestCounts()
        self._stretch = LEAST_LINES
        self.verdict: Misread | None = None

    def look(self, counts: IngestCounts) -> bool:
        """Judge what came since the last stretch once it is long enough; say whether it did."""
        if max(counts.lines, counts.records) - self._read() < self._stretch:
            return False
        since = IngestCounts(
            **{name: getattr(counts, name) - getattr(self._before, name) for name in NUMBERS},
            rejects=counts.rejects - self._before.rejects,
            kinds=counts.kinds - self._before.kinds,
            examples=counts.examples,
        )
        self._before = replace(counts, rejects=counts.rejects.copy(), kinds=counts.kinds.copy())
        self.verdict = misread(since)
        self._stretch = LEAST_LINES if self.verdict else _STRETCH_LINES
        return True

    def _read(self) -> int:
        return max(self._before.lines, self._before.records)


def _most(counts: Counter[str], examples: Mapping[str, bytes]) -> str:
    kind = min(counts, key=lambda one: (-counts[one], one))
    return f"most are {kind!r} ({counts[kind]:,}){_shown(kind, examples)}"


def _example(kind: str, examples: Mapping[str, bytes]) -> str:
    return f"one is{_shown(kind, examples)}" if kind in examples else "none is shown"


def _shown(kind: str, examples: Mapping[str, bytes]) -> str:
    example = examples.get(kind)
    return "" if example is None else f': "{escaped_bytes(example[:_SHOWN_BYTES])}"'
