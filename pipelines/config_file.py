"""A policy from a TOML file, with the line of everything that is wrong in it."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from detector.errors import PolicyError
from detector.policy import Policy
from detector.policy_text import policy_from_tables, shown

__all__ = ["MAX_POLICY_BYTES", "load_policy", "parse_policy"]

MAX_POLICY_BYTES: Final = 1 << 20
"""The most that is read of a policy file: room for some 40,000 networks."""

_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_ENDLESS_NUMBER: Final = re.compile(r"\d[\d_]{4300}")
_ENDLESS_KEY: Final = re.compile(
    r"""(?<![\w"'-])[\w"'-]++(?:[ \t]*+\.[ \t]*+[\w"'-]++){32}""", re.ASCII
)

Key = tuple[str | int, ...]


def load_policy(path: str | None) -> Policy:
    """Read a policy file; without a path give the defaults.

    Raises:
        PolicyError: it cannot be read, or with everything that is wrong in it.
    """
    if path is None:
        return Policy()
    name = _printable(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_POLICY_BYTES + 1)
    except FileNotFoundError:
        said = "no such file: check the path"
    except IsADirectoryError:
        said = "it is a directory: name the file in it"
    except PermissionError:
        said = "may not be read: check its permissions"
    except OSError as error:
        said = f"cannot be read ({error.strerror}): check the path and the disk"
    except ValueError as error:
        said = f"no path of a file ({error}): check the path"
    else:
        return parse_policy(_text(content, name), name)
    raise PolicyError(name, [(None, said)])


def parse_policy(text: str, name: str) -> Policy:
    """Read a policy in TOML; `name` says in an error where the text came from.

    Raises:
        PolicyError: no TOML, or with everything that is wrong in it, by line.

    >>> parse_policy("rules.source_flood.per_min = 25", "policy.toml").rules.source_flood.per_min
    25
    >>> parse_policy("rules.source_flood.per_min = 3", "policy.toml")
    Traceback (most recent call last):
    detector.errors.PolicyError: policy.toml:1 rules.source_flood.per_min: got 3, must be at least 5
    """
    endless = _ENDLESS_KEY.search(text)
    if endless:  # the parser's time grows with the square of its parts
        line = text.count("\n", 0, endless.start()) + 1
        raise PolicyError(name, [(line, "a key of more than 32 parts: a policy has at most 3")])
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise PolicyError(name, [(None, "not TOML: lists or tables nested too deep")]) from None
    except ValueError as error:
        raise PolicyError(name, [_syntax_problem(text, error)]) from None
    policy, problems = policy_from_tables(tables)
    if problems:
        lines = _lines_of_keys(text)
        placed = [(_line(lines, problem.key), str(problem)) for problem in problems]
        placed.sort(key=lambda problem: problem[0] or len(text))
        raise PolicyError(name, placed)
    return policy


def _text(content: bytes, name: str) -> str:
    if len(content) > MAX_POLICY_BYTES:
        limit = f"larger than {MAX_POLICY_BYTES >> 20} MiB, the most that is read"
        raise PolicyError(name, [(None, f"{limit}: is it a policy?")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        said = f"not UTF-8 at byte {error.start}: save the policy as UTF-8 text"
        raise PolicyError(name, [(line, said)]) from None


def _syntax_problem(text: str, error: ValueError) -> tuple[int, str]:
    said, place = str(error), _TOML_PLACE.search(str(error))
    if place is None:  # not the parser's own: int() refused a number
        number = _ENDLESS_NUMBER.search(text)
        line = text.count("\n", 0, number.start() if number else 0) + 1
        return line, "not TOML: a number of more than 4300 digits"
    what = shown(said[: place.start()])
    if place[1] is None:
        return text.rstrip("\n").count("\n") + 1, f"not TOML: {what} where the file ends"
    return int(place[1]), f"not TOML: {what} at column {place[2]}"


def _line(lines: dict[Key, int], key: Key) -> int | None:
    """Give the line of a key, or of the nearest thing around it that has one."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key)


def _printable(path: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in path)


class _Token(NamedTuple):
    text: str
    line: int


_TOKEN: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[A-Za-z0-9_+\-:]+"
    r"|[\n\[\]{}=,.]",
    re.DOTALL,
)


def _tokens(text: str) -> Iterator[_Token]:
    """Cut TOML that is known to be right into its tokens; blanks and comments are left out."""
    line = 1
    for match in _TOKEN.finditer(text):
        token = match[0]
        if not token.startswith("#"):
            yield _Token(token, line)
        line += token.count("\n")
    yield _Token("", line)


def _lines_of_keys(text: str) -> dict[Key, int]:
    """Give the line of each section, key and list entry of TOML that is known to be right."""
    try:
        return _Lines(text).lines
    except RecursionError:  # lists so deep that the parser itself just managed
        return {}


class _Lines:
    """Follows the grammar of TOML only as far as it takes to know where a key stands."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Key, int] = {}
        self._tokens = _tokens(text)
        self._now = next(self._tokens)
        self._tables: dict[Key, int] = {}
        section: Key = ()
        while self._now.text:
            if self._now.text == "\n":
                self._take()
            elif self._now.text == "[":
                section = self._header()
            else:
                self._assignment(section)

    def _take(self) -> _Token:
        token, self._now = self._now, next(self._tokens, _Token("", self._now.line))
        return token

    def _skip(self, *texts: str) -> None:
        while self._now.text in texts:
            self._take()

    def _header(self) -> Key:
        self._take()
        repeated = self._now.text == "["
        self._skip("[")
        section = self._key(())
        self._skip("]")
        if repeated:
            at = self._tables[section] = self._tables.get(section, -1) + 1
            section = (*section, at)
            self.lines[section] = self._now.line
        return section

    def _key(self, path: Key) -> Key:
        while self._now.text not in {"]", "=", ""}:
            token = self._take()
            if token.text != ".":
                path = (*path, _name(token.text))
                self.lines.setdefault(path, token.line)
        return path

    def _assignment(self, section: Key) -> None:
        path = self._key(section)
        self._skip("=")
        self._value(path)

    def _value(self, path: Key) -> None:
        match self._now.text:
            case "[":
                self._take()
                self._entries(path)
            case "{":
                self._take()
                self._skip("\n")
                while self._now.text not in {"}", ""}:
                    self._assignment(path)
                    self._skip(",", "\n")
                self._take()
            case _:
                while self._now.text not in {",", "]", "}", "\n", ""}:
                    self._take()

    def _entries(self, path: Key) -> None:
        at = 0
        self._skip("\n")
        while self._now.text not in {"]", ""}:
            self.lines[(*path, at)] = self._now.line
            self._value((*path, at))
            self._skip(",", "\n")
            at += 1
        self._take()


def _name(token: str) -> str:
    if token[0] not in "\"'":
        return token
    named: dict[str, Any] = tomllib.loads(f"{token} = 0")
    return next(iter(named))
