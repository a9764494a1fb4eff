"""Every case of a site's log: what a replay must find in it."""

import json
from pathlib import Path

import pytest

from tests.cases.case_files import README, Case, cases, with_table
from tests.cli.command_line import Call, floodwatch

__all__ = ["floodwatch"]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_replay_finds_what_the_case_says(floodwatch: Call, tmp_path: Path, case: Case) -> None:
    result = floodwatch(
        "replay", *case.inputs(tmp_path), *case.args, "--store", "memory:", "--json"
    )
    assert result.code == case.exit, result.err
    got = json.loads(result.out)
    found = {
        "events": got["events"],
        "floods": got["floods_found"],
        "listed": got["changes"].get("list", 0),
        "skipped": sum(got["skipped"].values()),
    }
    assert found == {name: getattr(case, name) for name in found}
    assert case.says in result.err


def test_the_table_of_the_parsers_shows_the_cases() -> None:
    page = README.read_text()
    assert page == with_table(page), "run python -m tests.cases.case_files"
