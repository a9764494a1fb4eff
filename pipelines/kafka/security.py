"""How a client of Kafka connects and signs in: the arguments that every one of them takes."""

import asyncio
import ssl
from pathlib import Path
from typing import Any, Final

from aiokafka.abc import AbstractTokenProvider

from detector.errors import SettingsError
from pipelines.console.escaped import escaped
from pipelines.settings.model import KafkaSettings, TlsSettings
from pipelines.settings.secret_file import read_secret

__all__ = ["TokenFile", "client_arguments"]

_PROTOCOLS: Final = {
    "plaintext": "PLAINTEXT",
    "tls": "SSL",
    "sasl_plaintext": "SASL_PLAINTEXT",
    "sasl_tls": "SASL_SSL",
}


class TokenFile(AbstractTokenProvider):  # type: ignore[misc] # aiokafka has no types
    """The token of OAUTHBEARER from a file, which something else keeps fresh."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """Give the current token in the file."""
        return await asyncio.to_thread(read_secret, self._path, "kafka.sasl.token_file")


def client_arguments(kafka: KafkaSettings) -> dict[str, Any]:
    """Give the arguments of a consumer, producer or admin client of aiokafka; reads the secrets.

    Raises:
        SettingsError: a file with a secret or a certificate cannot be used.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": [broker.strip() for broker in kafka.bootstrap.split(",")],
        "client_id": kafka.client_id,
        "request_timeout_ms": round(kafka.request_s * 1_000),
        "security_protocol": _PROTOCOLS[kafka.security],
    }
    if kafka.security.endswith("tls"):
        arguments["ssl_context"] = _tls(kafka.tls)
    if kafka.security.startswith("sasl"):
        arguments["sasl_mechanism"] = kafka.sasl.mechanism
        if kafka.sasl.token_file is not None and kafka.sasl.mechanism == "OAUTHBEARER":
            arguments["sasl_oauth_token_provider"] = TokenFile(kafka.sasl.token_file)
        elif kafka.sasl.password_file is not None:
            password = read_secret(kafka.sasl.password_file, "kafka.sasl.password_file")
            arguments["sasl_plain_username"] = kafka.sasl.user
            arguments["sasl_plain_password"] = password
    return arguments


def _tls(tls: TlsSettings) -> ssl.SSLContext:
    """Make a context that checks the broker's certificate and name, unless disabled."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ValueError) as error:
        raise _unusable("ca_file", tls.ca_file, error) from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file is not None:
        try:
            # Without a passphrase OpenSSL would ask for one on the terminal, and wait.
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
        except (OSError, ValueError) as error:
            raise _unusable("cert_file", tls.cert_file, error) from None
    return context


def _unusable(name: str, path: Path | None, error: OSError | ValueError) -> SettingsError:
    why = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
    what = f"{escaped(str(path))} cannot be used ({why})"
    said = f"{what}: must be PEM, readable, the key that of the certificate, no passphrase"
    return SettingsError([(f"kafka.tls.{name}", said)])
