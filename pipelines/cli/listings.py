"""`floodwatch lookup` and `floodwatch list`."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import orjson

from detector.policy.wording import duration, many
from pipelines.cli.guarded import DEFAULT_STORE, UsageError, say
from pipelines.cli.reasons import chance, fired, part_in_flood
from pipelines.cli.shown import columns, rfc3339, rule_of, subject_of, subject_order
from pipelines.cli.stored import Stored, listing_json, opened, shown_state
from pipelines.ports import Listing
from pipelines.stores.redis_url import masked_url
from pipelines.wire import ascii_json

__all__ = ["Filters", "print_json", "refusal", "show_list", "show_lookup"]

_TIERS = ("temporary", "standing")
_LISTS = frozenset({"list", "hold"})


def print_json(value: object, *, indent: bool = True, stream: TextIO | None = None) -> None:
    """Print a value as JSON in printable ASCII, to standard output or another stream."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0)
    (sys.stdout if stream is None else stream).write(ascii_json(text).decode() + "\n")


def show_lookup(address: str, url: str, *, as_json: bool) -> None:
    """Say whether an address is listed, why, until when, and the next step."""
    subject = subject_of(address)
    with opened(url) as stored:
        state, listing = stored.state(subject)
        changes = stored.store.audit(subject)
        if as_json:
            why = _last(changes, _LISTS)
            print_json(
                {
                    "subject": subject,
                    "state": state,
                    "as_of": stored.now_ms,
                    "listing": None if listing is None else listing_json(listing),
                    "evidence": None if listing is None or why is None else why["evidence"],
                    "changes": len(changes),
                }
            )
            return
        shown = shown_state(state, listing)
        lines = [f"{subject} is {shown} (as of {rfc3339(stored.now_ms)})"]
        if listing is not None:
            rows = [*_facts(stored, listing, state, changes), ("next", _next(subject, url))]
            lines += columns(rows, indent="  ")
        elif changes:
            lines += columns(_history(changes), indent="  ")
            lines.append(f"  next     floodwatch explain {subject}{_where(url)}")
    sys.stdout.write("\n".join(lines) + "\n")


def _facts(
    stored: Stored, listing: Listing, state: str, changes: Sequence[dict[str, Any]]
) -> list[tuple[str, str]]:
    why = _last(changes, _LISTS)
    evidence = {} if why is None else why["evidence"]
    rows = [
        ("tier", listing.tier),
        ("rule", listing.rule),
        ("why", fired(evidence) or "its evidence has no window"),
        ("part", part_in_flood(evidence)),
        ("judged", chance(evidence)),
        ("network", stored.network(listing.asn, listing.provider)),
        (
            "since",
            f"{rfc3339(listing.listed_ms)}, last attempt seen {rfc3339(listing.last_seen_ms)}",
        ),
        ("until", _until(listing)),
        ("refused", _refused(listing, changes, stored.now_ms)),
    ]
    if state == "held":
        rows.append(
            ("held", "held, because it would block too much normal mail: an operator must decide")
        )
    return [row for row in rows if row[1]]


def _refused(listing: Listing, changes: Sequence[dict[str, Any]], now_ms: int) -> str:
    """Give the last refusal of a removal until the time that it names."""
    last = _last(changes, frozenset({"refuse"}))
    if last is None or last["seq"] < listing.listed_seq:
        return ""
    return refusal(last) if last["evidence"].get("earliest_ms", 0) > now_ms else ""


def refusal(change: Mapping[str, Any]) -> str:
    """Give a refusal in words: when, the last attempt, the earliest time."""
    said, rule = change["evidence"], change["rule"]
    at = rfc3339(change["time"])
    if "earliest_ms" not in said:
        return f"a removal was refused at {at}: {said.get('reason', '')}"
    return (
        f"a removal was refused at {at} (rule {rule}): the last attempt is from "
        f"{rfc3339(said['last_offence_ms'])}, and {duration(said['quiet_needed_s'])} of quiet are "
        f"needed; earliest {rfc3339(said['earliest_ms'])}"
    )


def _next(subject: str, url: str) -> str:
    where = _where(url)
    return f"floodwatch explain {subject}{where}, floodwatch remove {subject}{where}"


def _where(url: str) -> str:
    """Give the option that a further command needs; a password is left out."""
    return "" if url == DEFAULT_STORE else f" --store {shlex.quote(masked_url(url))}"


def _until(listing: Listing) -> str:
    quiet, hard = rfc3339(listing.until_ms), rfc3339(listing.hard_until_ms)
    return f"{quiet} if it stays quiet, at the latest {hard}"


def _history(changes: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    last = changes[-1]
    listed = sum(change["change"] == "list" for change in changes)
    reason = last["evidence"].get("reason", "")
    return [
        ("before", f"listed {many(listed, 'time')}; policy and evidence are kept"),
        (
            "last",
            f"{last['change']} at {rfc3339(last['time'])}" + (f": {reason}" if reason else ""),
        ),
    ]


def _last(changes: Sequence[dict[str, Any]], kinds: frozenset[str]) -> dict[str, Any] | None:
    return next((change for change in reversed(changes) if change["change"] in kinds), None)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which listings to show; None: all."""

    rule: str | None = None
    provider: str | None = None
    tier: str | None = None
    asn: int | None = None
    limit: int | None = None
    """Maximum number of listings to show."""

    def keep(self, listing: Listing) -> bool:
        """Say whether a listing is shown."""
        return (
            self.provider in (None, listing.provider)
            and self.tier in (None, listing.tier)
            and self.asn in (None, listing.asn)
        )


def show_list(url: str, filters: Filters, *, as_json: bool) -> None:
    """List the active listings, ordered by address."""
    if filters.tier not in (None, *_TIERS):
        raise UsageError(f"--tier: got {filters.tier!a}, must be {' or '.join(_TIERS)}")
    if filters.rule is not None:
        rule_of(filters.rule, "--rule")
    with opened(url) as stored:
        found = [
            one
            for one in stored.store.listings(stored.now_ms, rule=filters.rule)
            if filters.keep(one)
        ]
        found.sort(key=lambda one: subject_order(one.subject))
        shown = found[: filters.limit]
        if as_json:
            for one in shown:
                print_json(listing_json(one), indent=False)
            return
        if shown:
            heading = ("subject", "tier", "rule", "since", "until", "network")
            rows = [
                (
                    one.subject, one.tier + (" (shadow)" if one.shadow else ""), one.rule,
                    rfc3339(one.listed_ms), rfc3339(one.until_ms),
                    stored.network(one.asn, one.provider),
                )
                for one in shown
            ]  # fmt: skip
            sys.stdout.write("\n".join(columns([heading, *rows])) + "\n")
        shadow = sum(one.shadow for one in found)
        marked = f" ({shadow:,} in shadow mode, not published)" if shadow else ""
        left_out = f", {len(shown):,} shown (--limit)" if len(shown) < len(found) else ""
        say(f"{len(found):,} listed{marked}{left_out} (as of {rfc3339(stored.now_ms)})")
