"""Text of a person's TOML file: read with a bound, parsed with words, each key with its line."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from detector.policy.text import shown

__all__ = [
    "MAX_BYTES",
    "TomlFileError",
    "line_of",
    "lines_of_keys",
    "read_toml",
    "toml_tables",
]

MAX_BYTES: Final = 1 << 20
"""The most that is read of a file."""

_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_ENDLESS_NUMBER: Final = re.compile(r"\d[\d_]{4300}")
_ENDLESS_KEY: Final = re.compile(
    r"""(?<![\w"'-])[\w"'-]++(?:[ \t]*+\.[ \t]*+[\w"'-]++){32}""", re.ASCII
)

Key = tuple[str | int, ...]


class TomlFileError(Exception):
    """Why a file is no use, at its `line` where it has one; whoever reads it says whose file."""

    def __init__(self, line: int | None, said: str) -> None:
        super().__init__(said)
        self.line = line
        self.said = said


def read_toml(path: str, noun: str) -> str:
    """Give the text of a file; `noun` says in an error what it should be, as in "policy".

    Raises:
        TomlFileError: it cannot be read, is too large or no text.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
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
        return _text(content, noun)
    raise TomlFileError(None, said)


def toml_tables(text: str, most_parts: str) -> Mapping[str, Any]:
    """Parse TOML; `most_parts` says how many parts a key has, as in "a policy has at most 3".

    Raises:
        TomlFileError: no TOML, or such as would keep the parser busy for hours.
    """
    endless = _ENDLESS_KEY.search(text)
    if endless:  # the parser's time grows with the square of its parts
        line = text.count("\n", 0, endless.start()) + 1
        raise TomlFileError(line, f"a key of more than 32 parts: {most_parts}")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TomlFileError(None, "not TOML: lists or tables nested too deep") from None
    except ValueError as error:
        raise _syntax_error(text, error) from None


def lines_of_keys(text: str) -> dict[Key, int]:
    """Give the line of each section, key and list entry of TOML that is known to be right."""
    try:
        return _Lines(text).lines
    except RecursionError:  # lists so deep that the parser itself just managed
        return {}


def line_of(lines: Mapping[Key, int], key: Key) -> int | None:
    """Give the line of a key, or of the nearest thing around it that has one."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key)


def _text(content: bytes, noun: str) -> str:
    if len(content) > MAX_BYTES:
        limit = f"larger than {MAX_BYTES >> 20} MiB, the limit"
        raise TomlFileError(None, f"{limit}: is it a {noun}?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        said = f"not UTF-8 at byte {error.start}: save the {noun} as UTF-8 text"
        raise TomlFileError(line, said) from None


def _syntax_error(text: str, error: ValueError) -> TomlFileError:
    said, place = str(error), _TOML_PLACE.search(str(error))
    if place is None:  # not the parser's own: int() refused a number
        number = _ENDLESS_NUMBER.search(text)
        line = text.count("\n", 0, number.start() if number else 0) + 1
        return TomlFileError(line, "not TOML: a number of more than 4300 digits")
    what = shown(said[: place.start()])
    if place[1] is None:
        last = text.rstrip("\n").count("\n") + 1
        return TomlFileError(last, f"not TOML: {what} where the file ends")
    return TomlFileError(int(place[1]), f"not TOML: {what} at column {place[2]}")


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
