"""Where a detector begins: at its snapshot, or at the beginning of the log where there is none.

A snapshot file is a line of JSON with the place in the listings, then what `detector.snapshot` has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from detector.engine import Engine
from detector.errors import SnapshotError
from detector.events.interning import KeyTables
from detector.networks.enrich import AsnLookup
from detector.networks.providers import ProviderRegistry
from detector.policy.settings import Policy
from detector.snapshot import restore, snapshot, snapshot_policy
from pipelines.settings.model import DetectSettings
from pipelines.snapshot_file import load_snapshot
from pipelines.tables.asn_file import AsnFiles, load_asn_files
from pipelines.tables.provider_file import load_providers

__all__ = ["Begun", "Tables", "begin_at_snapshot", "load_tables", "snapshot_bytes"]

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Tables:
    """What enriches: the ASN table (None: prefixes stand for networks) and the providers."""

    asns: AsnLookup | None
    providers: ProviderRegistry
    load_asns: Callable[[], AsnLookup | None]
    """Reads the table's files again, which may have been replaced."""


def load_tables(detect: DetectSettings) -> Tables:
    """Read the tables of the settings.

    Raises:
        AsnTableError: a table that cannot be used.
        ProviderFileError: a provider file that cannot be used.
    """

    def load() -> AsnFiles | None:
        return load_asn_files(detect.asn_tables) if detect.asn_tables else None

    return Tables(load(), load_providers(detect.providers), load)


@dataclass(frozen=True, slots=True)
class Begun:
    """An engine, and the places in the log and the listings from which it reads on.

    `found` says whether there was a snapshot; `passed_over` are the errors of newer ones.
    """

    engine: Engine
    log_offset: int = 0
    listings_offset: int = 0
    found: bool = False
    passed_over: tuple[SnapshotError, ...] = ()


def begin_at_snapshot(path: Path, policy: Policy, tables: Tables) -> Begun:
    """Make an engine with the state of the last snapshot; `policy` is for the first.

    Raises:
        SnapshotError: there are snapshots, and none is usable.
    """

    def engine_of(chosen: Policy) -> Engine:
        return Engine(chosen, KeyTables(), lookup=tables.asns, providers=tables.providers)

    def read(blob: bytes) -> Begun:
        listings_offset, state = _parts(blob)
        engine = engine_of(snapshot_policy(state))
        return Begun(engine, restore(engine, state), listings_offset, found=True)

    loaded = load_snapshot(path, read)
    if loaded is None:
        return Begun(engine_of(policy))
    begun, passed_over = loaded
    return Begun(
        begun.engine, begun.log_offset, begun.listings_offset,
        found=True, passed_over=tuple(passed_over),
    )  # fmt: skip


def snapshot_bytes(engine: Engine, log_offset: int, listings_offset: int) -> bytes:
    """Read the file of a snapshot."""
    head = orjson.dumps({"v": _VERSION, "listings_offset": listings_offset}) + b"\n"
    return head + snapshot(engine, log_offset)


def _parts(blob: bytes) -> tuple[int, bytes]:
    head, _, state = blob.partition(b"\n")
    try:
        body = orjson.loads(head)
        version, offset = body["v"], int(body["listings_offset"])
    except (ValueError, KeyError, TypeError):
        raise SnapshotError("it is not a snapshot, or its first line is damaged") from None
    if version != _VERSION:
        said = f"got version {version!a}, want version {_VERSION}"
        raise SnapshotError(f"{said[:80]}: use the version of floodwatch that wrote it")
    return offset, state
