"""What every store does with flood records: check them, keep the last of each flood, bound them.

Records may come in any order, any number of times, from any number of writers: the one with the
greatest tick stays, so that all stores end in the same state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from detector.errors import StoreChangeError, StoreConflictError
from pipelines.stores.ledger import first_difference

__all__ = [
    "FLOODS_KEPT",
    "FORGET_AFTER_S",
    "FloodRow",
    "flood_ids",
    "read_floods",
    "stale_floods",
    "take_floods",
]

FORGET_AFTER_S: Final = 30 * 86_400
"""A flood without a record for so long is forgotten, by the newest tick that a store knows."""
FLOODS_KEPT: Final = 10_000
"""The most floods that a store keeps; those with the oldest records go first."""


@dataclass(frozen=True, slots=True)
class FloodRow:
    """The last record of a flood: `tick` is its close in seconds, `text` its JSON, keys sorted."""

    id: str
    tick: int
    text: str


def flood_ids(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give the ids that records name, each once."""
    return sorted({name for record in records if type(name := record.get("id")) is str})


def take_floods(
    store: str, records: Sequence[Mapping[str, Any]], standing: Mapping[str, str]
) -> list[FloodRow]:
    """Give the rows to put: the last record of each flood that is newer than what stands there.

    `standing` has the texts of the floods that the store knows, by id, at least those of `records`.

    Raises:
        StoreChangeError: a record without a key.
        StoreConflictError: another record has the same key.
    """
    texts = dict(standing)
    ticks = {name: _tick(text) for name, text in texts.items()}
    fresh: dict[str, FloodRow] = {}
    for record in records:
        row = _row(store, record)
        tick = ticks.get(row.id)
        if tick is not None and row.tick == tick and row.text != texts[row.id]:
            difference = first_difference(orjson.loads(texts[row.id]), record)
            what = f"flood {row.id} at tick {tick}"
            raise StoreConflictError(store, seq=None, difference=difference, what=what)
        if tick is None or row.tick > tick:
            ticks[row.id], texts[row.id], fresh[row.id] = row.tick, row.text, row
    return list(fresh.values())


def stale_floods(ticks: Mapping[str, int], most: int = FLOODS_KEPT) -> list[str]:
    """Give the ids of floods that a store lets go, of all that it has by id.

    >>> stale_floods({"a": 5, "b": 5 + FORGET_AFTER_S, "c": 6 + FORGET_AFTER_S})
    ['a']
    >>> stale_floods({"a": 3, "b": 2, "c": 2}, most=2)
    ['b']
    """
    oldest = max(ticks.values(), default=0) - FORGET_AFTER_S
    gone = [name for name, tick in ticks.items() if tick < oldest]
    kept = sorted((tick, name) for name, tick in ticks.items() if tick >= oldest)
    return gone + [name for _, name in kept[: max(0, len(kept) - most)]]


def read_floods(texts: Sequence[str | bytes]) -> list[dict[str, Any]]:
    """Give records from their texts, by the time at which the flood was found."""
    records: list[dict[str, Any]] = [orjson.loads(text) for text in texts]
    return sorted(records, key=lambda record: (record["found"], record["id"]))


def _row(store: str, record: Mapping[str, Any]) -> FloodRow:
    name, tick = record.get("id"), record.get("tick")
    whole = type(tick) is int and type(record.get("found")) is int
    if record.get("kind") != "flood" or type(name) is not str or not whole:
        problem = "a flood record is outside the contract: kind, id, tick and found make its key"
        raise StoreChangeError(store, problem, seq=None)
    try:
        text = orjson.dumps(record, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        problem = f"flood {name} cannot be written as JSON ({error})"
        raise StoreChangeError(store, problem, seq=None) from None
    return FloodRow(name, int(record["tick"]), text)


def _tick(text: str) -> int:
    tick: int = orjson.loads(text)["tick"]
    return tick
