"""Changes as a store takes them, for the tests of SQLite."""

import random
from typing import Any, Final

__all__ = ["FAR", "change", "mixed"]

FAR: Final = 10**12
"""Later than any end that a test looks at."""


def change(seq: int, kind: str = "list", subject: str = "192.0.2.7", **more: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "time": 1_700_000_000_000 + seq,
        "change": kind,
        "shadow": False,
        "subject": subject,
        "tier": "temporary",
        "rule": "victim_flood",
        "asn": 64496,
        "provider": "",
        "first_seen": 0,
        "last_seen": 1,
        "until": 2,
        "hard_until": FAR * 100,
        "policy": "p1",
        "evidence": {"messages": 40, "about": "x" * 200},
        **more,
    }


def mixed(count: int, seed: int) -> list[dict[str, Any]]:
    drawn = random.Random(seed)
    kinds = ("list", "extend", "extend", "extend", "hold", "release", "remove", "expire", "refuse")
    return [
        change(seq, drawn.choice(kinds), f"192.0.2.{drawn.randrange(200)}")
        for seq in range(1, count + 1)
    ]
