"""How well-known programs write their records; learned from their public documentation.

KumoMTA: docs/reference/log_record (`Rejection` is a 4xx or 5xx that it answered; all kinds but
this and `Reception` are about mail on its way out). rspamd: rows of `history_redis`, and the json
of `metadata_exporter`, which has no time: add one upstream. ECS: Elastic Common Schema 8, nested or
with dots in its names. Vector: the global log schema, our own names for the rest.
"""

from collections.abc import Mapping
from typing import Final

from pipelines.settings.source import FieldSettings, SourceSettings, ValueSettings

__all__ = ["CONTRACT", "PRESETS"]

CONTRACT: Final = SourceSettings(
    time_unit="ms",
    fields=FieldSettings(**{name: (name,) for name in FieldSettings.model_fields}),
)
"""The event contract, told as a mapping onto itself."""

_KUMOMTA: Final = SourceSettings(
    time_unit="s",
    kind=("type",),
    kinds=("Reception", "Rejection"),
    fields=FieldSettings(
        time=("timestamp",),
        client_ip=("peer_address.addr",),
        action=("response.code",),
        recipient=("recipient",),
        sender=("sender",),
        cause=("response.enhanced_code",),
        # Logged only where the logger is told to: meta = {"authn_id"}.
        direction=("meta.authn_id", "reception_protocol"),
    ),
    values=ValueSettings(
        action={"2xx": "accept", "4xx": "defer", "5xx": "reject"},
        cause={"5.1.1": "unknown_user", "4.1.1": "unknown_user", "*": "other"},
        # Who signed in, or injected by HTTP, sends; only plain SMTP says nothing.
        direction={"ESMTP": "", "SMTP": "", "*": "outbound"},
    ),
)

_RSPAMD: Final = SourceSettings(
    time_unit="s",
    absent=("unknown",),
    fields=FieldSettings(
        time=("unix_time", "timestamp", "time"),
        client_ip=("ip",),
        action=("action",),
        recipient=("rcpt_smtp", "rcpt"),
        sender=("sender_smtp", "from"),
        cause=("action",),
        direction=("user",),
    ),
    values=ValueSettings(
        action={
            "no action": "accept",
            "add header": "accept",
            "rewrite subject": "accept",
            "quarantine": "accept",
            "soft reject": "defer",
            "greylist": "defer",
            "reject": "reject",
            "discard": "discard",
        },
        cause={"reject": "content", "*": "other"},
        direction={"*": "outbound"},
    ),
)

_ECS: Final = SourceSettings(
    time_unit="ms",
    kind=("event.category",),
    kinds=("email",),
    fields=FieldSettings(
        time=("@timestamp",),
        client_ip=("source.ip", "client.ip"),
        action=("event.action", "event.outcome"),
        recipient=("email.to.address",),
        sender=("email.sender.address", "email.from.address"),
        asn=("source.as.number", "client.as.number"),
        direction=("email.direction", "network.direction"),
    ),
    values=ValueSettings(
        action={
            "accepted": "accept",
            "delivered": "accept",
            "rejected": "reject",
            "deferred": "defer",
            "discarded": "discard",
            "success": "accept",
            "failure": "reject",
        },
        direction={
            "ingress": "inbound",
            "egress": "outbound",
            "internal": "outbound",  # from our own to our own: none that a block list is for
            "external": "",
            "unknown": "",
        },
    ),
)

_VECTOR: Final = CONTRACT.model_copy(
    update={"fields": CONTRACT.fields.model_copy(update={"time": ("timestamp", "time")})}
)

PRESETS: Final[Mapping[str, SourceSettings]] = {
    "": CONTRACT,
    "kumomta": _KUMOMTA,
    "rspamd": _RSPAMD,
    "vector": _VECTOR,
    "ecs": _ECS,
}
