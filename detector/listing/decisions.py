"""The text of a decision: one numbered change to one listing."""

import hashlib
from typing import Any, Final

from detector.listing.lifecycle import Listing

__all__ = ["decision"]

DECISION_VERSION: Final = 1


def decision(
    change: str, listing: Listing, evidence: dict[str, Any], *,
    seq: int, time_ms: int, ends: tuple[int, int], policy: str, request: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Write down a change; `ends` are the ticks of its end after quiet, and of its latest one."""
    until, hard = ends
    seed = f"{seq}|{time_ms}|{change}|{listing.subject}|{policy}"
    out: dict[str, Any] = {
        "v": DECISION_VERSION,
        "seq": seq,
        "id": hashlib.blake2b(seed.encode(), digest_size=12).hexdigest(),
        "time": time_ms,
        "change": change,
        "shadow": listing.shadow,
        "subject": listing.subject,
        "tier": listing.tier,
        "rule": listing.rule,
        "asn": listing.asn if listing.asn >= 0 else None,
        "provider": listing.provider,
        "first_seen": listing.first_seen * 1000,
        "last_seen": listing.last_seen * 1000,
        "until": (until + 1) * 1000,
        "hard_until": (hard + 1) * 1000,
        "policy": policy,
        "evidence": evidence,
    }
    if request:
        out["request"] = request
    return out
