"""`floodwatch explain`: the history of an address, from the stored changes alone."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from detector.policy.wording import duration, many
from pipelines.cli.listings import print_json
from pipelines.cli.reasons import bars, chance, expected, fired, part_in_flood, usual
from pipelines.cli.shown import columns, per_cent, rfc3339, subject_of
from pipelines.cli.stored import Stored, opened, shown_state
from pipelines.console.escaped import escaped

__all__ = ["show_explanation"]

_LISTS: Final = frozenset({"list", "hold"})
_BESIDE: Final = 6
_SAME_FLOOD: Final = ("scope", "victim", "found_ms")
_WORDS: Final = {
    "victim_flood": "a mailbox or domain is flooded, and this address takes part",
}
Change = Mapping[str, Any]


def show_explanation(address: str, url: str, *, as_json: bool) -> None:
    """Show every listing of an address with its evidence and its outcome."""
    subject = subject_of(address)
    with opened(url) as stored:
        state, listing = stored.state(subject)
        changes = stored.store.audit(subject)
        stories = list(_stories(changes))
        beside = [_beside(stored, subject, story[0]) for story in stories]
        if as_json:
            print_json(
                {
                    "subject": subject,
                    "state": state,
                    "as_of": stored.now_ms,
                    "listings": [
                        {"changes": story, "beside": sources}
                        for story, sources in zip(stories, beside, strict=True)
                    ],
                }
            )
            return
        lines = [f"{subject} is {shown_state(state, listing)} (as of {rfc3339(stored.now_ms)})"]
        if not changes:
            lines.append(
                "  the store has no record of it: it was never listed or held, and no "
                "removal was requested"
            )
        for number, (story, sources) in enumerate(zip(stories, beside, strict=True), 1):
            lines += ["", f"Listing {number} of {len(stories)}"]
            lines += columns(_rows(stored, story, sources), indent="  ")
    sys.stdout.write("\n".join(lines) + "\n")


def _stories(changes: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Cut the changes of a subject into its listings; what came before the first is one too."""
    story: list[dict[str, Any]] = []
    for change in changes:
        if change["change"] in _LISTS and story:
            yield story
            story = []
        story.append(change)
    if story:
        yield story


def _rows(stored: Stored, story: Sequence[Change], beside: Sequence[str]) -> list[tuple[str, str]]:
    first = story[0]
    evidence = first["evidence"]
    rows = [
        ("rule", f"{first['rule']}: {_WORDS.get(first['rule'], 'see floodwatch policy')}"),
        ("fired", fired(evidence)),
        ("its part", part_in_flood(evidence)),
        ("judged", chance(evidence)),
        ("expected", expected(evidence)),
        ("usual", usual(evidence)),
        ("minutes", _minutes(evidence)),
        ("network", stored.network(first["asn"], first["provider"])),
        ("beside it", _named(beside)),
        ("cost", _cost(evidence)),
        ("policy", f"{first['policy']}{' (shadow: not published)' if first['shadow'] else ''}"),
    ]
    if "covers_from_ms" in evidence:
        rows.append(("evidence", f"covers the log from {rfc3339(evidence['covers_from_ms'])}"))
    if first["change"] not in _LISTS:
        rows = []
    rows += [("then" if index else "at", _happened(change)) for index, change in enumerate(story)]
    return [row for row in rows if row[1]]


def _minutes(evidence: Change) -> str:
    counts = [int(count) for count in evidence.get("timeline_per_min", ())]
    if not counts:
        return ""
    return f"{bars(counts)}  {' '.join(map(str, counts))} (to the victim, up to the listing)"


def _cost(evidence: Change) -> str:
    cost = evidence.get("collateral")
    if cost is None:
        return ""
    alert = ", above the alert level" if cost.get("alert") else ""
    own, in_all = per_cent(cost["own_share"], 1), per_cent(cost["share_in_all"], 1)
    return f"{own} of normal mail comes from it; all listings together would block {in_all}{alert}"


def _happened(change: Change) -> str:
    kind, evidence = change["change"], change["evidence"]
    said = f"{rfc3339(change['time'])} {kind}"
    if kind in _LISTS | {"extend", "release"}:
        said += f", {change['tier']}, until {rfc3339(change['until'])} if quiet"
    if evidence.get("reason"):
        said += f": {escaped(str(evidence['reason']))}"
    if "quiet_needed_s" in evidence:
        said += f" ({duration(evidence['quiet_needed_s'])} of quiet required)"
    if "earliest_ms" in evidence:
        said += f", earliest {rfc3339(evidence['earliest_ms'])}"
    return said


def _beside(stored: Stored, subject: str, first: Change) -> list[str]:
    """Give the other active sources that were listed for the same flood."""
    flood = [first["evidence"].get(name) for name in _SAME_FLOOD]
    if flood[-1] is None:
        return []
    found = []
    for listing in stored.store.listings(stored.now_ms):
        if listing.subject == subject:
            continue
        evidence: Mapping[str, Any] = listing.evidence
        if listing.seq != listing.listed_seq:
            if abs(listing.listed_ms - first["time"]) > _SPAN_MS:
                continue
            changes = stored.store.audit(listing.subject)
            began = (c["evidence"] for c in changes if c["seq"] == listing.listed_seq)
            evidence = next(began, {})  # a store may have let go of it
        if [evidence.get(name) for name in _SAME_FLOOD] == flood:
            found.append(listing.subject)
    return found


_SPAN_MS: Final = 86_400_000
"""Sources of one flood are listed within a day of each other, or counted as separate floods."""


def _named(subjects: Sequence[str]) -> str:
    if not subjects:
        return ""
    shown = ", ".join(subjects[:_BESIDE])
    more = len(subjects) - _BESIDE
    return f"{many(len(subjects), 'other source')}: {shown}" + (
        f" and {more:,} more" if more > 0 else ""
    )
