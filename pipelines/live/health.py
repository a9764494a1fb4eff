"""What a stage reports of itself while it runs: its pulse, readiness, counts and messages."""

from dataclasses import dataclass, field
from pathlib import Path

from structlog.stdlib import BoundLogger

from pipelines import clock
from pipelines.console.messages import logger_of
from pipelines.console.telemetry import Telemetry
from pipelines.live.outage import Outage
from pipelines.snapshot_file import age_and_size
from pipelines.stages.ingest import IngestCounts
from pipelines.stages.understood import UnderstandingWatch
from pipelines.web.progress import Gate, Health, Pulse

__all__ = ["StageHealth"]

_SILENT_S = 120.0
"""A stage that did not come around for so long is stuck: its longest single step is a snapshot."""


@dataclass(frozen=True, slots=True)
class StageHealth:
    """That it moves, whether it is ready, what it counts, and what an operator should know."""

    name: str
    telemetry: Telemetry
    pulse: Pulse
    gate: Gate
    log: BoundLogger
    understood: Gate
    outage: Outage
    _watch: UnderstandingWatch = field(default_factory=UnderstandingWatch)

    @classmethod
    def of(
        cls, name: str, health: Health, telemetry: Telemetry, outage: Outage | None = None
    ) -> "StageHealth":
        """Register a stage; `outage` is that of the process."""
        understood = health.await_(f"{name}: an input in a known format")
        understood.open()
        return cls(
            name, telemetry, health.watch(name, _SILENT_S), health.await_(name), logger_of(name),
            understood, outage or Outage(),
        )  # fmt: skip

    def look_at_input(self, counts: IngestCounts) -> None:
        """Be not ready while the newest stretch of the input could not be interpreted."""
        if not self._watch.look(counts):
            return
        found = self._watch.verdict
        if found is None:
            self.understood.open()
            return
        self.understood.shut()
        self.telemetry.misread.add(found.kind)
        self.log.warning(
            "the input cannot be interpreted",
            problem=found.problem,
            most=found.most,
            do=found.advice,
        )

    def starts_from(self, snapshot: Path, listed: int, watermark_ms: int | None) -> None:
        """Export what a detector starts from, so that no metric waits for the first change."""
        found = age_and_size(snapshot, clock.now_ms())
        if found is None:
            self.telemetry.no_snapshot_yet()
        else:
            age_s, size_bytes = found
            self.telemetry.snapshot_written(size_bytes, age_s)
        self.telemetry.listed.set(listed)
        if watermark_ms is not None:
            self.telemetry.watermark(watermark_ms)
