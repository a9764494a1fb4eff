"""Whether a store belongs to this input: decisions of two inputs must never be mixed in one."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from detector.errors import StoreError
from pipelines.ports import BlockStore

__all__ = ["OtherReplayError", "check_same_input", "heads_fact"]

INPUT: Final = "input"
_WORDS: Final = {
    "policy_digest": "policy",
    "asn_digest": "ASN table",
    "provider_digest": "provider file",
}


class OtherReplayError(StoreError):
    """The store holds the decisions of another replay; `differences` says in what it differs."""

    def __init__(self, store: str, differences: Sequence[str]) -> None:
        super().__init__(
            store,
            f"it holds the decisions of another replay ({'; '.join(differences)}): name another "
            "one with --store, or move this one aside with --fresh",
        )
        self.differences = tuple(differences)


def heads_fact(heads: Sequence[bytes]) -> str:
    """Give what recognises an input by how its partitions begin, however much longer they grow."""
    return json.dumps([{"bytes": len(head), "sha256": _digest(head)} for head in heads])


def check_same_input(
    store: BlockStore, name: str, heads: Sequence[bytes], facts: Mapping[str, str]
) -> None:
    """Check that what a store holds was decided from this input with these settings.

    Raises:
        OtherReplayError: it was not.
    """
    if not store.last_seq():
        return
    differences = []
    known = store.fact(INPUT)
    if known is not None and not _begin_alike(json.loads(known), heads):
        differences.append("another input")
    for key, words in _WORDS.items():
        stands = store.fact(key)
        if stands is not None and stands != facts[key]:
            stands, comes = stands[:12] or "none", facts[key][:12] or "none"
            differences.append(f"{words} {stands}, this one has {comes}")
    if differences:
        raise OtherReplayError(name, differences)


def _begin_alike(known: list[dict[str, Any]], heads: Sequence[bytes]) -> bool:
    return len(known) == len(heads) and all(
        len(head) >= one["bytes"] and _digest(head[: one["bytes"]]) == one["sha256"]
        for one, head in zip(known, heads, strict=True)
    )


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()
