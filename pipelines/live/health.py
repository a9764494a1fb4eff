"""What a stage reports of itself while it runs: its pulse, readiness, counts and messages."""

from dataclasses import dataclass

from structlog.stdlib import BoundLogger

from pipelines.console.messages import logger_of
from pipelines.console.telemetry import Telemetry
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

    @classmethod
    def of(cls, name: str, health: Health, telemetry: Telemetry) -> "StageHealth":
        """Register a stage."""
        return cls(
            name, telemetry, health.watch(name, _SILENT_S), health.await_(name), logger_of(name)
        )
