"""Evidence in words: every number is from the stored change."""

from collections.abc import Mapping
from typing import Any, Final

from detector.policy.wording import duration, many
from pipelines.cli.shown import per_cent
from pipelines.console.escaped import escaped

__all__ = ["bars", "chance", "expected", "fired", "part_in_flood", "usual", "victims"]

_STEPS: Final = "▁▂▃▄▅▆▇█"
_LEAST_SHOWN: Final = 1e-6
"""Evidence is rounded to this."""

Evidence = Mapping[str, Any]


def victims(evidence: Evidence) -> str:
    """Name the victims, masked as they are stored."""
    names = evidence.get("victims") or [evidence.get("victim", "")]
    return ", ".join(escaped(str(name)) for name in names if name) or "unnamed victim"


def fired(evidence: Evidence) -> str:
    """Say what exceeded which limit; "" if the evidence has no window."""
    if "window_s" not in evidence:
        return ""
    count, span = evidence.get("count", 0), duration(int(evidence["window_s"]))
    return (
        f"{many(count, 'message')} above the usual number to {victims(evidence)} in {span}, "
        f"the limit is {evidence.get('limit', 0):,}"
    )


def chance(evidence: Evidence) -> str:
    """Give the probability that the source is legitimate, and why; "" if it is not stored.

    >>> chance({"innocent": 0.004, "messages_to_others": 1})
    'probability of being legitimate 0.4 %; it sent 1 message to others'
    """
    if "innocent" not in evidence:
        return ""
    share = evidence["innocent"]
    said = per_cent(share, 1) if share >= _LEAST_SHOWN else f"below {per_cent(_LEAST_SHOWN, 1)}"
    others = many(evidence.get("messages_to_others", 0), "message")
    return f"probability of being legitimate {said}; it sent {others} to others"


def expected(evidence: Evidence) -> str:
    """Give the traffic expected without a flood; "" if it is not stored.

    >>> expected({"expected_from_source": 0.1, "expected_from_asn": 0.3, "asn_messages": 24})
    '0.1 messages from it; 0.3 from its network, which sent 24'
    """
    if "expected_from_source" not in evidence:
        return ""
    own, network = evidence["expected_from_source"], evidence.get("expected_from_asn", 0.0)
    came = evidence.get("asn_messages", 0)
    return f"{own:.2g} messages from it; {network:.2g} from its network, which sent {came:,}"


def usual(evidence: Evidence) -> str:
    """Give what the victim normally receives, in total and from the source's network."""
    said = []
    if "normal_10min" in evidence:
        said.append(
            f"the victim normally receives {evidence['normal_10min']:.2g} messages in 10 minutes"
        )
    if "known_before" in evidence:
        network = evidence.get("usual_from_asn_10min", 0.0)
        said.append(
            f"{network:.2g} of them from its network"
            if evidence["known_before"]
            else "its network has not been seen before"
        )
    return "; ".join(said)


def part_in_flood(evidence: Evidence) -> str:
    """Give what the source had sent when it was listed; "" if it is not stored."""
    own = evidence.get("source_messages")
    if own is None:
        return ""
    total = evidence.get("flood_messages", evidence.get("count", 0))
    sources = many(evidence.get("flood_sources", 1), "source")
    asns = evidence.get("flood_asns")
    beside = f" from {sources}" + (f" in {many(asns, 'AS', 'ASes')}" if asns else "")
    if not own:
        return f"deferred attempts only, beside {many(total, 'message')}{beside}"
    return f"{many(own, 'message')} of {total:,}{beside} ({per_cent(own, total)})"


def bars(counts: list[int]) -> str:
    """Draw counts as a row of bars, the highest full.

    >>> bars([0, 1, 8, 4])
    '▁▂█▅'
    """
    top = max(counts, default=0) or 1
    return "".join(_STEPS[-(-count * (len(_STEPS) - 1) // top)] for count in counts)
