"""Finds records whose fields are not those that the settings name, before any is rejected."""

import difflib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from pipelines.console.escaped import escaped
from pipelines.settings.source import SourceSettings
from pipelines.shapes.field_mapping import full_source
from pipelines.shapes.source_presets import PRESETS

__all__ = ["field_names", "unknown_fields"]

_NEEDED: Final = ("time", "client_ip", "action")
_DEEPEST: Final = 4
_MOST_NAMES: Final = 500
_SHOWN: Final = 12
_OTHER_NAMES: Final = {
    "time": ("timestamp", "date", "ts", "datetime", "@timestamp", "unix_time"),
    "client_ip": ("ip", "client", "source.ip", "remote_addr", "src_ip", "peer_address.addr"),
    "action": ("status", "result", "event.action", "verdict", "outcome", "disposition"),
}
"""What others call our fields; a name that resembles one of these is a near one too."""


def field_names(records: Sequence[Any]) -> list[str]:
    """Give the names in records, as paths with dots, in their order; at most 500."""
    names: dict[str, None] = {}
    for record in records:
        for name in _paths(record, "", _DEEPEST):
            if len(names) >= _MOST_NAMES:
                return list(names)
            names[name] = None
    return list(names)


def unknown_fields(names: Collection[str], source: SourceSettings) -> str:
    """Say which required fields are found under none of these names, and how to map them.

    Gives "" where all are there, where the records have no names, or one is a heartbeat of ours.
    """
    if not names or "heartbeat" in names:
        return ""
    missing = _missing(names, source)
    if not missing:
        return ""
    wanted = ", ".join(
        f"{field} (from {' or '.join(paths)})" if paths != (field,) else field
        for field, paths in missing.items()
    )
    found = ", ".join(escaped(name) for name in list(names)[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"no record has {wanted}; the fields are {found}{more}. {_advice(names, missing)}"


def _missing(
    names: Collection[str], source: SourceSettings, fields: Sequence[str] = _NEEDED
) -> dict[str, tuple[str, ...]]:
    told = full_source(source)
    needed = {field: getattr(told.fields, field) for field in fields}
    return {field: paths for field, paths in needed.items() if not set(names) & set(paths)}


def _advice(names: Collection[str], missing: Collection[str]) -> str:
    if {"MESSAGE", "__REALTIME_TIMESTAMP"} <= set(names):
        return (
            "This is an export of the systemd journal: write it as text instead, with "
            "`journalctl -o short-iso-precise`"
        )
    for preset in PRESETS:
        source = SourceSettings.model_validate({"preset": preset})
        if preset and not _missing(names, source, (*_NEEDED, "recipient")):
            return f"These are the fields of a known program: use --preset {preset}"
    options = [
        f"--field {field}={escaped(near) if (near := _nearest(field, names)) else 'NAME'}"
        for field in missing
    ]
    return f"Name the fields, for example {' '.join(options)}, or use --preset for a known program"


def _nearest(field: str, names: Collection[str]) -> str:
    for wanted in (field, *_OTHER_NAMES[field]):
        if wanted in names:
            return wanted
    by_last = {name.rpartition(".")[2].lower(): name for name in reversed(list(names))}
    for wanted in (field, *_OTHER_NAMES[field]):
        for near in difflib.get_close_matches(wanted, by_last, n=1, cutoff=0.75):
            return by_last[near]
    return ""


def _paths(record: Any, before: str, deep: int) -> Iterator[str]:
    if not isinstance(record, dict):
        return
    for key, value in record.items():
        yield before + key
        if deep:
            yield from _paths(value, f"{before}{key}.", deep - 1)
