"""What stands in the topics: log records, listings, dead letters, committed places.

Each form has a version; one that is not known is refused in words. Records of the log are written
and read by `detector.log.records`.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

import orjson

from detector.errors import FloodwatchError
from detector.events.contract import Reject
from detector.tally.tally import ResumePoint
from pipelines.console.escaped import escaped, escaped_bytes

__all__ = [
    "Progress",
    "Record",
    "WireError",
    "ascii_json",
    "commit_text",
    "dead_letter",
    "dead_letter_key",
    "decision_line",
    "progress_line",
    "read_listing",
    "record_line",
    "reject_line",
    "resume_point",
]

VERSION: Final = 1
_DELETE: Final = b"\x7f"
_MOST_KEPT: Final = 65_536
"""Bytes of a bad record that are kept whole; of a longer one the beginning is."""


class WireError(FloodwatchError):
    """A message in a form that this version does not know: `place`, and what it `got`."""

    def __init__(self, place: str, got: str) -> None:
        super().__init__(
            f"{place}: got {got}, want version {VERSION}: use the version of floodwatch that wrote "
            "it, or let the newer one take over"
        )
        self.place = place
        self.got = got


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a detector has come: its last close (None before the first), change, log record.

    `torn` are the partitions of which the log has lost a tally: what follows cannot be counted yet.
    """

    closed: int | None
    seq: int
    log_offset: int
    torn: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A message of the listings that is no change: the figures of something at a close.

    Its key is (`kind`, `id`, `tick`): other bytes under one key mean that two detectors disagree.
    """

    kind: str
    id: str
    tick: int
    fields: Mapping[str, Any]


def ascii_json(line: bytes) -> bytes:
    r"""Give the same JSON in printable ASCII, so that no terminal obeys what a log held.

    >>> ascii_json('{"a":"x\u202e\x7f"}'.encode())
    b'{"a":"x\\u202e\\u007f"}'
    """
    if line.isascii() and _DELETE not in line:
        return line
    out: list[str] = []
    for character in line.decode():
        code = ord(character)
        if code < 0x7F:  # noqa: PLR2004 - ASCII that JSON itself leaves printable
            out.append(character)
        else:
            units = character.encode("utf-16-be").hex()
            out += (f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
    return "".join(out).encode()


def decision_line(change: Mapping[str, Any]) -> bytes:
    """Give a decision as its contract has it: one JSON object in printable ASCII, without LF."""
    return ascii_json(orjson.dumps(change))


def record_line(record: Mapping[str, Any]) -> bytes:
    """Give a record of the listings: one JSON object in printable ASCII, without LF."""
    return ascii_json(orjson.dumps(record))


def progress_line(progress: Progress) -> bytes:
    """Write how far a detector has come, as a message of the listings."""
    fields = {"closed": progress.closed, "seq": progress.seq, "log_offset": progress.log_offset}
    torn = {"torn": list(progress.torn)} if progress.torn else {}
    return orjson.dumps({"v": VERSION, "progress": fields | torn})


def read_listing(message: bytes, place: str) -> dict[str, Any] | Progress | Record:
    """Read a message of the listings: a decision, progress or another record.

    Raises:
        WireError: another version, or no such message at all; `place` says where it stands.
    """
    try:
        body = orjson.loads(message)
    except ValueError:
        raise WireError(place, "no JSON") from None
    version = body.get("v") if isinstance(body, dict) else None
    if version != VERSION:
        raise WireError(place, f"version {version!r}"[:80])
    try:
        if "progress" in body:
            return Progress(**body["progress"])
        if "kind" in body:
            return _record(body, place)
        if type(body["seq"]) is not int:
            raise WireError(place, "a decision without a number")
    except (KeyError, TypeError):
        raise WireError(place, "neither a decision nor progress") from None
    return body  # type: ignore[no-any-return]


def _record(body: dict[str, Any], place: str) -> Record:
    kind, name, tick = body["kind"], body["id"], body["tick"]
    if type(kind) is not str or type(name) is not str or type(tick) is not int:
        raise WireError(place, "a record without a key")
    return Record(kind, name, tick, body)


def reject_line(path: str, line: int, reject: Reject) -> bytes:
    """Give a reject as the file of `--rejects` has it: an input, its line (from 1) and why."""
    said = {
        "input": escaped(path),
        "line": line,
        "reason": reject.reason,
        "detail": escaped(reject.detail),
        "excerpt": escaped_bytes(reject.excerpt),
    }
    return ascii_json(orjson.dumps(said)) + b"\n"


def dead_letter_key(topic: str, partition: int, offset: int) -> bytes:
    """Give what makes a repeat of the same dead letter known."""
    return f"{topic}/{partition}/{offset}".encode()


def dead_letter(
    topic: str, partition: int, reject: Reject, record: bytes | None, timestamp_ms: int
) -> bytes:
    """Write a bad record with its place and reason; `record` are its bytes where still at hand.

    `record` is base64 and whole up to 64 KiB; `excerpt` is what a person can read of it.
    """
    kept = reject.excerpt if record is None else record
    return ascii_json(
        orjson.dumps({
            "v": VERSION,
            "topic": topic,
            "partition": partition,
            "offset": reject.position,
            "timestamp": timestamp_ms,
            "reason": reject.reason,
            "detail": reject.detail.encode("utf-8", "backslashreplace").decode(),
            "excerpt": reject.excerpt.decode("utf-8", "backslashreplace"),
            "bytes": len(kept),
            "whole": record is not None and len(kept) <= _MOST_KEPT,
            "record": b64encode(kept[:_MOST_KEPT]).decode(),
        })
    )  # fmt: skip


def commit_text(point: ResumePoint) -> str:
    """Give what is committed beside an offset: the clock before it and the last tally."""
    return orjson.dumps([VERSION, *astuple(point)[1:]]).decode()


def resume_point(offset: int, text: str, place: str) -> ResumePoint:
    """Read back where the next owner of a partition goes on.

    Raises:
        WireError: another version, or an offset that somebody else committed (an operator who
            moved the group): without our note nobody knows which tallies the log has.

    >>> resume_point(7, commit_text(ResumePoint(7, 1_000, 3, 0, 0, 6, 5)), "group")
    ResumePoint(offset=7, clock_ms=1000, number=3, tick=0, through=0, made_at=6, last_record=5)
    """
    try:
        version, *rest = orjson.loads(text)
        if version != VERSION:
            raise WireError(place, f"version {version!r}"[:80])
        return ResumePoint(offset, *map(int, rest))
    except (ValueError, TypeError):
        raise WireError(place, "a commit that is not ours") from None
