"""Snapshots as files: written to the side and renamed, with the one before kept to fall back to."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from detector.errors import SnapshotError
from pipelines.new_file import open_beside

__all__ = ["age_and_size", "load_snapshot", "previous_path", "save_snapshot"]

T = TypeVar("T")


def previous_path(path: Path) -> Path:
    """Give where the snapshot before the one at `path` is kept."""
    return path.with_name(path.name + ".previous")


def age_and_size(path: Path, now_ms: int) -> tuple[float, int] | None:
    """Give how old the newest snapshot is, seconds, and its bytes; None where there is none."""
    for place in (path, previous_path(path)):
        with suppress(OSError):
            found = place.stat()
            return max(0.0, now_ms / 1000 - found.st_mtime), found.st_size
    return None


def save_snapshot(path: Path, blob: bytes) -> None:
    """Write a snapshot so that, whenever the machine stops, a whole one can be loaded.

    The bytes are on the disk before a name points to them; the snapshot that stood at `path`
    becomes the previous one.

    Raises:
        SnapshotError: it could not be written (full disk, no permission); what was there stays.
    """
    aside: Path | None = None
    try:
        with open_beside(path) as file:
            aside = Path(file.name)
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            path.replace(previous_path(path))
        aside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if aside is not None:
            with suppress(OSError):
                aside.unlink()
        raise SnapshotError(f"cannot write {path}: {error.strerror}") from error


def load_snapshot(path: Path, read: Callable[[bytes], T]) -> tuple[T, list[SnapshotError]] | None:
    """Read the newest usable snapshot; None where there is none at all.

    `read` makes something of the bytes and raises a `SnapshotError` where they are of no use; it is
    called anew for the previous snapshot. The errors are those of newer snapshots passed over.

    Raises:
        SnapshotError: there are snapshots, and none is usable.
    """
    errors: list[SnapshotError] = []
    for place in (path, previous_path(path)):
        try:
            return read(place.read_bytes()), errors
        except FileNotFoundError:
            continue
        except OSError as error:
            errors.append(SnapshotError(f"cannot read {place}: {error.strerror}"))
        except SnapshotError as error:
            errors.append(SnapshotError(f"{place}: {error.problem}"))
    if errors:
        raise SnapshotError("; ".join(error.problem for error in errors))
    return None
