"""One address, one store: `sqlite:///path`, `redis://host:port/db` or `memory:`."""

from pathlib import Path

from detector.errors import StoreUrlError
from pipelines.ports import BlockStore
from pipelines.stores.memory import MemoryStore
from pipelines.stores.redis_url import REDIS_SCHEMES, shown_url

__all__ = ["open_store"]

_SQLITE = "sqlite:///"


def open_store(
    url: str,
    *,
    read_only: bool = False,
    password: str | None = None,
    ca_file: Path | None = None,
) -> BlockStore:
    """Open the store that an address names; a SQLite file is made unless `read_only`.

    `sqlite:///name.db` is a path from the working directory, `sqlite:////var/lib/name.db` an
    absolute one. The path is taken as it is, without any decoding. `redis://`, with TLS
    `rediss://`, and `unix://` name a Redis or Valkey; `password` goes before that of the address,
    and `ca_file` (PEM) before the authorities that the system trusts.

    Raises:
        StoreUrlError: no such kind of store.
        StoreError: it cannot be opened (see `SqliteStore` and `RedisStore`).
    """
    if url == "memory:":
        return MemoryStore()
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        from pipelines.stores.sqlite import SqliteStore

        return SqliteStore(Path(url.removeprefix(_SQLITE)), read_only=read_only)
    if url.startswith(REDIS_SCHEMES):
        from pipelines.stores.redis import RedisStore

        return RedisStore(url, password=password, ca_file=ca_file)
    raise StoreUrlError(
        shown_url(url),
        "not the address of a store: allowed are sqlite:///PATH (four slashes for an absolute "
        "path), redis://HOST:PORT/DB, rediss:// for TLS, unix:///PATH, and memory:",
    )
