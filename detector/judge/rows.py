"""The rows of a victim under examination."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.policy.settings import HOUR_S

__all__ = ["HOUR_S", "LONG_S", "SHORT_S", "CaseRow", "pairs", "row_types", "summed"]

SHORT_S: Final = 60
LONG_S: Final = 600


class CaseRow(NamedTuple):
    """One tally row as a case sees it.

    `all` are messages that can make a flood, `attempts` whatever shows that the source takes part
    (also blocked messages), `deferred` those it was asked to repeat: a retry is no new message, so
    that they count only as having tried. `nulls` of `all` came from a null sender. `first`: it was
    delivered to a mailbox that nobody wrote to before. `group` is the hash of the ASN group.
    """

    tick: int
    ip: int
    group: int
    mailbox: int
    all: int
    attempts: int
    deferred: int
    senders: int
    asn: int
    nulls: int
    first: bool


def row_types() -> dict[str, Any]:
    """Give the numpy type of each field, in their order."""
    special = {"group": np.uint64, "senders": np.uint64, "first": np.bool_}
    return {name: special.get(name, np.int64) for name in CaseRow._fields}


def pairs(counts: dict[int, int]) -> dict[str, NDArray[Any]]:
    """Give counts by hash as two columns, in the order of the hashes."""
    keys = sorted(counts)
    return {
        "hash": np.array(keys, np.uint64),
        "count": np.array([counts[key] for key in keys], np.int64),
    }


def summed(parts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Sum counts by key."""
    out: dict[int, int] = {}
    for counts in parts:
        for key, count in counts.items():
            out[key] = out.get(key, 0) + count
    return out
