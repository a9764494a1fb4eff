"""Keys of earlier policies: what became of each, for the error that names it."""

from typing import Final

__all__ = ["GONE"]

_VICTIM: Final = "rules.victim_flood"
_RULE: Final = "this rule was removed in 0.2; victim_flood finds such floods"
_LEARNED: Final = "removed in 0.2: what is usual is learned, with room for chance ({0})"
_YOUNG: Final = "removed in 0.2: learning.young_factor raises all limits of a young log"

GONE: Final = {
    "rules.source_flood": _RULE,
    "rules.asn_flood": _RULE,
    "rules.backscatter": (
        "this rule was removed in 0.2; bounces from known mail servers are no flood, and "
        "victim_flood finds those of other hosts"
    ),
    f"{_VICTIM}.calm_fraction": (
        f"renamed to {_VICTIM}.over_fraction in 0.2, which is of the limit of an hour"
    ),
    f"{_VICTIM}.baseline_factor": _LEARNED.format(f"{_VICTIM}.surprise"),
    f"{_VICTIM}.baseline_sigmas": _LEARNED.format(f"{_VICTIM}.surprise"),
    f"{_VICTIM}.single_source_factor": "removed in 0.2: the limits hold for few sources too",
    f"{_VICTIM}.domain_source_factor": "removed in 0.2: the limits hold for few sources too",
    f"{_VICTIM}.diverse_networks": "removed in 0.2: the limits hold for few sources too",
    f"{_VICTIM}.light_messages": f"removed in 0.2: {_VICTIM}.innocent says who is listed",
    f"{_VICTIM}.light_factor": f"removed in 0.2: {_VICTIM}.innocent says who is listed",
    f"{_VICTIM}.cold_factor": _YOUNG,
    f"{_VICTIM}.cold_diverse_factor": _YOUNG,
    f"{_VICTIM}.cold_10min_factor": _YOUNG,
    "relations.learn_delay_s": "renamed to learning.delay_s in 0.2",
    "relations.half_life_days": "renamed to learning.half_life_days in 0.2",
    "relations.floor": _LEARNED.format(f"{_VICTIM}.innocent"),
    "relations.factor": _LEARNED.format(f"{_VICTIM}.surprise"),
    "baseline.cold_start_s": "renamed to learning.young_s in 0.2",
    "baseline.fading": "renamed to learning.fading in 0.2",
    "baseline.busy_per_10min": "removed in 0.2: the number is fixed",
    "guard.warm_s": "renamed to guard.first_day_s in 0.2",
    "relations": "renamed to learning in 0.2",
    "baseline": "renamed to learning in 0.2",
}
"""By the key of a policy before 0.2: where it is now, or why it is gone."""
