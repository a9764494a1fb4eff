"""A followed log gives each of its lines once, whatever is done to its files."""

import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.events.decode import OVERSIZED
from pipelines.sources.files import InputError, UnreadableInputError
from pipelines.sources.follow import Block, FollowedLog
from pipelines.sources.lines import LONGEST_LINE
from pipelines.sources.rotated import Place, open_log

OPEN: list[FollowedLog] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


@dataclass
class Reader:
    """Reads a followed log to its end, and can be killed."""

    path: Path
    place: Place | None = None
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = FollowedLog(str(self.path), self.place, self._hear)
        OPEN.append(self.log)

    def _hear(self, words: str, path: str) -> None:
        self.said.append(f"{Path(path).name} {words}")

    def read(self, looks: int = 4) -> bytes:
        """Give what comes until several looks found nothing."""
        got = b""
        while looks:
            block = self.log.look()
            got += block.data
            self.log.take(block)
            looks -= not block.size
        return got

    def again(self) -> "Reader":
        """Another process, from where this one is."""
        self.log.close()
        return Reader(self.path, self.log.place)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mail.log"


def add(path: Path, *lines: str) -> None:
    with path.open("ab") as file:
        file.write("".join(lines).encode())


def rotate(path: Path, *, kept: int = 3) -> None:
    """Rename as logrotate does; the new file is made by whoever writes."""
    for number in range(kept - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{number + 1}"))
    path.rename(path.with_name(f"{path.name}.1"))


def test_lines_come_when_they_are_whole(path: Path) -> None:
    add(path, "one\ntw")
    reader = Reader(path)
    assert reader.read() == b"one\n"
    add(path, "o\nthree")
    assert reader.read() == b"two\n"
    add(path, "\n")
    assert (reader.read(), reader.said) == (b"three\n", [])


def test_what_was_not_taken_is_looked_at_again(path: Path) -> None:
    add(path, "one\n", "two\n", "three\n")
    log = Reader(path).log
    assert log.look() == log.look() == Block(b"one\ntwo\nthree\n", 14, 3)
    log.take(log.look().first(2))
    assert log.look() == Block(b"three\n", 6, 1)
    place = log.place
    assert place is not None
    assert (place.offset, place.line) == (8, 2)


def test_a_file_that_is_not_there_yet_is_waited_for_and_told_once(path: Path) -> None:
    reader = Reader(path)
    assert (reader.read(), reader.log.is_watched, len(reader.said)) == (b"", False, 1)
    add(path, "one\n")
    assert (reader.read(), reader.log.is_watched, len(reader.said)) == (b"one\n", True, 1)


def test_a_renamed_file_is_read_to_its_end_before_the_next_one(path: Path) -> None:
    add(path, "one\n")
    reader = Reader(path)
    assert reader.read() == b"one\n"
    old = path.open("ab", buffering=0)
    rotate(path)
    old.write(b"two\n")
    assert reader.read() == b"two\n"
    add(path, "")
    old.write(b"three\n")
    assert reader.read() == b"three\n", "the new file is there and empty: the writer is in the old"
    assert reader.log.is_watched
    old.write(b"four\n")
    old.close()
    add(path, "five\n")
    assert reader.read() == b"four\nfive\n"
    assert reader.said == [
        "mail.log does not exist at present: waiting for the next file of the log",
        "mail.log continues with the next file of the log",
    ]


def test_a_last_line_without_lf_counts_once_its_file_is_over(path: Path) -> None:
    add(path, "one\ntwo")
    reader = Reader(path)
    assert reader.read() == b"one\n"
    rotate(path)
    add(path, "three\n")
    assert reader.read() == b"two\nthree\n"


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("rotations", [1, 2, 3])
def test_rotations_while_nobody_read_lose_nothing(path: Path, rotations: int, pack: bool) -> None:
    add(path, "0a\n", "0b\n")
    reader = Reader(path)
    reader.log.take(reader.log.look().first(1))
    for number in range(1, rotations + 1):
        rotate(path)
        add(path, f"{number}a\n", f"{number}b\n")
    if pack:
        packed(path.with_name(f"mail.log.{rotations}"))
    wanted = "".join(f"{n}{x}\n" for n in range(rotations + 1) for x in "ab").encode()
    assert reader.again().read() == wanted[3:]
    assert reader.log.place is not None
    running = Reader(path, reader.log.place)
    assert running.read() == wanted[3:]


def packed(file: Path) -> None:
    file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()


def test_dated_files_come_in_the_order_of_their_dates(path: Path) -> None:
    add(path, "one\n")
    reader = Reader(path)
    assert reader.read() == b"one\n"
    path.rename(path.with_name("mail.log-20260101"))
    packed(path.with_name("mail.log-20260101"))
    add(path.with_name("mail.log-20260102"), "two\n")
    add(path, "three\n")
    assert reader.again().read() == b"two\nthree\n"


def test_a_file_that_is_being_packed_counts_once(path: Path) -> None:
    add(path, "one\n")
    reader = Reader(path)
    assert reader.read() == b"one\n"
    rotate(path)
    old = path.with_name("mail.log.1")
    half = gzip.compress(old.read_bytes())[:-9]
    old.with_name("mail.log.1.gz").write_bytes(half)
    add(path, "two\n")
    assert reader.again().read() == b"two\n"
    packed(old)
    assert reader.read() == b"two\n"


def test_a_copied_and_emptied_file_goes_on_in_its_copy(path: Path) -> None:
    add(path, "one\n", "two\n")
    reader = Reader(path)
    reader.log.take(reader.log.look().first(1))
    copytruncate(path)
    add(path, "three\n")
    assert reader.read() == b"two\nthree\n"
    copytruncate(path)
    add(path, "four, which is longer than what stood there\n")
    assert reader.again().read() == b"four, which is longer than what stood there\n"


@pytest.mark.parametrize("old", [b"", b"of yesterday\n"])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("packed", [False, True])
def test_a_log_that_was_empty_when_a_reader_was_killed_is_read_from_its_copies(
    tmp_path: Path, old: bytes, times: int, *, packed: bool
) -> None:
    path = tmp_path / "mail.log"
    path.write_bytes(b"")
    if old:
        (tmp_path / "mail.log.1").write_bytes(old)
    reader = Reader(path)
    assert reader.read() == b""
    wanted = b""
    for number in range(times):
        lines = b"before copy %d\n" % number
        path.write_bytes(lines)
        wanted += lines
        for age in (2, 1):
            for end in ("", ".gz"):
                rotated = tmp_path / f"mail.log.{age}{end}"
                if rotated.exists():
                    rotated.rename(tmp_path / f"mail.log.{age + 1}{end}")
        if packed:
            (tmp_path / "mail.log.1.gz").write_bytes(gzip.compress(lines))
        else:
            (tmp_path / "mail.log.1").write_bytes(lines)
        os.truncate(path, 0)
    path.write_bytes(b"after them\n")
    assert reader.again().read() == wanted + b"after them\n"


def copytruncate(path: Path) -> None:
    rotate(path)
    shutil.copyfile(path.with_name(f"{path.name}.1"), path)
    path.rename(path.with_name("kept"))
    path.with_name(f"{path.name}.1").rename(path)
    path.with_name("kept").rename(path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)


@pytest.mark.parametrize("restart", [False, True])
def test_a_file_that_was_cut_back_is_read_from_its_beginning(path: Path, restart: bool) -> None:
    add(path, "one\n", "two\n")
    reader = Reader(path)
    assert reader.read() == b"one\ntwo\n"
    path.write_bytes(b"new\n")
    if restart:
        reader = reader.again()
    assert reader.read() == b"new\n"
    path.write_bytes(b"as long as it was, or longer\n")
    assert reader.read() == b"as long as it was, or longer\n"
    assert len(reader.said) == 2


def test_another_file_with_the_same_inode_is_another_file(path: Path) -> None:
    add(path, "one\n")
    reader = Reader(path)
    assert reader.read() == b"one\n"
    again = reader.again()
    path.write_bytes(b"two\nthree\n")  # the inode stays, as a new file may get that of an old one
    assert again.read() == b"two\nthree\n"
    assert len(again.said) == 1


def test_what_was_lost_is_told(path: Path) -> None:
    add(path, "one\n")
    reader = Reader(path)
    assert reader.read() == b"one\n"
    path.rename(path.with_name("elsewhere"))
    add(path, "two\n")
    again = reader.again()
    assert again.read() == b"two\n"
    assert "what had not been read of it is lost" in again.said[0]


def test_a_file_that_is_away_for_a_while_goes_on_where_it_was(path: Path) -> None:
    add(path, "one\n")
    reader = Reader(path)
    assert reader.read() == b"one\n"
    path.rename(path.with_name("elsewhere"))
    again = reader.again()
    assert (again.read(), again.log.is_watched) == (b"", False)
    path.with_name("elsewhere").rename(path)
    add(path, "two\n")
    assert again.read() == b"two\n"


def test_an_empty_file_is_followed_into_the_next(path: Path) -> None:
    add(path, "")
    reader = Reader(path)
    assert reader.read() == b""
    rotate(path)
    add(path, "one\n")
    assert reader.again().read() == b"one\n"
    assert reader.read() == b"one\n"


def test_a_line_beyond_the_limit_is_one_short_record(path: Path) -> None:
    add(path, "one\n", "x" * (LONGEST_LINE + 5))
    reader = Reader(path)
    got = reader.read()
    assert got.startswith(b"one\n" + OVERSIZED + b"xxx")
    assert got.count(b"\n") == 2
    add(path, "x" * LONGEST_LINE)
    again = reader.again()
    assert again.read() == b""
    add(path, "x\ntwo\n")
    assert again.read() == b"two\n"
    place = again.log.place
    assert place is not None
    assert place.line == 3


def test_a_byte_order_mark_is_no_part_of_the_first_line(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfone\ntwo\n")
    log = Reader(path).log
    log.take(log.look().first(1))
    assert Reader(path, log.place).read() == b"two\n"


def test_a_broken_packing_is_left_with_a_word(path: Path) -> None:
    add(path, "one\n")
    reader = Reader(path)
    assert reader.read() == b"one\n"
    rotate(path)
    whole = gzip.compress(b"one\n" + os.urandom(5_000).hex().encode() + b"\n")
    path.with_name("mail.log.1").write_bytes(whole[:2_000])
    add(path, "two\n")
    again = reader.again()
    assert again.read().endswith(b"\ntwo\n")
    assert any("damaged or incomplete" in words for words in again.said)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Path.mkdir, InputError),
        (os.mkfifo, InputError),
        (lambda path: path.symlink_to(path), UnreadableInputError),
    ],
)
def test_what_is_no_file_is_refused(
    path: Path, make: Callable[[Path], object], kind: type[InputError]
) -> None:
    make(path)
    with pytest.raises(kind):
        open_log(str(path))


@given(st.data())
def test_every_line_comes_once_through_any_order_of_events(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "mail.log"
    add(path, "begin\n")
    reader, written = Reader(path), b"begin\n"
    got = reader.read()
    steps = st.sampled_from(("write", "part", "read", "some", "kill", "rotate", "copy", "pack"))
    for number, step in enumerate(data.draw(st.lists(steps, max_size=25))):
        match step:
            case "write" | "part":
                text = f"{number} line\n{number} begins" + "\n" * (step == "write")
                add(path, text)
                written += text.encode()
            case "read":
                got += reader.read()
            case "some":
                block = reader.log.look()
                block = block.first(1) if block.lines else block
                got += block.data
                reader.log.take(block)
            case "kill":
                reader = reader.again()
            case "rotate" if path.exists() and path.stat().st_size:
                rotate(path, kept=99)
                written += b"\n" * (not written.endswith(b"\n"))
            case "copy" if path.exists() and path.stat().st_size and written.endswith(b"\n"):
                got += reader.read()
                copytruncate(path)
            case "pack":
                for file in path.parent.glob("mail.log.[2-9]"):
                    packed(file)
            case _:
                pass
    add(path, "end\n")
    got += reader.read()
    assert got == written + b"end\n"
