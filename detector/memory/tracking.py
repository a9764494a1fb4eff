"""What is kept of every source and victim: arrays by slot, grown on demand, evicted at a minute."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.events.interning import KeyTable
from detector.events.numbering import Numbering
from detector.memory.relations import mixed, text_hash
from detector.memory.windows import Ring, grown
from detector.networks.enrich import AsnLookup

__all__ = ["UNKNOWN_ASN", "Sources", "Victims", "evictable", "group_hashes"]

UNKNOWN_ASN: Final = -1
_V6_GROUP_BASE: Final = 2**33
_NET_SALT, _GROUP_SALT = np.uint64(0x6E6574), np.uint64(0x67726F7570)
_IP_SALT: Final = np.uint64(0x6970)


class _Tracked:
    """Slots known to the detector, with the close at which each was last seen."""

    _per_slot: tuple[str, ...] = ("known", "last_at")
    _lasting: tuple[str, ...] = ()
    """Columns that follow from the name: rows in evidence need them when the slot is evicted."""
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

    def newcomers(self, slots: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give those of the slots that are not known, each once, and where it stands first."""
        where = np.flatnonzero(~self.known[slots])
        new, first = np.unique(slots[where], return_index=True)
        return new.astype(np.int64), where[first]

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Zero the state of slots (they are evicted)."""
        for name in self._per_slot:
            if name not in self._lasting:
                getattr(self, name)[slots] = 0
        for name in self._rings:
            getattr(self, name).clear(slots)
        self.evicted += slots.size

    def state(self, names: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs: columns of the known slots, in the order of their names."""
        numbers = np.sort(names.numbers(np.flatnonzero(self.known)))
        slots = names.slots(numbers)
        return {
            "numbers": numbers,
            "evicted": self.evicted,
            "columns": {name: getattr(self, name)[slots] for name in self._per_slot},
            "rings": {name: getattr(self, name).state(slots) for name in self._rings},
        }

    def restore(self, state: dict[str, Any], names: Numbering) -> None:
        """Take back what `state` gave, where nothing is known yet; slots may be others now."""
        slots = names.slots(state["numbers"])
        self.ensure()
        self.evicted = state["evicted"]
        for name, column in state["columns"].items():
            getattr(self, name)[slots] = column
        for name in self._rings:
            getattr(self, name).restore(state["rings"][name], slots)


class Sources(_Tracked):
    """Client addresses: network, ASN and clean mail learned; and what each ASN group sends."""

    _per_slot = ("known", "last_at", "hash", "net_hash", "place", "normal")
    _lasting = ("hash", "net_hash")

    def __init__(self, table: KeyTable) -> None:
        super().__init__(table)
        self.hash = np.zeros(0, np.uint64)
        self.net_hash = np.zeros(0, np.uint64)
        self.normal = np.zeros(0, np.uint32)
        """Clean messages learned from this address, fading by a seventh a day."""
        self.place = np.zeros(0, np.int32)
        """Where the group stands in what is kept of groups; 0 is nobody's."""
        self.places: dict[int, int] = {}
        """By group hash, in the order of the places, which begin with 1."""
        self.group = np.zeros(1, np.int64)
        """The AS number, or where it is unknown a number for the /16 (IPv4) or /32 (IPv6)."""
        self.group_hash = np.zeros(1, np.uint64)
        self._volume_h = np.zeros(0, np.uint32)
        self.volume = Ring(7, 600)
        """Messages of each group in the last hour, to whomever."""

    def state(self, names: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs; places are counted anew, like slots."""
        state = super().state(names)
        places = np.array([self.places[one] for one in sorted(self.places)], np.int64)
        again = np.zeros(self.group.size, np.int32)
        again[places] = np.arange(1, places.size + 1)
        state["columns"]["place"] = again[state["columns"]["place"]]
        hour = grown(self._volume_h, self.volume.total.size)
        return state | {
            "groups": self.group[places],
            "volume": self.volume.state(places),
            "volume_h": hour[places],
        }

    def restore(self, state: dict[str, Any], names: Numbering) -> None:
        """Take back what `state` gave, where nothing is known yet; slots may be others now."""
        super().restore(state, names)
        self._place(state["groups"])
        self.volume.restore(state["volume"], np.arange(1, len(self.places) + 1))
        self._volume_h = np.concatenate([np.zeros(1, np.uint32), state["volume_h"]])

    def begin_minute(self, step: int) -> None:
        """Move `volume` to a step; what it holds now is what rules see in the coming minute."""
        self.volume.advance(step)
        self._volume_h = self.volume.total.copy()

    def summed(
        self, ip: NDArray[np.int32], group: NDArray[np.int64], counts: NDArray[np.uint32]
    ) -> dict[int, int]:
        """Sum counts of sources by the hash of their group; `group` is what each had then."""
        place = self.place[ip].astype(np.intp)
        moved = np.flatnonzero((self.group[place] != group) | (place == 0))
        place[moved] = 0
        sums = np.zeros(len(self.places) + 1, np.uint32)
        np.add.at(sums, place, counts)
        out = dict(zip(self.places, sums[1:].tolist(), strict=True))
        hashes = group_hashes(group[moved]).tolist()
        for one, count in zip(hashes, counts[moved].tolist(), strict=True):
            out[one] = out.get(one, 0) + count
        return out

    def hourly_volume(self, group: int) -> int:
        """Give what a group (by hash) sent in the hour before this minute, to whomever."""
        place = self.places.get(group, 0)
        return int(self._volume_h[place]) if place < self._volume_h.size else 0

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Zero the state of slots (they are evicted), and of groups that have no source left."""
        super().forget(slots)
        kept = sorted(self.group_hash[np.unique(self.place[self.known])].tolist())
        places = np.zeros(self.group.size, np.int32)
        old = np.array([self.places[one] for one in kept], np.int64)
        places[old] = np.arange(1, len(kept) + 1)
        self.place = places[self.place]
        for kind in (self.volume.counts, self.volume.total, self.group, self.group_hash):
            kind[..., 1 : len(kept) + 1] = kind[..., old]
            kind[..., len(kept) + 1 :] = 0
        self.places = {one: index for index, one in enumerate(kept, 1)}

    def admit(
        self, slots: NDArray[np.int64], said: NDArray[np.int64], lookup: AsnLookup | None
    ) -> None:
        """Look new sources up once: `said` is the ASN their events brought, or -1."""
        asn = said.copy()
        unknown = asn < 0
        if lookup is not None and unknown.any():
            keys = [self.table.key(slot) for slot in slots[unknown].tolist()]
            asn[unknown] = lookup.lookup(keys)
        number, v6 = self.identify(slots)
        self.known[slots] = True
        wide = np.where(v6, number >> np.uint64(32), number >> np.uint64(16)).astype(np.int64)
        group = np.where(asn >= 0, asn, -2 - wide - np.where(v6, _V6_GROUP_BASE, 0))
        self.place[slots] = self._place(group)

    def _place(self, groups: NDArray[np.int64]) -> NDArray[np.int32]:
        """Give the place of each group; new ones get places in the order of their hashes."""
        hashes, index, number = np.unique(
            group_hashes(groups), return_index=True, return_inverse=True
        )
        named = zip(hashes.tolist(), groups[index].tolist(), strict=True)
        new = [one for one in named if one[0] not in self.places]
        first = len(self.places) + 1
        stop = first + len(new)
        self.places |= zip((one for one, _ in new), range(first, stop), strict=True)
        self.volume.ensure(stop)
        self.group = grown(self.group, self.volume.total.size)
        self.group_hash = grown(self.group_hash, self.volume.total.size)
        self.group_hash[first:stop] = [one for one, _ in new]
        self.group[first:stop] = [group for _, group in new]
        return np.array([self.places[one] for one in hashes.tolist()], np.int32)[number]

    def groups(self, ip: NDArray[Any]) -> NDArray[np.int64]:
        """Give the ASN groups of sources, now."""
        groups: NDArray[np.int64] = self.group[self.place[ip]]
        return groups

    def asn(self, ip: NDArray[Any]) -> NDArray[np.int64]:
        """Give their AS numbers, or UNKNOWN_ASN."""
        return np.maximum(self.groups(ip), UNKNOWN_ASN)

    def identify(self, slots: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Set what follows from the addresses alone; give their numbers and which are IPv6."""
        number, v6 = self.table.subjects.columns(slots)
        self.hash[slots] = mixed(number * np.uint64(2) + v6, np.full(number.size, _IP_SALT))
        net = np.where(v6, number >> np.uint64(16), number >> np.uint64(8))
        self.net_hash[slots] = mixed(net * np.uint64(2) + v6, np.full(net.size, _NET_SALT))
        return number, v6


def group_hashes(groups: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash ASN groups, element by element."""
    return mixed(groups.astype(np.uint64), np.full(groups.size, _GROUP_SALT, np.uint64))


class Victims(_Tracked):
    """Mailboxes, or customer domains: what they get, what is normal, and their present limits.

    `new` counts messages from strangers (no relation with their ASN), `all` every message. The
    limits are those that `rules` would apply at least; above one of them a victim is examined.
    """

    _per_slot = (
        "known", "last_at", "since", "hash", "domain",
        "limit_min", "limit_10min", "limit_hour", "limit_all", "limit_all_min", "missed_s",
    )  # fmt: skip
    _rings = ("new", "all", "hour", "day")
    _lasting = ("hash", "domain")

    def __init__(self, table: KeyTable) -> None:
        super().__init__(table)
        self.since = np.zeros(0, np.int64)
        """The close from which on it is known: no ring counts what evidence holds from before."""
        self.hash = np.zeros(0, np.uint64)
        self.domain = np.zeros(0, np.int32)
        """For mailboxes: the slot of their domain."""
        self.missed_s = np.zeros(0, np.int64)
        """Of the seconds behind the relations, those whose mail taught nothing of this victim."""
        self.limit_min = np.zeros(0, np.uint32)
        self.limit_10min = np.zeros(0, np.uint32)
        self.limit_hour = np.zeros(0, np.uint32)
        self.limit_all = np.zeros(0, np.uint32)
        self.limit_all_min = np.zeros(0, np.uint32)
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

    def admit(
        self, slots: NDArray[np.int64], since: NDArray[np.int64], limits: tuple[int, int]
    ) -> None:
        """Begin with new victims; their limits are those of a victim without a history."""
        self.known[slots] = True
        self.since[slots] = since
        self.identify(slots)
        self.limit_min[slots], self.limit_10min[slots] = limits
        self.limit_hour[slots] = self.limit_all[slots] = 2**32 - 1
        self.limit_all_min[slots] = 2**32 - 1

    def identify(self, slots: NDArray[np.int64]) -> None:
        """Set what follows from the names alone, but for the domain."""
        self.hash[slots] = [text_hash(self.table.names[slot]) for slot in slots.tolist()]


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
