"""Rules of the house that no other tool checks: docs that are true, names, files, purity."""

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MADE = {".git", ".venv", "build", "dist", "htmlcov", "__pycache__"}
CODE = ("detector", "pipelines")


def project_files() -> Iterator[Path]:
    for folder, names, files in os.walk(ROOT):
        names[:] = sorted(
            n
            for n in names
            if n not in MADE and not n.endswith(("_cache", ".egg-info")) and n != ".hypothesis"
        )
        yield from (Path(folder, name) for name in sorted(files))


FILES = list(project_files())
DOCS = [path for path in FILES if path.suffix == ".md"]
PYTHON = [path for path in FILES if path.suffix == ".py"]
PRODUCT = [path for path in PYTHON if path.relative_to(ROOT).parts[0] in CODE]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str | None:
    """The text of a file, None if it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def calls_in(path: Path) -> Iterator[tuple[int, str]]:
    """Line and last name of whatever a file calls."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                yield node.lineno, name


def identifiers_in(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of whatever a file names: functions, classes, arguments, variables, fields."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def words_of(identifier: str) -> list[str]:
    return [w.lower() for w in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+", identifier)]


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_links_in_docs_lead_to_files(path: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    local = [t.split("#")[0] for t in targets if not re.match(r"[a-z]+:|#", t)]
    assert [t for t in local if not (path.parent / t).exists()] == []


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_make_targets_named_in_docs_exist(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))
    named = re.findall(
        r"(?:`|^\s*\$? ?)make ([a-z][a-z-]*)", path.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(named) - targets == set()


def test_changelog_has_an_entry_for_the_current_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[?{re.escape(project['version'])}\b", changelog, re.MULTILINE)


def test_no_file_names_a_machine_or_a_registry() -> None:
    wrong = re.compile(
        rf"/work[/]|{re.escape(str(ROOT))}/"
        r"|pypi\.(?:org|python)|pythonhosted\.|npmjs\.(?:org|com)|proxy\.golang|repo1?\.maven"
        r"|https?://[^ \"]+(?:\.whl|\.tar\.gz|\.tgz|\.jar|/simple)\b"
    )
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:80]}"
        for path in FILES
        for number, line in enumerate((text_of(path) or "").split("\n"), 1)
        if wrong.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_identifiers_keep_to_the_vocabulary(path: Path) -> None:
    unused = {"ban", "bans", "banned", "blacklist", "blacklisted", "whitelist", "whitelisted"}
    assert [(n, i) for n, i in identifiers_in(path) if unused & set(words_of(i))] == []


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_a_module_is_one_idea(path: Path) -> None:
    assert path.stem not in {"utils", "util", "common", "helpers", "manager", "types", "misc"}
    assert path.read_bytes().count(b"\n") <= 400


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_hostile_text_is_never_split_by_splitlines(path: Path) -> None:
    """U+2028 and NEL would end a line that the mail server did not end."""
    assert [n for n, name in calls_in(path) if name == "splitlines"] == []


@pytest.mark.parametrize("path", [p for p in PRODUCT if "detector" in p.parts], ids=name_of)
def test_the_detector_touches_no_file_and_no_clock(path: Path) -> None:
    """What import-linter cannot see: builtins that reach the world, and clocks inside datetime."""
    world = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
    clocks = {"now", "utcnow", "today"}
    files = {"fromfile", "tofile", "memmap", "loadtxt", "savetxt"}
    assert [(n, c) for n, c in calls_in(path) if c in world | clocks | files] == []
