"""What the records of the input look like, where they are not those of the event contract."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pipelines.settings.section import Section

__all__ = ["FieldSettings", "SourceSettings", "ValueSettings"]

MOST_PARTS: Final = 16
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\"\\]+")
"""What a name in JSON is without escapes."""


def _one_or_more(value: object) -> object:
    return ((value,) if value else ()) if isinstance(value, str) else value


def _dotted(paths: tuple[str, ...]) -> tuple[str, ...]:
    for path in paths:
        parts = path.split(".")
        if not all(map(_NAME.fullmatch, parts)) or len(parts) > MOST_PARTS:
            raise ValueError(f'must be names between dots, as "source.ip", at most {MOST_PARTS}')
    return paths


Paths = Annotated[
    tuple[str, ...],
    Field(max_length=MOST_PARTS),
    BeforeValidator(_one_or_more),
    AfterValidator(_dotted),
]
"""Where a field may stand, the first that is there counts; none: where the preset says."""


def _field(description: str) -> Any:
    return Field(default=(), description=f"Where to find {description}.")


class FieldSettings(Section):
    """Paths into a record, in order of preference; what is empty is as the preset has it."""

    time: Paths = _field("the time of the event")
    client_ip: Paths = _field("the address of the client, as the mail server itself saw it")
    action: Paths = _field("the outcome: accept, reject, defer or discard")
    recipient: Paths = _field("the recipient, or a list of recipients")
    sender: Paths = _field("the envelope sender, empty for the null sender")
    received: Paths = _field("the time at which the event was collected")
    asn: Paths = _field("the AS number of the client")
    cause: Paths = _field("the cause: blocklist, unknown_user, rate, content or other")
    direction: Paths = _field("the direction: inbound or outbound")


class ValueSettings(Section):
    """What values stand for. "4xx" is any such SMTP code, "*" anything; "" says nothing."""

    action: dict[str, Literal["accept", "reject", "defer", "discard", ""]] = Field(
        default={}, description="Values of the records for accept, reject, defer and discard."
    )
    cause: dict[str, Literal["blocklist", "unknown_user", "rate", "content", "other", ""]] = Field(
        default={}, description="Values of the records for the causes."
    )
    direction: dict[str, Literal["inbound", "outbound", ""]] = Field(
        default={}, description="Values of the records for inbound and outbound."
    )


class SourceSettings(Section):
    """The shape of the input's records; by default that of the event contract."""

    preset: Literal["", "kumomta", "rspamd", "vector", "ecs"] = Field(
        default="", description="Preset of field names; empty for the event contract."
    )
    time_unit: Literal["", "s", "ms"] = Field(
        default="",
        description="Unit of numeric times; empty for the preset's unit, or ms.",
    )
    kind: Paths = _field("the kind of a record; one without it counts")
    kinds: tuple[str, ...] = Field(
        default=(), description="The kinds that are events; all others are counted and skipped."
    )
    absent: tuple[str, ...] = Field(
        default=(), description='Texts that mean no value, such as "unknown".'
    )
    fields: FieldSettings = FieldSettings()
    values: ValueSettings = ValueSettings()
