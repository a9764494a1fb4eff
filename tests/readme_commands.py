"""The commands of README.md and what they print; `python -m tests.readme_commands` renews that.

A ```console block holds commands (`$ `) and their output. Output that ends in `...` is cut there.
All commands run one after the other in one folder that looks like a clone.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DEMO = f"{sys.executable} -m pipelines.demo_traffic.demo"
CUT = "..."


def commands(block: str) -> Iterator[tuple[str, list[str]]]:
    """Give each command of a block with the lines shown behind it."""
    command = ""
    shown: list[str] = []
    for line in block.removesuffix("\n").split("\n"):
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], []
        else:
            shown.append(line)
    yield command, shown


def clone(folder: Path) -> None:
    """Make a folder look like a clone with what the commands name."""
    (folder / "pipelines").symlink_to(ROOT / "pipelines")


def run(command: str, folder: Path) -> list[str]:
    """Run a command as a person would; give the lines it prints."""
    if command == "make demo":
        command = DEMO
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout.decode().removesuffix("\n").split("\n") if done.stdout else []


def as_shown(printed: list[str], shown: list[str]) -> list[str]:
    """Cut what was printed where the README cuts it."""
    if shown[-1:] == [CUT]:
        return [*printed[: len(shown) - 1], CUT]
    return printed


def renewed(text: str) -> str:
    """Give the README with what its commands print now."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clone(folder)

        def renew(found: re.Match[str]) -> str:
            lines: list[str] = []
            for command, shown in commands(found[1]):
                lines += [f"$ {command}", *as_shown(run(command, folder), shown)]
            return "\n".join(["```console", *lines, "```"])

        return BLOCK.sub(renew, text)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
