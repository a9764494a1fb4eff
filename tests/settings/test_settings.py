"""Settings are read whole or refused whole: file, environment, every error with its place."""

import json
import os
import tomllib
from pathlib import Path

import pytest
import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from detector.errors import FloodwatchError, SettingsError
from detector.policy.text import MOST_PROBLEMS
from pipelines.cli.guarded import USAGE, guarded
from pipelines.settings.file import load_settings
from pipelines.settings.model import LiveSettings
from pipelines.settings.text import sections, settings_toml, singles
from pipelines.settings.toml_file import MAX_BYTES

SECRET = "hunter2-\N{SNOWMAN}"  # noqa: S105 - it is what the tests look for


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "live.toml"


def errors(file: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """The lines of the refusal, the folder of the file left out."""
    file.write_bytes(text.encode())
    with pytest.raises(SettingsError) as caught:
        load_settings(file, environ or {})
    assert isinstance(caught.value, FloodwatchError)
    assert len(caught.value.problems) == str(caught.value).count("\n") + 1
    return str(caught.value).replace(f"{file.parent}/", "").split("\n")


def refusal(path: Path | None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ or {})
    return str(caught.value)


def test_without_file_and_environment_the_defaults_hold() -> None:
    assert load_settings(None, {"HOME": "/root", "FLOODWATCH_WEB_PORT": "x"}) == LiveSettings()


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(file: Path) -> None:
    file.write_text(
        'shutdown_s = 3\n[kafka]\nbootstrap = "k1:9092"\ngroup = "mx"\n'
        '[kafka.topics]\nprefix = "a."'
    )
    environ = {
        "FLOODWATCH__KAFKA__BOOTSTRAP": "k2:9092, [2001:db8::1]:9093",
        "FLOODWATCH__KAFKA__TOPICS__REPLICATION": "1",
        "FLOODWATCH__INGEST__HEARTBEAT_S": "2.5",
        "FLOODWATCH__DETECT__ASN_TABLES": "a.tsv, b.tsv.gz",
        "FLOODWATCH__WEBHOOK__PROVIDERS": '["Gmail, Inc", "Outlook"]',
        "FLOODWATCH__DETECT__POLICY": "",
    }
    settings = load_settings(file, environ)
    assert settings.shutdown_s == 3
    assert settings.kafka.bootstrap == "k2:9092, [2001:db8::1]:9093"
    assert (settings.kafka.group, settings.kafka.client_id) == ("mx", "floodwatch")
    assert (settings.kafka.topics.prefix, settings.kafka.topics.replication) == ("a.", 1)
    assert settings.ingest.heartbeat_s == 2.5
    assert settings.detect.asn_tables == (Path("a.tsv"), Path("b.tsv.gz"))
    assert settings.webhook.providers == ("Gmail, Inc", "Outlook")
    assert settings.detect.policy is None
    tls = load_settings(
        None, {"FLOODWATCH__KAFKA__SECURITY": "tls", "FLOODWATCH__KAFKA__TLS__VERIFY": "false"}
    )
    assert tls.kafka.tls.verify is False


def test_every_error_is_told_at_once_each_at_its_line_or_variable(file: Path) -> None:
    text = """\
[kafka]
sesion_s = 20
request_s = "20"
bootstrap = "k1:99999"
security = "TLS"
[kafka.topics]
replication = 0
log = "a b"
[detect]
asn_tables = ["a.tsv",
  3]
[web]
port = true
[ingest]
start = 3
"""
    environ = {
        "FLOODWATCH__KAFKA__SESSION_S": "soon",
        "FLOODWATCH__KAFKA__BOOTSTRP": "k1:9092",
        "FLOODWATCH__INGEST__MAX_RECORDS": "1.5",
    }
    assert errors(file, text, environ) == [
        "live.toml:2 kafka.sesion_s: unknown key, did you mean kafka.session_s?",
        'live.toml:3 kafka.request_s: got "20", must be a number from 1 to 1800',
        (
            'live.toml:4 kafka.bootstrap: got "k1:99999", must be host:port, several separated by '
            "commas"
        ),
        (
            'live.toml:5 kafka.security: got "TLS", must be one of "plaintext", "tls", '
            '"sasl_plaintext", "sasl_tls"'
        ),
        "live.toml:7 kafka.topics.replication: got 0, must be a whole number from 1 to 32767",
        (
            'live.toml:8 kafka.topics.log: got "a b", must be up to 249 of a-z A-Z 0-9 . _ -, as '
            "Kafka has it"
        ),
        "live.toml:11 detect.asn_tables[1]: got 3, must be the path of a file",
        "live.toml:13 web.port: got true, must be a whole number from 0 to 65535",
        'live.toml:15 ingest.start: got 3, must be one of "oldest", "newest"',
        'FLOODWATCH__KAFKA__SESSION_S: got "soon", must be a number from 6 to 1800',
        'FLOODWATCH__INGEST__MAX_RECORDS: got "1.5", must be a whole number from 1 to 1000000',
        (
            "FLOODWATCH__KAFKA__BOOTSTRP: unknown variable, did you mean "
            "FLOODWATCH__KAFKA__BOOTSTRAP?"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kafka = 3", "1 kafka: got 3, must be a section, [kafka]"),
        ("web = [1]", "1 web: got a list of 1, must be a section, [web]"),
        ("[kafak]", "1 kafak: unknown key, did you mean kafka?"),
        ("replication = 2", "1 replication: unknown key, did you mean kafka.topics.replication?"),
        ("[web]\nzzz = 1", "2 web.zzz: unknown key, known here are host, port"),
        (
            "[ingest]\nheartbeat_s = 90",
            "2 ingest.heartbeat_s: got 90, must be less than detect.dead_after_s (60)",
        ),
        (
            "[kafka.tls]\n#\ncert_file = 'c.pem'",
            "1 kafka.tls.key_file: missing, must be given with cert_file",
        ),
        (
            "[kafka]\nsecurity = 'sasl_tls'\n[kafka.sasl]\nmechanism = 'OAUTHBEARER'",
            "3 kafka.sasl.token_file: missing, OAUTHBEARER needs it",
        ),
        (
            "[kafka.sasl]\nuser = 'me'",
            '1 kafka.security: got "plaintext", must be "sasl_tls" for [kafka.sasl]',
        ),
        (
            "kafka.topics.prefix = 'p '",
            (
                '1 kafka.topics.prefix: got "p ", must be up to 249 of a-z A-Z 0-9 . _ -, as Kafka '
                "has it"
            ),
        ),
        (
            "kafka.topics = {log = 'mail_events', input = 'mail.events'}",
            ('1 kafka.topics.log: got the topic of input ("mail_events"), must be one of its own'),
        ),
        ("[detect]\nsnapshot = ''", '2 detect.snapshot: got "", must be the path of a file'),
        ("shutdown_s = nan", "1 shutdown_s: got nan, must be a number above 0, up to 86400"),
        (
            "webhook.url = 'ftp://x'",
            "1 webhook.url: must begin with https:// or http://, or be empty",
        ),
    ],
)
def test_a_mistake_says_where_what_and_what_else(file: Path, text: str, said: str) -> None:
    assert errors(file, text) == [f"live.toml:{said}"]


def test_what_is_missing_without_a_file_is_told_by_its_key() -> None:
    assert refusal(None, {"FLOODWATCH__KAFKA__SECURITY": "sasl_tls"}).split("\n") == [
        "kafka.sasl.user: missing, SCRAM-SHA-512 needs it",
        "kafka.sasl.password_file: missing, SCRAM-SHA-512 needs it",
    ]


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("FLOODWATCH__KAFKA__TOPIC__LOG", "did you mean FLOODWATCH__KAFKA__TOPICS__LOG?"),
        ("FLOODWATCH__kafka__bootstrap", "did you mean FLOODWATCH__KAFKA__BOOTSTRAP?"),
        ("FLOODWATCH__Z", "known ones begin with FLOODWATCH__KAFKA__, "),
        ("FLOODWATCH__", "known ones begin with FLOODWATCH__KAFKA__, "),
    ],
)
def test_a_variable_of_nothing_is_an_error_with_the_nearest(variable: str, said: str) -> None:
    assert refusal(None, {variable: "x"}).startswith(f"{variable}: unknown variable, {said}")


def test_hostile_variables_do_no_harm() -> None:
    deep = {"FLOODWATCH__WEBHOOK__PROVIDERS": "[" * 100_000}
    assert "must be a list of texts" in refusal(None, deep)
    assert "not UTF-8" in refusal(None, {"FLOODWATCH__KAFKA__GROUP": os.fsdecode(b"\xff")})
    assert len(refusal(None, {"FLOODWATCH__" + "X" * 100_000: "x"})) < 300
    endless = {"FLOODWATCH__WEB__PORT": "9" * 10_000}
    assert len(refusal(None, endless)) < 200
    assert "\x1b" not in refusal(None, {"FLOODWATCH__\x1b": "", "FLOODWATCH__WEB__PORT": "\x1b"})


def test_hostile_files_are_refused_with_words(file: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert refusal(missing) == f"{missing}: no such file: check the path"
    assert refusal(tmp_path).endswith("it is a directory: name the file in it")
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    assert refusal(file).endswith("larger than 1 MiB, the limit: is it a settings file?")
    file.write_bytes(b"\n\xff\xfe\x00")
    assert refusal(file).endswith(":2: not UTF-8 at byte 1: save the settings file as UTF-8 text")
    assert errors(file, "a = " + "9" * 5_000) == [
        "live.toml:1: not TOML: a number of more than 4300 digits"
    ]
    assert errors(file, "a = " + "[" * 100_000)[0].endswith("nested too deep")
    assert errors(file, ".".join("a" * 40) + " = 1") == [
        "live.toml:1: a key of more than 32 parts: the settings have at most 4"
    ]
    assert len(errors(file, f"web.port = {'9' * 4_000}")[0]) < 200
    assert "must be a whole number" in errors(file, "web.port = 1979-05-27")[0]
    found = errors(file, "".join(f"key{n} = 1\n" for n in range(5_000)))
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1] == f"settings: and {5_000 - MOST_PROBLEMS:,} more problems"


def test_a_broken_file_and_a_wrong_variable_are_told_together(file: Path) -> None:
    found = errors(file, "a = ", {"FLOODWATCH__WEB__PROT": "1"})
    assert [line.partition(": ")[0] for line in found] == ["live.toml:1", "FLOODWATCH__WEB__PROT"]


def test_the_exit_code_of_wrong_settings_is_that_of_wrong_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as caught, guarded():
        load_settings(None, {"FLOODWATCH__WEB__PORT": "x"})
    assert caught.value.exit_code == USAGE
    assert capsys.readouterr().err.startswith("floodwatch: FLOODWATCH__WEB__PORT: got")


def test_no_error_and_no_repr_shows_what_may_be_secret(file: Path) -> None:
    text = f"""\
[kafka]
password = "{SECRET}"
[store]
url = "redis://me:{SECRET}@db/0"
[webhook]
url = ["https://hooks.example/{SECRET}"]
"""
    environ = {"FLOODWATCH__KAFKA__SASL__PASSWORD": SECRET}
    found = errors(file, text, environ)
    assert found == [
        "live.toml:2 kafka.password: unknown key, did you mean kafka.sasl.password_file?",
        (
            "live.toml:4 store.url: must hold no password: put it into a file and name that "
            "password_file"
        ),
        "live.toml:6 webhook.url: must be a text",
        (
            "FLOODWATCH__KAFKA__SASL__PASSWORD: unknown variable, did you mean "
            "FLOODWATCH__KAFKA__SASL__PASSWORD_FILE?"
        ),
    ]
    with pytest.raises(ValidationError) as caught:
        LiveSettings.model_validate(tomllib.loads(text))
    assert SECRET not in str(caught.value)
    hook = {"FLOODWATCH__WEBHOOK__URL": f"https://hooks.example/{SECRET}"}
    assert SECRET not in repr(load_settings(None, hook))


def test_the_default_file_gives_the_defaults_and_names_every_setting(file: Path) -> None:
    text = settings_toml()
    file.write_text(text)
    assert load_settings(file, {}) == LiveSettings()
    assert max(map(len, text.split("\n"))) <= 100
    for (*section, name), field in singles().items():
        assert field.description, name
        table = tomllib.loads(text)
        for part in section:
            table = table[part]
        assert name in table
    assert all(section.__doc__ for section in sections().values())


def test_any_settings_survive_being_written_and_read(file: Path) -> None:
    changed = LiveSettings.model_validate(
        {
            "shutdown_s": 0.5,
            "kafka": {"client_id": 'a"\\\n\x7f\x00\N{GRINNING FACE}', "topics": {"prefix": "x"}},
            "source": {
                "preset": "ecs",
                "fields": {"client_ip": "a.b", "sender": ["c", "d"]},
                "values": {"action": {"4xx": "defer", 'o"k': "accept"}},
            },
            "detect": {"policy": "p.toml", "asn_tables": ["a b", "c,d"]},
        }
    )
    file.write_text(settings_toml(changed), encoding="utf-8")
    assert load_settings(file, {}) == changed


def test_settings_keep_their_meaning_behind_them() -> None:
    assert (
        "# Port to listen on; 0 disables it (whole number from 0 to 65535).\nport = 0\n"
        in settings_toml()
    )


def test_every_setting_has_a_variable_of_its_own() -> None:
    """And its own default, written as text, is taken by it."""
    plain = {
        "FLOODWATCH__" + "__".join(key).upper(): _as_text(field) for key, field in singles().items()
    }
    assert len(plain) == len(singles())
    assert load_settings(None, plain) == LiveSettings()


def _as_text(field: FieldInfo) -> str:
    match field.default:
        case None:
            return ""
        case bool() | list() | tuple() | dict():
            return json.dumps(field.default)
        case value:
            return str(value)
