"""The text of a policy file: no TOML, no text or too much of it, and which line is named."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import PolicyError
from detector.policy.settings import Policy
from detector.policy.text import MOST_PROBLEMS
from pipelines.settings.config_file import MAX_POLICY_BYTES, load_policy
from tests.policy_errors import errors


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
    assert refusal(str(path)) == f"{path}: larger than 1 MiB, the limit: is it a policy?"
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
