"""Records of another shape, read as those of the event contract without reshaping them upstream.

Each line is decoded only as far as the paths lead, as the reader of the contract does it, so that
bytes in a field that nobody asked for cannot hide an event. What was found is written as a record
of the contract, and the reader judges it: a wrong value is its reject, in its words.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np

from detector.decode import EXCERPT_BYTES, OVERSIZED, EventReader
from detector.event_time import LATEST_MS
from detector.events import Reject
from detector.framing import DEEPEST, depth
from detector.policy_text import shown
from pipelines.ingest import JsonLines, LineReader, ReadLines
from pipelines.record_shape import Find, Shape
from pipelines.settings_source import FieldSettings, SourceSettings, ValueSettings
from pipelines.source_presets import PRESETS

__all__ = ["MOST_KINDS", "MappedLines", "full_source", "lines_of"]

MOST_KINDS: Final = 64
"""Kinds that are counted by name; further ones count as "other", so that no input fills memory."""
_OTHER: Final = "other"
_TIMES: Final = ("time", "received")
_SMTP_CODES: Final = range(200, 600)
_FAULTS: Final = (msgspec.MsgspecError, ValueError, OverflowError, TypeError, RecursionError)


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


class MappedLines:
    """Reads lines of JSON of another shape; a `LineReader`.

    A heartbeat of ours passes as it is, and so does what is no object, to be rejected as such.
    """

    def __init__(self, source: SourceSettings, events: EventReader) -> None:
        told = full_source(source)
        shape = Shape([told.kind, *(paths for _, paths in told.fields), ("heartbeat",)])
        self._events = events
        self._decode = msgspec.json.Decoder(shape.type).decode
        self._encode = msgspec.json.Encoder().encode
        (self._heartbeat,) = shape.find(("heartbeat",))
        self._kind = shape.find(told.kind)
        self._kinds = frozenset(told.kinds)
        self._absent = frozenset(told.absent)
        self._milliseconds = 1_000 if told.time_unit == "s" else 1
        self._finds = {name: shape.find(paths) for name, paths in told.fields}
        self._words: Mapping[str, Mapping[str, str]] = dict(told.values)
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
                detail = str(made)[:EXCERPT_BYTES]
                faults.append(Reject(first + place, "malformed_json", detail, line[:EXCERPT_BYTES]))
        events, rejects, _ = self._events.read_json(b"\n".join(mapped), 0)
        for reject in rejects:
            place = places[reject.position]
            excerpt = lines[place][:EXCERPT_BYTES]
            faults.append(replace(reject, position=first + place, excerpt=excerpt))
        faults.sort(key=attrgetter("position"))
        record = np.array(places, np.int64)[events.record] + first
        return ReadLines(replace(events, record=record), faults, len(lines), kinds)

    def _line(self, line: bytes) -> bytes | str | Exception:
        """Give the record of the contract, or the kind of one that is none, or what is wrong."""
        if line.startswith(OVERSIZED) or _too_deep(line):
            return line
        try:
            record = self._decode(line)
        except (msgspec.ValidationError, RecursionError):
            return line
        except (msgspec.MsgspecError, ValueError) as error:
            return error
        if self._heartbeat(record) is not None and _is_heartbeat(line):
            return line
        kind = self._uninteresting(record)
        if kind is not None:
            return kind
        try:
            return self._encode(self._event(record))
        except _FAULTS as error:
            return error

    def _uninteresting(self, record: Any) -> str | None:
        """Give the kind of a record that is no event."""
        if not self._kinds:
            return None
        found = self._first(record, self._kind)
        kinds = [k for k in (found if isinstance(found, list) else [found]) if isinstance(k, str)]
        if not kinds or not self._kinds.isdisjoint(kinds):
            return None
        name = shown(kinds[0])
        if name not in self._named and len(self._named) >= MOST_KINDS:
            return _OTHER
        self._named.add(name)
        return name

    def _event(self, record: Any) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, finds in self._finds.items():
            words = self._words.get(name)
            if words:
                value = self._meant(record, finds, words)
            elif name == "sender":
                value = self._sender(record, finds)
            else:
                value = self._first(record, finds)
                if name in _TIMES:
                    value = self._time(value)
                elif name != "recipient":
                    value = _alone(value)
            if value is not None:
                out[name] = value
        if out.get("sender") == "" and "recipient" not in out:
            del out["sender"]  # refused before it named one: that is no null sender
        return out

    def _first(self, record: Any, finds: tuple[Find, ...]) -> Any:
        """Give the first value that is there; an empty one is not."""
        for find in finds:
            value = find(record)
            if isinstance(value, list) and self._absent:
                value = [v for v in value if not isinstance(v, str) or v not in self._absent]
            if value is None or value in ("", []):
                continue
            if not isinstance(value, str) or value not in self._absent:
                return value
        return None

    def _sender(self, record: Any, finds: tuple[Find, ...]) -> str | None:
        """Give the sender, "" for the null one; what is no text says nothing of it."""
        for find in finds:
            value = _alone(find(record))
            if isinstance(value, str) and value not in self._absent:
                return value
        return None

    def _meant(self, record: Any, finds: tuple[Find, ...], words: Mapping[str, str]) -> Any:
        """Give what the first value stands for that stands for something.

        If none does, give the first as it is: the reader rejects it, unless it is one of ours.
        """
        unknown: Any = None
        for find in finds:
            value = self._first(record, (find,))
            if value is None:
                continue
            text = _text(value)
            meant = words.get(text)
            if meant is None and len(text) == 3 and text[0] in "2345":  # noqa: PLR2004 - SMTP's
                meant = words.get(f"{text[0]}xx") if text.isdigit() else None
            if meant is None:
                meant = words.get("*")
            if meant:
                return meant
            if meant is None and unknown is None:
                unknown = value
        return _alone(unknown)

    def _time(self, value: Any) -> Any:
        """Give Unix milliseconds for a number, and anything else as it is."""
        value = _alone(value)
        if type(value) is int or type(value) is float:
            scaled = value * self._milliseconds
            if 0 <= scaled < LATEST_MS:
                return int(scaled)
        return value


def _alone(value: Any) -> Any:
    """Give the entry of a list of one; other lists are none of ours."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _text(value: Any) -> str:
    """Give a value as the words of the settings write it, three numbers in an object as 5.1.1."""
    value = _alone(value)
    if isinstance(value, dict):
        parts = list(value.values())
        if list(map(type, parts)) != [int, int, int]:
            return ""
        return ".".join(map(str, parts))
    return str(value)


def _too_deep(line: bytes) -> bool:
    """Say whether the reader will find it too deep; counting is cheap, and enough as a rule."""
    return line.count(b"{") + line.count(b"[") > DEEPEST and depth(line) > DEEPEST


def _is_heartbeat(line: bytes) -> bool:
    """Say whether a heartbeat is all that a record holds."""
    try:
        return len(msgspec.json.decode(line)) == 1
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
