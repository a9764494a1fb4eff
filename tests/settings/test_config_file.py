"""A policy file is read whole or refused whole, with each error at its line."""

import json
import math
from pathlib import Path

import pytest

from detector.policy.settings import Policy, policy_digest
from detector.policy.text import settings_of, value_at
from pipelines.settings.config_file import load_policy, parse_policy
from tests.policy_errors import errors

SETTINGS = list(settings_of(Policy()))


def test_without_a_file_the_defaults_hold() -> None:
    assert load_policy(None) == Policy() == parse_policy("", "policy.toml")


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        '[rules.victim_flood]\nmailbox_per_min = 31\n[guard]\nnever_list = ["192.0.2.0/24"]\n'
    )
    policy = load_policy(str(path))
    changed = {key for key, value, _ in SETTINGS if value_at(policy, key) != value}
    assert changed == {"rules.victim_flood.mailbox_per_min", "guard.never_list"}
    assert policy.rules.victim_flood.mailbox_per_10min == 40
    assert policy.guard.never_list == ("192.0.2.0/24",)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("rules.victim_flood.mailbox_per_min: got -3, must be at least 5", "mailbox_per_min = -3"),
        (
            "rules.victim_flood.mailbox_per_10min: got 2000000, must be at most 1000000",
            "mailbox_per_10min = 2_000_000",
        ),
        ("rules.victim_flood.innocent: got 0.0, must be at least 0.0001", "innocent = 0.0"),
        (
            "rules.victim_flood.innocent: got nan, must be a number from 0.0001 to 0.5",
            "innocent = nan",
        ),
        (
            "rules.victim_flood.innocent: got -inf, must be a number from 0.0001 to 0.5",
            "innocent = -inf",
        ),
        (
            "rules.victim_flood.innocent: got true, must be a number from 0.0001 to 0.5",
            "innocent = true",
        ),
        (
            "rules.victim_flood.mailbox_per_min: got true, must be a whole number from 5 to 100000",
            "mailbox_per_min = true",
        ),
        (
            "rules.victim_flood.mailbox_per_min: got 30.0, must be a whole number from 5 to 100000",
            "mailbox_per_min = 30.0",
        ),
        (
            'rules.victim_flood.mailbox_per_min: got "30", must be a whole number from 5 to 100000',
            'mailbox_per_min = "30"',
        ),
        (
            (
                "rules.victim_flood.mailbox_per_min: got a list of 2, must be a whole number from "
                "5 to 100000"
            ),
            "mailbox_per_min = [30, 40]",
        ),
        ("rules.victim_flood.enabled: got 1, must be true or false", "enabled = 1"),
        ('rules.victim_flood.mode: got "of", must be one of "on", "shadow"', 'mode = "of"'),
        (
            (
                "rules.victim_flood.mailbox_per_minute: unknown key, did you mean "
                "rules.victim_flood.mailbox_per_min?"
            ),
            "mailbox_per_minute = 3",
        ),
        (
            "rules.victim_flood.mailbox_per_min: got a number of 2000 bits, must be at most 100000",
            "mailbox_per_min = 0x" + "f" * 500,
        ),
    ],
)
def test_a_wrong_value_is_told_with_line_key_value_and_what_is_allowed(
    said: str, text: str
) -> None:
    assert errors(f"# mine\n[rules.victim_flood]\n\n{text}\n") == [f"policy.toml:4 {said}"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule = {}", "rule: unknown key, did you mean rules?"),
        ("[victim_flood]", "victim_flood: unknown key, did you mean rules.victim_flood?"),
        ("[rules.victim_flod]", "rules.victim_flod: unknown key, did you mean rules.victim_flood?"),
        (
            "clock.innocen = 9",
            ("clock.innocen: unknown key, did you mean rules.victim_flood.innocent?"),
        ),
        (
            "clock.zebra = 9",
            "clock.zebra: unknown key, known here are lateness_s, future_s",
        ),
        ("rules = 3", "rules: got 3, must be a section, [rules]"),
        ("[[rules]]", "rules: got a list of 1, must be a section, [rules]"),
        ("[mode]", 'mode: got a table, must be one of "on", "shadow"'),
    ],
)
def test_unknown_keys_and_sections_name_the_nearest_known_one(text: str, said: str) -> None:
    assert errors(text) == [f"policy.toml:1 {said}"]


def test_all_errors_come_at_once_in_the_order_of_the_lines() -> None:
    found = errors(
        'mode = "of"\n'
        "[listing]\n"
        "standing_listings = 1\n"
        "temporary_quiet_s = 500_000\n"
        "[clock]\n"
        "lateness_s = 601\n"
        "latenes_s = 1\n"
        "[guard]\n"
        'never_list = ["192.0.2.0/24",\n'
        '  "192.0.2.7/24",\n'
        "]\n"
        "alert_share = 0.5\n"
    )
    assert [line.split(": ")[0] for line in found] == [
        "policy.toml:1 mode",
        "policy.toml:3 listing.standing_listings",
        "policy.toml:4 listing.temporary_quiet_s",
        "policy.toml:6 clock.lateness_s",
        "policy.toml:7 clock.latenes_s",
        "policy.toml:10 guard.never_list[1]",
        "policy.toml:12 guard.alert_share",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[rules.victim_flood]\nmailbox_per_min = 900",
            (
                "2 rules.victim_flood.mailbox_per_min: got 900, must be at most "
                "rules.victim_flood.mailbox_per_10min (40, its default)"
            ),
        ),
        (
            "[rules.victim_flood]\nmailbox_per_min = 90\nmailbox_per_10min = 80",
            (
                "2 rules.victim_flood.mailbox_per_min: got 90, must be at most "
                "rules.victim_flood.mailbox_per_10min (80)"
            ),
        ),
        (
            "rules.victim_flood.mailbox_per_hour = 30",
            (
                "1 rules.victim_flood.mailbox_per_hour: got 30, must be at least "
                "rules.victim_flood.mailbox_per_10min (40, its default)"
            ),
        ),
        (
            "guard.hold_share = 0.01",
            "1 guard.hold_share: got 0.01, must be at least guard.alert_share (0.05, its default)",
        ),
        (
            "listing.temporary_hard_s = 86_400",
            (
                "1 listing.temporary_hard_s: got 86400, must be more than "
                "listing.temporary_quiet_s (86400, its default)"
            ),
        ),
        (
            "[listing]\nstanding_quiet_s = 604_800\nstanding_hard_s = 604_800",
            (
                "2 listing.standing_quiet_s: got 604800, must be less than listing.standing_hard_s "
                "(604800)"
            ),
        ),
        (
            "[listing]\nextend_every_s = 7200\ntemporary_quiet_s = 3600\ntemporary_hard_s = 7200",
            "2 listing.extend_every_s: got 7200, must be less than listing.temporary_hard_s (7200)",
        ),
        (
            "rules.victim_flood.domain_per_hour = 79",
            (
                "1 rules.victim_flood.domain_per_hour: got 79, must be at least "
                "rules.victim_flood.domain_per_10min (80, its default)"
            ),
        ),
        (
            "listing.temporary_removal_quiet_s = 22_000",
            (
                "1 listing.temporary_removal_quiet_s: got 22000, must be at most "
                "listing.standing_removal_quiet_s (21600, its default)"
            ),
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(text: str, said: str) -> None:
    assert errors(text) == [f"policy.toml:{said}"]


def test_a_wrong_setting_is_not_also_told_to_contradict_others() -> None:
    assert len(errors("[rules.victim_flood]\nmailbox_per_min = -1\nmailbox_per_10min = 10")) == 1


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            '"192.0.2.7/24"',
            (
                'got "192.0.2.7/24", must be a network without host bits: "192.0.2.0/24", or one '
                "address without a length"
            ),
        ),
        ("7", 'got 7, must be a network, as "192.0.2.0/24" or "2001:db8::/32"'),
        ('"mx1"', 'got "mx1", must be a network, as "192.0.2.0/24" or "2001:db8::/32"'),
        (
            '"fe80::%eth0/64"',
            'got "fe80::%eth0/64", must be a network, as "192.0.2.0/24" or "2001:db8::/32"',
        ),
    ],
)
def test_a_range_that_is_no_network_is_told_with_its_place(entry: str, said: str) -> None:
    text = f'[guard]\nnever_list = [ # ours\n  "198.51.100.0/24",\n\n  {entry}, ]\n'
    assert errors(text) == [f"policy.toml:5 guard.never_list[1]: {said}"]


def test_one_network_text_instead_of_a_list_is_refused() -> None:
    assert errors('guard.never_list = "192.0.2.0/24"') == [
        (
            'policy.toml:1 guard.never_list: got "192.0.2.0/24", must be a list of networks, as '
            '["192.0.2.0/24", "2001:db8::/32"]'
        )
    ]


def test_networks_get_one_spelling_so_that_equal_policies_have_equal_digests() -> None:
    entries = ["192.0.2.7", "2001:DB8:0::/32", "::ffff:198.51.100.0/120", "203.0.113.0/24"]
    policy = parse_policy(f"guard.never_list = {json.dumps(entries)}", "policy.toml")
    assert policy.guard.never_list == (
        "192.0.2.7/32",
        "2001:db8::/32",
        "198.51.100.0/24",
        "203.0.113.0/24",
    )
    spelled = parse_policy(
        'guard.never_list = ["192.0.2.7/32", "2001:db8::/32", "198.51.100.0/24",'
        ' "203.0.113.0/24"]\nlearning.young_factor = 3',
        "policy.toml",
    )
    assert policy_digest(spelled) == policy_digest(policy)


def test_a_whole_number_is_taken_for_a_fraction_and_becomes_one() -> None:
    policy = parse_policy("rules.victim_flood.innocent = 0.5\nlearning.young_factor = 2", "p")
    assert type(policy.learning.young_factor) is float
    zero = parse_policy("guard.alert_share = -0.0", "p").guard.alert_share
    assert math.copysign(1, zero) == 1
