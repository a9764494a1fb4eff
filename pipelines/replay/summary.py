"""What a replay found, in numbers: floods, listings, what they stopped, how the input was."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from pipelines.console.escaped import escaped
from pipelines.stages.understood import Misread

__all__ = ["Findings", "FloodSeen", "FloodsTotal", "Summary", "largest", "most_common", "total"]

_LISTS: Final = frozenset({"list", "hold"})
_LARGEST: Final = 10


@dataclass(frozen=True, slots=True)
class FloodSeen:
    """A flood as its last record tells of it; the victim is masked.

    `messages` are all attempts at the victim from `start_ms` to `last_ms`, of all `sources`;
    `stopped` those of sources that were listed before, `listed` the sources listed for this flood.
    """

    id: str
    state: str
    victim: str
    scope: str
    found_ms: int
    start_ms: int
    last_ms: int
    messages: int
    sources: int
    asns: int
    peak_per_min: int
    stopped: int
    listed: int
    first_listed_ms: int | None


@dataclass(frozen=True, slots=True)
class FloodsTotal:
    """The sums over all floods. One source may take part in several."""

    messages: int
    stopped: int
    listed: int


@dataclass(slots=True)
class Findings:
    """Collects changes and records of floods as they are made."""

    changes: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    providers: Counter[str] = field(default_factory=Counter)
    asns: Counter[int] = field(default_factory=Counter)
    alerts: int = 0
    gateways: set[str] = field(default_factory=set)
    """Held sources that bring much of all mail."""
    _floods: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _first_listed_ms: dict[str, int] = field(default_factory=dict)

    def count(
        self, changes: Sequence[Mapping[str, Any]], floods: Sequence[Mapping[str, Any]]
    ) -> None:
        """Count the next changes, and keep the last record of each flood."""
        for record in floods:
            self._floods[record["id"]] = record
        for change in changes:
            self.changes[change["change"]] += 1
            if change["change"] in _LISTS:
                self._count_listing(change)

    def floods(self) -> list[FloodSeen]:
        """Give the floods, those with the most messages first."""
        seen = [_seen(one, self._first_listed_ms.get(one["id"])) for one in self._floods.values()]
        return sorted(seen, key=lambda flood: (-flood.messages, flood.found_ms, flood.id))

    def _count_listing(self, change: Mapping[str, Any]) -> None:
        evidence = change["evidence"]
        if change["change"] == "list":
            self.rules[change["rule"]] += 1
            if change["provider"]:
                self.providers[change["provider"]] += 1
            if change["asn"] is not None:
                self.asns[change["asn"]] += 1
        if evidence.get("gateway"):
            self.gateways.add(change["subject"])
        self.alerts += bool(evidence.get("collateral", {}).get("alert"))
        if "flood" in evidence and change["change"] == "list":
            self._first_listed_ms.setdefault(evidence["flood"], change["time"])


@dataclass(frozen=True, slots=True)
class Summary:
    """One replay in numbers. Times are Unix milliseconds, None where nothing was read.

    `records` = `heartbeats` + the records that made `events` + `rejects`; `late` are among the
    events. `stopped` are attempts of listed sources in floods, `cost` the messages of listed
    sources to others, `messages` all inbound messages.
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
    skipped: Mapping[str, int]
    """Lines that made neither an event nor a reject, by kind."""
    skipped_examples: Mapping[str, str]
    first_ms: int | None
    last_ms: int | None
    changes: Mapping[str, int]
    rules: Mapping[str, int]
    providers: Mapping[str, int]
    networks: tuple[tuple[int, str, int], ...]
    """ASN, name and listings of the networks with most of them."""
    floods_found: int
    floods: tuple[FloodSeen, ...]
    floods_total: FloodsTotal
    in_force: int
    held: int
    messages: int
    stopped: int
    cost: int
    refused: Mapping[str, int]
    """Refused inbound attempts, by action and cause."""
    alerts: int
    gateways: tuple[str, ...]
    """Held sources that may be gateways of the site."""
    policy: str
    shadow: bool
    store: str
    new_changes: int
    asn_table: bool
    asn_problems: int
    left_out: tuple[str, ...]
    misread: Misread | None
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


def total(floods: Sequence[FloodSeen]) -> FloodsTotal:
    """Sum up floods."""
    return FloodsTotal(
        messages=sum(flood.messages for flood in floods),
        stopped=sum(flood.stopped for flood in floods),
        listed=sum(flood.listed for flood in floods),
    )


def _seen(record: Mapping[str, Any], first_listed_ms: int | None) -> FloodSeen:
    return FloodSeen(
        id=record["id"], state=record["state"], victim=escaped(record["victim"]),
        scope=record["scope"], found_ms=record["found"], start_ms=record["start"],
        last_ms=record["last"], messages=record["messages"], sources=record["sources"],
        asns=record["asns"], peak_per_min=record["peak_per_min"], stopped=record["stopped"],
        listed=record["listed"], first_listed_ms=first_listed_ms,
    )  # fmt: skip


def most_common(counts: Counter[str]) -> dict[str, int]:
    """Give counts with the highest first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
