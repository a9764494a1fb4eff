"""A policy from a TOML file, with the line of everything that is wrong in it."""

from typing import Final

from detector.errors import PolicyError
from detector.policy.settings import Policy
from detector.policy.text import policy_from_tables
from pipelines.console.escaped import escaped
from pipelines.settings.toml_file import (
    MAX_BYTES,
    TomlFileError,
    line_of,
    lines_of_keys,
    read_toml,
    toml_tables,
)

__all__ = ["MAX_POLICY_BYTES", "load_policy", "parse_policy"]

MAX_POLICY_BYTES: Final = MAX_BYTES
"""The most that is read of a policy file: room for some 40,000 networks."""


def load_policy(path: str | None) -> Policy:
    """Read a policy file; without a path give the defaults.

    Raises:
        PolicyError: it cannot be read, or with everything that is wrong in it.
    """
    if path is None:
        return Policy()
    name = escaped(path)
    try:
        text = read_toml(path, "policy")
    except TomlFileError as error:
        raise PolicyError(name, [(error.line, error.said)]) from None
    return parse_policy(text, name)


def parse_policy(text: str, name: str) -> Policy:
    """Read a policy in TOML; `name` says in an error where the text came from.

    Raises:
        PolicyError: no TOML, or with everything that is wrong in it, by line.

    >>> parse_policy("guard.hold_share = 0.5", "policy.toml").guard.hold_share
    0.5
    >>> parse_policy("guard.hold_share = 3", "policy.toml")
    Traceback (most recent call last):
    detector.errors.PolicyError: policy.toml:1 guard.hold_share: got 3, must be at most 1
    """
    try:
        tables = toml_tables(text, "a policy has at most 3")
    except TomlFileError as error:
        raise PolicyError(name, [(error.line, error.said)]) from None
    policy, problems = policy_from_tables(tables)
    if problems:
        lines = lines_of_keys(text)
        placed = [(line_of(lines, problem.key), str(problem)) for problem in problems]
        placed.sort(key=lambda problem: problem[0] or len(text))
        raise PolicyError(name, placed)
    return policy
