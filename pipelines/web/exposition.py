"""Metrics as Prometheus reads them: its text format, version 0.0.4."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from pipelines.console.telemetry import Telemetry

__all__ = ["CONTENT_TYPE", "exposition"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _WithoutCreated(Collector):
    """A registry without the `_created` times.

    In this format they would be gauges beside each counter, named against the conventions; the
    switch of the library against them is global.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


def exposition(telemetry: Telemetry) -> bytes:
    """Give all metrics as text; cost grows with the partitions, about 1 ms for a hundred lines."""
    return generate_latest(_WithoutCreated(telemetry.registry))
