"""What an export published last, kept beside its files to compare the next edition with.

An address leaves the files by a change that ended its listing, or at its hard end. Where the store
merely lost it (emptied, restored from an old copy, another store by mistake), the address stays
until its hard end, unless an operator says otherwise: a list that vanishes in mid-flood is worse
than one that is some hours old.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import orjson

from pipelines.exports.entries import Entry, ExportRefusedError
from pipelines.ports import BlockStore

__all__ = ["Previous", "unexplained"]

_FORMAT: Final = 1
_ENDINGS: Final = frozenset({"expire", "remove", "hold"})


@dataclass(frozen=True, slots=True)
class Previous:
    """The entries that were published last, and the store's last change at that time."""

    seq: int
    entries: tuple[Entry, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `to_bytes` wrote; nothing was published where there is no file.

        Raises:
            ExportRefusedError: the file is damaged.
        """
        try:
            kept = orjson.loads(path.read_bytes())
            if kept["format"] != _FORMAT:
                raise ExportRefusedError(f"{path} was written by another version: remove it")
            return cls(int(kept["seq"]), tuple(map(_entry, kept["entries"])))
        except FileNotFoundError:
            return cls(0, ())
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            problem = f"{path} (what was published last) cannot be read: remove it to start afresh"
            raise ExportRefusedError(problem) from None

    def to_bytes(self) -> bytes:
        """Give it as JSON."""
        rows = [[e.subject, e.standing, e.shadow, e.hard_until_ms] for e in self.entries]
        return orjson.dumps({"format": _FORMAT, "seq": self.seq, "entries": rows})


def unexplained(
    previous: Previous, entries: Sequence[Entry], store: BlockStore, now_ms: int
) -> tuple[Entry, ...]:
    """Give the entries that were published, are not over and left the store without a change."""
    there = {one.subject for one in entries}
    gone = [
        one for one in previous.entries if one.subject not in there and one.hard_until_ms > now_ms
    ]
    if gone and store.last_seq() < previous.seq:
        return tuple(gone)
    return tuple(one for one in gone if not _ended(store.audit(one.subject)))


def _ended(changes: Sequence[dict[str, Any]]) -> bool:
    return bool(changes) and changes[-1]["change"] in _ENDINGS


def _entry(row: Sequence[Any]) -> Entry:
    subject, standing, shadow, hard_until_ms = row
    return Entry(str(subject), bool(standing), bool(shadow), int(hard_until_ms))
