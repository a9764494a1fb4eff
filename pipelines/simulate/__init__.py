"""Simulated mail traffic with known floods, for demonstrations, tests and benchmarks.

`simulate(spec)` draws the traffic; `write_events`, `write_truth` and `write_asn_table` write it.
"""

from pipelines.simulate.spec import FLOOD_SHAPES, INNOCENT_PATTERNS, Group, SimulationSpec
from pipelines.simulate.table import write_asn_table
from pipelines.simulate.traffic import TrafficResult, simulate
from pipelines.simulate.writer import event_lines, truth_header, write_events, write_truth

__all__ = [
    "FLOOD_SHAPES",
    "INNOCENT_PATTERNS",
    "Group",
    "SimulationSpec",
    "TrafficResult",
    "event_lines",
    "simulate",
    "truth_header",
    "write_asn_table",
    "write_events",
    "write_truth",
]
