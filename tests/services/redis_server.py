"""Redis servers on loopback, each with a folder of its own, for the tests of the Redis store."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.conftest import find_program

__all__ = ["RunningRedis", "redis_server", "shared_redis", "stopped"]

READY = "Ready to accept connections"
IN_USE = "Address already in use"
ATTEMPTS = 5


def free_port() -> int:
    """Give a port that was free a moment ago."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class RunningRedis:
    """A server that a test may kill, stop and start again; nothing of it is on a disk.

    With a `certificate`, and `key.pem` beside it, it has a port for TLS as well.
    """

    def __init__(
        self, folder: Path, options: Sequence[str] = (), certificate: Path | None = None
    ) -> None:
        self.port = self.tls_port = 0
        self._folder, self._options, self._certificate = folder, options, certificate
        self._child: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Give the address of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and return when it answers; the first time at ports that are free."""
        anew = not self.port
        for _ in range(ATTEMPTS if anew else 1):
            if anew:
                self.port, self.tls_port = free_port(), free_port()
            said = self._started()
            if not said:
                return
            if IN_USE not in said:
                break
        pytest.fail(f"redis-server ended: {said}")

    def _started(self) -> str:
        """Start it; give "" when it answers, and what it said where it ended."""
        program = find_program("redis-server")
        assert program is not None
        tls: list[str] = []
        if self._certificate is not None:
            tls = [
                "--tls-port", str(self.tls_port), "--tls-auth-clients", "no", "--tls-cert-file",
                str(self._certificate), "--tls-key-file",
                str(self._certificate.with_name("key.pem")),
            ]  # fmt: skip
        self._child = subprocess.Popen(
            [
                program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                "--appendonly", "no", "--repl-diskless-sync-delay", "0",
                "--dir", str(self._folder), *tls, *self._options,
            ],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self._child.stdout is not None
        said = ""
        for line in self._child.stdout:
            said += line
            if READY in line:
                return ""
        self.kill()
        return said

    def client(self, **settings: Any) -> Any:
        """Give a client that sees what is really there."""
        plain: dict[str, Any] = {
            "retry": Retry(NoBackoff(), 0),
            "decode_responses": True,
            "socket_timeout": 20,
        }
        return redis.Redis(host="127.0.0.1", port=self.port, **(plain | settings))

    def signal(self, number: int) -> None:
        """Send a signal to it."""
        assert self._child is not None
        os.kill(self._child.pid, number)

    def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            assert self._child.stdout is not None
            self._child.stdout.close()
            self._child = None


@contextmanager
def redis_server(
    folder: Path, *options: str, certificate: Path | None = None
) -> Iterator[RunningRedis]:
    """Run a server as long as the block lasts."""
    server = RunningRedis(folder, options, certificate)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRedis]:
    """One server for tests that leave it as they found it, or empty it first."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@contextmanager
def stopped(server: RunningRedis) -> Iterator[None]:
    """Let a server hang: it takes connections, and answers nothing."""
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)
