"""A small log with one flood, and `floodwatch` called as a person would."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.app import app

START_MS = 1_767_225_600_000
ROOT = Path(__file__).resolve().parents[2]


def event(time_ms: int, client_ip: str, recipient: str, **more: Any) -> dict[str, Any]:
    return {
        "time": time_ms,
        "client_ip": client_ip,
        "action": "accept",
        "recipient": recipient,
        **more,
    }


def quiet_mail(minutes: int, start_ms: int = START_MS) -> Iterator[dict[str, Any]]:
    """A message a second, each mailbox getting one in five minutes from the same few networks."""
    for second in range(minutes * 60):
        box = second % 300
        yield event(
            start_ms + second * 1000, f"192.0.{box % 7}.{box % 5 + 1}", f"user{box}@shop.example",
            sender=f"friend{box}@b.example",
        )  # fmt: skip


def flood(start_ms: int, sources: int = 120) -> Iterator[dict[str, Any]]:
    """Two messages a second to one mailbox, each from another network."""
    for number in range(sources):
        address = f"198.{18 + number // 100}.{number % 100}.7"
        yield event(
            start_ms + number * 500, address, "ann@club.example", sender=f"x@s{number}.example"
        )


def story() -> list[dict[str, Any]]:
    """Forty minutes with a flood of one minute in the middle of them."""
    events = [*quiet_mail(40), *flood(START_MS + 25 * 60_000)]
    return sorted(events, key=lambda one: one["time"])


def lines(events: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str


Call = Callable[..., Result]


@pytest.fixture
def floodwatch(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Call:
    """Run the command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        try:
            code = app([str(a) for a in arguments], standalone_mode=False, prog_name="floodwatch")
        except Exception as error:  # noqa: BLE001 - usage errors are the library's own classes
            code, said = getattr(error, "exit_code", 1), str(error)
            return Result(code, "", said)
        out, err = capsys.readouterr()
        return Result(code or 0, out, err)

    return call


def started(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command line as a process of its own.

    It heeds Ctrl-C even where these tests run in the background, whose processes inherit that they
    do not.
    """

    def heed() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *map(str, arguments)],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        preexec_fn=heed, **{"stdout": subprocess.PIPE, **options},  # noqa: PLW1509 - no threads here
    )  # fmt: skip
