"""A policy from plain tables and from its canonical text, with everything that is wrong at once.

A policy file and a control of the log are validated here, so both accept the same policies and
lead to the same digest: numbers get the type of their setting, networks their usual spelling.
"""

import difflib
import ipaddress
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any, Final

from detector.errors import PolicyError
from detector.policy.renamed import GONE
from detector.policy.settings import Policy

__all__ = [
    "MOST_PROBLEMS",
    "PolicyProblem",
    "key_text",
    "policy_from_json",
    "policy_from_tables",
    "policy_to_json",
    "settings_of",
    "shown",
    "value_at",
]

Key = tuple[str | int, ...]
"""Where a value stands: section names, the setting, and the index in a list."""

_NOT_GREATER: Final = tuple(
    (f"{section}.{low}", f"{section}.{high}")
    for section, pairs in (
        (
            "rules.victim_flood",
            (
                ("mailbox_per_min", "mailbox_per_10min"),
                ("mailbox_per_10min", "mailbox_per_hour"),
                ("domain_per_min", "domain_per_10min"),
                ("domain_per_10min", "domain_per_hour"),
            ),
        ),
        (
            "listing",
            (
                ("temporary_removal_quiet_s", "temporary_quiet_s"),
                ("standing_removal_quiet_s", "standing_quiet_s"),
                ("temporary_removal_quiet_s", "standing_removal_quiet_s"),
                ("temporary_quiet_s", "standing_quiet_s"),
                ("temporary_hard_s", "standing_hard_s"),
                ("standing_quiet_s", "most_quiet_s"),
            ),
        ),
        ("guard", (("alert_share", "hold_share"),)),
    )
    for low, high in pairs
)
_LESS: Final = (
    ("listing.temporary_quiet_s", "listing.temporary_hard_s"),
    ("listing.standing_quiet_s", "listing.standing_hard_s"),
    ("listing.extend_every_s", "listing.temporary_hard_s"),
)
"""Readers end a listing at its hard end, so quiet ends and extensions come before it."""

MOST_PROBLEMS: Final = 100
_SHOWN_CHARACTERS: Final = 60
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One thing that is wrong: at which key (`()`: with the text as a whole), and in words."""

    key: Key
    said: str

    def __str__(self) -> str:
        """Give the key as it is written in a file, then the words."""
        return f"{key_text(self.key)}: {self.said}" if self.key else self.said


def policy_from_tables(tables: Mapping[str, Any]) -> tuple[Policy, list[PolicyProblem]]:
    """Build a policy from nested plain tables; what is missing keeps its default.

    The policy holds the defaults wherever there is a problem: use it only if there is none.

    >>> policy, problems = policy_from_tables({"guard": {"hold_share": -3}})
    >>> print(problems[0])
    guard.hold_share: got -3, must be at least 0.0
    """
    reader = _Reader()
    policy = reader.section(Policy(), tables, ())
    reader.compare(policy)
    return policy, reader.problems()


def policy_from_json(text: str, name: str = "policy") -> Policy:
    """Read what `policy_to_json` wrote; `name` says in an error where the text came from.

    Raises:
        PolicyError: no JSON, or with everything that is wrong in it.
    """
    try:
        tables = json.loads(text, object_pairs_hook=_table)
    except (ValueError, RecursionError) as error:
        raise PolicyError(name, [(None, f"not JSON: {shown(str(error))}")]) from None
    if not isinstance(tables, dict):
        raise PolicyError(name, [(None, f"got {_value_text(tables)}, must be an object")])
    policy, problems = policy_from_tables(tables)
    if problems:
        raise PolicyError(name, [(None, str(problem)) for problem in problems])
    return policy


def policy_to_json(policy: Policy) -> str:
    """Write the canonical text of a policy, the one its digest is taken of."""
    return json.dumps(asdict(policy), sort_keys=True, separators=(",", ":"))


def settings_of(policy: Policy) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Give each setting as (dotted key, value, metadata of `setting`), in the order of the tree."""
    yield from _settings(policy, "")


def value_at(policy: Policy, key: str) -> Any:
    """Give the value of a dotted key.

    >>> value_at(Policy(), "clock.lateness_s")
    2
    """
    value: Any = policy
    for name in key.split("."):
        value = getattr(value, name)
    return value


def shown(text: str) -> str:
    """Make foreign text fit to show: cut, with what no terminal should get written as an escape."""
    more = "..." if len(text) > _SHOWN_CHARACTERS else ""
    return "".join(_visible(c) for c in text[:_SHOWN_CHARACTERS]) + more


def key_text(key: Key) -> str:
    """Write a key as in a policy file, an index as `[3]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in key)
    return text.removeprefix(".")


class _Reader:
    """Walks the tree of the policy and the tables side by side, and collects what is wrong."""

    def __init__(self) -> None:
        self._worded: list[PolicyProblem] = []
        self._left_out = 0
        self._given: set[str] = set()
        self._wrong: set[str] = set()

    def problems(self) -> list[PolicyProblem]:
        """Give what is wrong; past MOST_PROBLEMS only how much more there is."""
        more = [PolicyProblem((), f"and {self._left_out:,} more problems")]
        return self._worded + (more if self._left_out else [])

    def section(self, default: Any, table: Mapping[str, Any], key: Key) -> Any:
        known = {field.name: field for field in fields(default)}
        changed: dict[str, Any] = {}
        for name, value in table.items():
            here = (*key, name)
            if name not in known:
                self._unknown(here, value)
                continue
            old = getattr(default, name)
            if not is_dataclass(old):
                self._given.add(key_text(here))
                new = self._value(known[name].type, value, here, known[name].metadata)
                changed[name] = old if new is None else new
            elif isinstance(value, Mapping):
                changed[name] = self.section(old, value, here)
            else:
                self._say(here, f"got {_value_text(value)}, must be a section, [{key_text(here)}]")
        return replace(default, **changed)

    def _unknown(self, key: Key, value: object) -> None:
        """Tell of a key that the policy does not have, or of those of an earlier section."""
        names = [*value] if isinstance(value, Mapping) else []
        named = {name: GONE.get(key_text((*key, name))) for name in names}
        if not any(named.values()):
            self._say(key, GONE.get(key_text(key)) or _Unknown(str(key[-1]), key[:-1]))
            return
        for name, said in named.items():
            self._say((*key, name), said or "unknown key of a section that was removed")

    def compare(self, policy: Policy) -> None:
        """Check the settings that only make sense together."""
        for low, high in _NOT_GREATER:
            self._pair(policy, low, high, may_be_equal=True)
        for low, high in _LESS:
            self._pair(policy, low, high, may_be_equal=False)

    def _pair(self, policy: Policy, low: str, high: str, *, may_be_equal: bool) -> None:
        left, right = value_at(policy, low), value_at(policy, high)
        if left < right or (may_be_equal and left == right) or {low, high} & self._wrong:
            return
        at, got, other, limit, words = (
            (low, left, high, right, ("at most", "less than"))
            if low in self._given
            else (high, right, low, left, ("at least", "more than"))
        )
        default = "" if other in self._given else ", its default"
        word = words[0] if may_be_equal else words[1]
        self._say(tuple(at.split(".")), f"got {got}, must be {word} {other} ({limit}{default})")

    def _value(self, kind: Any, value: object, key: Key, allowed: Mapping[str, Any]) -> Any:
        """Give the value as the setting has it, None if it is wrong."""
        if kind is bool:
            right = type(value) is bool
        elif kind is str:
            right = value in allowed["allowed"]
        elif kind in (int, float):
            return self._number(kind, value, key, allowed)
        else:
            return self._networks(value, key)
        choices = "true or false"
        if kind is str:
            choices = f"one of {', '.join(map(_value_text, allowed['allowed']))}"
        if not right:
            self._say(key, f"got {_value_text(value)}, must be {choices}")
        return value if right else None

    def _number(self, kind: Any, value: Any, key: Key, allowed: Mapping[str, Any]) -> Any:
        least, most = allowed["least"], allowed["most"]
        whole = "a whole number" if kind is int else "a number"
        if type(value) not in (int, kind) or (type(value) is float and not math.isfinite(value)):
            limits = f"{whole} from {least} to {most}"
        elif value < least:
            limits = f"at least {least}"
        elif value > most:
            limits = f"at most {most}"
        else:
            return kind(value) + kind(0)  # minus zero becomes zero: one policy, one text
        self._say(key, f"got {_value_text(value)}, must be {limits}")
        return None

    def _networks(self, value: object, key: Key) -> tuple[str, ...] | None:
        if not isinstance(value, Sequence) or isinstance(value, str):
            form = 'a list of networks, as ["192.0.2.0/24", "2001:db8::/32"]'
            self._say(key, f"got {_value_text(value)}, must be {form}")
            return None
        found = [self._network(entry, (*key, at)) for at, entry in enumerate(value)]
        return tuple(network for network in found if network is not None)

    def _network(self, entry: object, key: Key) -> str | None:
        form = 'a network, as "192.0.2.0/24" or "2001:db8::/32"'
        if isinstance(entry, str) and "%" not in entry:
            try:
                return _unmapped(ipaddress.ip_network(entry))
            except ValueError:
                pass
            try:
                meant = ipaddress.ip_network(entry, strict=False)
                form = f'a network without host bits: "{meant}", or one address without a length'
            except ValueError:
                pass
        self._say(key, f"got {_value_text(entry)}, must be {form}")
        return None

    def _say(self, key: Key, said: "str | _Unknown") -> None:
        self._wrong.add(key_text(tuple(part for part in key if isinstance(part, str))))
        if len(self._worded) < MOST_PROBLEMS:
            self._worded.append(PolicyProblem(key, str(said)))
        else:
            self._left_out += 1


@dataclass(frozen=True, slots=True)
class _Unknown:
    """The words for a key that the policy does not have."""

    name: str
    section: Key

    def __str__(self) -> str:
        every = [*_SECTIONS, *_SETTINGS]
        section = key_text(self.section)
        here = {k.rpartition(".")[2]: k for k in every if k.rpartition(".")[0] == section}
        elsewhere: dict[str, str] = {}
        for key in every:
            name = key.rpartition(".")[2]
            elsewhere[name] = f"{elsewhere[name]} or {key}" if name in elsewhere else key
        for known in (here, elsewhere):
            near = difflib.get_close_matches(self.name[:_SHOWN_CHARACTERS], known, n=1)
            if near:
                return f"unknown key, did you mean {known[near[0]]}?"
        return f"unknown key, known here are {', '.join(here)}"


def _settings(section: Any, path: str) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    for field in fields(section):
        value = getattr(section, field.name)
        if is_dataclass(value):
            yield from _settings(value, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}", value, field.metadata


_SETTINGS: Final = tuple(key for key, _, _ in settings_of(Policy()))
_SECTIONS: Final = tuple(
    dict.fromkeys(
        ".".join(key.split(".")[:depth])
        for key in _SETTINGS
        for depth in range(1, key.count(".") + 1)
    )
)


def _unmapped(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    """Spell a network the usual way; an IPv4-mapped one as the IPv4 network it stands for."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = int(network.network_address) & 0xFFFFFFFF
        return str(ipaddress.IPv4Network((address, network.prefixlen - _MAPPED.prefixlen)))
    return str(network)


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return table


def _value_text(value: object) -> str:
    """Show a value as a policy file would write it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{shown(value)}"'
        case int() if value.bit_length() > 256:  # noqa: PLR2004 - longer than anybody reads
            return f"a number of {value.bit_length()} bits"
        case Mapping():
            return "a table"
        case list() | tuple():
            return f"a list of {len(value)}"
        case None:
            return "null"
    return shown(str(value))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the BMP
