"""Exports as lists: for people, for programs, and for Postfix."""

from collections.abc import Iterable

import orjson

from pipelines.exports.entries import Edition, Entry

__all__ = ["json_lines", "plain", "postfix"]


def plain(edition: Edition) -> dict[str, bytes]:
    """Give `listed.txt`: one subject a line."""
    return {"listed.txt": _text(one.subject for one in edition.blocking)}


def json_lines(edition: Edition) -> dict[str, bytes]:
    """Give `listed.ndjson`: one object a line, those in shadow mode too (`shadow` is true)."""
    rows = [*edition.blocking, *edition.shadow]
    return {"listed.ndjson": b"".join(orjson.dumps(_row(one)) + b"\n" for one in rows)}


def postfix(edition: Edition) -> dict[str, bytes]:
    """Give `floodwatch.cidr`, a cidr_table(5) for `check_client_access`.

    Postfix reads it when a process starts and compares a client with its rules in order, so it is
    meant for up to some thousand listings; rbldnsd serves any number.
    """
    rules = (f"{one.subject} REJECT {_reason(one, edition)}" for one in edition.blocking)
    return {"floodwatch.cidr": _text(rules)}


def _reason(entry: Entry, edition: Edition) -> str:
    """Give what the rejected sender reads; RFC 6471, 2.1.2 asks for the way to the evidence."""
    where = edition.lookup_url.replace("{ip}", entry.subject.removesuffix("/64"))
    return "listed by floodwatch: it takes part in a mail flood" + (where and f", see {where}")


def _row(entry: Entry) -> dict[str, object]:
    return {
        "subject": entry.subject,
        "tier": "standing" if entry.standing else "temporary",
        "shadow": entry.shadow,
        "hard_until": entry.hard_until_ms,
    }


def _text(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
