"""What an export writes, what it refuses, and what it keeps."""

import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipelines.exports.entries import Edition, Entry, ExportRefusedError, checked
from pipelines.exports.publishing import FORCED, FORMATS, Published, Target, publish
from pipelines.stores.memory import MemoryStore
from tests.exports.programs import ask, program, rbldnsd_serving
from tests.stored_changes import FAR, change

NOW_MS = 1_700_000_100_000
V6 = "2001:db8:1:2::/64"


def store_with(*changes: dict[str, Any]) -> MemoryStore:
    store = MemoryStore()
    store.apply(changes)
    return store


def some() -> MemoryStore:
    return store_with(
        change(1, subject="192.0.2.7"),
        change(2, subject="192.0.2.30", tier="standing"),
        change(3, subject=V6),
        change(4, subject="198.51.100.9", shadow=True),
        change(5, subject="192.0.2.8"),
        change(6, "expire", subject="192.0.2.8"),
    )


def export(
    store: MemoryStore, folder: Path, kind: str = "plain", force: str = "", now_ms: int = NOW_MS
) -> Published:
    return publish(store, now_ms, Target(kind, folder, 600, "https://lists.example/{ip}"), force)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_plain_export_is_sorted_by_address_and_has_no_shadow_listing(tmp_path: Path) -> None:
    done = export(some(), tmp_path)
    assert lines(tmp_path / "listed.txt") == ["192.0.2.7", "192.0.2.30", V6]
    assert (done.listed, done.shadow, done.kept) == (3, 1, 0)


def test_the_json_export_marks_shadow_and_standing_listings(tmp_path: Path) -> None:
    export(some(), tmp_path, "json")
    rows = [orjson.loads(line) for line in lines(tmp_path / "listed.ndjson")]
    told = {row["subject"]: (row["tier"], row["shadow"]) for row in rows}
    assert told["192.0.2.30"] == ("standing", False)
    assert told["198.51.100.9"] == ("temporary", True)


def test_postfix_reads_the_table_and_rejects_who_is_listed(tmp_path: Path) -> None:
    export(some(), tmp_path, "postfix")
    table = f"cidr:{tmp_path / 'floodwatch.cidr'}"

    def query(address: str) -> str:
        command = [program("postmap"), "-q", address, table]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    assert query("192.0.2.7").startswith("REJECT listed by floodwatch")
    assert "see https://lists.example/192.0.2.7" in query("192.0.2.7")
    assert query("2001:db8:1:2::99").startswith("REJECT")
    assert query("2001:db8:1:3::99") == query("198.51.100.9") == ""


def test_rbldnsd_serves_the_list_as_rfc_5782_asks(tmp_path: Path) -> None:
    export(some(), tmp_path, "rbldnsd")
    with rbldnsd_serving(tmp_path) as port:
        assert ask(port, "192.0.2.7") == ["127.0.0.2"]
        assert ask(port, "192.0.2.30") == ["127.0.0.3"]
        assert ask(port, "2001:db8:1:2::99") == ["127.0.0.2"]
        assert "see https://lists.example/192.0.2.7" in ask(port, "192.0.2.7", "TXT")[0]
        assert ask(port, "192.0.2.8") == ask(port, "198.51.100.9") == []
        assert ask(port, "127.0.0.2") == ask(port, "::ffff:7f00:2") == ["127.0.0.2"]
        assert ask(port, "127.0.0.1") == ask(port, "::ffff:7f00:1") == []


def test_a_name_server_takes_the_policy_zone(tmp_path: Path) -> None:
    export(some(), tmp_path, "rpz")
    zone = tmp_path / "floodwatch.rpz"
    command = [program("named-checkzone"), "floodwatch.rpz", str(zone)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "64.zz.2.1.db8.2001.rpz-client-ip CNAME ." in lines(zone)


@pytest.mark.parametrize(
    "subject",
    ["192.0.2.0/24", "2001:db8::/32", "2001:db8:1:2::1/64", "127.0.0.1", "10.0.0.1", "0.0.0.0/0",
     "::/64", "a.example", "192.0.2.7\n198.51.100.0/24", " "],
)  # fmt: skip
@pytest.mark.parametrize("kind", FORMATS)
def test_what_must_not_be_published_keeps_the_files_that_stand(
    subject: str, kind: str, tmp_path: Path
) -> None:
    export(some(), tmp_path, kind)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ExportRefusedError, match="the existing files are kept"):
        export(store_with(change(1, subject=subject)), tmp_path, kind)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_emptied_store_does_not_empty_the_list_before_the_hard_end(tmp_path: Path) -> None:
    export(some(), tmp_path)
    done = export(MemoryStore(), tmp_path)
    assert (done.listed, done.kept) == (3, 4)
    assert lines(tmp_path / "listed.txt") == ["192.0.2.7", "192.0.2.30", V6]
    assert export(MemoryStore(), tmp_path, now_ms=FAR * 101).listed == 0


def test_a_change_that_ended_a_listing_takes_it_out_at_once(tmp_path: Path) -> None:
    store = some()
    export(store, tmp_path)
    store.apply([change(7, "remove", subject="192.0.2.7"), change(8, "expire", subject=V6)])
    done = export(store, tmp_path)
    assert lines(tmp_path / "listed.txt") == ["192.0.2.30"]
    assert done.kept == 0


def test_an_operator_may_drop_what_the_store_lost_and_the_store_keeps_why(tmp_path: Path) -> None:
    export(some(), tmp_path)
    fresh = MemoryStore()
    done = export(fresh, tmp_path, force="moved to a new store")
    assert (done.listed, done.kept) == (0, 0)
    kept = orjson.loads(fresh.fact(FORCED) or "")
    assert (kept["reason"], kept["dropped"]) == ("moved to a new store", 4)


def test_a_damaged_memory_of_what_was_published_is_refused(tmp_path: Path) -> None:
    export(some(), tmp_path)
    (tmp_path / ".plain.published").write_bytes(b'{"format": 1')
    with pytest.raises(ExportRefusedError, match="cannot be read: remove it"):
        export(some(), tmp_path)


def test_a_full_folder_leaves_no_part_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        export(some(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_can_be_read_by_the_users_of_other_programs(tmp_path: Path) -> None:
    export(some(), tmp_path, "rbldnsd")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.rbl")} == {0o644}


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_edition_gives_the_same_bytes_in_any_order(kind: str) -> None:
    entries = [Entry(f"192.0.2.{n}", n % 2 == 0, n % 3 == 0, NOW_MS) for n in range(1, 40)]

    def files(given: list[Entry]) -> dict[str, bytes]:
        ordered = checked(given)
        blocking = tuple(one for one in ordered if not one.shadow)
        shadow = tuple(one for one in ordered if one.shadow)
        return FORMATS[kind](Edition(blocking, shadow, NOW_MS))

    assert files(entries) == files(entries[::-1])
