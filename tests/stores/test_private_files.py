"""Files that name recipients are readable by their owner alone, and no link leads elsewhere."""

import os
from pathlib import Path

import pytest

from pipelines.follow.lock import Lock
from pipelines.new_file import PUBLIC, open_beside, swept
from pipelines.snapshot_file import save_snapshot
from pipelines.stages.publish import SideFile
from pipelines.stores.sqlite import SqliteStore
from tests.cli.command_line import Call, floodwatch, lines, story

__all__ = ["floodwatch"]


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_all_that_a_replay_writes_is_private(floodwatch: Call) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    before = set(modes(Path()))
    done = floodwatch(
        "replay", "mail.ndjson", "--decisions", "d", "--floods", "f", "--rejects", "r", "--log", "l"
    )
    assert done.code == 0, done.err
    written = {name: mode for name, mode in modes(Path()).items() if name not in before}
    assert set(written) >= {"d", "f", "r", "l", "floodwatch.db"}
    assert set(written.values()) == {0o600}


def test_store_snapshot_and_lock_are_private_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = SqliteStore(tmp_path / "store.db")
        save_snapshot(tmp_path / "snapshot", b"x")
        lock = Lock(tmp_path / "store.db")
        assert set(modes(tmp_path).values()) == {0o600}, modes(tmp_path)
        lock.close()
        store.close()
    finally:
        os.umask(before)


def test_what_a_killed_run_left_is_swept_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    path = tmp_path / "decisions"
    (tmp_path / ".decisions.0123456789abcdef.part").write_bytes(b"left")
    with open_beside(path) as live:
        assert len(modes(tmp_path)) == 1
        assert swept(path) == 0
        with SideFile(path) as other:
            other.write(b"new")
            other.commit()
        assert Path(live.name).exists()
    assert path.read_bytes() == b"new"


def test_a_link_in_the_folder_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"kept")
    (tmp_path / ".decisions.0.part").symlink_to(target)
    with SideFile(tmp_path / "decisions") as file:
        file.write(b"new")
        file.commit()
    assert target.read_bytes() == b"kept"


@pytest.mark.parametrize("mask", [0o077, 0o000])
def test_a_public_file_is_readable_under_any_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with open_beside(tmp_path / "list", PUBLIC) as file:
            assert Path(file.name).stat().st_mode & 0o777 == PUBLIC
    finally:
        os.umask(before)
