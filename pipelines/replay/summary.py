"""What a replay found, in numbers: floods, listings, what they stopped, how the input was."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from pipelines.console.escaped import escaped

__all__ = ["Findings", "FloodSeen", "Summary", "largest", "most_common"]

_LISTS: Final = frozenset({"list", "hold"})
_HOUR_MS: Final = 3_600_000
_LARGEST: Final = 10


@dataclass(slots=True)
class FloodSeen:
    """A flood as its listings tell of it; victims are masked.

    `messages` is how many it had when its last source was listed, `sources` how many took part.
    """

    victim: str
    scope: str
    found_ms: int
    messages: int = 0
    sources: int = 0
    listed: int = 0
    first_listed_ms: int = 0
    last_seen_ms: int = 0
    rules: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Findings:
    """Collects changes as they are made."""

    changes: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    providers: Counter[str] = field(default_factory=Counter)
    asns: Counter[int] = field(default_factory=Counter)
    alerts: int = 0
    _floods: dict[tuple[object, ...], FloodSeen] = field(default_factory=dict)

    def count(self, changes: Sequence[Mapping[str, Any]]) -> None:
        """Count the next changes."""
        for change in changes:
            self.changes[change["change"]] += 1
            if change["change"] in _LISTS:
                self._count_listing(change)

    def floods(self) -> list[FloodSeen]:
        """Give the floods, those with the most messages first."""
        return sorted(
            self._floods.values(), key=lambda flood: (-flood.messages, flood.found_ms, flood.victim)
        )

    def _count_listing(self, change: Mapping[str, Any]) -> None:
        evidence = change["evidence"]
        if change["change"] == "list":
            self.rules[change["rule"]] += 1
            if change["provider"]:
                self.providers[change["provider"]] += 1
            if change["asn"] is not None:
                self.asns[change["asn"]] += 1
        self.alerts += bool(evidence.get("collateral", {}).get("alert"))
        # A rule that looks at whole minutes has no flood of its own: an hour of it is one.
        found = evidence.get("found_ms")
        when = change["time"] // _HOUR_MS if found is None else found
        victim, scope = escaped(evidence.get("victim", "")), evidence.get("scope", "")
        key = (scope, victim, when, change["rule"] if found is None else "")
        flood = self._floods.get(key)
        if flood is None:
            found_ms = change["time"] if found is None else found
            flood = FloodSeen(victim, scope, found_ms, first_listed_ms=change["time"])
            self._floods[key] = flood
        flood.messages = max(
            flood.messages, evidence.get("flood_messages", evidence.get("count", 0))
        )
        flood.sources = max(flood.sources, evidence.get("flood_sources", 0))
        flood.listed += change["change"] == "list"
        flood.last_seen_ms = max(flood.last_seen_ms, change["last_seen"])
        flood.rules[change["rule"]] = flood.rules.get(change["rule"], 0) + 1


@dataclass(frozen=True, slots=True)
class Summary:
    """One replay in numbers. Times are Unix milliseconds, None where nothing was read.

    `records` = `heartbeats` + the records that made `events` + `rejects`; `late` are among the
    events. `stopped` are attempts of listed sources at flooded victims, `cost` their messages to
    others, `messages` all inbound messages.
    """

    inputs: tuple[tuple[str, str, int], ...]
    """Name, format and number of files of each partition."""
    bytes_read: int
    lines: int
    records: int
    events: int
    late: int
    heartbeats: int
    forgotten: int
    rejects: Mapping[str, int]
    no_interest: Mapping[str, int]
    first_ms: int | None
    last_ms: int | None
    changes: Mapping[str, int]
    rules: Mapping[str, int]
    providers: Mapping[str, int]
    networks: tuple[tuple[int, str, int], ...]
    """ASN, name and listings of the networks with most of them."""
    floods_found: int
    floods: tuple[FloodSeen, ...]
    in_force: int
    held: int
    messages: int
    stopped: int
    cost: int
    alerts: int
    policy: str
    shadow: bool
    store: str
    new_changes: int
    asn_table: bool
    asn_problems: int
    left_out: tuple[str, ...]
    failures: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Give it as plain values."""
        plain = asdict(self)
        plain["inputs"] = [
            {"name": name, "format": kind, "files": files} for name, kind, files in self.inputs
        ]
        plain["networks"] = [
            {"asn": asn, "name": name, "listings": count} for asn, name, count in self.networks
        ]
        return plain


def largest(floods: Sequence[FloodSeen]) -> tuple[FloodSeen, ...]:
    """Give the floods that a summary shows."""
    return tuple(floods[:_LARGEST])


def most_common(counts: Counter[str]) -> dict[str, int]:
    """Give counts with the highest first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
