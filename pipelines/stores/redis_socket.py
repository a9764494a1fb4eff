"""Connections to Redis that share the time of one call, however many steps it has."""

import socket
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

from pipelines.clock import elapsed_s

__all__ = ["WAIT_S", "Tcp", "Tls", "Unix", "Waiting"]

_T = TypeVar("_T")
WAIT_S: Final = 1.9
"""How long a call waits for the server in all; a little of the 2 s is left for our own work."""


class Waiting:
    """How much longer the call in progress may wait."""

    def __init__(self) -> None:
        self.left_s = WAIT_S

    def spent_on(self, sock: socket.socket, act: Callable[..., _T], *arguments: Any) -> _T:
        """Let a socket act within what is left, and take the time off."""
        if self.left_s <= 0:
            raise TimeoutError
        sock.settimeout(self.left_s)
        begin = elapsed_s()
        try:
            return act(*arguments)
        finally:
            self.left_s -= elapsed_s() - begin

    def connected(self, connect: Callable[[], socket.socket]) -> "_BoundedSocket":
        """Connect in a thread that is left behind when it takes too long: names have no timeout."""
        done = threading.Event()
        lock = threading.Lock()
        made: list[socket.socket | BaseException] = []
        late = False

        def run() -> None:
            result: socket.socket | BaseException
            try:
                result = connect()
            except BaseException as error:  # noqa: BLE001 - raised where it was asked for
                result = error
            with lock:
                if late and isinstance(result, socket.socket):
                    result.close()
                made.append(result)
            done.set()

        begin = elapsed_s()
        threading.Thread(target=run, name="floodwatch connect", daemon=True).start()
        done.wait(max(0.0, self.left_s))
        self.left_s -= elapsed_s() - begin
        with lock:
            late = not made
        if late:
            raise TimeoutError
        if isinstance(made[0], BaseException):
            raise made[0]
        return _BoundedSocket(made[0], self)


class _BoundedSocket:
    """A socket whose reads and writes share the time of one call, however many they are.

    A timeout of the library holds for one read: a server that trickles would hold us for ever.
    """

    def __init__(self, sock: socket.socket, waiting: Waiting) -> None:
        self._sock, self._waiting = sock, waiting
        self._probing = False

    def settimeout(self, timeout_s: float | None) -> None:
        """Take note of a look at what has arrived (0); else the time of the call decides."""
        self._probing = timeout_s == 0
        self._sock.settimeout(timeout_s)

    def recv(self, size: int) -> bytes:
        """Give what has arrived, or wait for it."""
        if self._probing:
            return self._sock.recv(size)
        return self._waiting.spent_on(self._sock, self._sock.recv, size)

    def recv_into(self, buffer: Any) -> int:
        """Give the same in place."""
        if self._probing:
            return self._sock.recv_into(buffer)
        return self._waiting.spent_on(self._sock, self._sock.recv_into, buffer)

    def sendall(self, content: bytes) -> None:
        """Send all of it."""
        self._waiting.spent_on(self._sock, self._sock.sendall, content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Bounded:
    """What the connections below have in common; `_connect` is where the library makes a socket."""

    def __init__(self, *, waiting: Waiting, **settings: Any) -> None:
        self._waiting = waiting
        super().__init__(**settings)

    def _connect(self) -> Any:
        return self._waiting.connected(super()._connect)  # type: ignore[misc]


class Tcp(_Bounded, Connection):
    """A connection to a host and port."""


class Tls(_Bounded, SSLConnection):
    """The same with TLS, which is verified."""


class Unix(_Bounded, UnixDomainSocketConnection):
    """A connection to a socket of this machine."""
