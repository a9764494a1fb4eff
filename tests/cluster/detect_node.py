"""A detector of the simulated cluster: follows the log, keeps snapshots, crashes, goes on."""

from random import Random

from detector.engine import Engine
from detector.errors import SnapshotError
from detector.events.interning import KeyTables
from detector.live_keys import release_keys
from detector.log.records import decode_record
from detector.policy.settings import Policy
from detector.snapshot import restore, snapshot, snapshot_policy
from tests.builders import asn_table
from tests.cluster.world import World

__all__ = ["Detector"]


class Detector:
    """One copy of the detector; all copies write to the same listings."""

    def __init__(self, name: str, world: World, policy: Policy, rng: Random) -> None:
        self.name, self.world, self.policy = name, world, policy
        self._rng = rng
        self._few_keys = policy.memory.keys < 1_000
        self._snapshots: list[bytes] = []
        self.crashes = 0
        self.start()

    def start(self) -> None:
        """Begin anew from the last snapshot that can be read, or from the start of the log."""
        for blob in reversed(self._snapshots):
            try:
                self._fresh(self.policy if self._few_keys else snapshot_policy(blob))
                self.offset = restore(self.engine, blob)
            except SnapshotError:
                continue
            return
        self._fresh(self.policy)

    def _fresh(self, policy: Policy) -> None:
        self.tables = KeyTables()
        self.tables.ips.slots([f"10.9.8.{self._rng.randrange(200)}" for _ in range(3)], 3)
        self.engine = Engine(policy, self.tables, lookup=asn_table())
        self.engine.offer_table(asn_table(newer=True))
        self.offset = 0

    @property
    def at_end(self) -> bool:
        """Say whether the whole log has been read."""
        return self.offset == len(self.world.log)

    def read(self, count: int) -> None:
        """Follow the log for some records."""
        stop = min(self.offset + count, len(self.world.log))
        records = [
            (offset, decode_record(self.world.log[offset], self.tables))
            for offset in range(self.offset, stop)
        ]
        self.offset = stop
        self.world.publish(self.name, self.engine.accept(records))

    def keep(self) -> None:
        """Take a snapshot and keep the one before."""
        blob = snapshot(self.engine, self.offset)
        self._snapshots = [*self._snapshots[-1:], blob]

    def crash(self) -> None:
        """Lose everything but the snapshots; now and then the newest one is torn."""
        self.crashes += 1
        if self._snapshots and self._rng.random() < 0.2:
            whole = self._snapshots[-1]
            self._snapshots[-1] = whole[: self._rng.randrange(len(whole))]
        self.start()

    def release(self) -> None:
        """Let go of all keys that are not needed."""
        release_keys(self.engine, [], [])
