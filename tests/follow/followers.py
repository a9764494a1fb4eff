"""Processes that follow logs: how a test starts, awaits, kills and stops them."""

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.clock import now_ms
from tests.cli.command_line import START_MS, started

__all__ = ["Started", "ahead", "die", "follow", "stopped", "until_it_follows"]

DAY_MS = 86_400_000
Started = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Started]:
    """Start a follower in the folder of the test; none outlives it."""
    running: list[subprocess.Popen[bytes]] = []
    (tmp_path / "fast.toml").write_text("[detect]\nsnapshot_every_s = 0.3\n")

    def start(*options: object) -> subprocess.Popen[bytes]:
        process = started("run", "--config", "fast.toml", *options, cwd=tmp_path)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def until_it_follows(process: subprocess.Popen[bytes]) -> None:
    """Wait until it has begun; what it said is read."""
    assert process.stderr is not None
    while b'"event": "follows"' not in (line := process.stderr.readline()):
        assert line, "it has ended"


def die(process: subprocess.Popen[bytes], after_s: float) -> None:
    """Kill it after a while, in which it must not have ended by itself."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
        raise AssertionError(process.communicate()[1].decode())
    process.kill()
    process.wait()


def stopped(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> str:
    """Ask it to stop; it must do so in order, within 10 s."""
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0, err.decode()
    return err.decode()


def ahead() -> int:
    """Give by how much a story must be moved to lie ahead of any heartbeat, in whole days."""
    return ((now_ms() - START_MS) // DAY_MS + 2) * DAY_MS
