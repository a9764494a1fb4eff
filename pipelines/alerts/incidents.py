"""Which changes are reported, and which of them together: pure, time is an argument.

An incident is a wave of listings of one provider by one rule for one victim. Its first message
goes almost at once, with what came in `lead_s`; after that one goes at most every `window_s`,
unless it is full, or memory is:

    listings   a b  c        d   e            f            g
    messages   |lead| abc    |<-- window_s -->| def        | ...       quiet for window_s: over

What is sent is fixed from the moment it is given, and stays the same until it is delivered.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pipelines.ports import Change

__all__ = ["Grouping", "Incidents", "Kind", "Message"]

Kind = Literal["listed", "held"]

_MAX_QUIET: Final = 1_000
_KINDS: Final[dict[str, Kind]] = {"list": "listed", "release": "listed", "hold": "held"}


@dataclass(frozen=True, slots=True)
class Grouping:
    """How changes are put together; `providers` empty: all. At most `waiting` are kept."""

    lead_s: float = 1.0
    window_s: float = 30.0
    most: int = 100
    waiting: int = 1_000
    providers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Key:
    kind: Kind
    provider: str
    rule: str
    victim: str


@dataclass(frozen=True, slots=True)
class Message:
    """Changes of one incident that go together, by `seq`; `part` counts its messages from 1."""

    kind: Kind
    provider: str
    rule: str
    victim: str
    incident: str
    part: int
    changes: tuple[Change, ...]

    @property
    def id(self) -> str:
        """What names this message: the change's id, or a hash of all ids where there are more.

        So equal ids mean equal changes. After a restart changes may be put together otherwise, in
        messages with other ids; a receiver that drops a message by its id loses nothing.
        """
        ids = [str(change["id"]) for change in self.changes]
        if len(ids) == 1:
            return ids[0]
        return hashlib.blake2b("\n".join(ids).encode(), digest_size=12).hexdigest()


@dataclass(slots=True)
class _Gathering:
    """Changes of an incident that wait; `earliest_s` is when the window lets the next one go."""

    incident: str
    parts: int
    first_s: float
    earliest_s: float
    changes: list[Change]


class Incidents:
    """Takes changes in the order of their `seq`, gives messages, one at a time.

    A message is due until it is `done`; the next one follows then. Of those that are due the one
    with the lowest `seq` goes first, and within an incident all go in order. Memory: `waiting`
    changes, and the names of the last 1,000 incidents.

    >>> incidents = Incidents(Grouping(lead_s=1.0), delivered_seq=6)
    >>> incidents.take({"seq": 7, "id": "a1", "change": "list", "shadow": False, "provider": "Big",
    ...                 "rule": "victim_flood", "evidence": {"victim": "a***"}}, now_s=0.0)
    >>> incidents.due(0.5), incidents.due_in(0.5), incidents.delivered_seq
    (None, 0.5, 6)
    >>> message = incidents.due(1.0)
    >>> message.id, message.incident, message.part
    ('a1', 'a1', 1)
    >>> incidents.done(message)
    >>> incidents.delivered_seq
    7
    """

    def __init__(self, grouping: Grouping, *, delivered_seq: int = 0) -> None:
        """Begin behind the change `delivered_seq`: it and those before it are ignored."""
        self._grouping = grouping
        self._taken_seq = delivered_seq
        self._open: dict[_Key, _Gathering] = {}
        self._quiet: dict[_Key, tuple[float, str, int]] = {}
        self._sent: Message | None = None
        self._hurry = False
        self.waiting = 0
        """Changes that are not delivered yet."""

    @property
    def full(self) -> bool:
        """Whether no more changes that are to be reported may be taken now."""
        return self.waiting >= self._grouping.waiting

    @property
    def delivered_seq(self) -> int:
        """The highest seq up to which nothing waits to be delivered."""
        firsts = [gathering.changes[0]["seq"] for gathering in self._open.values()]
        if self._sent is not None:
            firsts.append(self._sent.changes[0]["seq"])
        return int(min(firsts)) - 1 if firsts else self._taken_seq

    def wants(self, change: Change) -> bool:
        """Say whether the change is to be reported.

        Told are new listings (`list`, `release`) of a provider, and whatever is held, because a
        listing that is held waits for a person. Nothing of it in shadow.
        """
        kind = _KINDS.get(change["change"])
        if kind is None or change["shadow"] or change["seq"] <= self._taken_seq:
            return False
        provider, only = change.get("provider", ""), self._grouping.providers
        return kind == "held" or (bool(provider) and (not only or provider in only))

    def take(self, change: Change, now_s: float) -> None:
        """Take the next change; one that was taken already is ignored."""
        if self.wants(change):
            evidence = change.get("evidence") or {}
            victim = str(evidence.get("victim", ""))
            kind, provider = _KINDS[change["change"]], change.get("provider", "")
            self._gather(_Key(kind, provider, change.get("rule", ""), victim), change, now_s)
        self._taken_seq = max(self._taken_seq, change["seq"])

    def _gather(self, key: _Key, change: Change, now_s: float) -> None:
        self.waiting += 1
        gathering = self._open.get(key)
        if gathering is not None:
            gathering.changes.append(change)
            return
        self._forget(now_s)
        sent_s, incident, parts = self._quiet.pop(key, (None, str(change["id"]), 0))
        earliest_s = now_s if sent_s is None else sent_s + self._grouping.window_s
        self._open[key] = _Gathering(incident, parts, now_s, earliest_s, [change])

    def hurry(self) -> None:
        """Let whatever waits be due now, and from now on."""
        self._hurry = True

    def due(self, now_s: float) -> Message | None:
        """Give the message to deliver now, the same one until it is done; None: not yet."""
        if self._sent is None:
            due = [
                (gathering.changes[0]["seq"], key)
                for key, gathering in self._open.items()
                if self._due_s(gathering, now_s) <= now_s
            ]
            if due:
                self._sent = self._seal(min(due, key=lambda entry: entry[0])[1], now_s)
        return self._sent

    def due_in(self, now_s: float) -> float | None:
        """Give the seconds until a message is due, None if nothing waits."""
        times = [self._due_s(gathering, now_s) for gathering in self._open.values()]
        return max(0.0, min(times) - now_s) if times else None

    def done(self, message: Message) -> None:
        """Take note that the message was delivered."""
        if message is not self._sent:
            raise ValueError("only the message that is due can be done")
        self.waiting -= len(message.changes)
        self._sent = None

    def _due_s(self, gathering: _Gathering, now_s: float) -> float:
        if self._hurry or self.full or len(gathering.changes) >= self._grouping.most:
            return now_s
        return max(gathering.first_s + self._grouping.lead_s, gathering.earliest_s)

    def _seal(self, key: _Key, now_s: float) -> Message:
        gathering, most = self._open[key], self._grouping.most
        changes, rest = gathering.changes[:most], gathering.changes[most:]
        gathering.parts += 1
        if rest:
            gathering.changes = rest
            gathering.first_s, gathering.earliest_s = now_s, now_s + self._grouping.window_s
        else:
            del self._open[key]
            self._quiet[key] = (now_s, gathering.incident, gathering.parts)
        return _message(key, gathering, changes)

    def _forget(self, now_s: float) -> None:
        """Let go of incidents that are over, the longest quiet first."""
        for key, (sent_s, _, _) in list(self._quiet.items()):
            over = now_s - sent_s >= self._grouping.window_s
            if not over and len(self._quiet) <= _MAX_QUIET:
                break
            del self._quiet[key]


def _message(key: _Key, gathering: _Gathering, changes: Sequence[Change]) -> Message:
    return Message(
        key.kind, key.provider, key.rule, key.victim,
        gathering.incident, gathering.parts, tuple(changes),
    )  # fmt: skip
