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
_GROUP_SALT: Final = np.uint64(0x67726F7570)
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

    def count(self) -> int:
        """Count the known slots."""
        return int(np.count_nonzero(self.known))

    def mask(self, slots: list[int]) -> NDArray[np.bool_]:
        """Give by slot whether it is one of some."""
        out: NDArray[np.bool_] = np.zeros(self.known.size, np.bool_)
        out[slots] = True
        return out

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
    """Client addresses: AS and clean mail learned; and what each ASN group sends."""

    _per_slot = ("known", "last_at", "hash", "place", "normal", "lately", "before")
    _lasting = ("hash",)

    def __init__(self, table: KeyTable) -> None:
        super().__init__(table)
        self.hash = np.zeros(0, np.uint64)
        self.normal = np.zeros(0, np.uint32)
        """Clean messages learned from this address, fading by a seventh a day."""
        self.lately = np.zeros(0, np.uint32)
        """Its messages to victims that are not flooded in this slot of ten minutes, by minutes."""
        self.before = np.zeros(0, np.uint32)
        """The same of the slot before, which is not learned yet."""
        self.place = np.zeros(0, np.int32)
        """Where the group stands in what is kept of groups; 0 is nobody's."""
        self.places: dict[int, int] = {}
        """By group hash, in the order of the places, which begin with 1."""
        self.group = np.zeros(1, np.int64)
        """The AS number, or where it is unknown a number for the /16 (IPv4) or /32 (IPv6)."""
        self.group_hash = np.zeros(1, np.uint64)
        self.volume = Ring(11, 60)
        """Messages of each group in the last ten whole minutes, to victims that are not flooded."""
        self.volume_h = Ring(7, 600)
        """The same in the last hour."""

    def state(self, names: Numbering) -> dict[str, Any]:
        """Give what a snapshot needs; places are counted anew, like slots."""
        state = super().state(names)
        places = np.array([self.places[one] for one in sorted(self.places)], np.int64)
        again = np.zeros(self.group.size, np.int32)
        again[places] = np.arange(1, places.size + 1)
        state["columns"]["place"] = again[state["columns"]["place"]]
        return state | {
            "groups": self.group[places],
            "volume": self.volume.state(places),
            "volume_h": self.volume_h.state(places),
        }

    def restore(self, state: dict[str, Any], names: Numbering) -> None:
        """Take back what `state` gave, where nothing is known yet; slots may be others now."""
        super().restore(state, names)
        self._place(state["groups"])
        places = np.arange(1, len(self.places) + 1)
        self.volume.restore(state["volume"], places)
        self.volume_h.restore(state["volume_h"], places)

    def begin_minute(self, minute: int) -> None:
        """Move the volumes to a minute, which is counted when it ends."""
        self.volume.advance(minute)
        self.volume_h.advance(minute // 10)

    def end_minute(self, ip: NDArray[np.int32], messages: NDArray[np.uint32]) -> None:
        """Count the messages of the minute that ends; (rows,) each."""
        place = self.place[ip]
        minute = np.full(place.size, self.volume.step, np.int64)
        self.volume.add(place, messages, minute)
        self.volume_h.add(place, messages, minute // 10)
        np.add.at(self.lately, ip.astype(np.intp), messages)

    def is_known(self, ip: int) -> bool:
        """Say whether an address has written to anybody that was not flooded."""
        return bool(self.normal[ip] or self.before[ip] or self.lately[ip])

    def end_slot(self) -> None:
        """Begin with the next slot of ten minutes."""
        self.before, self.lately = self.lately, np.zeros_like(self.lately)

    def learned(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give by place the clean messages learned of each group, and of how many addresses."""
        ip = np.flatnonzero(self.normal)
        place = self.place[ip].astype(np.intp)
        size = len(self.places) + 1
        messages, addresses = np.zeros(size, np.int64), np.bincount(place, minlength=size)
        np.add.at(messages, place, self.normal[ip].astype(np.int64))
        return messages, addresses.astype(np.int64)

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Zero the state of slots (they are evicted), and of groups that have no source left."""
        super().forget(slots)
        kept = sorted(self.group_hash[np.unique(self.place[self.known])].tolist())
        places = np.zeros(self.group.size, np.int32)
        old = np.array([self.places[one] for one in kept], np.int64)
        places[old] = np.arange(1, len(kept) + 1)
        self.place = places[self.place]
        rings = (self.volume, self.volume_h)
        kinds = [kind for ring in rings for kind in (ring.counts, ring.total)]
        for kind in (*kinds, self.group, self.group_hash):
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
        self.volume_h.ensure(stop)
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
        return number, v6


def group_hashes(groups: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash ASN groups, element by element."""
    return mixed(groups.astype(np.uint64), np.full(groups.size, _GROUP_SALT, np.uint64))


class Victims(_Tracked):
    """Mailboxes, or customer domains: what they get, and what was learned of it.

    `all` counts every message, `new` those from strangers (no relation with their AS). Above one
    of its gates a victim is examined.
    """

    _per_slot = (
        "known", "last_at", "since", "hash", "domain", "gate_all", "gate_new", "missed_s",
        "got", "came", "crowd", "crowd_squares", "firsts",
    )  # fmt: skip
    _rings = ("new", "all")
    _lasting = ("hash", "domain")

    def __init__(self, table: KeyTable) -> None:
        super().__init__(table)
        self.since = np.zeros(0, np.int64)
        """The close from which on it is known: no ring counts what evidence holds from before."""
        self.hash = np.zeros(0, np.uint64)
        self.domain = np.zeros(0, np.int32)
        """For mailboxes: the slot of their domain."""
        self.missed_s = np.zeros(0, np.int64)
        """Of the seconds behind what is learned, those whose mail taught nothing of this victim."""
        self.got = np.zeros(0, np.int64)
        """Clean messages learned, fading like relations, in units of 1/MESSAGE; as those below."""
        self.came = np.zeros(0, np.int64)
        """Those of them from an AS that had no relation with it."""
        self.crowd = np.zeros(0, np.int64)
        """Messages that its relations do not explain, up to a few of each AS."""
        self.crowd_squares = np.zeros(0, np.int64)
        """The sum of the squares of what `crowd` gained in each slot of ten minutes."""
        self.firsts = np.zeros(0, np.int64)
        """Of a domain: messages to mailboxes that nobody wrote to before."""
        self.gate_all = np.zeros(0, np.uint32)
        self.gate_new = np.zeros(0, np.uint32)
        self.hot = np.zeros(0, np.bool_)
        """Under examination: rows of this victim are looked at one by one."""
        self.new = Ring(11, 60)
        self.all = Ring(11, 60)

    def fading(self) -> list[NDArray[np.int64]]:
        """Give the columns that fade as relations do."""
        return [
            self.missed_s, self.got, self.came, self.crowd, self.crowd_squares, self.firsts,
        ]  # fmt: skip

    def ensure(self) -> None:
        """Make room for every slot of the table."""
        super().ensure()
        self.hot = grown(self.hot, self.known.size)

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Zero the state of slots (they are evicted)."""
        super().forget(slots)
        self.hot[slots] = False

    def admit(self, slots: NDArray[np.int64], since: NDArray[np.int64]) -> None:
        """Begin with new victims, whose gates are to be set."""
        self.known[slots] = True
        self.since[slots] = since
        self.identify(slots)

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
