"""Tables from files: plain, packed and MMDB answer alike, and what is broken is said in words."""

import gzip
import hashlib
import ipaddress
from pathlib import Path

import pytest
import zstandard

from detector.errors import AsnTableError, ProviderFileError
from pipelines.tables.asn_file import load_asn_files
from pipelines.tables.provider_file import load_providers

V4 = b"192.0.2.0\t192.0.2.255\t64496\tZZ\tEXAMPLE\n"
V6 = b"2001:db8::\t2001:db8:0:ffff:ffff:ffff:ffff:ffff\t64497\tZZ\tEXAMPLE-SIX\n"


def key(text: str) -> bytes:
    return ipaddress.ip_address(text).packed[:8]


KEYS = [key("192.0.2.7"), key("198.51.100.1"), key("2001:db8::1"), key("2001:db8:1::")]


def mmdb_text(text: str) -> bytes:
    size = len(text)
    head = bytes([0x40 | size]) if size < 29 else bytes([0x40 | 29, size - 29])
    return head + text.encode()


def mmdb_map(items: dict[str, bytes]) -> bytes:
    return bytes([0xE0 | len(items)]) + b"".join(mmdb_text(k) + v for k, v in items.items())


def mmdb_u16(number: int) -> bytes:
    return b"\xa2" + number.to_bytes(2)


def mmdb_u32(number: int) -> bytes:
    return b"\xc4" + number.to_bytes(4)


def mmdb(networks: dict[str, bytes]) -> bytes:
    """Write a minimal MMDB (format 2.0, IPv6 tree, 24-bit records)."""
    nodes: list[list[int | bytes]] = [[-1, -1]]
    for text, record in networks.items():
        network = ipaddress.ip_network(text)
        v4 = network.version == 4
        length = network.prefixlen + (96 if v4 else 0)
        bits = int(network.network_address)
        at = 0
        for depth in range(length):
            side = (bits >> (127 - depth)) & 1
            if depth == length - 1:
                nodes[at][side] = record
                break
            if nodes[at][side] == -1:
                nodes.append([-1, -1])
                nodes[at][side] = len(nodes) - 1
            child = nodes[at][side]
            assert isinstance(child, int)
            at = child
    tree, held = b"", b""
    for node in nodes:
        for link in node:
            number = link if isinstance(link, int) and link >= 0 else len(nodes)
            if isinstance(link, bytes):
                number += 16 + len(held)
                held += link
            tree += number.to_bytes(3)
    metadata = mmdb_map(
        {
            "binary_format_major_version": mmdb_u16(2),
            "binary_format_minor_version": mmdb_u16(0),
            "build_epoch": b"\x01\x02\x01",
            "database_type": mmdb_text("test-asn"),
            "description": mmdb_map({"en": mmdb_text("test")}),
            "ip_version": mmdb_u16(6),
            "languages": b"\x01\x04" + mmdb_text("en"),
            "node_count": mmdb_u32(len(nodes)),
            "record_size": mmdb_u16(24),
        }
    )
    return tree + bytes(16) + held + b"\xab\xcd\xefMaxMind.com" + metadata


def test_plain_gzip_and_zstd_answer_alike(tmp_path: Path) -> None:
    packed = {
        "t.tsv": V4 + V6,
        "t.gz": gzip.compress(V4) + gzip.compress(V6),
        "t.zst": zstandard.compress(V4) + zstandard.compress(V6),
    }
    for name, content in packed.items():
        (tmp_path / name).write_bytes(content)
        files = load_asn_files([tmp_path / name])
        assert files.lookup(KEYS).tolist() == [64496, -1, 64497, -1]
        assert files.digest == hashlib.sha256(V4 + V6).hexdigest()
        assert files.problems == ()


def test_several_tables_are_asked_in_order(tmp_path: Path) -> None:
    (tmp_path / "v4").write_bytes(V4)
    (tmp_path / "v6").write_bytes(V6 + b"192.0.2.0\t198.51.100.255\t64499\tZZ\tWIDE\n")
    files = load_asn_files([tmp_path / "v4", tmp_path / "v6"])
    assert files.lookup(KEYS).tolist() == [64496, 64499, 64497, -1]
    assert (files.name(64496), files.name(64497), files.name(1)) == ("EXAMPLE", "EXAMPLE-SIX", "")
    assert files.digest != load_asn_files([tmp_path / "v6", tmp_path / "v4"]).digest


def test_an_mmdb_answers_as_the_range_tables_do(tmp_path: Path) -> None:
    path = tmp_path / "asn.mmdb"
    path.write_bytes(
        mmdb(
            {
                "192.0.2.0/24": mmdb_map(
                    {
                        "autonomous_system_number": mmdb_u32(64496),
                        "autonomous_system_organization": mmdb_text("EXAMPLE\x1b[0m"),
                    }
                ),
                "2001:db8::/48": mmdb_map(
                    {"asn": mmdb_text("AS64497"), "name": mmdb_text("EXAMPLE-SIX")}
                ),
                "203.0.113.0/24": mmdb_map({"country": mmdb_text("ZZ")}),
            }
        )
    )
    files = load_asn_files([path])
    assert files.lookup([*KEYS, key("203.0.113.1")]).tolist() == [64496, -1, 64497, -1, -1]
    assert (files.name(64496), files.name(64497)) == (r"EXAMPLE\u001b[0m", "EXAMPLE-SIX")
    assert files.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_damaged_mmdb_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "asn.mmdb"
    path.write_bytes(mmdb({"192.0.2.0/24": mmdb_map({})})[:-20])
    with pytest.raises(AsnTableError, match=r"asn\.mmdb: the MMDB is damaged .* fetch the file"):
        load_asn_files([path])


def test_lines_left_out_are_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(V4 + b"rubbish\n" * 150)
    problems = load_asn_files([path]).problems
    assert problems[0] == f"{path}: line 2: fewer than 3 fields: rubbish"
    assert problems[-1] == f"{path}: and 50 more lines left out"
    assert len(problems) == 101


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(V4 * 100)[:-9], "its compression is damaged"),
        (gzip.compress(V4 * 100)[:20] + b"\xff" * 30, "its compression is damaged"),
        (zstandard.compress(V4 * 100)[:-1], "its compression is damaged"),
        (zstandard.compress(V4 * 100)[:8] + b"\xff" * 30, "its compression is damaged"),
        (b"\x28\xb5\x2f\xfd", "its compression is damaged"),
        (b"", "it is empty"),
        (b"rubbish", "none of its 1 lines could be read"),
    ],
)
def test_what_cannot_be_unpacked_or_read_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(AsnTableError, match=message):
        load_asn_files([tmp_path / "t"])


def test_a_file_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.tables.asn_file._MAX_TABLE_BYTES", 1 << 20)
    bombs = {"b.gz": gzip.compress(bytes(1 << 22)), "b.zst": zstandard.compress(bytes(1 << 22))}
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AsnTableError, match="larger than 1 MiB, the limit"):
            load_asn_files([tmp_path / name])


def test_a_missing_file_and_a_directory_are_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(AsnTableError, match=r"none\.tsv: no such file: check the path"):
        load_asn_files([tmp_path / "none.tsv"])
    with pytest.raises(AsnTableError, match="it is a directory: name the file in it"):
        load_asn_files([tmp_path])


def test_providers_come_from_the_shipped_file_or_from_ones_own(tmp_path: Path) -> None:
    assert load_providers().provider_of(16276, bytes(4)) == "OVH"
    path = tmp_path / "mine.toml"
    path.write_text('[[provider]]\nname = "Mine"\nasns = [64496]\n', encoding="utf-8")
    assert load_providers(path).names == ("Mine",)


def test_a_provider_file_that_cannot_be_read_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(ProviderFileError, match=r"mine\.toml: no such file"):
        load_providers(path)
    with pytest.raises(ProviderFileError, match="it is a directory"):
        load_providers(tmp_path)
    path.write_bytes(b"# \xff\n")
    with pytest.raises(ProviderFileError, match="not UTF-8 at byte 2"):
        load_providers(path)
