"""Validates what operators send: files, names and digests, reporting all errors.

A detector can only ignore a bad control and log it; here the operator sees the error.
"""

import ipaddress
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Final

from detector.errors import PolicyError
from detector.policy.settings import Policy
from detector.policy.text import MOST_PROBLEMS, shown
from pipelines.cli.guarded import UsageError
from pipelines.cli.shown import rule_of
from pipelines.console.escaped import escaped
from pipelines.settings.config_file import parse_policy
from pipelines.settings.toml_file import (
    MAX_BYTES,
    TomlFileError,
    line_of,
    lines_of_keys,
    read_toml,
)

__all__ = ["purge_argument", "read_allowlist", "read_new_policy"]

_DIGEST: Final = re.compile(r"[0-9a-f]{12}")


def read_new_policy(path: Path, now: Policy) -> Policy:
    """Read the policy that is to replace `now`.

    Raises:
        PolicyError: with all its errors, or because it has another clock.
    """
    name = escaped(str(path))
    try:
        text = read_toml(str(path), "policy")
    except TomlFileError as error:
        raise PolicyError(name, [(error.line, error.said)]) from None
    policy = parse_policy(text, name)
    lines = lines_of_keys(text)
    problems: list[tuple[int | None, str]] = []
    for field in fields(policy.clock):
        old, new = (getattr(one.clock, field.name) for one in (now, policy))
        if new != old:
            said = f"got {new}, must stay {old}: the tallies have it, a new one needs a new log"
            line = line_of(lines, ("clock", field.name))
            problems.append((line, f"clock.{field.name}: {said}"))
    if problems:
        raise PolicyError(name, problems)
    return policy


def read_allowlist(source: str) -> tuple[str, ...]:
    """Read networks and addresses, one a line, `#` before comments; `-` is standard input.

    Raises:
        UsageError: it cannot be read, or with every line that is wrong.
    """
    name = "standard input" if source == "-" else escaped(source)
    try:
        if source == "-":
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{name}: cannot be read ({why}): check the path") from None
    if len(content) > MAX_BYTES:
        raise UsageError(f"{name}: larger than {MAX_BYTES >> 20} MiB: is it an allowlist?")
    ranges: dict[str, None] = {}
    problems: list[str] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        text = line.partition(b"#")[0].decode("utf-8", "backslashreplace").strip()
        if not text:
            continue
        found = _network(text)
        if isinstance(found, str):
            problems.append(f"{name}:{number} got {shown(text)}, must be {found}")
        else:
            ranges[str(found)] = None
    if problems:
        more = len(problems) - MOST_PROBLEMS
        rest = [f"{name}: and {more:,} more problems"] if more > 0 else []
        raise UsageError("\n".join(problems[:MOST_PROBLEMS] + rest))
    return tuple(ranges)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | str:
    """Give the network, or what it must be."""
    form = "an address or a network, as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32"
    if "%" in text:
        return form
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return form
    return f"a network without host bits: {meant}, or one address without a length"


def purge_argument(text: str) -> str:
    """Give `rule=NAME` or `policy=DIGEST` as the detector takes it.

    Raises:
        UsageError: something else, a rule that is none, or no digest of a policy.
    """
    what, _, value = text.partition("=")
    if what == "rule":
        rule_of(value, "rule")
    elif what == "policy":
        if not _DIGEST.fullmatch(value):
            said = "must be the 12 hex digits that decisions and `floodwatch check` show"
            raise UsageError(f"policy: got {value[:60]!a}, {said}")
    else:
        raise UsageError(f"got {text[:60]!a}, must be rule=NAME or policy=DIGEST")
    return text
