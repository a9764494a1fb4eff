"""A message as a CloudEvent (https://github.com/cloudevents/spec, 1.0.2), structured, in JSON."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from pipelines.alerts.incidents import Message

__all__ = ["CONTENT_TYPE", "HELD", "LISTED", "body_of"]

CONTENT_TYPE: Final = "application/cloudevents+json"
LISTED: Final = "org.floodwatch.provider-listed.v1"
HELD: Final = "org.floodwatch.listing-held.v1"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, the last that RFC 3339 can write."""


def body_of(message: Message, source: str) -> bytes:
    """Give the body to send: the same bytes for the same message, in ASCII.

    `time` is the (event) time of the first change, `subject` the provider, absent where a held
    listing has none. `data.changes` are the decisions as the contract has them, whole.
    """
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": message.id,
        "source": source,
        "type": LISTED if message.kind == "listed" else HELD,
        "time": _EPOCH + timedelta(milliseconds=_within_years(message.changes[0]["time"])),
        "datacontenttype": "application/json",
    }
    if message.provider:
        attributes["subject"] = message.provider
    data = {
        "incident": message.incident,
        "part": message.part,
        "provider": message.provider,
        "rule": message.rule,
        "victim": message.victim,
        "changes": [dict(change) for change in message.changes],
    }
    return JSONFormat().write(CloudEvent(attributes, data))


def _within_years(time_ms: int) -> int:
    return min(max(time_ms, 0), _LAST_MS)
