"""`make demo`: the bundled raw Postfix log is replayed, and one listing looked up and explained."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from pipelines.demo_traffic import ASN_TABLE, MAIL_LOG

__all__ = ["main"]

_FOLDER: Final = Path("build/demo")


def main() -> int:
    """Run the demonstration in `build/demo` and give the exit code."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(parents=True)
    store = f"sqlite:///{_FOLDER}/floodwatch.db"
    decisions = _FOLDER / "decisions.ndjson"
    replay = [
        "replay", _near(MAIL_LOG), "--asn-table", _near(ASN_TABLE),
        "--decisions", str(decisions), "--store", store,
    ]  # fmt: skip
    code = _run(replay)
    if code:
        return code
    subject = _telling(decisions)
    for name in ("lookup", "explain"):
        _say("")
        _run([name, subject, "--store", store])
    _say("\nNext steps:\n")
    for command in (
        ["list", "--tier", "temporary", "--store", store],
        ["remove", subject, "--store", store],
        ["policy"],
        ["replay", "/var/log/mail.log"],
    ):
        _say(f"  {_typed(command)}")
    script = Path(sys.executable).with_name("floodwatch")
    if script.exists() and shutil.which("floodwatch") != str(script):
        _say(f"\n(floodwatch lies in {_near(script.parent)})")
    return 0


def _run(arguments: Sequence[str]) -> int:
    """Run a command of floodwatch as a person would, and show what was typed."""
    _say(f"+ {_typed(arguments)}\n")
    called = [sys.executable, "-m", "pipelines.cli", *arguments]
    return subprocess.run(called, check=False).returncode  # noqa: S603 - our own command


def _telling(decisions: Path) -> str:
    """Give the source of the largest flood that had sent the most into it when it was listed."""
    changes: list[dict[str, Any]] = [
        orjson.loads(line) for line in decisions.read_bytes().split(b"\n") if line
    ]
    listed = [change for change in changes if change["change"] == "list"]
    return str(max(listed, key=_weight)["subject"])


def _weight(change: dict[str, Any]) -> tuple[int, int]:
    evidence = change["evidence"]
    flood = evidence.get("flood_messages", 0)
    return evidence.get("source_messages", 0) * min(evidence.get("flood_sources", 0), 50), flood


def _typed(arguments: Sequence[str]) -> str:
    return f"floodwatch {shlex.join(arguments)}"


def _near(path: Path) -> str:
    """Give a path from here where that is shorter."""
    near = os.path.relpath(path)
    return near if not near.startswith("..") else str(path)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
