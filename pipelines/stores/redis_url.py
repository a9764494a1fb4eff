"""Addresses of Redis stores: read without the library, and shown without the password."""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from detector.errors import StoreUrlError

__all__ = ["REDIS_SCHEMES", "RedisUrl", "masked_url", "redis_url", "shown_url"]

REDIS_SCHEMES: Final = ("redis://", "rediss://", "unix://")
_PORT: Final = 6379
_ALLOWED: Final = (
    "allowed are redis://[USER:PASSWORD@]HOST:PORT/DB, rediss:// for TLS, and "
    "unix://[USER:PASSWORD@]/PATH?db=DB"
)
_CREDENTIALS: Final = re.compile(r"(?<=://)([^:@/]*):.*@", re.DOTALL)
_LONE_PASSWORD: Final = re.compile(r"(?<=password=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """Where a server is; `path` is that of its socket, "" where it has a host and a port."""

    host: str
    port: int
    path: str
    database: int
    tls: bool
    username: str | None
    password: str | None = field(repr=False)


def masked_url(url: str) -> str:
    """Give an address with *** for its password; one without any is left as it is.

    >>> masked_url("redis://publisher:p@ss/word@db.example:6379/0")
    'redis://publisher:***@db.example:6379/0'
    >>> masked_url("sqlite:///of:me@home.db")
    'sqlite:///of:me@home.db'
    """
    return _LONE_PASSWORD.sub("***", _CREDENTIALS.sub(r"\1:***@", url))


def shown_url(url: str) -> str:
    r"""Give the same in printable ASCII, as errors show it.

    >>> shown_url("redis://:secret@\x1b.example/0")
    'redis://:***@\\x1b.example/0'
    """
    return masked_url(ascii(url)[1:-1])


def redis_url(url: str) -> RedisUrl:
    """Take an address apart.

    Raises:
        StoreUrlError: it is none, or asks for an option that we do not have.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
    except ValueError:
        raise _wrong(url, "it cannot be parsed (percent-encode / and # in the password)") from None
    if parts.fragment:
        raise _wrong(url, "it contains a # (write %23 in a password)")
    unix = parts.scheme == "unix"
    path = unquote(parts.path)
    database = options.pop("db", "0") if unix else path.removeprefix("/") or "0"
    if options:
        raise _wrong(url, f"it has the option {ascii(min(options))[1:-1]}, which is not supported")
    if not (database.isascii() and database.isdigit()):
        raise _wrong(url, "its database must be a number")
    if unix and (parts.hostname or path in ("", "/")):
        raise _wrong(url, "it has no socket path (three slashes, then the path)")
    return RedisUrl(
        host=parts.hostname or "localhost",
        port=port,
        path=path if unix else "",
        database=int(database),
        tls=parts.scheme == "rediss",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _wrong(url: str, problem: str) -> StoreUrlError:
    return StoreUrlError(shown_url(url), f"{problem}: {_ALLOWED}")
