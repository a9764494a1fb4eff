"""One address, one store: `sqlite:///path` or `memory:`."""

from pathlib import Path

from detector.errors import StoreUrlError
from pipelines.ports import BlockStore
from pipelines.stores.memory import MemoryStore

__all__ = ["open_store"]

_SQLITE = "sqlite:///"
_REDIS = ("redis:", "rediss:", "unix:", "valkey:")


def open_store(url: str, *, read_only: bool = False) -> BlockStore:
    """Open the store that an address names; a SQLite file is made unless `read_only`.

    `sqlite:///name.db` is a path from the working directory, `sqlite:////var/lib/name.db` an
    absolute one. The path is taken as it stands, without any decoding.

    Raises:
        StoreUrlError: no such kind of store.
        StoreError: it cannot be opened (see `SqliteStore`).
    """
    if url == "memory:":
        return MemoryStore()
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        from pipelines.stores.sqlite import SqliteStore

        return SqliteStore(Path(url.removeprefix(_SQLITE)), read_only=read_only)
    shown = ascii(url)[1:-1]
    if url.startswith(_REDIS):
        raise StoreUrlError(shown, "Redis stores are not in this version: use sqlite:///PATH")
    raise StoreUrlError(
        shown,
        "not the address of a store: allowed are sqlite:///PATH (four slashes for an absolute "
        "path) and memory:",
    )
