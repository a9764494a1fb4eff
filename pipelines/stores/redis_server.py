"""A Redis or Valkey server as a block store needs it: bounded in time, its errors in words."""

import contextlib
import re
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.exceptions import InvalidResponse, NoScriptError, RedisError
from redis.retry import Retry

from detector.errors import (
    StoreAccessError,
    StoreError,
    StoreForeignError,
    StoreUnavailableError,
    StoreUrlError,
)
from pipelines.stores.redis_scripts import Script
from pipelines.stores.redis_socket import WAIT_S, Tcp, Tls, Unix, Waiting
from pipelines.stores.redis_url import RedisUrl

__all__ = ["RedisServer"]

_SHOWN_CHARACTERS: Final = 200
_CODE: Final = re.compile(
    r"\b(BUSY|LOADING|MASTERDOWN|MISCONF|NOAUTH|NOPERM|NOREPLICAS|OOM|READONLY|WRONGPASS|WRONGTYPE)\b"
)
_IN_SCRIPT: Final = "user executing the script can't"
_SPOKE_FIRST: Final = "Connection not ready"
_DENIED: Final = (
    StoreAccessError,
    "it rejected the user or password: check both, and that the user is enabled",
)
_IN_WORDS: Final = {
    "WRONGPASS": _DENIED,
    "NOAUTH": (StoreAccessError, "it requires a password: set one, and a user if it has several"),
    "NOPERM": (
        StoreAccessError,
        "the user lacks a permission, and nothing was stored: see pipelines/stores/README.md",
    ),
    "READONLY": (StoreUnavailableError, "it is a read-only replica: name the primary, or wait"),
    "OOM": (
        StoreUnavailableError,
        "its memory is full (maxmemory), and nothing of this step was stored: give it more",
    ),
    "MISCONF": (StoreUnavailableError, "it cannot write to its disk: free some space there"),
    "NOREPLICAS": (StoreUnavailableError, "too few replicas are connected: wait for them"),
    "MASTERDOWN": (StoreUnavailableError, "it lost its primary: wait, or use another server"),
    "LOADING": (StoreUnavailableError, "it is still loading its data: wait"),
    "BUSY": (
        StoreUnavailableError,
        "it is busy with another client's script: wait, or stop the script",
    ),
    "WRONGTYPE": (
        StoreForeignError,
        "a key floodwatch:* belongs to another program and was not changed: use another database",
    ),
}


class RedisServer:
    """One server; `calling` bounds what is done inside of it to 2 s and puts errors into words."""

    def __init__(self, name: str, url: RedisUrl, ca_file: Path | None) -> None:
        self.name = name
        self._secret = url.password
        self._waiting = Waiting()
        settings: dict[str, Any] = {
            "waiting": self._waiting,
            "db": url.database,
            "username": url.username,
            "password": url.password,
            "socket_timeout": WAIT_S,
            # The library's own retries added up to 15 s. A connection that the server closed is
            # noticed before it is used, and whoever calls may repeat any call.
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,
        }
        kind: type[Tcp | Tls | Unix] = Tls if url.tls else Tcp
        if url.path:
            kind = Unix
            settings["path"] = url.path
        else:
            settings |= {"host": url.host, "port": url.port, "socket_connect_timeout": WAIT_S}
        if url.tls and ca_file is not None:
            self._check_ca(ca_file)
            settings["ssl_ca_certs"] = str(ca_file)
        pool = redis.ConnectionPool(connection_class=kind, **settings)
        self._client: Any = redis.Redis(connection_pool=pool)  # most of it has no types
        self._nested = False

    def __repr__(self) -> str:
        return f"RedisServer({self.name!r})"

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        """Bound what follows, together, to the time of one call; one inside another is part of it.

        Raises:
            StoreUnavailableError: the server cannot do it now.
            StoreAccessError: it does not let us.
            StoreForeignError: it holds something else, or is something else.
        """
        if self._nested:
            yield
            return
        self._waiting.left_s = WAIT_S
        self._nested = True
        try:
            yield
        except RedisError as error:
            raise self._in_words(error) from None  # its arguments may hold the password
        finally:
            self._nested = False

    def run(self, *command: bytes | str | int) -> Any:
        """Carry out one command."""
        return self._client.execute_command(*command)

    def run_all(self, commands: Sequence[tuple[bytes | str | int, ...]]) -> list[Any]:
        """Carry out many commands in one go; others may come between."""
        if not commands:
            return []
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return list(pipeline.execute())

    def run_script(self, script: Script, arguments: Sequence[str]) -> Any:
        """Carry out a script, all of it or nothing; it is sent whole where it is not known yet."""
        rest: tuple[bytes | str | int, ...] = (
            len(script.keys),
            *script.keys,
            msgspec.msgpack.encode(arguments),
        )
        try:
            return self.run("EVALSHA", script.sha1, *rest)
        except NoScriptError:
            return self.run("EVAL", script.text, *rest)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.connection_pool.disconnect()

    def _check_ca(self, ca_file: Path) -> None:
        try:
            ssl.create_default_context(cafile=str(ca_file))
        except OSError as error:  # an SSLError is one
            problem = f"the CA file {ascii(str(ca_file))[1:-1]} cannot be used"
            raise StoreAccessError(
                self.name, f"{problem} ({self._shown(error)}): name a PEM file"
            ) from None

    def _in_words(self, error: RedisError) -> StoreError:
        said = self._shown(error)
        code = getattr(error, "status_code", None) or ""
        found = _CODE.search(said)
        # What went wrong inside a script is told in the middle of a sentence, or without its code.
        code = code if code in _IN_WORDS else found[1] if found else ""
        if _IN_SCRIPT in said:
            code = "NOPERM"
        kind: type[StoreError]
        if code in _IN_WORDS:
            kind, words = _IN_WORDS[code]
        elif isinstance(error, redis.AuthenticationError):
            kind, words = _DENIED
        elif isinstance(error, redis.TimeoutError):
            kind, words = (
                StoreUnavailableError,
                "no answer within 2 s: wait, or check it (and its TLS)",
            )
        elif "SSL" in said:
            kind = StoreAccessError
            words = "no TLS with it: check its certificate, the CA file, and that the port has TLS"
        elif isinstance(error, InvalidResponse) or _SPOKE_FIRST in said:
            kind, words = StoreForeignError, "the server is not Redis: check host and port"
        elif isinstance(error, redis.ConnectionError):
            kind = StoreUnavailableError
            words = (
                "not reachable: check host and port, that it is running, and "
                "whether it requires rediss://"
            )
        elif "DB index" in said:
            kind, words = StoreUrlError, "it has no database of this number: name another"
        else:
            kind, words = StoreError, "it failed for an unknown reason"
        return kind(self.name, f"{words} ({said})")

    def _shown(self, error: Exception) -> str:
        """Give what was said, without the password: a server may repeat what it did not take."""
        said = str(error) or type(error).__name__
        if self._secret:
            said = said.replace(self._secret, "***")
        return ascii(said)[1:-1][:_SHOWN_CHARACTERS]
