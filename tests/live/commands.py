"""The command line as a process of its own, in the folder of an installation."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.live.site import ROOT, Site

__all__ = ["Done", "commanded"]


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str


def commanded(site: Site, *words: str | Path, stdin: str = "", **environ: str) -> Done:
    """Run `floodwatch` with these words."""
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *map(str, words)],
        input=stdin, capture_output=True, text=True, check=False, cwd=site.folder, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **environ},
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)
