"""Records of another shape, read as those of the event contract without reshaping them upstream.

Each line is decoded only as far as the paths lead, as the reader of the contract does it, so that
bytes in a field that nobody asked for cannot hide an event. What was found is written as a record
of the contract, and the reader judges it: a wrong value is its reject, in its words.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np

from detector.events.contract import Reject
from detector.events.decode import EXCERPT_BYTES, OVERSIZED, EventReader
from detector.events.framing import DEEPEST, depth
from detector.policy.text import shown
from pipelines.settings.source import FieldSettings, SourceSettings, ValueSettings
from pipelines.shapes.field_picks import (
    Pick,
    field_pick,
    first_there,
    meant_pick,
    sender_pick,
    time_pick,
)
from pipelines.shapes.record_shape import Shape
from pipelines.shapes.source_presets import PRESETS
from pipelines.stages.ingest import JsonLines, LineReader, ReadLines

__all__ = ["MOST_KINDS", "MappedLines", "columns_read", "full_source", "lines_of"]

MOST_KINDS: Final = 64
"""Kinds that are counted by name; further ones count as "other", so that no input fills memory."""
_OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why a line cannot even be handed to the reader, in the reader's own words."""

    reason: str
    said: str


def lines_of(source: SourceSettings, events: EventReader) -> LineReader:
    """Make the reader for the records of a source."""
    return JsonLines(events) if source == SourceSettings() else MappedLines(source, events)


def full_source(source: SourceSettings) -> SourceSettings:
    """Give the settings of a source with what its preset says wherever they say nothing."""
    base = PRESETS[source.preset]
    fields = {name: getattr(source.fields, name) or paths for name, paths in base.fields}
    values = {name: words | getattr(source.values, name) for name, words in base.values}
    own = {name: getattr(source, name) for name in ("time_unit", "kind", "kinds", "absent")}
    told = {name: value or getattr(base, name) for name, value in own.items()}
    return SourceSettings(
        preset=source.preset,
        fields=FieldSettings(**fields),
        values=ValueSettings(**values),
        **told,
    )


def columns_read(source: SourceSettings) -> tuple[str, ...]:
    """Give the names at the top of a record that a mapping reads, () for the event contract."""
    if source == SourceSettings():
        return ()
    told = full_source(source)
    paths = [path for found in (told.kind, *(paths for _, paths in told.fields)) for path in found]
    tops = [top for path in paths for top in (path.partition(".")[0], path)]
    return tuple(dict.fromkeys([*tops, "heartbeat"]))


class MappedLines:
    """Reads lines of JSON of another shape; a `LineReader`.

    A heartbeat of ours passes as it is; what is no object is rejected as the reader would.
    """

    def __init__(self, source: SourceSettings, events: EventReader) -> None:
        told = full_source(source)
        shape = Shape([told.kind, *(paths for _, paths in told.fields), ("heartbeat",)])
        self._events = events
        self._decode = msgspec.json.Decoder(shape.type).decode
        self._encode = msgspec.json.Encoder().encode
        (self._heartbeat,) = shape.find(("heartbeat",))
        self._kind = first_there(shape.find(told.kind), frozenset(told.absent))
        self._kinds = frozenset(told.kinds)
        self._picks = _picks(told, shape)
        self._named: set[str] = set()

    def read(self, block: bytes, first: int) -> ReadLines:
        """Read a block of whole lines; positions are those of the lines as they came."""
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        kinds: Counter[str] = Counter()
        places: list[int] = []
        mapped: list[bytes] = []
        faults: list[Reject] = []
        for place, line in enumerate(lines):
            if not line or line.isspace():
                continue
            made = self._line(line)
            if isinstance(made, bytes):
                places.append(place)
                mapped.append(made)
            elif isinstance(made, str):
                kinds[made] += 1
            else:
                excerpt = line[:EXCERPT_BYTES]
                faults.append(
                    Reject(first + place, made.reason, made.said[:EXCERPT_BYTES], excerpt)
                )
        events, rejects, _ = self._events.read_json(b"\n".join(mapped), 0)
        for reject in rejects:
            place = places[reject.position]
            excerpt = lines[place][:EXCERPT_BYTES]
            faults.append(replace(reject, position=first + place, excerpt=excerpt))
        faults.sort(key=attrgetter("position"))
        record = np.array(places, np.int64)[events.record] + first
        return ReadLines(replace(events, record=record), faults, len(lines), kinds)

    def _line(self, line: bytes) -> "bytes | str | _Fault":
        """Give the record of the contract, or the kind of one that is none, or what is wrong."""
        if line.startswith(OVERSIZED) or _too_deep(line):
            return line
        try:
            record = self._decode(line)
        except RecursionError:
            return _Fault("too_deep", f"nested deeper than {DEEPEST}")
        except msgspec.ValidationError as error:
            return _Fault("mistyped", str(error))
        except (msgspec.MsgspecError, ValueError) as error:
            return _Fault("malformed_json", str(error))
        if self._heartbeat(record) is not None and _is_heartbeat(line):
            return line
        kind = self._uninteresting(record)
        if kind is not None:
            return kind
        try:
            return self._encode(self._event(record))
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:  # a number too large
            return _Fault("mistyped", str(error))

    def _uninteresting(self, record: Any) -> str | None:
        """Give the kind of a record that is no event."""
        if not self._kinds:
            return None
        found = self._kind(record)
        kinds = [k for k in (found if isinstance(found, list) else [found]) if isinstance(k, str)]
        if not kinds or not self._kinds.isdisjoint(kinds):
            return None
        name = shown(kinds[0])
        if name not in self._named and len(self._named) >= MOST_KINDS:
            return _OTHER
        self._named.add(name)
        return name

    def _event(self, record: Any) -> dict[str, Any]:
        event: dict[str, Any] = {}
        for name, pick in self._picks:
            value = pick(record)
            if value is not None:
                event[name] = value
        if event.get("sender") == "" and "recipient" not in event:
            del event["sender"]  # refused before it named one: that is no null sender
        return event


def _picks(told: SourceSettings, shape: Shape) -> list[tuple[str, Pick]]:
    """Give how to pick each field of the contract that a record may have."""
    absent = frozenset(told.absent)
    milliseconds = 1_000 if told.time_unit == "s" else 1
    picks: list[tuple[str, Pick]] = []
    for name, paths in told.fields:
        finds = shape.find(paths)
        words: Mapping[str, str] = getattr(told.values, name, {})
        match name:
            case _ if not finds:
                continue
            case _ if words:
                pick = meant_pick(finds, absent, words)
            case "time" | "received":
                pick = time_pick(finds, absent, milliseconds)
            case "sender":
                pick = sender_pick(finds, absent)
            case "recipient":
                pick = first_there(finds, absent)
            case _:
                pick = field_pick(finds, absent)
        picks.append((name, pick))
    return picks


def _too_deep(line: bytes) -> bool:
    """Say whether the reader will find it too deep; counting is cheap, and enough as a rule."""
    brackets = line.count(b"{") + line.count(b"[") if len(line) > DEEPEST else 0
    return brackets > DEEPEST and depth(line) > DEEPEST


def _is_heartbeat(line: bytes) -> bool:
    """Say whether a heartbeat is all that a record holds."""
    try:
        return len(msgspec.json.decode(line)) == 1
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
