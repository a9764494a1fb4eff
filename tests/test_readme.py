"""What README.md shows is what its commands print."""

import difflib
import re

from pipelines.cli.app import app
from tests.readme_commands import BLOCK, README, commands, renewed


def test_every_command_prints_what_is_shown() -> None:
    text = README.read_text()
    now = renewed(text)
    difference = difflib.unified_diff(text.split("\n"), now.split("\n"), "README.md", "now", n=0)
    assert list(difference) == [], "renew it with `python -m tests.readme_commands`"


def test_the_first_command_is_the_demonstration() -> None:
    first = BLOCK.search(README.read_text())
    assert first is not None
    assert next(commands(first[1]))[0] == "make demo"


def test_every_command_of_the_product_is_in_the_readme() -> None:
    names = {one.name or one.callback.__name__ for one in app.registered_commands if one.callback}
    names |= {one.name for one in app.registered_groups if one.name}
    told = set(re.findall(r"^\| `floodwatch (\w+)", README.read_text(), flags=re.MULTILINE))
    assert told == names
