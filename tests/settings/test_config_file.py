"""A policy file is read whole or refused whole, with each error at its line."""

import json
import math
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import FloodwatchError, PolicyError
from detector.policy.settings import Policy, policy_digest
from detector.policy.text import MOST_PROBLEMS, settings_of, value_at
from pipelines.settings.config_file import MAX_POLICY_BYTES, load_policy, parse_policy

SETTINGS = list(settings_of(Policy()))


def errors(text: str, name: str = "policy.toml") -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, name)
    assert isinstance(caught.value, FloodwatchError)
    assert len(caught.value.problems) == str(caught.value).count("\n") + 1
    return str(caught.value).split("\n")


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb = \n", "2 not TOML: Invalid value at column 5"),
        ("[a\n", "1 not TOML: Expected ']' at the end of a table declaration at column 3"),
        ("mode = 'on'\nmode = 'on'\n", "2 not TOML: Cannot overwrite a value at column 12"),
        ("a = '''x\n\n", "1 not TOML: Expected \"'''\" where the file ends"),
        ("a = 'x\0'", "1 not TOML: Found invalid character '\\x00' at column 7"),
        ("\na = " + "9" * 5000, "2 not TOML: a number of more than 4300 digits"),
        ("a = " + "[" * 10_000, " not TOML: lists or tables nested too deep"),
        (
            "\n" + ".".join("a" * 20_000) + " = 1",
            "2 a key of more than 32 parts: a policy has at most 3",
        ),
    ],
)
def test_what_is_not_toml_is_refused_with_its_line(text: str, said: str) -> None:
    assert errors(text) == [f"policy.toml:{said}"]


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b"\xef\xbb\xbf[clock]\r\nlateness_s = 5\r\n")
    assert load_policy(str(path)).clock.lateness_s == 5
    path.write_bytes(b"\xef\xbb\xbf[clock]\r\nlateness_s = -5\r\n")
    with pytest.raises(PolicyError, match=r"policy\.toml:2 clock\.lateness_s: got -5"):
        load_policy(str(path))


def refusal(path: str) -> str:
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    return str(caught.value)


def test_what_cannot_be_read_says_why_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing, loop = str(tmp_path / "none.toml"), tmp_path / "loop"
    loop.symlink_to(loop)
    assert refusal(missing) == f"{missing}: no such file: check the path"
    assert refusal(str(tmp_path)) == f"{tmp_path}: it is a directory: name the file in it"
    assert refusal(str(loop)).startswith(f"{loop}: cannot be read (Too many levels of symbolic")
    assert "no path of a file" in refusal("a\0b")

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refused)
    assert refusal("p") == "p: may not be read: check its permissions"


def test_what_is_no_text_or_far_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(b"mode = 'on'\n\xff\xfe\x00\x01")
    assert refusal(str(path)) == f"{path}:2 not UTF-8 at byte 12: save the policy as UTF-8 text"
    path.write_bytes(b"#" * 10_000_000)
    assert (
        refusal(str(path)) == f"{path}: larger than 1 MiB, the most that is read: is it a policy?"
    )
    path.write_bytes(b"#" * MAX_POLICY_BYTES)
    assert load_policy(str(path)) == Policy()


def test_what_is_shown_of_foreign_text_is_escaped_and_cut(tmp_path: Path) -> None:
    assert errors('mode = "\\u202Eon\\u001B[1m"')[0] == (
        'policy.toml:1 mode: got "\\u202eon\\u001b[1m", must be one of "on", "shadow"'
    )
    assert "\\u009b" in errors('"\\u009B" = 1')[0]
    assert len(errors(f'"{"x" * 5000}" = "{"y" * 5000}"')[0]) < 300
    assert "\x1b" not in refusal(str(tmp_path / "\x1b[31m"))


def test_thousands_of_errors_are_counted_not_printed() -> None:
    found = errors("".join(f"key{n} = 1\n" for n in range(5_000)))
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1] == f"policy.toml: and {5_000 - MOST_PROBLEMS:,} more problems"


@pytest.mark.parametrize(
    "text",
    [
        "[rules]\n\nvictim_flood.mailbox_per_min = -3",
        "[rules.victim_flood]\n\nmailbox_per_min = -3 # low",
        "#\n#\nrules = {victim_flood = {enabled = true,\t'mailbox_per_min' = -3}}\n",
        '\n\n"rules" . victim_flood\t. "mailbox_per\\u005Fmin" = -3',
        "rules.victim_flood.mode = '''\non'''\nrules.victim_flood.mailbox_per_min = -3",
        '[memory]\n[rules."victim_flood"]\nmailbox_per_min=-3',
        "guard.never_list = [ # '[\n]\nrules.victim_flood.mailbox_per_min = -3",
    ],
)
def test_however_a_key_is_written_its_line_is_found(text: str) -> None:
    found = [line for line in errors(text) if "mailbox_per_min" in line]
    assert found == [
        "policy.toml:3 rules.victim_flood.mailbox_per_min: got -3, must be at least 5",
    ]


BARE = st.text("abc_-1", min_size=1, max_size=3)
QUOTED = st.text(st.characters(codec="utf-8"), max_size=4).map(
    lambda text: json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
)
VALUES = st.recursive(
    st.sampled_from(
        [
            "1",
            "-2.5e3",
            "true",
            "1979-05-27 07:32:32.5",
            '"#]}"',
            "'''\n\n#'''",
            '"""\\"""\n"""',
            "''",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda v: "[\n" + ", # ,]\n".join(v) + "\n]")
        | st.lists(inner, max_size=2).map(
            lambda v: "{" + ", ".join(f"k{n}.x = {x}" for n, x in enumerate(v)) + "}"
        )
    ),
    max_leaves=5,
)


@given(st.lists(st.tuples(BARE | QUOTED, VALUES), unique_by=lambda entry: entry[0], max_size=8))
def test_whatever_toml_stands_before_it_the_line_of_a_wrong_key_is_right(
    entries: list[tuple[str, str]],
) -> None:
    """Sections of other keys come first; each assignment is a section of its own."""
    before = "".join(f"[x{n}.{key}]\n\n{key} = {value}\n" for n, (key, value) in enumerate(entries))
    tomllib.loads(before)
    text = f"{before}[clock]\nlateness_s = -1\n"
    line = before.count("\n") + 2
    assert errors(text)[-1] == f"policy.toml:{line} clock.lateness_s: got -1, must be at least 0"
