"""The settings in words: what each may be, and a commented file with all of them."""

import json
import types
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from detector.policy.text import shown
from detector.policy.wording import wrapped
from pipelines.settings.model import LiveSettings
from pipelines.settings.section import Section

__all__ = ["allowed", "choices", "kind_of", "sections", "settings_toml", "singles", "value_text"]

Key = tuple[str, ...]
_WIDTH: Final = 100
_LONGEST_NUMBER_BITS: Final = 256


@cache
def sections() -> Mapping[Key, type[Section]]:
    """Give each section by its key, the whole as `()`."""
    return dict(_sections((), LiveSettings))


@cache
def singles() -> Mapping[Key, FieldInfo]:
    """Give each setting that is no section, by its key, in the order of the file."""
    return {
        (*key, name): field
        for key, section in sections().items()
        for name, field in section.model_fields.items()
        if (*key, name) not in sections()
    }


def _sections(key: Key, section: type[Section]) -> Iterator[tuple[Key, type[Section]]]:
    yield key, section
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from _sections((*key, name), inner)


def kind_of(annotation: Any) -> Any:
    """Give the bare type of an annotation, without limits and without "or nothing"."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return kind_of(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return kind_of(next(a for a in get_args(annotation) if a is not type(None)))
    return annotation


def allowed(field: FieldInfo, *, entry: bool = False) -> str:
    """Say what a setting, or an `entry` of its list or table, may be.

    >>> allowed(singles()["web", "port"])
    'a whole number from 0 to 65535'
    """
    kind = kind_of(field.annotation)
    origin = get_origin(kind)
    if entry:
        args = get_args(kind)
        return _named(kind_of(args[1] if origin is dict else args[0]))
    if kind in (int, float):
        return _number(kind, field.metadata)
    return _named(kind)


def choices(field: FieldInfo, *, entry: bool = False) -> tuple[str, ...]:
    """Give the texts that a setting, or an entry of it, may be; nothing where there is no list."""
    kind = kind_of(field.annotation)
    if entry and get_args(kind):
        kind = kind_of(get_args(kind)[-1 if get_origin(kind) is dict else 0])
    return get_args(kind) if get_origin(kind) is Literal else ()


def _named(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return f"one of {', '.join(map(value_text, get_args(kind)))}"
    if origin is tuple:
        return 'a list of texts, as ["one", "two"]'
    if origin is dict:
        return 'a table, as {one = "1", two = "2"}'
    return {bool: "true or false", str: "a text", Path: "the path of a file"}[kind]


def _number(kind: type, limits: list[Any]) -> str:
    words = "a whole number" if kind is int else "a number"
    low = next((limit for limit in limits if isinstance(limit, (Ge, Gt))), None)
    high = next((limit for limit in limits if isinstance(limit, Le)), None)
    match low:
        case Ge(ge=least):
            words += f" from {least}"
        case Gt(gt=below):
            words += f" above {below}, up"
    return words if high is None else f"{words} to {high.le}"


def value_text(value: object) -> str:
    """Show a value as a settings file would write it, cut and escaped."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{shown(value)}"'
        case int() if value.bit_length() > _LONGEST_NUMBER_BITS:
            return f"a number of {value.bit_length()} bits"
        case Mapping():
            return "a table"
        case list() | tuple():
            return f"a list of {len(value)}"
    return shown(str(value))


def settings_toml(settings: LiveSettings | None = None) -> str:
    """Give settings, the defaults if none, as a file: each behind its meaning and unit."""
    settings = settings or LiveSettings()
    lines = [
        "# The complete settings of a live run. Keys left out keep their defaults.",
        (
            "# Environment variables override the file: FLOODWATCH__KAFKA__SESSION_S=45 "
            "sets kafka.session_s."
        ),
        "# Paths are relative to the working directory; an empty one means none.",
    ]
    for key in sections():
        lines += _section(key, settings)
    return "\n".join(lines) + "\n"


def _section(key: Key, settings: LiveSettings) -> Iterator[str]:
    section: Any = settings
    for name in key:
        section = getattr(section, name)
    yield ""
    if key:
        words = (type(section).__doc__ or "").partition("\n")[0]
        yield from wrapped(words, _WIDTH, "# ", "# ")
        yield f"[{'.'.join(key)}]"
    for name in type(section).model_fields:
        field = singles().get((*key, name))
        if field is not None:
            yield from wrapped(_meaning(field), _WIDTH, "# ", "# ")
            yield f"{name} = {_toml(getattr(section, name))}"


def _meaning(field: FieldInfo) -> str:
    kind = kind_of(field.annotation)
    if kind in (int, float) or get_origin(kind) is Literal:
        choices = allowed(field).removeprefix("a ")
        return f"{str(field.description).removesuffix('.')} ({choices})."
    return str(field.description)


def _toml(value: object) -> str:
    match value:
        case None:
            return '""'
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case Mapping():
            return f"{{{', '.join(f'{_toml(k)} = {_toml(v)}' for k, v in value.items())}}}"
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
