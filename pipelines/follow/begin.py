"""How follow mode starts: from the beginning, or from the last snapshot."""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from detector.engine import Engine
from detector.errors import (
    FloodwatchError,
    SnapshotError,
    StoreError,
    StoreForeignError,
    StoreLockedError,
    StoreUrlError,
)
from detector.events.interning import KeyTables
from detector.log.records import LogRecord, Partitions, PolicyChange
from detector.policy.settings import Policy, policy_digest
from detector.policy.text import policy_to_json
from detector.snapshot import restore, snapshot_policy
from pipelines.clock import elapsed_s, now_ms
from pipelines.console.escaped import escaped
from pipelines.follow.lock import Lock, TakenError
from pipelines.follow.partition import FollowedPartition, KeepingLines, place_of
from pipelines.follow.state import Head, Journal, read_state
from pipelines.live.health import StageHealth
from pipelines.ports import BlockStore
from pipelines.settings.config_file import load_policy
from pipelines.settings.model import LiveSettings
from pipelines.snapshot_file import load_snapshot
from pipelines.sources.files import InputError
from pipelines.sources.follow import FollowedLog
from pipelines.sources.rotated import open_log
from pipelines.stages.detect import Detection
from pipelines.stages.ingest import IngestCounts, PartitionIngest
from pipelines.stores import open_store
from pipelines.stores.redis_url import shown_url
from pipelines.tables.asn_file import AsnFiles, load_asn_files
from pipelines.tables.provider_file import load_providers

__all__ = ["Begun", "FollowSpec", "begin", "check_input", "local_offset_s"]

_SQLITE: Final = "sqlite:///"
_ID: Final = "follow_id"


@dataclass(frozen=True, slots=True)
class FollowSpec:
    """Which logs to follow, and how.

    `kind` is their format (None: detected from their first lines), `utc_offset_s` the UTC offset of
    times without one (None: that of this machine, with its summer time).
    """

    inputs: tuple[str, ...]
    settings: LiveSettings
    kind: str | None = None
    rejects: Path | None = None
    utc_offset_s: int | None = None
    trusted_relays: tuple[str, ...] = ()
    now_ms: Callable[[], int] = now_ms
    elapsed_s: Callable[[], float] = elapsed_s


def local_offset_s() -> int:
    """Give how far this machine's zone is east of UTC now, seconds."""
    return time.localtime(now_ms() // 1000).tm_gmtoff


@dataclass(slots=True)
class Begun:
    """The state from which a run resumes; `due` are the records that the detector gets first."""

    head: Head
    store: BlockStore
    detection: Detection
    partitions: list[FollowedPartition]
    counts: IngestCounts
    asns: AsnFiles | None
    facts: dict[str, str]
    due: list[LogRecord] = field(default_factory=list)
    journal: Journal = field(default_factory=Journal)
    anew: bool = True


def begin(spec: FollowSpec, health: StageHealth, stack: contextlib.ExitStack) -> Begun:
    """Lock the store and the snapshot, and resume from the snapshot.

    Raises:
        FloodwatchError: an input, store, snapshot, policy or table that cannot be used.
    """
    settings = spec.settings
    paths = [str(Path(text).absolute()) for text in spec.inputs]
    for path in paths:
        check_input(path)
    policy_path = settings.detect.policy
    policy = load_policy(None if policy_path is None else str(policy_path))
    url = settings.store.url
    if not url.startswith(_SQLITE):
        raise StoreUrlError(
            shown_url(url), "follow mode keeps its store in a file: name sqlite:///PATH"
        )
    _lock(stack, Path(url.removeprefix(_SQLITE)), url)
    _lock(stack, settings.detect.snapshot, str(settings.detect.snapshot))
    store = open_store(url)
    stack.callback(store.close)
    detect = settings.detect
    asns = load_asn_files(detect.asn_tables) if detect.asn_tables else None
    providers = load_providers(detect.providers)

    def engine(policy: Policy) -> Engine:
        return Engine(
            policy, KeyTables(settings.site.recipient_delimiter), lookup=asns, providers=providers
        )

    def read(blob: bytes) -> tuple[Head, Engine, int]:
        head, state = read_state(blob)
        made = engine(snapshot_policy(state))
        return head, made, restore(made, state)

    found = load_snapshot(detect.snapshot, read)
    names = [os.fsencode(path).decode("latin-1") for path in paths]
    if found is None:
        offset_s = local_offset_s() if spec.utc_offset_s is None else spec.utc_offset_s
        kinds = [spec.kind or ""] * len(paths)
        head = Head(secrets.token_hex(8), names, kinds, policy_digest(policy), 0, offset_s)
        made, offset = engine(policy), 0
    else:
        (head, made, offset), passed_over = found
        for error in passed_over:
            health.log.warning("resumes from the previous snapshot", reason=str(error))
    _check_pair(store, url, head, names, made.listings.seq, detect.snapshot, anew=found is None)
    begun = Begun(
        head, store, Detection(made, None, offset), [], IngestCounts(), asns,
        {"live": "1", _ID: head.id, "asn_digest": asns.digest if asns is not None else "",
         "provider_digest": providers.digest},
        anew=found is None,
    )  # fmt: skip
    begun.journal = Journal() if begun.anew else Journal.of(store)
    _open_partitions(begun, paths, health, stack)
    begun.due += begun.journal.requests(head.given)
    given = [number for number, _, _ in begun.journal.given]
    begun.head = replace(head, given=max([head.given, *given]))
    if policy_digest(policy) != head.policy:
        _ask_for(policy, begun, spec.now_ms())
    return begun


def check_input(path: str) -> None:
    """Find at once the errors that waiting does not repair."""
    if Path(path).is_dir():
        raise InputError(path, "it is a directory: name the log in it")
    if not Path(path).parent.is_dir():
        raise InputError(path, "there is no such directory: check the path")
    try:
        file = open_log(path)
    except InputError:
        if os.path.lexists(path):
            raise
        return
    packed = file.read_at(0, 1) and file.packed
    file.close()
    if packed:
        raise InputError(path, "it is compressed and cannot grow: read it with floodwatch replay")


def _lock(stack: contextlib.ExitStack, path: Path, name: str) -> None:
    try:
        stack.callback(Lock(path).close)
    except TakenError as error:
        by = f" (process {error.holder})" if error.holder else ""
        raise StoreLockedError(
            name, f"another follower{by} uses it: stop that one, or name another file"
        ) from None
    except OSError as error:
        words = f"no lock file can be created next to it ({error.strerror}): check the directory"
        raise StoreError(name, words) from None


def _check_pair(
    store: BlockStore, url: str, head: Head, names: Sequence[str], seq: int, snapshot: Path,
    *, anew: bool,
) -> None:  # fmt: skip
    """Check that store, snapshot and inputs belong together."""
    known, stands = store.fact(_ID), store.last_seq()
    shown = escaped(str(snapshot))
    if anew and known is not None and stands:
        raise StoreError(
            url, f"its snapshot {shown} is missing: restore it (detect.snapshot),"
            " or start over with another store"
        )  # fmt: skip
    if (known is None and stands) or (not anew and known not in (None, head.id)):
        raise StoreForeignError(
            url, f"it holds decisions of a different run than {shown}: name the store that belongs "
            "to that snapshot, or another snapshot (detect.snapshot) and store"
        )  # fmt: skip
    if not anew and head.inputs != list(names):
        were = ", ".join(escaped(name) for name in head.inputs)
        raise StoreForeignError(
            url, f"it was made from other inputs ({were}): name those, in this order, or another "
            "store and snapshot (detect.snapshot)"
        )  # fmt: skip
    if stands < seq:
        raise SnapshotError(
            f"{shown} has {seq} changes, and the store {url} only {stands}: restore the newer "
            "store, or start over with another store and snapshot"
        )


def _open_partitions(
    begun: Begun, paths: Sequence[str], health: StageHealth, stack: contextlib.ExitStack
) -> None:
    """Open the logs at their places."""
    engine, head = begun.detection.engine, begun.head

    def tell(words: str, path: str) -> None:
        health.log.info("input", file=path, what=words)

    if begun.anew:
        begun.due.append(Partitions(len(paths)))
    for number, path in enumerate(paths):
        state = None if begun.anew else head.partitions[number]
        try:
            log = FollowedLog(path, place_of(state), tell)
            stack.callback(log.close)
            lines = KeepingLines(engine.tables)
            ingest = PartitionIngest(number, lines, engine.policy.clock, begun.counts)
            begun.partitions.append(FollowedPartition(log, lines, ingest))
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"cannot be used: {type(error).__name__}: {error}") from error


def _ask_for(policy: Policy, begun: Begun, now: int) -> None:
    """Let another policy than the one asked for last take effect, from the next minute on."""
    engine = begun.detection.engine
    if policy.clock != engine.policy.clock:
        raise FloodwatchError(
            "policy: [clock] cannot change while a log is followed: restore it, or start over "
            "with another store and snapshot (detect.snapshot)"
        )
    closed = engine.watermark()
    time_ms = now if closed is None else max(now, (closed + 1) * 1000)
    begun.due.append(PolicyChange(time_ms, policy_to_json(policy)))
    begun.head = replace(begun.head, policy=policy_digest(policy))
