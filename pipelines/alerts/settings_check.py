"""Checks the settings of the webhook before anything runs."""

import base64
import binascii
import re
import ssl
from pathlib import Path
from typing import Final

import httpx

from detector.errors import SettingsError
from pipelines.settings.model import WebhookSettings

__all__ = ["AlertSettingsError", "checked_url", "secrets_of", "trust_of"]

_MAX_FILE_BYTES: Final = 1 << 20
_LEAST_KEY_BYTES: Final = 24
_MOST_KEY_BYTES: Final = 64
_SECRET: Final = re.compile(r"whsec_([A-Za-z0-9+/]+={0,2})")
_WANT: Final = (
    "must be whsec_ and 24 to 64 random bytes in base64: make one with "
    "`echo whsec_$(openssl rand -base64 32)`"
)


class AlertSettingsError(SettingsError):
    """A setting of the webhook that cannot be used: `key` is its name, `problem` what is wrong."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__([(f"webhook.{key}", problem)])
        self.key = key
        self.problem = problem


def checked_url(settings: WebhookSettings) -> httpx.URL:
    """Give the URL; what stands in it is not repeated in the error, since it may be secret.

    Raises:
        AlertSettingsError: it is none.
    """
    want = "must be an address like https://alerts.example/floodwatch"
    try:
        url = httpx.URL(settings.url)
    except (httpx.InvalidURL, ValueError):
        raise AlertSettingsError("url", f"cannot be read: it {want}") from None
    if url.scheme not in {"https", "http"} or not url.host:
        raise AlertSettingsError("url", f"has the scheme {url.scheme!a}, host {url.host!a}: {want}")
    return url


def secrets_of(settings: WebhookSettings) -> tuple[bytes, ...]:
    """Give the keys of the secret file, in its order; blank lines and `#` comments are skipped.

    Raises:
        AlertSettingsError: there is none, or a line is no secret (its text is not repeated).
    """
    key = "secret_file"
    if settings.secret_file is None:
        raise AlertSettingsError(key, "not given, and alerts are signed: name a file with a secret")
    content = _content(key, settings.secret_file)
    keys = []
    for number, line in enumerate(content.decode("ascii", "replace").split("\n"), start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            keys.append(_key_in(text, settings.secret_file, number))
    if not keys:
        raise AlertSettingsError(
            key, f"{_shown(settings.secret_file)}: holds no secret: it {_WANT}"
        )
    return tuple(keys)


def trust_of(settings: WebhookSettings) -> ssl.SSLContext:
    """Give what certificates are checked against: `ca_file` alone, or the usual authorities.

    Raises:
        AlertSettingsError: the file cannot be used.
    """
    if settings.ca_file is None:
        return httpx.create_ssl_context(trust_env=False)
    _content("ca_file", settings.ca_file)
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError:
        problem = f"{_shown(settings.ca_file)}: holds no certificate in PEM"
        raise AlertSettingsError("ca_file", problem) from None


def _key_in(text: str, path: Path, number: int) -> bytes:
    match = _SECRET.fullmatch(text)
    try:
        found = base64.b64decode(match[1], validate=True) if match else b""
    except binascii.Error:
        found = b""
    whole = match is not None and base64.b64encode(found).decode() == match[1]
    if not whole or not _LEAST_KEY_BYTES <= len(found) <= _MOST_KEY_BYTES:
        raise AlertSettingsError("secret_file", f"{_shown(path)}:{number}: {_WANT}")
    return found


def _content(key: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        said = f"{_shown(path)}: cannot be read ({error.strerror}): check path and permissions"
        raise AlertSettingsError(key, said) from None
    if len(content) > _MAX_FILE_BYTES:
        raise AlertSettingsError(key, f"{_shown(path)}: larger than 1 MiB: is it the right file?")
    return content


def _shown(path: Path) -> str:
    return ascii(str(path))[1:-1]
