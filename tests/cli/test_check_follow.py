"""`floodwatch check` of a run that follows logs: it needs no Kafka, and asks none."""

from pathlib import Path

import pytest

from tests.cli.command_line import Call, lines, story


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mail.log").write_bytes(lines(story()[:20]))
    (tmp_path / "follow.toml").write_text('[detect]\nsnapshot = "state"\n')


def test_settings_without_kafka_are_checked_without_kafka(floodwatch: Call) -> None:
    result = floodwatch("check", "--config", "follow.toml")
    assert (result.code, result.err) == (0, ""), result.out
    assert "for a run that follows logs, without Kafka" in result.out
    assert "Kafka at" not in result.out
    assert "none at state: starts at the beginning of each log" in result.out


def test_an_input_is_checked_even_where_the_settings_name_kafka(
    floodwatch: Call, tmp_path: Path
) -> None:
    with (tmp_path / "follow.toml").open("a") as file:
        file.write('[kafka]\nbootstrap = "kafka.example:9092"\n')
    result = floodwatch("check", "--config", "follow.toml", "--input", "mail.log")
    assert (result.code, result.err) == (0, ""), result.out
    assert "ok  mail.log: ndjson" in result.out
    assert result.out.rstrip().endswith("follows mail.log, and keeps the store current")


def test_everything_that_keeps_a_follower_from_starting_is_told_at_once(
    floodwatch: Call, tmp_path: Path
) -> None:
    (tmp_path / "other.bin").write_bytes(b"\x7fELF rubbish\n")
    (tmp_path / "state").write_bytes(b"something else\n")
    result = floodwatch(
        "check", "--config", "follow.toml", "--input", "other.bin", "--input", "gone/mail.log",
        "--store", "redis://redis.example/0",
    )  # fmt: skip
    assert result.code == 2
    for said in (
        "not a format that can be followed", "there is no such directory",
        "it is not a snapshot of a followed log", "name sqlite:///PATH",
        "would not start: see the lines marked WRONG",
    ):  # fmt: skip
        assert said in result.out


def test_a_probe_is_refused_where_kafka_is_not_used(floodwatch: Call) -> None:
    result = floodwatch("check", "--config", "follow.toml", "--probe")
    assert (result.code, "give --config with a [kafka] section" in result.err) == (2, True)
