"""Run the product's command line in this process with other constants than its source says.

    python -m benchmarks.matrix.changed MODULE:NAME=NUMBER ... -- replay EVENTS ...

The constants change while their module is loaded, so whatever is computed from them follows. The
product itself reads no such overrides.
"""

import ast
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

__all__ = ["Changes", "change", "parsed"]

Changes = dict[str, dict[str, float]]
"""New numbers by module and name."""


def parsed(texts: Sequence[str]) -> Changes:
    """Read `MODULE:NAME=NUMBER` texts.

    Raises: ValueError for a text of another form.

    >>> parsed(["detector.policy.constants:MOST=1.5"])
    {'detector.policy.constants': {'MOST': 1.5}}
    """
    changes: Changes = {}
    for text in texts:
        place, _, number = text.partition("=")
        module, _, name = place.partition(":")
        if not (module and name):
            raise ValueError(f"{text}: must be MODULE:NAME=NUMBER")
        whole = number.lstrip("-").isdigit()
        changes.setdefault(module, {})[name] = int(number) if whole else float(number)
    return changes


class _Loader(SourceFileLoader):
    """Compiles a module's source with other numbers, past the cache of compiled code."""

    def __init__(self, name: str, path: str, numbers: Mapping[str, float]) -> None:
        super().__init__(name, path)
        self._numbers = numbers

    def get_code(self, fullname: str) -> CodeType:
        """Compile the changed source.

        Raises: ImportError if it assigns no such name.
        """
        tree = ast.parse(self.get_data(self.path))
        left = set(self._numbers)
        for node in tree.body:
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in (one.id for one in targets if isinstance(one, ast.Name)):
                if name in self._numbers:
                    node.value = ast.copy_location(ast.Constant(self._numbers[name]), node)
                    left.discard(name)
        if left:
            raise ImportError(f"{fullname} assigns no {', '.join(sorted(left))}")
        return compile(ast.fix_missing_locations(tree), self.path, "exec")


class _Finder(MetaPathFinder):
    """Finds the modules to change before the ordinary finders do."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module to change; None for any other."""
        if fullname not in self._changes:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, self._changes[fullname])
        return spec


def change(changes: Changes) -> None:
    """Give modules that are not loaded yet other numbers.

    Raises: ValueError for a module that is loaded already.
    """
    loaded = sorted(changes.keys() & sys.modules.keys())
    if loaded:
        raise ValueError(f"{', '.join(loaded)}: loaded already")
    sys.meta_path.insert(0, _Finder(changes))


def main() -> None:
    """Change the constants, then hand over to the product's command line."""
    at = sys.argv.index("--")
    change(parsed(sys.argv[1:at]))
    sys.argv = ["floodwatch", *sys.argv[at + 1 :]]
    from pipelines.cli import main as product

    product()


if __name__ == "__main__":
    main()
