"""What is kept of every source and victim: arrays by slot, grown on demand, evicted at a minute."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.enrich import AsnLookup
from detector.interning import KeyTable
from detector.relations import mixed, text_hash
from detector.windows import Ring, grown

__all__ = ["UNKNOWN_ASN", "Sources", "Victims", "evictable"]

UNKNOWN_ASN: Final = -1
_V6_GROUP_BASE: Final = 2**33
_NET_SALT, _GROUP_SALT = np.uint64(0x6E6574), np.uint64(0x67726F7570)


class _Tracked:
    """Slots known to the detector, with the close at which each was last seen."""

    _per_slot: tuple[str, ...] = ("known", "last_at")
    _rings: tuple[str, ...] = ()

    def __init__(self, table: KeyTable) -> None:
        self.table = table
        self.known = np.zeros(0, np.bool_)
        self.last_at = np.zeros(0, np.int64)
        self.evicted = 0

    def ensure(self) -> None:
        """Make room for every slot of the table."""
        size = len(self.table)
        if size <= self.known.size:
            return
        for name in self._per_slot:
            setattr(self, name, grown(getattr(self, name), size))
        for name in self._rings:
            getattr(self, name).ensure(self.known.size)

    def newcomers(self, slots: NDArray[np.int32]) -> NDArray[np.int64]:
        """Give those of the slots that the detector has not seen, each once."""
        new = slots[~self.known[slots]]
        return np.unique(new).astype(np.int64) if new.size else new.astype(np.int64)

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Zero the state of slots (they are evicted)."""
        for name in self._per_slot:
            getattr(self, name)[slots] = 0
        for name in self._rings:
            getattr(self, name).clear(slots)
        self.evicted += slots.size

    def state(self) -> dict[str, Any]:
        """Give what a snapshot needs: arrays of the known slots, by name, in name order."""
        slots = np.flatnonzero(self.known)
        names = [self.table.names[slot] for slot in slots.tolist()]
        order = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
        slots = slots[order] if order.size else slots
        state: dict[str, Any] = {
            "names": [names[i] for i in order.tolist()], "evicted": self.evicted,
        }  # fmt: skip
        for name in self._per_slot:
            state[name] = getattr(self, name)[slots]
        for name in self._rings:
            ring: Ring = getattr(self, name)
            state[name] = {"step": ring.step, "counts": ring.counts[:, slots]}
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave; slots may differ, names do not."""
        slots = self.table.slots(state["names"], len(state["names"]))
        self.ensure()
        self.evicted = state["evicted"]
        for name in self._per_slot:
            getattr(self, name)[slots] = state[name]
        for name in self._rings:
            ring: Ring = getattr(self, name)
            ring.step = state[name]["step"]
            ring.counts[:, slots] = state[name]["counts"]
            ring.total = ring.counts.sum(axis=0, dtype=np.uint32)


class Sources(_Tracked):
    """Client addresses: network, ASN, clean mail learned, and new mail of the last 10 minutes."""

    _per_slot = ("known", "last_at", "asn", "group", "net_hash", "group_hash", "normal")
    _rings = ("recent",)

    def __init__(self, table: KeyTable) -> None:
        super().__init__(table)
        self.asn = np.zeros(0, np.int64)
        """The AS number, or UNKNOWN_ASN."""
        self.group = np.zeros(0, np.int64)
        """The AS number, or where it is unknown a number for the /16 (IPv4) or /32 (IPv6)."""
        self.net_hash = np.zeros(0, np.uint64)
        self.group_hash = np.zeros(0, np.uint64)
        self.normal = np.zeros(0, np.uint32)
        """Clean messages learned from this address, fading by a seventh a day."""
        self.recent = Ring(11, 60)

    def admit(
        self, slots: NDArray[np.int64], said: NDArray[np.int64], lookup: AsnLookup | None
    ) -> None:
        """Look new sources up once: `said` is the ASN their events brought, or -1."""
        asn = said.copy()
        unknown = asn < 0
        if lookup is not None and unknown.any():
            keys = [self.table.key(slot) for slot in slots[unknown].tolist()]
            asn[unknown] = lookup.lookup(keys)
        number = np.array([self.table.numbers[slot] for slot in slots.tolist()], np.uint64)
        v6 = np.array([self.table.is_v6[slot] for slot in slots.tolist()], np.bool_)
        self.known[slots] = True
        self.asn[slots] = np.maximum(asn, UNKNOWN_ASN)
        wide = np.where(v6, number >> np.uint64(32), number >> np.uint64(16)).astype(np.int64)
        group = np.where(asn >= 0, asn, -2 - wide - np.where(v6, _V6_GROUP_BASE, 0))
        net = np.where(v6, number >> np.uint64(16), number >> np.uint64(8))
        self.group[slots] = group
        self.net_hash[slots] = mixed(net * np.uint64(2) + v6, np.full(net.size, _NET_SALT))
        self.group_hash[slots] = mixed(
            group.astype(np.uint64), np.full(group.size, _GROUP_SALT, np.uint64)
        )


class Victims(_Tracked):
    """Mailboxes, or customer domains: what they get, what is normal, and their present limits.

    `new` counts messages from strangers (no relation with their ASN), `all` every message. The
    limits are those that `rules` would apply at least; above one of them a victim is examined.
    """

    _per_slot = (
        "known", "last_at", "hash", "domain", "limit_min", "limit_10min", "limit_hour", "limit_all",
    )  # fmt: skip
    _rings = ("new", "all", "hour", "day")

    def __init__(self, table: KeyTable) -> None:
        super().__init__(table)
        self.hash = np.zeros(0, np.uint64)
        self.domain = np.zeros(0, np.int32)
        """For mailboxes: the slot of their domain."""
        self.limit_min = np.zeros(0, np.uint32)
        self.limit_10min = np.zeros(0, np.uint32)
        self.limit_hour = np.zeros(0, np.uint32)
        self.limit_all = np.zeros(0, np.uint32)
        self.hot = np.zeros(0, np.bool_)
        """Under examination: rows of this victim are looked at one by one."""
        self.new = Ring(11, 60)
        self.all = Ring(11, 60)
        self.hour = Ring(7, 600)
        self.day = Ring(24, 3600)

    def ensure(self) -> None:
        """Make room for every slot of the table."""
        super().ensure()
        self.hot = grown(self.hot, self.known.size)

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Zero the state of slots (they are evicted)."""
        super().forget(slots)
        self.hot[slots] = False

    def admit(self, slots: NDArray[np.int64], limits: tuple[int, int]) -> None:
        """Begin with new victims; their limits are those of a victim without a history."""
        self.known[slots] = True
        self.hash[slots] = [text_hash(self.table.names[slot]) for slot in slots.tolist()]
        self.limit_min[slots], self.limit_10min[slots] = limits
        self.limit_hour[slots] = self.limit_all[slots] = 2**32 - 1


def evictable(tracked: _Tracked, bound: int, kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Choose what to evict when more than `bound` slots are known: oldest first, then by key.

    An eighth more than needed goes, so that it happens rarely. `kept` (slots,) bool stay.
    """
    slots = np.flatnonzero(tracked.known)
    excess = slots.size - bound
    if excess <= 0:
        return slots[:0]
    slots = slots[~kept[slots]]
    count = min(excess + bound // 8, slots.size)
    last = tracked.last_at[slots]
    border = np.partition(last, count - 1)[count - 1] if count else 0
    older = slots[last < border]
    ties = slots[last == border].tolist()
    names = tracked.table.names
    ties.sort(key=lambda slot: names[slot])
    return np.concatenate([older, np.array(ties[: count - older.size], np.int64)])
