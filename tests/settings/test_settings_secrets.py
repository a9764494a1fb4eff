"""Secrets are read when they are used, and connections are safe unless told otherwise."""

import asyncio
import ssl
from pathlib import Path

import pytest

from detector.errors import SettingsError
from pipelines.kafka.security import TokenFile, client_arguments
from pipelines.settings.model import KafkaSettings, LiveSettings
from pipelines.settings.secret_file import MAX_SECRET_BYTES, read_secret
from pipelines.settings.text import settings_toml
from pipelines.settings.warnings import settings_warnings

SECRET = "hunter2-\N{SNOWMAN}"  # noqa: S105 - it is what the tests look for


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_a_secret_is_read_when_used_and_loses_one_final_newline(secret: Path) -> None:
    assert read_secret(secret, "k") == SECRET
    for content, expected in ((b"a\n\n", "a\n"), (b"a\r\n", "a"), (b" a ", " a ")):
        secret.write_bytes(content)
        assert read_secret(secret, "k") == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "is not UTF-8"),
        (b"x" * (MAX_SECRET_BYTES + 1), "is larger than 64 KiB"),
    ],
)
def test_a_file_that_holds_no_secret_is_told(secret: Path, content: bytes, said: str) -> None:
    secret.write_bytes(content)
    with pytest.raises(SettingsError, match=said):
        read_secret(secret, "kafka.sasl.password_file")
    with pytest.raises(SettingsError, match=r"^kafka\.sasl\.password_file: .* cannot be read \(No"):
        read_secret(secret.with_name("none"), "kafka.sasl.password_file")
    with pytest.raises(SettingsError, match="no path of a file"):
        read_secret(Path("a\0b"), "k")


def sasl(path: Path, mechanism: str = "SCRAM-SHA-512", security: str = "sasl_tls") -> LiveSettings:
    kind = "token_file" if mechanism == "OAUTHBEARER" else "password_file"
    signed = {"mechanism": mechanism, "user": "mx", kind: str(path)}
    return LiveSettings.model_validate({"kafka": {"security": security, "sasl": signed}})


def test_a_secret_that_everybody_may_read_gets_a_warning(secret: Path) -> None:
    settings = sasl(secret)
    assert settings_warnings(settings) == []
    secret.chmod(0o644)
    (said,) = settings_warnings(settings)
    assert said.startswith("kafka.sasl.password_file: every user of this machine can read ")
    assert SECRET not in said
    assert settings_warnings(LiveSettings()) == []


def test_a_connection_that_others_can_read_gets_a_warning(secret: Path) -> None:
    (said,) = settings_warnings(sasl(secret, "PLAIN", "sasl_plaintext"))
    assert said == "kafka.security: PLAIN sends its secret unencrypted: use sasl_tls"
    assert settings_warnings(sasl(secret, "SCRAM-SHA-256", "sasl_plaintext")) == []
    loose = LiveSettings.model_validate({"kafka": {"security": "tls", "tls": {"verify": False}}})
    assert settings_warnings(loose)[0].startswith("kafka.tls.verify: false: anyone")


def test_by_default_kafka_is_spoken_to_in_the_clear() -> None:
    assert client_arguments(KafkaSettings(bootstrap="a:1, b:2", request_s=1.5)) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "client_id": "floodwatch",
        "request_timeout_ms": 1_500,
        "security_protocol": "PLAINTEXT",
    }


def test_tls_checks_certificate_and_name_unless_told_not_to() -> None:
    context = client_arguments(KafkaSettings(security="tls"))["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    loose = KafkaSettings.model_validate({"security": "tls", "tls": {"verify": False}})
    assert client_arguments(loose)["ssl_context"].verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_password_is_handed_to_the_client_and_to_nobody_else(
    secret: Path, mechanism: str
) -> None:
    settings = sasl(secret, mechanism)
    arguments = client_arguments(settings.kafka)
    assert arguments["security_protocol"] == "SASL_SSL"
    assert arguments["sasl_mechanism"] == mechanism
    assert (arguments["sasl_plain_username"], arguments["sasl_plain_password"]) == ("mx", SECRET)
    assert SECRET not in repr(settings) + str(settings) + settings_toml(settings)


async def test_a_token_is_read_again_at_each_sign_in(secret: Path) -> None:
    arguments = client_arguments(sasl(secret, "OAUTHBEARER").kafka)
    provider = arguments["sasl_oauth_token_provider"]
    assert isinstance(provider, TokenFile)
    assert "sasl_plain_password" not in arguments
    assert await provider.token() == SECRET
    await asyncio.to_thread(secret.write_text, "renewed\n")
    assert await provider.token() == "renewed"


def test_certificates_that_are_none_are_told_with_their_setting(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    for tls, key in (
        ({"ca_file": str(rubbish)}, "ca_file"),
        ({"ca_file": str(tmp_path / "none")}, "ca_file"),
        ({"cert_file": str(rubbish), "key_file": str(rubbish)}, "cert_file"),
    ):
        kafka = KafkaSettings.model_validate({"security": "tls", "tls": tls})
        with pytest.raises(SettingsError, match=rf"^kafka\.tls\.{key}: .* cannot be used \("):
            client_arguments(kafka)
