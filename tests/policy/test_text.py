"""A policy in plain tables or in its canonical text is validated the same way everywhere."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import PolicyError
from detector.policy.settings import Policy, policy_digest
from detector.policy.text import (
    policy_from_json,
    policy_from_tables,
    policy_to_json,
    settings_of,
)
from pipelines.settings.config_file import parse_policy

SETTINGS = list(settings_of(Policy()))
NUMBERS = [(key, about) for key, _, about in SETTINGS if about["least"] is not None]
DEFAULTS: dict[str, Any] = dataclasses.asdict(Policy())


def nested(key: str, value: object) -> dict[str, Any]:
    """The tables in which one dotted key has a value."""
    for name in reversed(key.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def problems_with(key: str, value: object) -> list[str]:
    return [str(problem) for problem in policy_from_tables(nested(key, value))[1]]


@pytest.mark.parametrize(("key", "about"), NUMBERS)
def test_each_number_is_taken_at_its_limits_and_refused_just_outside(
    key: str, about: dict[str, Any]
) -> None:
    least, most = about["least"], about["most"]
    assert problems_with(key, least - 1) == [f"{key}: got {least - 1}, must be at least {least}"]
    assert problems_with(key, most + 1) == [f"{key}: got {most + 1}, must be at most {most}"]
    assert f"{key}: got nan" in problems_with(key, float("nan"))[0]
    contradictions = problems_with(key, least) + problems_with(key, most)
    assert [said for said in contradictions if ", its default)" not in said] == []


def as_toml(tables: dict[str, Any], path: str = "") -> str:
    """Write nested tables as TOML, one section after the other."""
    lines = [f"[{path}]"] if path else []
    for name, value in tables.items():
        if not isinstance(value, dict):
            lines.append(f"{name} = {json.dumps(value)}")
    parts = ["\n".join(lines)]
    for name, value in tables.items():
        if isinstance(value, dict):
            parts.append(as_toml(value, f"{path}.{name}" if path else name))
    return "\n".join(parts)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Policies with some settings moved inside their limits, and no contradiction."""
    tables: dict[str, Any] = {}
    for key in draw(
        st.lists(st.sampled_from([key for key, _, _ in SETTINGS]), max_size=4, unique=True)
    ):
        value, about = next((v, a) for k, v, a in SETTINGS if k == key)
        match value:
            case bool():
                new: object = draw(st.booleans())
            case str():
                new = draw(st.sampled_from(about["allowed"]))
            case tuple():
                new = draw(st.lists(st.sampled_from(["192.0.2.0/24", "2001:db8::/32"])))
            case int():
                new = draw(st.integers(about["least"], about["most"]))
            case _:
                new = draw(st.floats(about["least"], about["most"]))
        *path, name = key.split(".")
        table = tables
        for part in path:
            table = table.setdefault(part, {})
        table[name] = new
    policy, problems = policy_from_tables(tables)
    return policy if not problems else Policy()


@given(policies())
def test_a_policy_comes_back_from_its_canonical_text_and_from_a_file(policy: Policy) -> None:
    text = policy_to_json(policy)
    assert policy_from_json(text) == policy
    assert policy_to_json(policy_from_json(text)) == text
    assert policy_digest(policy_from_json(text)) == policy_digest(policy)
    assert parse_policy(as_toml(dataclasses.asdict(policy)), "policy.toml") == policy


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["rules", "guard", "mode", "x"]), inner)
    ),
)


@given(st.dictionaries(st.sampled_from([*DEFAULTS, "x"]), JSON))
def test_any_tables_are_a_policy_or_a_list_of_problems_never_a_crash(
    tables: dict[str, Any],
) -> None:
    policy, problems = policy_from_tables(tables)
    assert problems or policy_from_json(policy_to_json(policy)) == policy
    assert all(line.isprintable() for line in map(str, problems))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "policy: not JSON: Expecting value"),
        ("[]", "policy: got a list of 0, must be an object"),
        ("[" * 100_000, "policy: not JSON: maximum recursion depth"),
        ('{"mode":"on","mode":"shadow"}', "policy: not JSON: a key stands twice in one object"),
        ('{"mode":"o"}', 'policy: mode: got "o", must be one of "on", "shadow"'),
        ('{"guard":{"hold_share":NaN}}', "policy: guard.hold_share: got nan, must be a number"),
        ('{"guard":null}', "policy: guard: got null, must be a section, [guard]"),
        ('{"clock":{"future_s":1e400}}', "policy: clock.future_s: got inf, must be a whole number"),
    ],
)
def test_the_text_of_a_policy_in_the_log_is_validated_the_same_way(text: str, said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_from_json(text)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("key", "value", "other"),
    [
        ("listing.most_quiet_s", 86_400, "listing.standing_quiet_s"),
        ("listing.standing_removal_quiet_s", 1_800, "listing.temporary_removal_quiet_s"),
        ("listing.standing_quiet_s", 43_200, "listing.temporary_quiet_s"),
        ("listing.standing_hard_s", 200_000, "listing.temporary_hard_s"),
        ("listing.temporary_quiet_s", 1_800, "listing.temporary_removal_quiet_s"),
        ("rules.victim_flood.domain_per_10min", 29, "rules.victim_flood.domain_per_min"),
        ("rules.victim_flood.mailbox_per_min", 41, "rules.victim_flood.mailbox_per_10min"),
        ("rules.victim_flood.mailbox_per_hour", 39, "rules.victim_flood.mailbox_per_10min"),
    ],
)
def test_a_setting_that_contradicts_another_names_it(key: str, value: int, other: str) -> None:
    assert f" {other} (" in " ".join(problems_with(key, value))
