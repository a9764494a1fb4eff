"""What every store does with changes: check them, compare repeats, fold them into rows."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeGuard

import orjson

from detector.errors import StoreChangeError, StoreConflictError, StoreError, StoreGapError
from pipelines.ports import Change, Listing

__all__ = [
    "Net",
    "Step",
    "check_start",
    "checked_steps",
    "first_difference",
    "fold",
    "new_steps",
    "storable",
]

_LISTS: Final = frozenset({"list", "extend", "release"})
_CLEARS: Final = frozenset({"remove", "expire"})
_WITH_ROW: Final = _LISTS | {"hold"}
_KINDS: Final = _WITH_ROW | _CLEARS | {"refuse"}
_TEXTS: Final = ("tier", "rule", "policy")
_TIMES: Final = ("first_seen", "last_seen", "until", "hard_until")
_SHOWN_CHARACTERS = 80
_SIGNED_64 = 2**63
_REQUEST_ID: Final = re.compile("[1-9][0-9]{0,17}")


def storable(text: str) -> str:
    """Give the text with lone surrogates escaped: arguments of a command may hold some."""
    return text.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class Step:
    """A change whose fields are known to be sound, and its JSON text."""

    seq: int
    subject: str
    kind: str
    time_ms: int
    request: int | None
    change: Change
    text: str


def checked_steps(store: str, changes: Sequence[Change]) -> list[Step]:
    """Check each change against the contract and encode it; about 2 µs each.

    Raises:
        StoreChangeError: naming the field, what it has and what is allowed.
    """
    steps: list[Step] = []
    for change in changes:
        seq, kind, subject = change.get("seq"), change.get("change"), change.get("subject")
        if not _is_whole(seq) or seq < 1:
            raise _wrong(store, change, "seq", "a whole number from 1")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise _wrong(store, change, "change", f"one of {', '.join(sorted(_KINDS))}")
        if not isinstance(subject, str) or not subject:
            raise _wrong(store, change, "subject", "an address or /64 network as text")
        if not _is_whole(change.get("time")):
            raise _wrong(store, change, "time", "Unix milliseconds")
        if kind in _WITH_ROW:
            _check_row(store, change)
        try:
            text = orjson.dumps(change).decode()
        except TypeError as error:
            problem = f"change {seq} cannot be written as JSON ({error})"
            raise StoreChangeError(store, problem, seq=seq) from None
        request = _request_number(store, change)
        steps.append(Step(seq, subject, kind, change["time"], request, change, text))
    return steps


def _request_number(store: str, change: Change) -> int | None:
    """Give the id of the request that a change answers, None where it answers none of a store.

    Other logs name their requests as they like, so that any text is within the contract.
    """
    request = change.get("request")
    if type(request) not in (str, type(None)):
        raise _wrong(store, change, "request", "the id of a request as text, or nothing")
    return int(request) if request is not None and _REQUEST_ID.fullmatch(request) else None


def _is_whole(value: object) -> TypeGuard[int]:
    return type(value) is int and -_SIGNED_64 <= value < _SIGNED_64


def _check_row(store: str, change: Change) -> None:
    for name in _TEXTS:
        if not isinstance(change.get(name), str):
            raise _wrong(store, change, name, "text")
    for name in _TIMES:
        if not _is_whole(change.get(name)):
            raise _wrong(store, change, name, "Unix milliseconds")
    asn = change.get("asn")
    if asn is not None and not _is_whole(asn):
        raise _wrong(store, change, "asn", "an AS number or nothing")
    if type(change.get("provider")) not in (str, type(None)):
        raise _wrong(store, change, "provider", "a name or nothing")
    if type(change.get("shadow")) is not bool:
        raise _wrong(store, change, "shadow", "true or false")
    if not isinstance(change.get("evidence"), Mapping):
        raise _wrong(store, change, "evidence", "an object")


def _wrong(store: str, change: Change, name: str, allowed: str) -> StoreChangeError:
    seq = change.get("seq")
    got = f"got {_shown(change[name])}" if name in change else "is missing"
    known = seq if type(seq) is int else None
    which = "a change" if known is None else f"change {known}"
    problem = f"{which} is outside the contract: {name} {got}, must be {allowed}"
    return StoreChangeError(store, problem, seq=known)


def new_steps(
    store: str,
    steps: Sequence[Step],
    last_seq: int,
    standing: Callable[[int, int], Mapping[int, str]],
) -> Sequence[Step]:
    """Give the steps behind `last_seq`, once the others are found to be what stands there.

    `standing(first, last)` gives the JSON texts of the changes stored under those numbers; one that
    is not kept any more cannot be compared, and passes for the same.

    Raises:
        StoreConflictError: another change has that number.
        StoreGapError: a number is left out.
    """
    repeats = [step for step in steps if step.seq <= last_seq]
    if repeats:
        numbers = [step.seq for step in repeats]
        texts = standing(min(numbers), max(numbers))
        for step in repeats:
            if step.seq in texts:
                _compare(store, step.seq, texts[step.seq], step.text)
    fresh: list[Step] = []
    for step in steps:
        due = last_seq + len(fresh) + 1
        if step.seq > due:
            raise StoreGapError(store, expected=due, got=step.seq)
        if step.seq == due:
            fresh.append(step)
        elif step.seq > last_seq:
            _compare(store, step.seq, fresh[step.seq - last_seq - 1].text, step.text)
    return fresh


def check_start(store: str, seq: int, last_seq: int) -> None:
    """Check that a store which holds changes up to `last_seq` may begin behind `seq`.

    Raises:
        StoreError: it may not.
    """
    if not _is_whole(seq) or seq < 0:
        raise StoreError(store, f"cannot start behind change {seq}: must be a whole number from 0")
    if last_seq:
        raise StoreError(
            store,
            f"cannot start behind change {seq}: it holds changes up to {last_seq}, and only an "
            "empty store may leave some out: send the changes that follow, or name another store",
        )


def _compare(store: str, seq: int, stands: str, comes: str) -> None:
    if stands == comes:
        return
    old, new = orjson.loads(stands), orjson.loads(comes)
    difference = first_difference(old, new)
    if difference:
        raise StoreConflictError(store, seq=seq, difference=difference)


def first_difference(old: Any, new: Any, path: str = "") -> str:
    """Name the first place where two JSON values differ, "" where they do not."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            place = f"{path}.{name}" if path else name
            if name not in new:
                return f"{_shown(place)} stands as {_shown(old[name])}, came without"
            if name not in old:
                return f"{_shown(place)} stands without, came as {_shown(new[name])}"
            found = first_difference(old[name], new[name], place)
            if found:
                return found
        return ""
    if orjson.dumps(old, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        new, option=orjson.OPT_SORT_KEYS
    ):
        return ""
    return f"{_shown(path)} stands as {_shown(old)}, came as {_shown(new)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


@dataclass(slots=True)
class Net:
    """What some changes come to: first clear, then put; a subject stands at most once in each.

    A put listing carries the beginning it would have if the subject was not listed before; a store
    keeps the older beginning where it was, and was not cleared.
    """

    clear_listed: set[str] = field(default_factory=set)
    clear_held: set[str] = field(default_factory=set)
    put_listed: dict[str, Listing] = field(default_factory=dict)
    put_held: dict[str, Listing] = field(default_factory=dict)
    answers: dict[int, int] = field(default_factory=dict)


def fold(steps: Sequence[Step]) -> Net:
    """Give what the steps, in order, come to."""
    net = Net()
    for step in steps:
        subject = step.subject
        if step.request is not None:
            net.answers.setdefault(step.request, step.seq)
        if step.kind in _LISTS:
            before = net.put_listed.get(subject)
            net.put_listed[subject] = _row(step, before)
            net.put_held.pop(subject, None)
            net.clear_held.add(subject)
        elif step.kind == "hold":
            before = net.put_held.get(subject)
            net.put_held[subject] = _row(step, before)
            net.put_listed.pop(subject, None)
            net.clear_listed.add(subject)
        elif step.kind in _CLEARS:
            net.put_listed.pop(subject, None)
            net.put_held.pop(subject, None)
            net.clear_listed.add(subject)
            net.clear_held.add(subject)
    return net


def _row(step: Step, before: Listing | None) -> Listing:
    change = step.change
    row = Listing(
        subject=step.subject,
        tier=change["tier"],
        rule=change["rule"],
        asn=change.get("asn"),
        provider=change.get("provider") or "",
        first_seen_ms=change["first_seen"],
        last_seen_ms=change["last_seen"],
        until_ms=change["until"],
        hard_until_ms=change["hard_until"],
        policy=change["policy"],
        shadow=change["shadow"],
        listed_seq=step.seq,
        listed_ms=step.time_ms,
        seq=step.seq,
        evidence=change["evidence"],
    )
    if before is not None:
        return replace(row, listed_seq=before.listed_seq, listed_ms=before.listed_ms)
    return row
