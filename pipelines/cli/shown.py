"""Times, numbers and texts as people read them on a terminal."""

import difflib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from detector.events.subjects import subject_key, subject_text
from detector.policy.settings import Rules
from pipelines.cli.guarded import UsageError

__all__ = [
    "asn_of",
    "columns",
    "duration",
    "network",
    "per_cent",
    "rfc3339",
    "rule_of",
    "subject_of",
    "subject_order",
]

_ASN = re.compile(r"(?:AS[N ]? ?)?(\d{1,10})", re.ASCII | re.IGNORECASE)
_LARGEST_ASN = (1 << 32) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(time_ms: int) -> str:
    """Give a time to the second, in UTC.

    >>> rfc3339(1_777_283_325_999)
    '2026-04-27T09:48:45Z'
    """
    try:
        return (_EPOCH + timedelta(milliseconds=time_ms)).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        return f"{time_ms} ms"


def duration(span_ms: int) -> str:
    """Give a span of time in its two largest units.

    >>> duration(59_000), duration(600_000), duration(5_400_000), duration(180_000_000)
    ('59 s', '10 min', '1 h 30 min', '2 d 2 h')
    """
    minutes = span_ms // 60_000
    if minutes < 1:
        return f"{span_ms // 1000} s"
    days, hours = divmod(minutes // 60, 24)
    parts = [(days, "d"), (hours, "h"), (minutes % 60, "min")]
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def per_cent(part: float, whole: float) -> str:
    """Give a share in per cent with as many digits as say something.

    >>> per_cent(1, 3), per_cent(12, 34_567), per_cent(0, 0)
    ('33.3 %', '0.035 %', '0 %')
    """
    if not part or not whole:
        return "0 %"
    share = 100 * part / whole
    return f"{share:.3g} %" if share >= 1 else f"{share:.2g} %"


def network(asn: int | None, name: str = "", provider: str = "") -> str:
    """Say to whom an address belongs."""
    if asn is None:
        return provider or "unknown network"
    said = f"AS{asn} {name}".rstrip()
    return f"{said} ({provider})" if provider and provider != name else said


def subject_of(text: str) -> str:
    """Give the subject that an address belongs to.

    Raises:
        UsageError: no address.
    """
    key = subject_key(text.strip())
    if key is None:
        problem = "want an IPv4 or IPv6 address, as 192.0.2.7 or 2001:db8::1"
        raise UsageError(f"got {text[:64]!a}, {problem}")
    return subject_text(key)


def subject_order(subject: str) -> tuple[int, int]:
    """Give a key that sorts subjects by their addresses: IPv4 first, 192.0.2.9 before 192.0.2.10.

    >>> sorted(["2001:db8::/64", "192.0.2.10", "192.0.2.9"], key=subject_order)
    ['192.0.2.9', '192.0.2.10', '2001:db8::/64']
    """
    address = ipaddress.ip_address(subject.partition("/")[0])
    return address.version, int(address)


def asn_of(text: str, where: str) -> int:
    """Give the number of an AS, written as AS64501 or 64501; `where` names the option in an error.

    Raises:
        UsageError: no number of an AS.

    >>> asn_of("AS64501", "--asn"), asn_of("as64501", "--asn"), asn_of("64501", "--asn")
    (64501, 64501, 64501)
    """
    found = _ASN.fullmatch(text.strip())
    if found is None or int(found[1]) > _LARGEST_ASN:
        raise UsageError(f"{where}: got {text[:64]!a}, must be an AS number, as AS64501 or 64501")
    return int(found[1])


def rule_of(name: str, where: str) -> str:
    """Give the name of a rule back; `where` says in an error what holds it.

    Raises:
        UsageError: there is no such rule.
    """
    rules = [field.name for field in fields(Rules)]
    if name in rules:
        return name
    near = difflib.get_close_matches(name[:60], rules, n=1)
    meant = f"did you mean {near[0]}?" if near else f"must be {' or '.join(rules)}"
    raise UsageError(f"{where}: got {name[:60]!a}, {meant}")


def columns(
    rows: Sequence[Sequence[Any]], right: Sequence[int] = (), indent: str = ""
) -> list[str]:
    """Align rows under each other; the columns in `right` are numbers and stand to the right.

    >>> columns([("a", 1), ("bcd", 22)], right=[1])
    ['a     1', 'bcd  22']
    """
    texts = [[f"{v:,}" if isinstance(v, int) else str(v) for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        (indent + "  ".join(
            text.rjust(width) if index in right else text.ljust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        )).rstrip()
        for row in texts
    ]  # fmt: skip
