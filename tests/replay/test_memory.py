"""A replay lets go of keys that nobody needs, and says the same as one that keeps them all."""

import json
from dataclasses import replace

import pytest

from detector.events.interning import KeyTables
from detector.policy.settings import MemoryBounds, Policy
from pipelines.replay import run
from pipelines.replay.summary import Summary
from pipelines.stores.memory import MemoryStore

START_MS = 1_773_478_800_000
ADDRESSES = 120_000
POLICY = replace(
    Policy(),
    memory=MemoryBounds(keys=1_000, evidence_rows=10_000, relation_cells=65_536, cases=100),
)


@pytest.fixture(scope="module")
def rotation(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a log of fresh networks, one message each, with a flood of five sources among them."""
    path = tmp_path_factory.mktemp("rotation") / "events.ndjson"
    with path.open("w") as file:
        for n in range(ADDRESSES):
            event = {"time": START_MS + n * 50, "action": "accept"}
            net = f"2a0e:{n >> 16:x}:{n & 65_535:x}:1::1"
            once = {"client_ip": net, "recipient": f"u{n % 3_000}@d{n % 40}.test"}
            file.write(json.dumps(event | once) + "\n")
            if ADDRESSES // 2 < n < ADDRESSES // 2 + 3_000:
                flood = {"client_ip": f"192.0.2.{n % 5}", "recipient": "ann@example.org"}
                file.write(json.dumps(event | flood) + "\n")
    return str(path)


def replayed(rotation: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Summary, KeyTables]:
    """Replay it and give the summary and the key tables as they were at the end."""
    made: list[KeyTables] = []

    def tables(delimiters: str) -> KeyTables:
        made.append(KeyTables(delimiters))
        return made[-1]

    monkeypatch.setattr(run, "KeyTables", tables)
    return run.replay(run.Replay((rotation,), "memory:", POLICY), MemoryStore()), made[0]


def test_key_tables_of_a_replay_are_bounded_and_change_nothing(
    rotation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded, tables = replayed(rotation, monkeypatch)
    monkeypatch.setattr(run, "release_due", lambda _: False)
    kept, all_tables = replayed(rotation, monkeypatch)
    assert bounded == kept
    assert bounded.changes == {"list": 5}
    assert bounded.stopped > 0
    assert len(all_tables.ips) > ADDRESSES
    assert len(tables.ips) < ADDRESSES / 2
