"""Nothing from a log reaches a terminal or a file of ours as it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cli.shown import subject_of
from pipelines.console.escaped import escaped, escaped_bytes
from pipelines.stages.publish import OutputError, SideFile
from pipelines.wire import ascii_json
from tests.cli.command_line import Call, event, lines, started, story


@given(st.text())
def test_escaped_text_is_printable_and_tells_texts_apart_in_plain_ones(text: str) -> None:
    assert escaped(text).isprintable()
    if text.isprintable():
        assert escaped(text) == text


@given(st.binary())
def test_escaped_bytes_are_printable(content: bytes) -> None:
    assert escaped_bytes(content).isprintable()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_ascii_json_is_the_same_json_in_printable_ascii(text: str) -> None:
    line = ascii_json(json.dumps({"x": text}, ensure_ascii=False).encode())
    assert json.loads(line) == {"x": text}
    assert all(0x20 <= byte < 0x7F for byte in line)


@given(st.ip_addresses())
def test_every_address_belongs_to_a_subject_and_a_subject_to_itself(address: object) -> None:
    subject = subject_of(str(address))
    assert subject_of(subject) == subject


def test_hostile_text_of_events_stays_out_of_every_file_and_page(floodwatch: Call) -> None:
    evil = "\u202e\x1b]0;x\x07\x9b31m\u2028"
    victim = f"{evil}ann@{evil}.exa{evil}mple"
    bad = event(1, f"192.0.2.1{evil}", "a@b.example")
    hostile = [
        one | {"recipient": victim} if "club" in one["recipient"] else one for one in story()
    ]
    Path("mail.ndjson").write_bytes(lines([*hostile, bad]))
    told = floodwatch("replay", "mail.ndjson", "--decisions", "d", "--rejects", "r")
    assert told.code == 0
    listed = floodwatch("list", "--json").out.split("\n")
    assert len(listed) > 100
    subject = json.loads(listed[0])["subject"]
    shown = [
        told.out,
        told.err,
        *(floodwatch(c, subject).out for c in ("lookup", "explain", "remove")),
    ]
    shown += [floodwatch(c, subject, "--json").out for c in ("lookup", "explain")]
    shown += [Path(name).read_bytes().decode() for name in ("d", "r")]
    for text in shown:
        assert not {c for c in text if not c.isprintable()} - {"\n"}


def test_a_reader_that_has_seen_enough_is_no_failure(floodwatch: Call, tmp_path: Path) -> None:
    Path("mail.ndjson").write_bytes(lines(story()))
    floodwatch("replay", "mail.ndjson")
    reader, writer = os.pipe()
    os.close(reader)
    with started("list", "--json", cwd=tmp_path) as process:
        process.communicate()
    done = subprocess.run(
        process.args, stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_side_file_takes_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "d"
    path.write_text("before")
    with SideFile(path) as file:
        file.write(b"half")
        assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["d"]
    with SideFile(path) as file:
        file.write(b"whole")
        file.commit()
    assert path.read_text() == "whole"
    assert [one.name for one in tmp_path.iterdir()] == ["d"]


def test_a_link_keeps_leading_where_it_led(tmp_path: Path) -> None:
    (tmp_path / "to").write_text("before")
    (tmp_path / "link").symlink_to(tmp_path / "to")
    with SideFile(tmp_path / "link") as file:
        file.write(b"new")
        file.commit()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "to").read_text() == "new"


def test_a_device_is_written_as_it_comes() -> None:
    with SideFile(Path("/dev/null")) as file:
        file.write(b"nothing")
        file.commit()
    with SideFile(Path("/dev/full")) as file:
        file.write(b"nothing")
        with pytest.raises(OutputError, match="No space left"):
            file.commit()


@pytest.mark.parametrize(
    ("name", "said"), [("no/where", "no such directory"), (".", "a directory")]
)
def test_a_place_where_no_file_can_be_is_told(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=said):
        SideFile(tmp_path / name)


def test_the_module_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "schema", "decision"],
        cwd=Path(__file__).resolve().parents[2], capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["type"] == "object"
