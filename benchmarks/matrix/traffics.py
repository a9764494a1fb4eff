"""Simulated traffic, made once per version of its generator and kept parsed beside its files."""

import ast
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import orjson

from benchmarks.quality_traffic import Group, Traffic, read_traffic

__all__ = [
    "EVENTS",
    "GENERATORS",
    "ROOT",
    "SCENES",
    "TABLE",
    "ensure",
    "environment",
    "load",
    "version",
]

ROOT = Path(__file__).resolve().parents[2]
EVENTS, TRUTH, TABLE, PARSED = "events.ndjson", "truth.ndjson", "asn.tsv", "traffic.npz"
ARRAYS = ("time_ms", "source", "mailbox", "group", "guilty", "must_not")
COUNTS = ("lines", "connects", "outbound", "unread")

GENERATORS = {"first": "pipelines.simulate", "second": "benchmarks.second_traffic"}
"""Modules that write the events, truth and ASN table of a seed: `python -m MODULE DIR --seed N`."""

SCENES = ("days", "weapon")
"""What `python -m benchmarks.scenes SCENE DIR --seed N` writes, out of the first generator's."""
_SCENES = "benchmarks.scenes"


def version(generator: str) -> str:
    """Give a hash of a generator's code; imports, docstrings, comments and layout do not count.

    Raises: FileNotFoundError if the generator is not there.
    """
    modules = [_SCENES, GENERATORS["first"]] if generator in SCENES else [GENERATORS[generator]]
    files = []
    for place in (ROOT.joinpath(*module.split(".")) for module in modules):
        found = sorted(place.rglob("*.py"))
        if not found:
            raise FileNotFoundError(f"{place}: the {generator} generator is not there")
        files += found
    digest = hashlib.sha256()
    for path in files:
        digest.update(_code(path.read_text("utf-8")).encode())
    return digest.hexdigest()[:10]


def _code(source: str) -> str:
    """Give what a module does, as text."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [one for one in body if not _says_nothing(one)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _says_nothing(node: ast.stmt) -> bool:
    """Tell whether a statement only imports, or is a text by itself."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def environment() -> dict[str, str]:
    """Give the environment of a step: one thread for numpy, and compiled code is kept."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    prefix = str(ROOT / "build" / "bench" / "pycache")
    return kept | {"PYTHONPYCACHEPREFIX": prefix, "OPENBLAS_NUM_THREADS": "1"}


def ensure(
    folder: Path, generator: str, events: int, seed: int, options: Sequence[str] = ()
) -> Path:
    """Give the directory of a traffic in `folder`, which is made unless it is there.

    `generator` may be a scene; `options` are more words of its command line.

    Raises: subprocess.CalledProcessError, OSError.
    """
    name = "".join([f"{events}-{seed}", *options])
    place = folder / f"{generator}-{version(generator)}" / name
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    made = Path(mkdtemp(dir=place.parent, prefix=f"{place.name}."))
    try:
        _simulate(made, generator, events, seed, options)
        _save(read_traffic(made / EVENTS, made / TRUTH), made / PARSED)
        made.chmod(0o755)
        made.rename(place)
    except OSError:
        if not place.exists():  # somebody else made it meanwhile
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return place


def _simulate(out: Path, generator: str, events: int, seed: int, options: Sequence[str]) -> None:
    program = [_SCENES, generator] if generator in SCENES else [GENERATORS[generator]]
    command = [sys.executable, "-m", *program, str(out)]
    command += ["--seed", str(seed), "--events", str(events), *options]
    run(command)


def run(command: Sequence[str | Path]) -> None:
    """Run a step to its end; what it wrote to standard error is shown where it fails.

    Raises: subprocess.CalledProcessError, OSError.
    """
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment(), capture_output=True)
    if done.returncode:
        sys.stderr.write(done.stderr.decode("utf-8", "replace"))
        done.check_returncode()


def _save(traffic: Traffic, path: Path) -> None:
    texts = {name: np.array(getattr(traffic, name)) for name in ("subjects", "mailboxes")}
    rest = {name: getattr(traffic, name) for name in COUNTS}
    rest["groups"] = [asdict(group) for group in traffic.groups]
    note = np.frombuffer(orjson.dumps(rest), np.uint8)
    arrays = {name: getattr(traffic, name) for name in ARRAYS}
    np.savez(path, allow_pickle=False, note=note, **arrays, **texts)


def load(place: Path) -> Traffic:
    """Read the parsed traffic of a directory."""
    with np.load(place / PARSED) as kept:
        note: dict[str, Any] = orjson.loads(kept["note"].tobytes())
        groups = tuple(
            Group(**{**group, "victims": tuple(group["victims"])}) for group in note["groups"]
        )
        return Traffic(
            groups=groups,
            subjects=tuple(kept["subjects"].tolist()),
            mailboxes=tuple(kept["mailboxes"].tolist()),
            **{name: kept[name] for name in ARRAYS},
            **{name: note[name] for name in COUNTS},
        )
