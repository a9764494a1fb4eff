"""The settings of a live run from a file and the environment, with everything that is wrong."""

import difflib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from detector.errors import SettingsError
from detector.policy.text import MOST_PROBLEMS, key_text, shown
from pipelines.console.escaped import escaped
from pipelines.settings.model import LiveSettings
from pipelines.settings.section import CONTRADICTION
from pipelines.settings.text import allowed, choices, kind_of, sections, singles, value_text
from pipelines.settings.toml_file import (
    TomlFileError,
    line_of,
    lines_of_keys,
    read_toml,
    toml_tables,
)

__all__ = ["PREFIX", "load_settings"]

PREFIX: Final = "FLOODWATCH__"
"""Two underscores: Kubernetes gives a service of our name variables that begin with one."""
_LONGEST_NUMBER: Final = 40

Key = tuple[str | int, ...]
Problem = tuple[str, str]


def load_settings(path: Path | None, environ: Mapping[str, str]) -> LiveSettings:
    """Read the settings: what the environment says wins over the file, that over the defaults.

    A key of the file has the name `PREFIX`, its sections and its own name, in capitals and between
    two underscores. A list is written with commas, or as JSON; a table as JSON.

    Raises:
        SettingsError: the file cannot be read, or with everything that is wrong in both.

    >>> load_settings(None, {"FLOODWATCH__WEB__PORT": "8080"}).web.port
    8080
    """
    told = _Told()
    broken: list[Problem] = []
    if path is not None:
        told.name = escaped(str(path))
        try:
            text = read_toml(str(path), "settings file")
            told.tables = dict(toml_tables(text, "the settings have at most 4"))
            told.lines = lines_of_keys(text)
        except TomlFileError as error:
            at = told.name if error.line is None else f"{told.name}:{error.line}"
            broken = [(at, error.said)]
    unknown = told.take(environ)
    if broken:  # what else is wrong cannot be told from what could not be read
        raise SettingsError(broken + unknown)
    try:
        settings = LiveSettings.model_validate(told.tables)
    except ValidationError as error:
        raise SettingsError(_first(told.problems(error) + unknown)) from None
    if unknown:
        raise SettingsError(_first(unknown))
    return settings


@dataclass(slots=True)
class _Told:
    """What the file and the environment say, and where they say it."""

    name: str = ""
    tables: dict[str, Any] = field(default_factory=dict)
    lines: dict[Key, int] = field(default_factory=dict)
    variables: dict[Key, str] = field(default_factory=dict)

    def take(self, environ: Mapping[str, str]) -> list[Problem]:
        """Put what the environment says over the tables; give what it says of nothing we have."""
        problems: list[Problem] = []
        known = {_variable(key): key for key in singles()}
        for variable in sorted(name for name in environ if name.startswith(PREFIX)):
            key = known.get(variable)
            if key is None:
                problems.append((shown(variable), _unknown_variable(variable, known)))
            elif not _is_unicode(environ[variable]):
                problems.append((variable, "not UTF-8: write it as UTF-8 text"))
            else:
                self._put(key, _typed(environ[variable], singles()[key]))
                self.variables[key] = variable
        return problems

    def _put(self, key: tuple[str, ...], value: object) -> None:
        table = self.tables
        for part in key[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                return  # the file's own error, and told as such
        table[key[-1]] = value

    def problems(self, error: ValidationError) -> list[Problem]:
        found = [problem for part in error.errors() for problem in _worded(part)]
        found.sort(key=lambda problem: self._order(problem[0]))
        return [(self._where(key), said) for key, said in found]

    def _order(self, key: Key) -> tuple[bool, int]:
        return self._by(key) is not None, line_of(self.lines, key) or 0

    def _by(self, key: Key) -> str | None:
        return next((name for at, name in self.variables.items() if key[: len(at)] == at), None)

    def _where(self, key: Key) -> str:
        variable = self._by(key)
        if variable is not None:
            return variable
        line = line_of(self.lines, key)
        place = self.name if line is None else f"{self.name}:{line}"
        return f"{place} {key_text(key)}".strip()


def _worded(error: Any) -> Iterator[tuple[Key, str]]:
    """Give each key that an error of pydantic is about, and the words for it."""
    key: Key = error["loc"]
    names = tuple(part for part in key if isinstance(part, str))
    setting = singles().get(names) or singles().get(names[:-1])
    if error["type"] == CONTRADICTION:
        for inner, words in error["ctx"]["found"]:
            yield (*key, *inner.split(".")), words
    elif error["type"] == "extra_forbidden":
        yield key, _unknown_key(names)
    elif setting is None:
        yield key, f"got {value_text(error['input'])}, must be a section, [{key_text(key)}]"
    else:
        entry = key not in singles()
        words = str(error["ctx"]["error"]) if error["type"] == "value_error" else ""
        got = f"got {value_text(error['input'])}, " if setting.repr else ""
        words = words or f"must be {allowed(setting, entry=entry)}"
        yield key, f"{got}{words}{_meant(error['input'], choices(setting, entry=entry))}"


def _meant(got: object, texts: tuple[str, ...]) -> str:
    near = _nearest(got, texts) if isinstance(got, str) and texts else None
    return f': did you mean "{near}"?' if near else ""


def _unknown_key(key: tuple[str, ...]) -> str:
    """Name the nearest key: of the same section, or within it, or of any."""
    *around, name = key
    every = [*list(sections())[1:], *singles()]
    here = [known for known in every if list(known[:-1]) == around]
    within = [known for known in every if list(known[: len(around)]) == around]
    for some in (here, within, every):
        near = _nearest(name, {known[-1] for known in some})
        if near:
            meant = " or ".join(".".join(known) for known in some if known[-1] == near)
            return f"unknown key, did you mean {meant}?"
    return f"unknown key, known here are {', '.join(known[-1] for known in here)}"


def _unknown_variable(variable: str, known: Iterable[str]) -> str:
    """Name the nearest variable; all share the prefix, which makes none of them nearer."""
    near = _nearest(
        variable.removeprefix(PREFIX).upper(), {name.removeprefix(PREFIX) for name in known}
    )
    if near:
        return f"unknown variable, did you mean {PREFIX}{near}?"
    some = ", ".join(f"{PREFIX}{key[0].upper()}__" for key in sections() if len(key) == 1)
    return f"unknown variable, known ones begin with {some}"


def _nearest(name: str, names: Collection[str]) -> str | None:
    longest = 2 * max(map(len, names))
    return next(iter(difflib.get_close_matches(name[:longest], sorted(names), n=1)), None)


def _variable(key: tuple[str, ...]) -> str:
    return PREFIX + "__".join(key).upper()


def _typed(text: str, setting: FieldInfo) -> object:
    """Give the value that a text of the environment stands for, or the text if it is none."""
    kind = kind_of(setting.annotation)
    try:
        if kind is bool:
            return {"true": True, "false": False}.get(text, text)
        if kind in (int, float):
            return kind(text) if len(text) <= _LONGEST_NUMBER else text
        if get_origin(kind) is dict or (get_origin(kind) is tuple and text.startswith("[")):
            return json.loads(text)
        if get_origin(kind) is tuple:
            return [entry.strip() for entry in text.split(",") if entry.strip()]
    except (ValueError, RecursionError):
        pass
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _first(problems: list[Problem]) -> list[Problem]:
    more = len(problems) - MOST_PROBLEMS
    rest = [("settings", f"and {more:,} more problems")] if more > 0 else []
    return problems[:MOST_PROBLEMS] + rest
