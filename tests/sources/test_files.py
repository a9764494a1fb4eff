import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from detector.events.decode import OVERSIZED
from pipelines.sources.compressed import CHUNK_BYTES, PackedFile
from pipelines.sources.files import InputError, UnreadableInputError, find_partitions
from pipelines.sources.lines import LONGEST_LINE, LineBlocks


def paths(found: list[tuple[str, ...]]) -> list[list[str]]:
    return [[Path(path).name for path in files] for files in found]


def partitions(*inputs: object) -> list[list[str]]:
    return paths([one.paths for one in find_partitions([str(text) for text in inputs])])


def whole(blocks: LineBlocks) -> bytes:
    return b"".join(iter(blocks.next, b""))


def chunked(content: bytes, sizes: list[int]) -> Iterator[bytes]:
    for size in sizes:
        if content:
            yield content[:size]
            content = content[size:]
    while content:
        yield content[:CHUNK_BYTES]
        content = content[CHUNK_BYTES:]
    yield b""


def read_all(path: Path) -> bytes:
    file = PackedFile(str(path))
    content = b"".join(iter(file.read, b""))
    file.close()
    return content


def made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(name)


@given(st.lists(st.binary(max_size=20)).map(b"\n".join), st.lists(st.integers(1, 9), max_size=40))
def test_lines_come_whole_however_the_bytes_were_cut(content: bytes, sizes: list[int]) -> None:
    chunks = chunked(content, sizes)
    blocks = list(iter(LineBlocks(lambda: next(chunks)).next, b""))
    assert b"".join(blocks) == content
    assert all(block.endswith(b"\n") for block in blocks[:-1])


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("extra", [1, CHUNK_BYTES, 9 * CHUNK_BYTES + 17])
def test_a_line_beyond_the_limit_becomes_one_short_record(extra: int, end: bytes) -> None:
    content = b"before\n" + b"x" * (LONGEST_LINE + extra) + end
    chunks = chunked(content, [CHUNK_BYTES] * 12)
    got = whole(LineBlocks(lambda: next(chunks)))
    assert got == b"before\n" + OVERSIZED + b"x" * 200 + end


def test_the_lines_behind_one_beyond_the_limit_are_not_lost() -> None:
    content = b"x" * (3 * LONGEST_LINE) + b"\nnext\n" + b"y" * LONGEST_LINE + b"\nlast"
    chunks = chunked(content, [])
    got = whole(LineBlocks(lambda: next(chunks)))
    assert got.split(b"\n") == [OVERSIZED + b"x" * 200, b"next", b"y" * LONGEST_LINE, b"last"]


@given(st.binary(max_size=5_000), st.integers(0, 4_000))
def test_packed_files_give_what_was_packed_into_them(content: bytes, cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log")
        for pack in (gzip.compress, zstandard.ZstdCompressor().compress):
            for packed in (pack(content), pack(content[:cut]) + pack(content[cut:])):
                path.write_bytes(packed)
                assert read_all(path) == content


def test_zeros_behind_gzip_are_padding(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"one\n") + b"\x00" * 1024)
    assert read_all(path) == b"one\n"


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_cut_file_gives_what_came_before_and_then_the_error(pack: object, tmp_path: Path) -> None:
    content = b"".join(b"line %d of many\n" % n for n in range(200_000))
    packed = pack(content)  # type: ignore[operator]
    path = tmp_path / "log"
    path.write_bytes(packed[: len(packed) // 2])
    file = PackedFile(str(path))
    chunks: list[bytes] = []
    with pytest.raises(UnreadableInputError, match="damaged or incomplete"):
        chunks.extend(iter(file.read, b""))
    got = b"".join(chunks)
    assert len(got) > len(content) // 4
    assert content.startswith(got)
    file.close()


def test_looking_at_a_file_takes_nothing_away(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"abc\n" * 1000))
    file = PackedFile(str(path))
    assert file.peek(5) == b"abc\na"
    assert b"".join(iter(file.read, b"")) == b"abc\n" * 1000
    file.close()


def test_a_little_zstd_that_stands_for_much_comes_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "log.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(b"\x00" * (64 << 20)))
    file = PackedFile(str(path))
    sizes = [len(chunk) for chunk in iter(file.read, b"")]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= CHUNK_BYTES
    file.close()


def test_each_named_file_is_a_partition_and_a_rotated_log_is_one(tmp_path: Path) -> None:
    made(tmp_path, "mail.log", "mail.log.1", "mail.log.2.gz", "a.ndjson", "b.ndjson", ".hidden")
    (tmp_path / "folder").mkdir()
    log = ["mail.log.2.gz", "mail.log.1", "mail.log"]
    assert partitions(tmp_path / "b.ndjson", tmp_path / "a.ndjson") == [["b.ndjson"], ["a.ndjson"]]
    assert partitions(tmp_path) == [["a.ndjson"], ["b.ndjson"], log]
    assert partitions(tmp_path / "mail.*") == [log]
    assert partitions("-", tmp_path / "a.ndjson") == [["-"], ["a.ndjson"]]


def test_a_file_reached_twice_counts_once(tmp_path: Path) -> None:
    made(tmp_path, "a.ndjson")
    (tmp_path / "same.ndjson").symlink_to(tmp_path / "a.ndjson")
    found = partitions(tmp_path / "a.ndjson", tmp_path, f"{tmp_path}/../{tmp_path.name}/a.ndjson")
    assert found == [["a.ndjson"]]


def test_what_a_person_named_is_told_from_what_lay_about(tmp_path: Path) -> None:
    made(tmp_path, "a.ndjson", "b.ndjson")
    found = find_partitions([str(tmp_path), str(tmp_path / "b.ndjson")])
    assert [(Path(one.name).name, one.named) for one in found] == [
        ("a.ndjson", False),
        ("b.ndjson", True),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere.log", "no such file: check the path"),
        ("*.none", "no file matches"),
        (".", "has no files"),
        ("a\x00b", "NUL"),
        ("\u202egnol", "\\\\u202egnol"),
        ("x" * 5_000, "name is too long"),
    ],
)
def test_an_input_that_names_no_file_is_an_error(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        find_partitions([text])
