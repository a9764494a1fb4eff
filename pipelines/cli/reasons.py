"""Evidence in words: every number of it stands in the stored change."""

from collections.abc import Mapping
from typing import Any, Final

from detector.policy.wording import duration, many
from pipelines.cli.shown import per_cent
from pipelines.console.escaped import escaped

__all__ = ["bars", "fired", "part_in_flood", "victims"]

_STEPS: Final = "▁▂▃▄▅▆▇█"

Evidence = Mapping[str, Any]


def victims(evidence: Evidence) -> str:
    """Name the victims, masked as they are stored."""
    names = evidence.get("victims") or [evidence.get("victim", "")]
    return ", ".join(escaped(str(name)) for name in names if name) or "a victim not named"


def fired(evidence: Evidence) -> str:
    """Say what passed which limit; "" where the evidence holds no window."""
    if "window_s" not in evidence:
        return ""
    count, span = evidence.get("count", 0), duration(int(evidence["window_s"]))
    limit = evidence.get("limit", 0)
    whose = {"ip": "from this address ", "asn": "from its network "}.get(
        evidence.get("scope", ""), ""
    )
    normal = evidence.get("normal_10min")
    usual = "" if normal is None else f"; normal are {normal:g} in 10 minutes"
    said = (
        f"{many(count, 'message')} {whose}to {victims(evidence)} in {span}, the limit is {limit:,}"
    )
    return f"{said}{usual}"


def part_in_flood(evidence: Evidence) -> str:
    """Say what the source itself had sent when it was listed; "" where that is not stored."""
    own = evidence.get("source_messages")
    if own is None:
        return ""
    total = evidence.get("flood_messages", evidence.get("count", 0))
    sources = many(evidence.get("flood_sources", 1), "source")
    asns = evidence.get("flood_asns")
    beside = f" from {sources}" + (f" in {many(asns, 'AS', 'ASes')}" if asns else "")
    return f"{many(own, 'message')} of {total:,}{beside} ({per_cent(own, total)})"


def bars(counts: list[int]) -> str:
    """Draw counts as a row of bars, the highest full.

    >>> bars([0, 1, 8, 4])
    '▁▂█▅'
    """
    top = max(counts, default=0) or 1
    return "".join(_STEPS[-(-count * (len(_STEPS) - 1) // top)] for count in counts)
