"""`floodwatch remove`: files a request and shows its expected answer."""

import sys
from collections.abc import Sequence
from threading import Event
from typing import Any, Final

from detector.listing.lifecycle import Lifecycle
from detector.listing.lifecycle import Listing as Term
from detector.policy.settings import ListingTerms
from detector.policy.wording import duration
from pipelines import clock
from pipelines.cli.listings import print_json, refusal
from pipelines.cli.shown import rfc3339, subject_of
from pipelines.cli.stored import Stored, opened, shown_state
from pipelines.ports import REMOVAL, Listing

__all__ = ["file_removal"]

_LISTS: Final = frozenset({"list", "hold"})
_BY_REPLAY: Final = "the next replay of the same input into this store"
_LOOK_EVERY_S: Final = 0.25
_BY_RUNNING: Final = "the running detector within seconds"


def file_removal(
    address: str, url: str, reason: str, *, wait_s: float = 0, as_json: bool
) -> None:  # fmt: skip
    """File a removal request with the store's time (where it is live: now); the detector answers.

    Where a detector runs its answer is awaited for `wait_s` seconds. What is stored may be an hour
    behind the source's last attempt, so without the answer only a refusal is certain.
    """
    subject = subject_of(address)
    with opened(url):
        pass  # a store that is not there is not made for a request
    with opened(url, read_only=False) as stored:
        now = stored.now_ms
        state, listing = stored.state(subject)
        pending = [
            request
            for request in stored.store.requests(pending_only=True)
            if request.kind == REMOVAL and request.subject == subject
        ]
        answer: dict[str, Any] = {"subject": subject, "state": state, "request": None}
        lines = [f"{subject} is {shown_state(state, listing)} (as of {rfc3339(now)})"]
        if state != "listed" or listing is None:
            lines.append("  nothing to remove: no request was filed")
        else:
            number = (
                pending[0].id
                if pending
                else stored.store.add_request(REMOVAL, subject, now, reason)
            )
            terms = stored.policy().listing
            needed_s, earliest_ms = _earliest(listing, stored.store.audit(subject), terms)
            refused = earliest_ms > now
            answer |= {
                "request": number,
                "expected": "refuse" if refused else "pending",
                "rule": listing.rule,
                "last_offence": listing.last_seen_ms,
                "quiet_needed_s": needed_s,
                "earliest": earliest_ms,
            }
            again = " (it was already pending)" if pending else ""
            lines.append(f"  request {number} is filed{again}")
            found = _answer(stored, number, wait_s) if stored.live else None
            if found is None:
                lines += _expectation(listing, needed_s, earliest_ms, refused=refused)
                by = _BY_RUNNING if stored.live else _BY_REPLAY
                lines.append(f"  it will be answered by {by}")
            elif found["change"] == "refuse":
                answer |= {"answer": "refused"} | found["evidence"]
                lines.append(f"  refused: {refusal(found)}")
            else:
                answer["answer"] = "granted"
                lines.append(f"  granted: it was removed at {rfc3339(found['time'])}")
    if as_json:
        print_json(answer)
    else:
        sys.stdout.write("\n".join(lines) + "\n")


def _answer(stored: Stored, number: int, wait_s: float) -> dict[str, Any] | None:
    """Wait for the change that answers a request; None if none came in time."""
    until_s = clock.elapsed_s() + wait_s
    while True:
        if all(one.id != number for one in stored.store.requests(pending_only=True)):
            answered = (
                one for one in stored.store.requests(pending_only=False) if one.id == number
            )
            seq = next((one.answered_seq for one in answered), None)
            return (
                None if seq is None else next(iter(stored.store.changes_behind(seq - 1, 1)), None)
            )
        if clock.elapsed_s() >= until_s:
            return None
        Event().wait(_LOOK_EVERY_S)


def _expectation(listing: Listing, needed_s: int, earliest_ms: int, *, refused: bool) -> list[str]:
    quiet = f"a {listing.tier} listing needs {duration(needed_s)} of quiet"
    last = f"its last attempt is from {rfc3339(listing.last_seen_ms)}"
    if refused:
        return [
            f"  at present it would be refused: rule {listing.rule}, {last}, and {quiet}",
            (
                f"  earliest grant {rfc3339(earliest_ms)}, if it stays quiet and is "
                "observed until then"
            ),
        ]
    return [f"  pending until the next close: {last}, and {quiet}"]


def _earliest(
    listing: Listing, changes: Sequence[dict[str, Any]], terms: ListingTerms
) -> tuple[int, int]:
    """Give the quiet time that a request needs, in seconds, and its earliest end."""
    began = listing.listed_ms // 1000
    earlier = [
        change
        for change in changes
        if change["change"] in _LISTS
        and change["seq"] < listing.listed_seq
        and change["time"] // 1000 > began - terms.memory_s
    ]
    last = listing.last_seen_ms // 1000
    term = Term(
        subject=listing.subject, slot=0, rule=listing.rule, tier=listing.tier, asn=-1, provider="",
        first_seen=last, last_seen=last, listed_at=began, observed_at=last,
        repeats=len(earlier), told_at=began, victim="",
    )  # fmt: skip
    needed_s = Lifecycle(terms).quiet_needed(term, on_request=True)
    return needed_s, (last + needed_s + 1) * 1000
