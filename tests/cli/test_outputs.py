"""What is data goes to standard output, so that `> report.txt` holds it."""

import json
import tomllib
from pathlib import Path

import pytest

from pipelines.cli.version import version_line
from tests.cli.command_line import ROOT, Call, lines, started, story


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> None:
    (tmp_path / "mail.ndjson").write_bytes(lines(story()))


def outputs(folder: Path, *arguments: str) -> tuple[int, bytes, bytes]:
    """Give exit code, standard output and standard error of a process of its own."""
    with started("replay", "mail.ndjson", "--store", "memory:", *arguments, cwd=folder) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["page", "json"])
def test_the_summary_goes_to_standard_output_unless_decisions_do(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    code, page, err = outputs(tmp_path, "--decisions", "decisions.ndjson", *more)
    assert (code, err) == (0, b"")
    assert b"floods" in page.lower()
    code, decisions, err = outputs(tmp_path, "--decisions", "-", *more)
    assert code == 0
    assert decisions == (tmp_path / "decisions.ndjson").read_bytes()
    assert b"floods" in err.lower()
    assert not (tmp_path / "-").exists()


def test_what_goes_to_standard_output_is_appended_where_the_shell_appends(tmp_path: Path) -> None:
    with (tmp_path / "all").open("ab") as file:
        file.write(b"before\n")
        file.flush()
        arguments = ("replay", "mail.ndjson", "--store", "memory:", "--decisions", "-")
        with started(*arguments, cwd=tmp_path, stdout=file) as process:
            process.communicate(timeout=60)
    first, *decisions, last = (tmp_path / "all").read_bytes().split(b"\n")
    assert (first, last) == (b"before", b"")
    assert all(json.loads(line)["v"] == 1 for line in decisions)


def test_only_one_output_goes_to_standard_output(floodwatch: Call) -> None:
    result = floodwatch("replay", "mail.ndjson", "--decisions", "-", "--floods", "-")
    assert (result.code, "must be different files" in result.err) == (2, True)


def test_the_version_is_that_of_the_package_with_its_commit_where_known(floodwatch: Call) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    result = floodwatch("--version")
    assert result.code == 0
    assert result.out.startswith(f"floodwatch {version}")
    assert version_line({"FLOODWATCH_COMMIT": "0123456789abcdef"}) == (
        f"floodwatch {version} (commit 0123456789ab)"
    )


def test_a_check_is_json_where_asked(floodwatch: Call) -> None:
    result = floodwatch("check", "--json")
    found = json.loads(result.out)
    assert (result.code, found["ok"], list(found["parts"])) == (
        0, True, ["policy", "ASN table", "providers", "store"],
    )  # fmt: skip
    Path("policy.toml").write_text("[ruls]\n")
    result = floodwatch("check", "--json", "--policy", "policy.toml")
    assert (result.code, json.loads(result.out)["ok"]) == (2, False)
