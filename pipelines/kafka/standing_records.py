"""Records of the listings by their keys: what stands there, and what we came to ourselves.

A record is compared once both are known, whichever comes first. Only records ahead of us are kept
as standing; those behind us that we do not remember were compared in another life.
"""

from collections import OrderedDict
from typing import Final

__all__ = ["Key", "StandingRecords"]

Key = tuple[str, str, int]
"""Kind, id and tick."""
_REMEMBERED: Final = 20_000


class StandingRecords:
    """Compares records that others wrote with ours. Memory: 20,000 of ours, and those ahead."""

    def __init__(self) -> None:
        self._standing: OrderedDict[Key, tuple[int, bytes]] = OrderedDict()
        self._own: OrderedDict[Key, bytes] = OrderedDict()
        self._derived = self._heard = -1

    def __len__(self) -> int:
        """Count the records that stand ahead of us."""
        return len(self._standing)

    def first_offset(self, otherwise: int) -> int:
        """Give where the first record stands that we have not come to."""
        return min([otherwise, *(offset for offset, _ in self._standing.values())])

    def may_follow(self, key: Key) -> bool:
        """Say whether a record of ours may stand behind what was read so far."""
        return key not in self._standing and key[2] >= self._heard

    def derive(self, key: Key, line: bytes) -> bytes | None:
        """Take note of a record of ours; give what stands under its key, None: write it."""
        if key[2] > self._derived:
            self._derived = key[2]
            while self._standing and next(iter(self._standing))[2] < self._derived:
                self._standing.popitem(last=False)
        self._own[key] = line
        if len(self._own) > _REMEMBERED:
            self._own.popitem(last=False)
        stands = self._standing.pop(key, None)
        return None if stands is None else stands[1]

    def hear(self, key: Key, offset: int, line: bytes) -> bytes | None:
        """Take note of a record that stands; give what we, or others, wrote under its key."""
        self._heard = max(self._heard, key[2])
        own = self._own.get(key)
        if own is None and key[2] >= self._derived:
            return self._standing.setdefault(key, (offset, line))[1]
        return own
