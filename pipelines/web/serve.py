"""Serves an application inside the running event loop, without handling signals."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.applications import Starlette

from detector.errors import FloodwatchError
from pipelines.settings.model import WebSettings
from pipelines.web.connections import MOST_CONNECTIONS, LimitedConnection

__all__ = ["WebBindError", "WebServer"]

_GRACE_S: Final = 1
_KNOWN: Final = {
    errno.EADDRINUSE: "already in use by another program: stop it, or choose another port",
    errno.EADDRNOTAVAIL: "this machine does not have this address: use one of its own, or 0.0.0.0",
    errno.EACCES: "not allowed (ports below 1024 need a privilege): choose a port above 1023",
}


class WebBindError(FloodwatchError):
    """Nothing can be served at `host` and `port`; `problem` says why."""

    def __init__(self, host: str, port: int, problem: str) -> None:
        super().__init__(f"web.host {host!a}, web.port {port}: cannot listen: {problem}")
        self.host = host
        self.port = port
        self.problem = problem


class WebServer:
    """Serves `app` at the address of the settings, from `run` until it is closed or cancelled.

    The socket is bound at once, so that an address that cannot be had is known before anything
    else starts; `port` is the one in use where the settings say 0. Connections are limited as
    `LimitedConnection` says.

    Raises:
        WebBindError: the address cannot be had.
    """

    def __init__(self, app: Starlette, settings: WebSettings) -> None:
        self._socket = _bound(settings.host, settings.port)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            access_log=False,
            lifespan="off",
            http=LimitedConnection,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
            ws="none",
        )
        self._server = _Server(config)
        self._over = asyncio.Event()
        self._runs = False

    async def run(self) -> None:
        """Serve until `close`, or until cancelled; then all connections and the socket are gone."""
        if self._over.is_set():
            return
        self._runs = True
        try:
            await self._server.serve(sockets=[self._socket])
        except asyncio.CancelledError:
            if self._server.started:  # its own shutdown was skipped
                await self._server.shutdown(sockets=[self._socket])
            raise
        finally:
            self._socket.close()
            self._over.set()

    async def close(self) -> None:
        """Stop listening and wait until `run` is over: a second or so at most."""
        self._server.should_exit = True
        if self._runs:
            await self._over.wait()
        self._socket.close()
        self._over.set()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals of the process alone."""
        yield


def _bound(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.create_server(address[:2], family=family, backlog=MOST_CONNECTIONS)
    except socket.gaierror as error:
        problem = f"no address of this name ({error.strerror}): check its spelling"
        raise WebBindError(host, port, problem) from None
    except OSError as error:
        problem = _KNOWN.get(error.errno or 0, f"{error.strerror}: check the address")
        raise WebBindError(host, port, problem) from None
    except UnicodeError:
        raise WebBindError(host, port, "not a host name: check its spelling") from None
    listener.setblocking(False)
    return listener
