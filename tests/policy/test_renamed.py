"""A policy file of an earlier version is answered with where each of its keys is now."""

import re

import pytest

from detector.policy.renamed import GONE
from detector.policy.settings import Policy
from detector.policy.text import policy_from_tables, settings_of
from tests.policy.test_text import nested, problems_with

KEYS = {key for key, _, _ in settings_of(Policy())}
SECTIONS = {key.rpartition(".")[0] for key in KEYS}


@pytest.mark.parametrize("key", GONE)
def test_each_removed_key_says_what_became_of_it(key: str) -> None:
    assert problems_with(key, 1) == [f"{key}: {GONE[key]}"]


@pytest.mark.parametrize("key", GONE)
def test_no_removed_key_exists_and_each_name_that_is_given_does(key: str) -> None:
    assert key not in KEYS | SECTIONS
    for name in re.findall(r"[a-z_]+\.[a-z_][a-z0-9_.]*", GONE[key]):
        assert name in KEYS
    if "renamed" in GONE[key]:
        (new,) = re.findall(r"renamed to ([a-z0-9_.]+)", GONE[key])
        assert new in KEYS | SECTIONS


def test_each_key_of_a_removed_section_is_named() -> None:
    tables = {"relations": {"half_life_days": 7, "factor": 2.0, "zebra": 1}, "baseline": {}}
    assert [str(problem) for problem in policy_from_tables(tables)[1]] == [
        "relations.half_life_days: renamed to learning.half_life_days in 0.2",
        f"relations.factor: {GONE['relations.factor']}",
        "relations.zebra: unknown key of a section that was removed",
        "baseline: renamed to learning in 0.2",
    ]


def test_a_removed_rule_is_one_problem_whatever_it_sets() -> None:
    tables = nested("rules.source_flood", {"per_min": 30, "share": 0.5})
    assert [str(problem) for problem in policy_from_tables(tables)[1]] == [
        "rules.source_flood: this rule was removed in 0.2; victim_flood finds such floods"
    ]


def test_a_key_that_never_was_is_still_unknown() -> None:
    assert problems_with("guard.warm", 1)[0].startswith("guard.warm: unknown key")
