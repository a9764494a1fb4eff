"""One export: read the store, check what is to be published, put it into place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from pipelines import clock
from pipelines.exports.entries import Edition, Entry, checked, entry_of
from pipelines.exports.placing import place
from pipelines.exports.previous import Previous, unexplained
from pipelines.exports.texts import json_lines, plain, postfix
from pipelines.exports.zones import rbldnsd, rpz
from pipelines.ports import BlockStore

__all__ = ["FORCED", "FORMATS", "Published", "Target", "publish"]

FORMATS: Final[Mapping[str, Callable[[Edition], dict[str, bytes]]]] = {
    "rbldnsd": rbldnsd,
    "rpz": rpz,
    "postfix": postfix,
    "plain": plain,
    "json": json_lines,
}
FORCED: Final = "export_forced"
"""The fact of the store that keeps who overrode the check last: time, reason, number dropped."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an export goes and how: a key of `FORMATS`, a folder, and what `Edition` says."""

    kind: str
    folder: Path
    valid_s: int
    lookup_url: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """What is published now.

    `kept` counts the addresses that the store lost without a change and that stay until their hard
    end. `grown` says that the list is ten times what it was: worth a look, no reason to stop.
    """

    listed: int
    shadow: int
    kept: int
    grown: bool
    files: tuple[str, ...]
    changed: bool


def publish(store: BlockStore, now_ms: int, target: Target, force: str = "") -> Published:
    """Publish the listings that hold at `now_ms`; every file is whole at every moment.

    `force` is an operator's reason to drop what the store lost; the store keeps it.

    Raises:
        ExportRefusedError: what was about to be published is wrong; the files stay as they were.
        StoreError: the store cannot be read.
        OSError: the folder cannot be written.
    """
    target.folder.mkdir(parents=True, exist_ok=True)
    state = target.folder / f".{target.kind}.published"
    previous = Previous.read(state)
    seq = store.last_seq()
    entries = [entry_of(one) for one in store.listings(now_ms)]
    lost = unexplained(previous, entries, store, now_ms)
    if force and lost:
        told = {"time": clock.now_ms(), "reason": force, "dropped": len(lost)}
        store.set_fact(FORCED, orjson.dumps(told).decode())
        lost = ()
    everything = checked([*entries, *lost])
    edition = Edition(
        tuple(one for one in everything if not one.shadow),
        tuple(one for one in everything if one.shadow),
        clock.now_ms(), target.valid_s, target.lookup_url,
    )  # fmt: skip
    files = FORMATS[target.kind](edition)
    for name, content in files.items():
        place(target.folder / name, content)
    place(state, Previous(seq, everything).to_bytes())
    return Published(
        len(edition.blocking), len(edition.shadow), len(lost), _grown(previous, edition.blocking),
        tuple(files), everything != previous.entries,
    )  # fmt: skip


def _grown(previous: Previous, blocking: tuple[Entry, ...]) -> bool:
    before = sum(not one.shadow for one in previous.entries)
    return before > 0 and len(blocking) > 10 * before
