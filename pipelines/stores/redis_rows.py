"""Rows of a Redis store: what is kept for the port, and what other programs read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import orjson

from pipelines.ports import Listing, StoredRequest
from pipelines.stores.flood_ledger import FLOODS_KEPT, FORGET_AFTER_S, FloodRow
from pipelines.stores.ledger import Step, fold, storable

__all__ = ["RedisBounds", "apply_arguments", "listing_of", "request_of"]

_DAY_MS: Final = 86_400_000
_LATEST_MS: Final = 2**53
"""Redis orders by floating point numbers; nobody needs a time beyond these."""


@dataclass(frozen=True, slots=True)
class RedisBounds:
    """What a store keeps: the last changes, of them so many of one subject, answered requests.

    A row that nobody cleared is forgotten `forget_after_ms` behind its hard end, by the time of the
    changes. A script takes `at_once` changes, 10 to 20 ms; a page has as
    many rows.
    """

    changes: int = 100_000
    changes_of_subject: int = 1_000
    answered_requests: int = 10_000
    forget_after_ms: int = 30 * _DAY_MS
    at_once: int = 500


def apply_arguments(
    chunk: Sequence[Step], last: int | None, facts: Mapping[str, str], floods: Sequence[FloodRow],
    bounds: RedisBounds,
) -> list[str]:  # fmt: skip
    """Give what the script `APPLY` takes; `last` is the change behind which these ones come."""
    net = fold(chunk)
    arguments = [
        "" if last is None else str(last),
        str(chunk[0].seq) if chunk else "",
        str(chunk[-1].seq) if chunk else "",
        str(max(s.time_ms for s in chunk) - bounds.forget_after_ms) if chunk else "",
        str(bounds.changes),
        str(bounds.changes_of_subject),
        str(2 * bounds.at_once),
    ]

    def give(many: Collection[tuple[str, ...]]) -> None:
        arguments.append(str(len(many)))
        arguments.extend(chain.from_iterable(many))

    give([(str(step.seq), step.subject, step.kind, step.text) for step in chunk])
    give([(subject,) for subject in net.clear_listed])
    give([(subject,) for subject in net.clear_held])
    give([_put(row) for row in net.put_listed.values()])
    give([_put(row) for row in net.put_held.values()])
    give([(str(number), str(seq)) for number, seq in net.answers.items()])
    give([(storable(key), storable(text)) for key, text in facts.items()])
    arguments += [str(FORGET_AFTER_S), str(FLOODS_KEPT)]
    give([(row.id, str(row.tick), row.text) for row in floods])
    return arguments


def _put(row: Listing) -> tuple[str, ...]:
    """Give what the script needs of a row: both texts get their beginning there, from the store."""
    stored = {
        "subject": row.subject,
        "tier": row.tier,
        "rule": row.rule,
        "asn": row.asn,
        "provider": row.provider,
        "first_seen_ms": row.first_seen_ms,
        "last_seen_ms": row.last_seen_ms,
        "until_ms": row.until_ms,
        "hard_until_ms": row.hard_until_ms,
        "policy": row.policy,
        "shadow": row.shadow,
        "seq": row.seq,
        "evidence": row.evidence,
    }
    public = {
        "subject": row.subject,
        "tier": row.tier,
        "rule": row.rule,
        "asn": row.asn,
        "provider": row.provider,
        "first_seen": row.first_seen_ms,
        "last_seen": row.last_seen_ms,
        "until": row.until_ms,
        "hard_until": row.hard_until_ms,
        "policy": row.policy,
        "seq": row.seq,
    }
    return (
        row.subject,
        str(max(-_LATEST_MS, min(row.hard_until_ms, _LATEST_MS))),
        str(row.listed_seq),
        str(row.listed_ms),
        orjson.dumps(stored).decode(),
        "" if row.shadow else orjson.dumps(public).decode(),
    )


def listing_of(text: bytes) -> Listing:
    """Read a row as the script stored it."""
    return Listing(**orjson.loads(text))


def request_of(number: bytes, text: bytes) -> StoredRequest:
    """Read a request; one without an answer is pending."""
    fields: dict[str, Any] = {"answered_seq": None} | orjson.loads(text)
    return StoredRequest(id=int(number), **fields)
