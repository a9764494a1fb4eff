"""What the publish stage takes from the listings: changes, flood records, and nothing else."""

from types import SimpleNamespace
from typing import Any, cast

from pipelines.live import publish
from pipelines.stores.memory import MemoryStore
from pipelines.wire import Progress, Record
from tests.stored_changes import change

FLOOD = {"v": 1, "kind": "flood", "id": "a", "tick": 60, "found": 1_000}
FIELDS = {
    "v": 1, "id": "x", "time": 1_000, "provider": "", "first_seen": 0, "last_seen": 0,
    "until": 9_000, "hard_until": 9_000, "evidence": {},
}  # fmt: skip


async def test_changes_and_flood_records_go_to_the_store_and_other_kinds_are_skipped() -> None:
    store = MemoryStore()
    messages: list[list[Any]] = [
        [Record("flood", "a", 60, FLOOD), Record("account", "b", 60, {})],
        [change(1, "list", "192.0.2.7", **FIELDS), Progress(99, 1, 5)],
        [Record("flood", "a", 120, {**FLOOD, "tick": 120}), Record("flood", "a", 60, FLOOD)],
        [],
    ]

    class Listings:
        position = 0

        async def next_listings(self, _timeout_s: float, _most: int) -> list[tuple[None, Any]]:
            self.position += 1
            return [(None, message) for message in messages.pop(0)]

    stage = publish.PublishStage(
        cast("Any", SimpleNamespace()), lambda: store, {}, cast("Any", None)
    )
    life = publish._Life(stage, cast("Any", Listings()), cast("Any", None))  # noqa: SLF001 - a step
    seen = []
    while messages:
        await life._next(0.0)  # noqa: SLF001 - one step of its loop
        seen.append((store.last_seq(), [one["tick"] for one in store.floods()]))
    assert seen == [(0, [60]), (1, [60]), (1, [120]), (1, [120])]
    assert (stage.seq, store.fact("listings_offset")) == (1, "3")
