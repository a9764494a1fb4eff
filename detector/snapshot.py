"""Snapshots: all that decides, as bytes from which another process resumes.

    magic · version u32 · header length u64 · header (JSON) · arrays, little-endian · SHA-256

The header is a tree of numbers and text; an array stands in it as {"array": [number, type, shape]}.
Slots are written as numbers of names, because another process has other slots. No pickle: whatever
the bytes are, reading them runs nothing and gives a snapshot or a `SnapshotError`.
"""

import hashlib
import json
import math
from base64 import b64decode, b64encode
from itertools import accumulate
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.errors import FloodwatchError, PolicyError, SnapshotError
from detector.events.numbering import Numbering
from detector.judge.cases import Case
from detector.live_keys import EngineState, live_keys
from detector.log.closing import PendingControl
from detector.log.records import Timed, decode_record, encode_record
from detector.policy.settings import Policy, policy_digest
from detector.policy.text import policy_from_json, policy_from_tables, policy_to_json

__all__ = ["VERSION", "restore", "snapshot", "snapshot_policy"]

MAGIC: Final = b"floodwatch snapshot\n"
VERSION: Final = 3
CARRIED: Final = frozenset({1})
"""Earlier versions of which the listings are carried over; what they had learned is not."""
_HEAD_BYTES: Final = len(MAGIC) + 4 + 8
_DIGEST_BYTES: Final = 32
_ARRAY: Final = "array"
_TYPES: Final = frozenset({"|b1", "|u1", "<i4", "<u4", "<i8", "<u8", "<f8"})


def snapshot(engine: EngineState, log_offset: int) -> bytes:
    """Write what the engine knows after the log up to (not including) `log_offset`.

    Equal states give equal bytes. Cost: about a microsecond and 140 bytes a tracked key.
    """
    live = live_keys(engine)
    tables = engine.tables
    ips = Numbering.of(tables.ips, live.ips)
    mailboxes = Numbering.of(tables.mailboxes, live.mailboxes)
    domains = Numbering.of(engine.domain_table, live.domains)
    numberings = {"mailbox": mailboxes, "domain": domains}
    cases = sorted(
        (scope, int(numberings[scope].numbers(np.array([slot]))[0]), slot)
        for scope, slot in engine.cases
    )
    victims = engine.mailboxes.state(mailboxes)
    victims["columns"]["domain"] = domains.numbers(victims["columns"]["domain"])
    tree = {
        "log_offset": log_offset,
        "policy": policy_digest(engine.policy),
        "policy_text": policy_to_json(engine.policy),
        "asn_table": None if engine.lookup is None else engine.lookup.digest,
        "ips": ips.names,
        "mailboxes": mailboxes.names,
        "domains": domains.names,
        "closer": engine.closer.state(ips, mailboxes),
        "controls": [
            [pending.offset, b64encode(encode_record(pending.control, tables)).decode()]
            for pending in engine.closer.pending_controls()
        ],
        "sources": engine.sources.state(ips),
        "victims": victims,
        "owners": engine.domains.state(domains),
        "learner": engine.learner.state(mailboxes, domains),
        "evidence": engine.evidence.state(ips, mailboxes),
        "collateral": [
            engine.collateral.total,
            engine.collateral.observed_s,
            engine.collateral.seen,
        ],
        "docket": engine.listings.state(ips),
        "cases": {
            str(i): {
                "scope": scope,
                "victim": number,
                **engine.cases[scope, slot].state(ips, mailboxes),
            }
            for i, (scope, number, slot) in enumerate(cases)
        },
        "floods_found": engine.floods_found,
        "observed": engine.observed,
        "log_start": engine.log_start,
        "last_rows_at": engine.last_rows_at,
        "outbound": [[group, *engine.outbound[group]] for group in sorted(engine.outbound)],
    }
    return _packed(tree)


def snapshot_policy(blob: bytes) -> Policy:
    """Give the policy that was active; the log may have changed it since the start.

    Raises:
        SnapshotError: incomplete or of another version.
    """
    tree = _unpacked(blob)
    text = str(tree.get("policy_text"))
    if tree["version"] in CARRIED:  # keys that are gone say nothing any more
        return policy_from_tables(json.loads(text))[0]
    try:
        return policy_from_json(text)
    except PolicyError as error:
        raise SnapshotError(f"cannot be used: {error}") from error


def restore(engine: EngineState, blob: bytes) -> int:
    """Bring a new engine to where `snapshot` was; give the offset at which to read the log on.

    The engine must have the policy of the snapshot (see `snapshot_policy`), and its ASN table in
    force or offered. Of an earlier version the listings, their history and numbers are carried
    over, and a complaint of `engine.listings` says so: what is usual is learned again.

    Raises:
        SnapshotError: incomplete, or of another version, policy or ASN table; discard the engine.
    """
    tree = _unpacked(blob)
    engine.lookup = engine.offered.get(tree.get("asn_table") or "", engine.lookup)
    digest = None if engine.lookup is None else engine.lookup.digest
    for what, then, now in (
        ("policy", tree.get("policy"), policy_digest(engine.policy)),
        ("ASN table", tree.get("asn_table"), digest),
    ):
        if then != now and (what != "policy" or tree["version"] not in CARRIED):
            raise SnapshotError(
                f"made with {what} {then}, but {what} {now} is loaded: start with the one it was "
                "made with (a new one takes effect through the log), or replay the log"
            )
    try:
        return (_carried if tree["version"] in CARRIED else _restored)(engine, tree)
    except FloodwatchError as error:
        raise SnapshotError(f"cannot be used: {error}") from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise SnapshotError(f"cannot be used: {type(error).__name__}: {error}") from error


def _read_log(
    engine: EngineState, tree: dict[str, Any]
) -> tuple[int, Numbering, Numbering]:  # fmt: skip
    """Take back where the log was left; give its offset and the numbered keys."""
    tables = engine.tables
    ips = Numbering(tables.ips, tree["ips"])
    mailboxes = Numbering(tables.mailboxes, tree["mailboxes"])
    controls: list[PendingControl] = []
    for offset, text in tree["controls"]:
        control = decode_record(b64decode(text), tables)
        if not isinstance(control, Timed):
            raise SnapshotError(f"{type(control).__name__} waits for no close")
        controls.append(PendingControl(offset, control))
    engine.closer.restore(tree["closer"], ips, mailboxes, controls)
    log_offset: int = tree["log_offset"]
    return log_offset, ips, mailboxes


def _carried(engine: EngineState, tree: dict[str, Any]) -> int:
    """Take over the listings of an earlier version: an upgrade loses none."""
    log_offset, ips, _ = _read_log(engine, tree)
    engine.sources.ensure()
    engine.listings.restore(tree["docket"], ips)
    engine.observed, engine.collateral.observed_s = tree["observed"], tree["collateral"][1]
    engine.listings.complaints.append(
        f"snapshot version {tree['version']}: {len(tree['docket']['lifecycle']['listings'])} "
        "listings and their history were kept; what is usual is learned again, and limits are "
        "higher for the first hour"
    )
    return log_offset


def _restored(engine: EngineState, tree: dict[str, Any]) -> int:
    log_offset, ips, mailboxes = _read_log(engine, tree)
    domains = Numbering(engine.domain_table, tree["domains"])
    engine.sources.restore(tree["sources"], ips)
    victims = tree["victims"]
    victims["columns"]["domain"] = domains.slots(victims["columns"]["domain"])
    engine.mailboxes.restore(victims, mailboxes)
    engine.domains.restore(tree["owners"], domains)
    engine.learner.restore(tree["learner"], mailboxes, domains)
    engine.evidence.restore(tree["evidence"], ips, mailboxes)
    engine.collateral.total, engine.collateral.observed_s, *seen = tree["collateral"]
    engine.collateral.seen = seen[0] if seen else 0  # snapshots of early versions 3 have none
    engine.listings.restore(tree["docket"], ips)
    for state in tree["cases"].values():
        scope = state["scope"]
        numbering = mailboxes if scope == "mailbox" else domains
        slot = int(numbering.slots(np.array([state["victim"]]))[0])
        case = engine.cases[scope, slot] = Case.restored(scope, slot, state, ips, mailboxes)
        if case.flood is not None:
            engine.flooded[scope, slot] = case
        (engine.mailboxes if scope == "mailbox" else engine.domains).hot[slot] = True
    engine.floods_found = tree["floods_found"]
    _identify(engine)
    engine.observed, engine.log_start = tree["observed"], tree["log_start"]
    engine.last_rows_at = tree["last_rows_at"]
    engine.outbound = {group: counts for group, *counts in tree["outbound"]}
    return log_offset


def _identify(engine: EngineState) -> None:
    """Say of evicted keys that rows and cases still refer to what follows from their names."""
    uses = [engine.evidence.slots_in_use(), *(c.slots_in_use() for c in engine.cases.values())]
    ip, rcpt = (np.concatenate(slots) for slots in zip(*uses, strict=True))
    engine.sources.identify(_unknown(ip, engine.sources.known))
    slots = _unknown(rcpt, engine.mailboxes.known)
    engine.mailboxes.identify(slots)
    names = [engine.tables.mailboxes.names[slot].rpartition("@")[2] for slot in slots.tolist()]
    domain = engine.domain_table.slots(names, len(names))
    engine.mailboxes.domain[slots] = domain
    engine.domains.identify(_unknown(domain, engine.domains.known))


def _unknown(slots: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.unique(slots[~known[slots]]).astype(np.int64)


def _packed(tree: dict[str, Any]) -> bytes:
    arrays: list[bytes] = []

    def place(value: object) -> object:
        if isinstance(value, np.ndarray):
            little = value.astype(value.dtype.newbyteorder("<"), copy=False)
            arrays.append(little.tobytes())
            return {_ARRAY: [len(arrays) - 1, little.dtype.str, list(value.shape)]}
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"a snapshot holds no {type(value).__name__}")

    header = msgspec.json.encode(tree, enc_hook=place)
    head = MAGIC + VERSION.to_bytes(4, "little") + len(header).to_bytes(8, "little")
    body = b"".join((head, header, *arrays))
    return body + hashlib.sha256(body).digest()


def _unpacked(blob: bytes) -> dict[str, Any]:
    if blob[: len(MAGIC)] != MAGIC:
        raise SnapshotError(f"begins with {bytes(blob[: len(MAGIC)])!r}: it is something else")
    version = int.from_bytes(blob[len(MAGIC) : len(MAGIC) + 4], "little")
    if version != VERSION and version not in CARRIED:
        raise SnapshotError(
            f"got version {version}, want version {VERSION}: use the version of floodwatch that "
            "wrote it"
        )
    body = memoryview(blob)[:-_DIGEST_BYTES]
    if len(blob) < _HEAD_BYTES + _DIGEST_BYTES or (
        hashlib.sha256(body).digest() != blob[-_DIGEST_BYTES:]
    ):
        raise SnapshotError(f"incomplete or damaged: {len(blob)} bytes do not match their checksum")
    size = int.from_bytes(blob[len(MAGIC) + 4 : _HEAD_BYTES], "little")
    try:
        tree = msgspec.json.decode(body[_HEAD_BYTES : _HEAD_BYTES + size])
        found: dict[int, tuple[dict[str, Any], str, str, list[int]]] = {}
        _collect(tree, found)
        ordered = [found[number] for number in range(len(found))]
        sizes = [math.prod(shape) * np.dtype(kind).itemsize for _, _, kind, shape in ordered]
        starts = list(accumulate(sizes, initial=_HEAD_BYTES + size))
        for (parent, key, kind, shape), start in zip(ordered, starts, strict=False):
            count = math.prod(shape)
            parent[key] = np.frombuffer(body, kind, count, start).reshape(shape)
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError) as error:
        raise SnapshotError(f"cannot be read: {type(error).__name__}: {error}") from error
    if not isinstance(tree, dict) or starts[-1] != len(body):
        raise SnapshotError(f"has {len(body)} bytes where its header says {starts[-1]}")
    tree["version"] = version
    return tree


def _collect(tree: Any, found: dict[int, tuple[dict[str, Any], str, str, list[int]]]) -> None:
    """Find the arrays in a tree of dicts: they stand nowhere else."""
    for key, value in tree.items():
        if not isinstance(value, dict):
            continue
        if value.keys() == {_ARRAY}:
            number, kind, shape = value[_ARRAY]
            if kind not in _TYPES:
                raise TypeError(f"an array of {kind}")
            found[number] = (tree, key, kind, shape)
        else:
            _collect(value, found)
