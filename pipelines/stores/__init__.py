"""Block stores: what is listed now, and every change that made it so."""

from pipelines.stores.open_store import open_store

__all__ = ["open_store"]
