"""Settings that are allowed and unwise, in words."""

from collections.abc import Iterator
from typing import Any

from pipelines.console.escaped import escaped
from pipelines.settings.model import LiveSettings
from pipelines.settings.secret_file import exposed
from pipelines.settings.section import SECRET
from pipelines.settings.text import singles

__all__ = ["settings_warnings"]


def settings_warnings(settings: LiveSettings) -> list[str]:
    """Say what an operator should change although it works; looks at the files of secrets."""
    return [*_exposed_secrets(settings), *_open_connections(settings)]


def _exposed_secrets(settings: LiveSettings) -> Iterator[str]:
    for key, field in singles().items():
        path: Any = settings
        for name in key:
            path = getattr(path, name)
        if field.json_schema_extra == SECRET and path is not None and exposed(path):
            shown = escaped(str(path))
            yield f"{'.'.join(key)}: everybody on this machine may read {shown}: chmod o-r it"


def _open_connections(settings: LiveSettings) -> Iterator[str]:
    kafka = settings.kafka
    if not kafka.tls.verify:
        yield "kafka.tls.verify: false: whoever is on the way can read and change everything"
    if kafka.security == "sasl_plaintext" and not kafka.sasl.mechanism.startswith("SCRAM"):
        yield f"kafka.security: {kafka.sasl.mechanism} sends its secret unencrypted: use sasl_tls"
