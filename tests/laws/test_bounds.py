"""What is kept is bounded, and what is let go is chosen by name and time, never by slot."""

from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.engine import Engine
from detector.events.interning import KeyTables
from detector.judge.candidates import refill
from detector.judge.cases import Case
from detector.judge.floods import Flood
from detector.log.records import LogRecord, Partitions
from detector.policy.settings import MemoryBounds, Policy
from tests.builders import START_MS, event_line
from tests.laws.test_batches import tallies_of

BOUND = 20
POLICY = replace(
    Policy(), memory=MemoryBounds(keys=BOUND, evidence_rows=10_000, relation_cells=1_024, cases=100)
)


def crowd(seed: int, count: int) -> list[bytes]:
    """Make events of many sources at many mailboxes, several of them in the same second."""
    rng = Random(seed)
    lines = []
    for index in range(count):
        number = rng.randrange(4 * BOUND)
        lines.append(
            event_line(
                {"time": START_MS + index // 8 * 1_000, "client_ip": f"100.64.{number}.1",
                 "action": "accept", "recipient": f"u{number}@d{number % 50}.example"}
            )
        )  # fmt: skip
    return [*lines, event_line({"heartbeat": START_MS + 600_000})]


def after(lines: list[bytes], names: list[str]) -> Engine:
    """Detect in a process that has seen `names` before."""
    tables = KeyTables()
    tables.ips.slots(names, len(names))
    engine = Engine(POLICY, tables)
    log: list[LogRecord] = [Partitions(1), *tallies_of(lines, [0, len(lines)], tables, 2)[0]]
    engine.accept(enumerate(log))
    return engine


def known(engine: Engine) -> tuple[list[str], list[str], list[str]]:
    """Give what is tracked, by name."""
    a, b, c = (
        sorted(tracked.table.names[slot] for slot in tracked.known.nonzero()[0].tolist())
        for tracked in (engine.sources, engine.mailboxes, engine.domains)
    )
    return a, b, c


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(30, 300))
def test_eviction_knows_no_slots_and_keeps_the_bound(seed: int, count: int) -> None:
    """In other slots the same keys stay, the latest ones; domains go with their mailboxes."""
    lines = crowd(seed, count)
    other = [f"100.64.{number}.1" for number in range(4 * BOUND)]
    Random(seed).shuffle(other)
    engine = after(lines, [])
    sources, mailboxes, domains = known(engine)
    assert (sources, mailboxes, domains) == known(after(lines, other))
    assert max(len(sources), len(mailboxes)) <= BOUND
    owners = {mailbox.rpartition("@")[2] for mailbox in mailboxes}
    assert set(domains) - {"\0"} == owners or not engine.mailboxes.evicted
    assert set(engine.sources.places) == set(
        engine.sources.group_hash[engine.sources.place[engine.sources.known]].tolist()
    ) or not (engine.sources.evicted)


def test_cases_above_the_bound_are_closed_the_least_busy_first_and_floods_stay() -> None:
    """A closed case is no longer looked at row by row; a flood is never dropped."""
    policy = replace(POLICY, memory=replace(POLICY.memory, cases=10))
    engine = Engine(policy, KeyTables())
    lines = [
        event_line(
            {"time": START_MS + second * 1_000, "client_ip": "198.51.100.1",
             "action": "accept", "recipient": f"u{number:02}@d.example"}
        )
        for second in range(13) for number in range(13) if second <= number
    ]  # fmt: skip
    engine.accept(
        enumerate([Partitions(1), *tallies_of(lines, [0, len(lines)], engine.tables, 2)[0]])
    )
    slots = np.flatnonzero(engine.mailboxes.known).astype(np.int32)
    engine.mailboxes.hot[slots] = True
    cases = [Case("mailbox", slot) for slot in slots.tolist()]
    engine.cases |= {("mailbox", case.slot): case for case in cases}
    refill(engine, cases, START_MS // 1_000 + 13)
    least = engine.tables.mailboxes.find("u00@d.example")
    engine.cases["mailbox", least].flood = Flood(0, 0, 1, 1, 60, 0.0, wide=False, slots=0.0)
    engine.bound_cases(START_MS // 1_000 + 12)
    left = sorted(engine.name(scope, slot) for scope, slot in engine.cases)
    assert left == ["d.example", "u00@d.example", *(f"u{n:02}@d.example" for n in range(5, 13))]
    assert engine.mailboxes.hot.sum() == 9
