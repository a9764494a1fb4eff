"""A decoder's type for the few fields of a foreign record that are asked for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter
from typing import Any

import msgspec

__all__ = ["Find", "Shape"]

Find = Callable[[Any], Any]
"""Gives what stands at a path of a record, None where nothing does."""


@dataclass(slots=True)
class _Node:
    """A name in a record: what its struct calls it, and whether it is asked for itself."""

    attribute: str
    wanted: bool = False
    inner: dict[str, "_Node"] = field(default_factory=dict)


class Shape:
    """The structs that hold what stands at some dotted paths; everything else is skipped unread.

    A path is looked for as nested objects, and as one name with dots in it. Where an object should
    be and something else is, nothing is found: that is no fault of the record.
    """

    def __init__(self, fields: Iterable[tuple[str, ...]]) -> None:
        self._numbers = count()
        self._root = _Node("")
        for path in (path for paths in fields for path in paths):
            self._add(self._root, path).wanted = True
            node = self._root
            for part in path.split("."):
                node = self._add(node, part)
            node.wanted = True
        self.type = _struct(self._root)

    def find(self, paths: tuple[str, ...]) -> tuple[Find, ...]:
        """Give how to find a field at each of its paths."""
        return tuple(self._find(path) for path in paths)

    def _add(self, node: _Node, name: str) -> _Node:
        if name not in node.inner:
            node.inner[name] = _Node(f"f{next(self._numbers)}")
        return node.inner[name]

    def _find(self, path: str) -> Find:
        flat = attrgetter(self._root.inner[path].attribute)
        if "." not in path:
            return flat
        steps: list[tuple[str, str]] = []
        node = self._root
        for part in path.split("."):
            node = node.inner[part]
            steps.append((node.attribute, part))

        nested = attrgetter(".".join(attribute for attribute, _ in steps))

        def find(record: Any) -> Any:
            try:
                value = nested(record)
            except AttributeError:
                value = _walk(record, steps)
            return flat(record) if value is None else value

        return find


def _walk(record: Any, steps: list[tuple[str, str]]) -> Any:
    """Follow a path of which something is no struct.

    Asked for itself and for something in it, an object is decoded as a plain one.
    """
    for attribute, name in steps:
        plain = type(record) is dict
        record = record.get(name) if plain else getattr(record, attribute, None)
    return record


def _struct(node: _Node) -> type[msgspec.Struct]:
    fields = [(inner.attribute, _type(inner), None) for inner in node.inner.values()]
    names = {inner.attribute: name for name, inner in node.inner.items()}
    return msgspec.defstruct("Record", fields, rename=names, gc=False)


def _type(node: _Node) -> Any:
    if node.wanted or not node.inner:
        return Any
    return _struct(node) | str | int | float | bool | list[Any] | None
