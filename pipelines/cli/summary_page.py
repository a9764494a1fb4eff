"""The summary of a replay as a page of text."""

from collections.abc import Mapping
from typing import Final

from pipelines.cli.shown import columns, duration, network, per_cent, rfc3339
from pipelines.replay.summary import Summary

__all__ = ["summary_page"]

_MOST_NAMED: Final = 4


def summary_page(summary: Summary, written: list[str]) -> list[str]:
    """Give the lines; a heading starts a line, what belongs to it is indented."""
    lines = columns([*_input(summary), *_result(summary)])
    if summary.floods:
        lines += ["", *_floods(summary)]
    if summary.rules:
        lines += ["", *_shares(summary)]
    lines += ["", *columns(_outputs(summary, written))]
    return lines


def _input(s: Summary) -> list[tuple[str, str]]:
    names = [name for name, _, _ in s.inputs]
    shown = ", ".join(names[:_MOST_NAMED])
    if len(names) > _MOST_NAMED:
        shown += f" and {len(names) - _MOST_NAMED:,} more"
    kinds = sorted({kind for _, kind, _ in s.inputs})
    rows = [("Input", f"{shown} ({', '.join(kinds)})")]
    if s.first_ms is not None and s.last_ms is not None:
        rows.append(("Time", f"{rfc3339(s.first_ms)} to {rfc3339(s.last_ms)}"))
    rejects = sum(s.rejects.values())
    lines = f"{s.lines:,} lines, " if s.lines else ""
    said = f"{lines}{s.events:,} events ({s.late:,} late), {rejects:,} rejects"
    if s.heartbeats:
        said += f", {s.heartbeats:,} heartbeats"
    rows.append(("Read", said))
    if rejects:
        rows.append(("", f"rejects: {_counts(s.rejects)}"))
    if s.skipped:
        total = sum(s.skipped.values())
        rows.append(("", f"{total:,} lines skipped: {_counts(s.skipped, 3)}"))
    if s.forgotten:
        rows.append(
            ("", f"{s.forgotten:,} messages dropped before they were complete, to limit memory")
        )
    rows += [("", f"skipped, unknown format: {name}") for name in s.left_out[:_MOST_NAMED]]
    return rows


def _result(s: Summary) -> list[tuple[str, str]]:
    listed = s.changes.get("list", 0)
    shadow = " in shadow mode: nothing is published" if s.shadow else ""
    would = "would have been blocked, " if s.shadow else ""
    held = f", {s.held:,} held for an operator" if s.held else ""
    others = s.messages - s.stopped
    cost = per_cent(s.cost, others)
    rows = [
        ("Floods", f"{s.floods_found:,} found"),
        ("Listed", f"{listed:,} times{shadow}, {s.in_force:,} active at the end{held}"),
        (
            "Stopped",
            f"{s.stopped:,} flood messages sent after their source was listed",
        ),
        (
            "Cost",
            f"{s.cost:,} messages of listed sources to others ({would}{cost} of all other mail)",
        ),
    ]
    if s.refused:
        rows.append(("Refused", _refused(s.refused)))
    if s.alerts:
        rows.append(("Alert", f"{s.alerts:,} listings exceed the alert level for normal mail"))
    return rows


def _refused(counts: Mapping[str, int]) -> str:
    """Say how many refusals are messages of a flood, and how many are not counted, and why."""
    lists, unknown = counts.get("reject_blocklist", 0), counts.get("reject_unknown_user", 0)
    deferred = sum(count for name, count in counts.items() if name.startswith("defer"))
    others = sum(counts.values()) - lists - unknown - deferred
    return (
        f"{others:,} counted as messages; not counted: {lists:,} by block lists, "
        f"{unknown:,} to unknown users, {deferred:,} deferred"
    )


def _floods(s: Summary) -> list[str]:
    rows: list[tuple[object, ...]] = [
        ("messages", "stopped", "listed", "sources", "peak/min", "found", "duration", "state",
         "victim"),
        *(
            (
                f.messages, f.stopped, f.listed, f.sources, f.peak_per_min, rfc3339(f.found_ms),
                duration(f.last_ms - f.start_ms), f.state, f.victim,
            )
            for f in s.floods
        ),
    ]  # fmt: skip
    whole, blank = s.floods_total, ("",) * 5
    others = s.floods_found - len(s.floods)
    if others:
        rest = (
            whole.messages - sum(f.messages for f in s.floods),
            whole.stopped - sum(f.stopped for f in s.floods),
            whole.listed - sum(f.listed for f in s.floods),
        )
        rows.append((*rest, *blank, f"{others:,} {'other' if others == 1 else 'others'}"))
    if s.floods_found > 1:
        rows.append((whole.messages, whole.stopped, whole.listed, *blank, "total"))
    heading = "Largest floods" if others else "Floods"
    return [heading, *columns(rows, right=(0, 1, 2, 3, 4), indent="  ")]


def _shares(s: Summary) -> list[str]:
    lines = ["Listings"]
    rows: list[tuple[object, ...]] = [(f"rule {name}", count) for name, count in s.rules.items()]
    rows += [(f"provider {name}", count) for name, count in list(s.providers.items())[:_MOST_NAMED]]
    rows += [(network(asn, name), count) for asn, name, count in s.networks[:_MOST_NAMED]]
    return lines + columns(rows, right=(1,), indent="  ")


def _outputs(s: Summary, written: list[str]) -> list[tuple[str, str]]:
    changes = ", ".join(f"{count:,} {kind}" for kind, count in s.changes.items()) or "none"
    rows = [("Changes", f"{changes} (policy {s.policy})")]
    new = f"{s.new_changes:,} changes are new" if s.new_changes else "nothing new"
    rows.append(("Store", f"{s.store}: {new}"))
    rows += [("Written", name) for name in written]
    if not s.asn_table:
        rows.append(("Note", "no --asn-table: networks are identified by their prefix only"))
    if s.gateways:
        named = ", ".join(s.gateways[:_MOST_NAMED])
        note = (
            f"held: {named} send a large share of all mail. If they are your own "
            "gateways, name them in "
            "guard.never_list, site.networks or --trusted-relay; if not, `floodwatch control "
            "release` lists them"
        )
        rows.append(("Note", note))
    if s.asn_problems:
        rows.append(("Note", f"{s.asn_problems:,} lines of the ASN table left out (see check)"))
    return rows


def _counts(counts: Mapping[str, int], named: int = _MOST_NAMED) -> str:
    """Name the largest counts, and say how many more there are."""
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:named]]
    more = sum(list(counts.values())[named:])
    return ", ".join(shown) + (f", others {more:,}" if more else "")
