"""Settings that are allowed and unwise, in words."""

import ipaddress
import socket
import unicodedata
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pipelines.console.escaped import escaped
from pipelines.settings.model import LiveSettings
from pipelines.settings.secret_file import exposed
from pipelines.settings.section import SECRET
from pipelines.settings.text import singles

__all__ = ["settings_warnings"]

_METADATA_NAMES: Final = {
    "instance-data", "instance-data.ec2.internal", "metadata", "metadata.azure.internal",
    "metadata.goog", "metadata.google.internal", "metadata.tencentyun.com",
}  # fmt: skip
_METADATA_NETWORKS: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
        "fd00:ec2::254/128", "fd20:ce::254/128", "fe80::/10",
    )
)  # fmt: skip
"""Link-local addresses, and those where cloud providers answer with a machine's credentials."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def settings_warnings(settings: LiveSettings) -> list[str]:
    """Say what an operator should change although it works; looks at the files of secrets."""
    return [
        *_exposed_secrets(settings), *_open_connections(settings), *_cloud_metadata(settings),
    ]  # fmt: skip


def _exposed_secrets(settings: LiveSettings) -> Iterator[str]:
    for key, field in singles().items():
        path: Any = settings
        for name in key:
            path = getattr(path, name)
        if field.json_schema_extra == SECRET and path is not None and exposed(path):
            shown = escaped(str(path))
            yield f"{'.'.join(key)}: every user of this machine can read {shown}: chmod o-r it"


def _open_connections(settings: LiveSettings) -> Iterator[str]:
    kafka = settings.kafka
    if not kafka.tls.verify:
        yield "kafka.tls.verify: false: anyone on the network path can read and change everything"
    if kafka.security == "sasl_plaintext" and not kafka.sasl.mechanism.startswith("SCRAM"):
        yield f"kafka.security: {kafka.sasl.mechanism} sends its secret unencrypted: use sasl_tls"


def _cloud_metadata(settings: LiveSettings) -> Iterator[str]:
    host = urlsplit(settings.webhook.url).hostname or ""
    if _is_metadata(host):
        yield (
            f"webhook.url: {escaped(host)} is the metadata service of a cloud machine, which gives "
            "out its credentials: name the receiver of the alerts"
        )


def _is_metadata(host: str) -> bool:
    """Tell a metadata service however its address is written.

    >>> [_is_metadata(text) for text in ("2852039166", "0xa9.254.43518", "::ffff:a9fe:a9fe")]
    [True, True, True]
    """
    name = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".").rstrip(".").lower()
    if name in _METADATA_NAMES:
        return True
    address = _address(name.partition("%")[0])
    return address is not None and any(address in network for network in _METADATA_NETWORKS)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if ":" not in name:
        try:  # as a resolver reads it: decimal, hex, octal, fewer than four parts
            return ipaddress.IPv4Address(socket.inet_aton(name))
        except (OSError, UnicodeError):
            return None
    try:
        address = ipaddress.IPv6Address(name)
    except ValueError:
        return None
    packed = address.packed[-4:]
    if address in _NAT64 or address in ipaddress.IPv6Network("::/96"):
        return ipaddress.IPv4Address(packed)
    return address.ipv4_mapped or address.sixtofour or address
