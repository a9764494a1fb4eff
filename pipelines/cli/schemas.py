"""`floodwatch schema`: the contracts of events, decisions and flood records as JSON Schema."""

from typing import Any, Final

from pipelines.cli.guarded import UsageError
from pipelines.cli.listings import print_json

__all__ = ["DECISION", "EVENT", "FLOOD", "show_schema"]

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_TIME: Final = {
    "description": "RFC 3339 with an offset, or whole Unix milliseconds",
    "anyOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}],
}
_TEXT: Final = {"type": "string"}
_MILLISECONDS: Final = {"type": "integer", "description": "Unix milliseconds"}


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


EVENT: Final[dict[str, Any]] = {
    "$schema": _DRAFT,
    "title": "floodwatch event: one message to one recipient, or a refusal; one object a line",
    "anyOf": [
        {"$ref": "#/$defs/event"},
        {
            "type": "object",
            "title": "heartbeat: the time without an event",
            "required": ["heartbeat"],
            "properties": {"heartbeat": _TIME},
        },
    ],
    "$defs": {
        "event": {
            "type": "object",
            "required": ["time", "client_ip", "action"],
            "properties": {
                "time": _TIME,
                "client_ip": {"type": "string", "description": "from the MTA's own field"},
                "action": {"enum": ["accept", "reject", "defer", "discard"]},
                "recipient": {
                    "description": "may be missing only on a reject at connect",
                    "anyOf": [
                        _TEXT,
                        {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 4096},
                        {"type": "null"},
                    ],
                },
                "received": _optional(_TIME),
                "asn": _optional({"type": "integer", "minimum": 0, "maximum": 2**32 - 1}),
                "sender": _optional({"type": "string", "description": "empty for the null sender"}),
                "cause": _optional(
                    {"enum": ["blocklist", "unknown_user", "rate", "content", "other"]}
                ),
                "direction": _optional({"enum": ["inbound", "outbound"]}),
                **dict.fromkeys(("helo", "rdns", "host", "queue_id", "reason"), _TEXT),
                **dict.fromkeys(("auth_domain", "list_id"), _TEXT),
                "size": {"type": "integer"},
            },
            "if": {"properties": {"action": {"const": "reject"}}},
            "else": {
                "required": ["recipient"],
                "properties": {"recipient": {"not": {"type": "null"}}},
            },
        }
    },
}

_DECISION_FIELDS: Final[dict[str, Any]] = {
    "v": {"const": 1, "description": "version of this contract"},
    "seq": {"type": "integer", "minimum": 1, "description": "in order, without gaps"},
    "id": _TEXT,
    "time": {**_MILLISECONDS, "description": "Unix ms from which it could be known"},
    "change": {"enum": ["list", "extend", "remove", "expire", "refuse", "hold", "release"]},
    "shadow": {"type": "boolean", "description": "recorded, not published"},
    "subject": {"type": "string", "description": "192.0.2.7 or 2001:db8:1:2::/64"},
    "tier": {"enum": ["temporary", "standing", ""], "description": "empty if it was never listed"},
    "rule": _TEXT,
    "asn": _optional({"type": "integer"}),
    "provider": _TEXT,
    "first_seen": _MILLISECONDS,
    "last_seen": _MILLISECONDS,
    "until": {**_MILLISECONDS, "description": "Unix ms at which it ends if it stays quiet"},
    "hard_until": {**_MILLISECONDS, "description": "Unix ms at which readers drop it"},
    "policy": {"type": "string", "pattern": "^[0-9a-f]{12}$"},
    "evidence": {"type": "object", "description": "the numbers needed to recompute the offence"},
}
DECISION: Final[dict[str, Any]] = {
    "$schema": _DRAFT,
    "title": "floodwatch decision: one change of one subject; one object a line",
    "type": "object",
    "required": list(_DECISION_FIELDS),
    "properties": {
        **_DECISION_FIELDS,
        "request": {"type": "string", "description": "the request this answers"},
    },
}

_COUNT: Final = {"type": "integer", "minimum": 0}
_FLOOD_FIELDS: Final[dict[str, Any]] = {
    "v": {"const": 1, "description": "version of this contract"},
    "kind": {"const": "flood"},
    "id": {
        "type": "string",
        "pattern": "^[0-9a-f]{16}$",
        "description": "of the flood; evidence.flood of a decision names it",
    },
    "tick": {
        "type": "integer",
        "description": "Unix seconds of the close; the record with the greatest one counts",
    },
    "state": {"enum": ["open", "going on", "over"]},
    "scope": {"enum": ["mailbox", "domain"]},
    "victim": {"type": "string", "description": "masked"},
    "found": {**_MILLISECONDS, "description": "Unix ms at which it was recognised"},
    "start": {**_MILLISECONDS, "description": "Unix ms of the first attempt that counts"},
    "last": {**_MILLISECONDS, "description": "Unix ms of the last attempt"},
    "messages": {**_COUNT, "description": "attempts at the victim since the flood began"},
    "sources": {**_COUNT, "description": "addresses and /64 networks that sent them"},
    "asns": {**_COUNT, "description": "networks that sent them"},
    "peak_per_min": {**_COUNT, "description": "attempts in its busiest minute"},
    "stopped": {**_COUNT, "description": "attempts of sources that were listed before"},
    "listed": {**_COUNT, "description": "sources listed for this flood"},
}
FLOOD: Final[dict[str, Any]] = {
    "$schema": _DRAFT,
    "title": "floodwatch flood record: the totals of a flood at a close; one object a line",
    "type": "object",
    "required": list(_FLOOD_FIELDS),
    "properties": _FLOOD_FIELDS,
}


def show_schema(what: str) -> None:
    """Print one of the contracts."""
    known = {"event": EVENT, "decision": DECISION, "flood": FLOOD}
    if what not in known:
        raise UsageError(f"schema: got {what!a}, must be {', '.join(known)}")
    print_json(known[what])
