"""The commands against a Redis store: the same answers as from SQLite, and no password told."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.command_line import Call, lines, story
from tests.services.redis_server import RunningRedis, redis_server

pytestmark = pytest.mark.needs("redis-server")

SECRET = "pass-word"  # noqa: S105 - of a server that lives as long as a test
LISTED = "198.18.5.7"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRedis]:
    folder = tmp_path_factory.mktemp("redis")
    with redis_server(folder, "--requirepass", SECRET) as running:
        yield running


def test_every_command_answers_as_it_does_from_sqlite(
    floodwatch: Call, server: RunningRedis
) -> None:
    url = server.url.replace("//", f"//default:{SECRET}@")
    masked = url.replace(SECRET, "***")
    Path("mail.ndjson").write_bytes(lines(story()))
    said = []
    for store, name in (("sqlite:///floodwatch.db", ""), (url, f" --store '{masked}'")):
        assert floodwatch("check", "--store", store).code == 0
        assert floodwatch("replay", "mail.ndjson", "--store", store).code == 0
        answers = []
        for command in (
            ("lookup", LISTED), ("lookup", LISTED, "--json"), ("list",), ("list", "--json"),
            ("explain", LISTED), ("explain", LISTED, "--json"), ("lookup", "192.0.2.1"),
            ("remove", LISTED), ("remove", LISTED, "--json"), ("check",),
            ("replay", "mail.ndjson"), ("explain", LISTED), ("lookup", LISTED),
        ):  # fmt: skip
            result = floodwatch(*command, "--store", store)
            assert result.code == 0, result.err
            assert SECRET not in result.out + result.err
            if command[0] not in {"check", "replay"}:
                answers.append(result.out.replace(name, "") if name else result.out)
        said.append(answers)
    assert said[0] == said[1]
    with closing(server.client(password=SECRET)) as client:
        rows = [json.loads(line) for line in said[0][3].split("\n") if line]
        assert len(rows) > 100
        # Mail of January 2026 is past its hard end where this runs: nothing of it is published.
        assert client.keys("floodwatch:ip:*") == []


def test_another_input_is_refused_and_nothing_is_moved_aside(
    floodwatch: Call, server: RunningRedis
) -> None:
    url = server.url.replace("//", f"//default:{SECRET}@")
    Path("mail.ndjson").write_bytes(lines(story()))
    Path("other.ndjson").write_bytes(lines(story()[5:]))
    assert floodwatch("replay", "mail.ndjson", "--store", url).code == 0
    for arguments in (("other.ndjson",), ("mail.ndjson", "--fresh")):
        result = floodwatch("replay", *arguments, "--store", url)
        assert (result.code, SECRET in result.err) == (2, False)
        assert ":***@" in result.err


@pytest.mark.parametrize("command", [("lookup", LISTED), ("list",), ("remove", LISTED)])
def test_a_server_that_is_gone_is_a_failure_and_a_wrong_password_a_setting(
    floodwatch: Call, server: RunningRedis, command: tuple[str, ...]
) -> None:
    wrong = floodwatch(*command, "--store", server.url.replace("//", "//:wrong@"))
    assert (wrong.code, "rejected the user or password" in wrong.err) == (2, True)
    empty = floodwatch(*command, "--store", server.url.replace("//", f"//:{SECRET}@"))
    assert empty.code == 0
    server.kill()
    gone = floodwatch(*command, "--store", server.url.replace("//", f"//:{SECRET}@"))
    assert (gone.code, gone.err.count("\n")) == (1, 1)
    assert "not reachable" in gone.err
    assert SECRET not in gone.err
