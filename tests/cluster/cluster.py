"""A cluster in one process: one seeded scheduler moves ingests, detectors, operators and time."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from detector.engine import Engine
from detector.events.interning import KeyTables
from detector.log.records import (
    AllowlistChange,
    AsnTableChange,
    Control,
    Dead,
    LogRecord,
    OperatorAction,
    Partitions,
    PolicyChange,
    RemovalRequest,
    decode_record,
    encode_record,
)
from detector.policy.text import policy_to_json
from tests.builders import asn_table, quick_policy, story
from tests.cluster.detect_node import Detector
from tests.cluster.ingest_node import Owner
from tests.cluster.world import World

__all__ = ["DEAD_AFTER_MS", "Cluster"]

DEAD_AFTER_MS = 60_000


class Cluster:
    """The whole of it, from the first event to the last change, for one seed."""

    def __init__(self, seed: int) -> None:
        rng = self.rng = Random(seed)
        self.policy = quick_policy(rng)
        partitions = rng.choice((1, 2, 2, 3))
        lateness_ms = self.policy.clock.lateness_s * 1_000
        self.world = World(
            partitions,
            story(
                rng, partitions, minutes=rng.choice((5, 9, 20)), floods=rng.choice((2, 3)),
                late=rng.random() < 0.8, lateness_ms=lateness_ms,
            ),
        )  # fmt: skip
        self.controls = rng.random() < 0.6
        self.read_only = {p for p in range(partitions) if self.controls and rng.random() < 0.2}
        tables = [KeyTables() for _ in range(rng.choice((1, 2)))]
        self._tables = tables
        self._owners: list[Owner | None] = [None] * partitions
        self._zombies: list[Owner] = []
        self._known = partitions - (self.controls and partitions > 1 and rng.random() < 0.3)
        self._append(Partitions(self._known))
        self.detectors = [Detector(f"detector {i}", self.world, self.policy, rng) for i in (1, 2)]
        self.did: Counter[str] = Counter()

    def run(self) -> None:
        """Run to the end of every input and of the log."""
        while not self._over():
            name = self._draw()
            self.did[name] += 1
            step: Callable[[], None] = getattr(self, name)
            step()
            if self.controls:
                self._watch()

    def _over(self) -> bool:
        world = self.world
        return (
            world.done
            and len(world.ended) == world.partitions
            and all(detector.at_end for detector in self.detectors)
        )

    def _draw(self) -> str:
        """Choose what happens next."""
        growing, controls = not self.world.done, self.controls
        steps = {
            "produce": 8 * growing, "poll": 10, "send": 10, "acknowledge": 8, "commit": 5,
            "read": 7, "heartbeat": 5 * growing, "finish": 3 * (not growing),
            "crash_ingest": 0.5, "move": 0.5, "zombie": 2,
            "snapshot": 0.5, "crash_detector": 0.25, "release": 0.4,
            "ask": 1.5 * controls, "operate": controls, "allow": 0.1 * controls,
            "enrich": 0.1 * controls,
            "rule": 0.1 * controls * (self.policy.memory.keys >= 1_000),
            "dead": 0.15 * controls, "say_idle": 2 * bool(self.read_only),
            "grow": 0 if self._known == self.world.partitions else 0.5 if growing else 9,
        }  # fmt: skip
        return self.rng.choices(list(steps), list(steps.values()))[0]

    # -- steps ---------------------------------------------------------------------------------

    def _owner(self) -> Owner:
        """Give the owner of some partition, a new one where it has none."""
        partition = self.rng.randrange(self._known)
        owner = self._owners[partition]
        if owner is None:
            tables = self.rng.choice(self._tables)
            owner = Owner(self.world, partition, self.policy.clock, tables)
            self._owners[partition] = owner
        return owner

    def _much(self) -> int:
        return self.rng.choice((1, 2, 5, 20, 100))

    def grow(self) -> None:
        """Somebody has added a partition to the input, and the ingests have noticed."""
        if self._known < self.world.partitions:
            self._known += 1
            self._append(Partitions(self._known))

    def produce(self) -> None:
        self.world.produce(self.rng.choice((1, 1, 5, 15)))
        if self.controls and self._held() and self.rng.random() < 0.3:
            self.operate()

    def poll(self) -> None:
        owner = self._owner()
        if not owner.finished:
            owner.poll(self._much())

    def send(self) -> None:
        self._owner().send(self._much(), twice=self.rng.random() < 0.05)

    def acknowledge(self) -> None:
        self._owner().acknowledge(self._much())

    def commit(self) -> None:
        owner = self._owner()
        owner.commit()
        if self.rng.random() < 0.05:
            self._owners[owner.partition] = None

    def heartbeat(self) -> None:
        owner = self._owner()
        if owner.partition not in self.read_only:
            owner.heartbeat()

    def say_idle(self) -> None:
        owner = self._owner()
        if owner.partition in self.read_only and not self.world.done:
            owner.say_idle()

    def finish(self) -> None:
        owner = self._owner()
        if owner.at_end:
            owner.finish()

    def crash_ingest(self) -> None:
        owner = self._owner()
        self._owners[owner.partition] = None

    def move(self) -> None:
        """Another node takes a partition over; the old owner has not noticed yet."""
        owner = self._owner()
        self._zombies = [*self._zombies[-2:], owner]
        self._owners[owner.partition] = None

    def zombie(self) -> None:
        """Somebody who is no owner any more goes on."""
        if not self._zombies:
            return
        owner = self.rng.choice(self._zombies)
        for step in self.rng.sample((owner.poll, owner.send, owner.acknowledge, owner.commit), 2):
            if step == owner.poll and not owner.finished:
                owner.poll(self._much())
            elif step == owner.send:
                owner.send(self._much(), twice=False)
            elif step == owner.acknowledge:
                owner.acknowledge(self._much())
            elif step == owner.commit:
                owner.commit()

    def read(self) -> None:
        self.rng.choice(self.detectors).read(self._much())

    def snapshot(self) -> None:
        self.rng.choice(self.detectors).keep()

    def crash_detector(self) -> None:
        self.rng.choice(self.detectors).crash()

    def release(self) -> None:
        self.rng.choice(self.detectors).release()

    # -- controls ------------------------------------------------------------------------------

    def _append(self, control: Control) -> None:
        self.world.append(encode_record(control, KeyTables()), control)

    def _subjects(self) -> list[str]:
        """Give who is listed, as the first detector sees it, and somebody who is not."""
        listings = self.detectors[0].engine.listings.lifecycle.listings
        return [*sorted(listings), "192.0.2.200", "no subject"]

    def _held(self) -> list[str]:
        """Give who waits for an operator, as the first detector sees it."""
        listings = self.detectors[0].engine.listings.lifecycle.listings
        return sorted(subject for subject, listing in listings.items() if listing.held)

    def _when(self) -> int:
        return self.world.now_ms + self.rng.choice((-50_000, 0, 0, 0, 20_000))

    def ask(self) -> None:
        subject = self.rng.choice(self._subjects())
        self._append(RemovalRequest(self._when(), subject, f"r{len(self.world.log)}"))

    def operate(self) -> None:
        rng = self.rng
        held = self._held()
        if held or rng.random() < 0.7:
            action = "release" if held or rng.random() < 0.3 else "remove"
            argument = rng.choice(held or self._subjects())
        else:
            rule = rng.choice(("victim_flood", "source_flood"))
            action, argument = "purge", f"rule={rule}"
        self._append(OperatorAction(self._when(), action, argument, f"o{len(self.world.log)}"))

    def allow(self) -> None:
        ranges = self.rng.choice(((), ("100.70.0.0/15",), ("192.0.2.0/24", "2001:db8:10::/44")))
        self._append(AllowlistChange(self._when(), ranges))

    def rule(self) -> None:
        """Put another policy in force; only the clock must stay."""
        policy = replace(quick_policy(self.rng, tight=0), clock=self.policy.clock)
        self._append(PolicyChange(self._when(), policy_to_json(policy)))

    def enrich(self) -> None:
        """Put another ASN table in force, one that every detector was given."""
        digest = asn_table(newer=self.rng.random() < 0.7).digest
        self._append(AsnTableChange(self._when(), digest))

    def dead(self) -> None:
        """A detector that was asleep itself takes a partition for dead."""
        if not self.world.done:
            self._append(Dead(self.rng.randrange(self._known)))

    def _watch(self) -> None:
        """Append `dead` where nothing was heard of a partition for too long."""
        world = self.world
        for partition, heard_ms in enumerate(world.heard_ms):
            if partition >= self._known:
                continue
            silent = world.now_ms - heard_ms > DEAD_AFTER_MS
            if silent and not world.done and partition not in world.ended:
                self._append(Dead(partition))
                world.heard_ms[partition] = world.now_ms

    # -- what a single process makes of it -----------------------------------------------------

    def replay_log(self) -> tuple[list[dict[str, Any]], list[LogRecord], KeyTables]:
        """Replay the dumped log in one go; give its records too."""
        tables = KeyTables()
        engine = Engine(self.policy, tables, lookup=asn_table())
        engine.offer_table(asn_table(newer=True))
        records = [decode_record(blob, tables) for blob in self.world.log]
        return engine.accept(enumerate(records)), records, tables

    def replay_inputs(self) -> tuple[list[dict[str, Any]], int]:
        """Replay the inputs, one file a partition, nothing encoded and nothing interned twice.

        Gives the changes and the last close, which may be earlier or later than that of the log:
        the quiet behind the last row closes only while somebody is awaited.
        """
        tables = KeyTables()
        engine = Engine(self.policy, tables, lookup=asn_table())
        changes = engine.accept([(0, Partitions(self.world.partitions))])
        for partition, lines in enumerate(self.world.inputs):
            owner = Owner(self._world_alone(lines, partition), partition, self.policy.clock, tables)
            changes += engine.accept(enumerate(owner.alone(), 1))
        return changes, engine.closer.closed

    def _world_alone(self, lines: list[bytes], partition: int) -> World:
        world = World(self.world.partitions, [])
        world.inputs[partition] = lines
        return world
