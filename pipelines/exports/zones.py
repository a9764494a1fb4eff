"""Exports as DNS data: trie files of rbldnsd (RFC 5782) and a response policy zone."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from pipelines.exports.entries import Edition, Entry

__all__ = ["rbldnsd", "rpz"]

_TTL_S: Final = 60
"""How long a resolver may keep an answer: a removal is seen after it at the latest."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TEMPORARY: Final = "127.0.0.2"
_STANDING: Final = "127.0.0.3"
_TEST_V4: Final = ("127.0.0.2", "!127.0.0.1")
_TEST_V6: Final = ("::ffff:7f00:2/128", "!::ffff:7f00:1/128")
"""The entries by which a client tests the list (RFC 5782, 5): always and never listed."""


def rbldnsd(edition: Edition) -> dict[str, bytes]:
    """Give `ip4.rbl` and `ip6.rbl`, and the same of shadow listings for a zone of its own.

    Serve them as `ZONE:ip4trie:ip4.rbl ZONE:ip6trie:ip6.rbl`. A temporary listing is 127.0.0.2, a
    standing one 127.0.0.3; `$TIMESTAMP` lets rbldnsd stop using the data once it is
    `Edition.valid_s` old.
    """
    files = {}
    for prefix, entries in (("", edition.blocking), ("shadow-", edition.shadow)):
        v4 = [one for one in entries if not one.is_v6]
        v6 = [one for one in entries if one.is_v6]
        files[f"{prefix}ip4.rbl"] = _trie(edition, v4, _TEST_V4)
        files[f"{prefix}ip6.rbl"] = _trie(edition, v6, _TEST_V6)
    return files


def _trie(edition: Edition, entries: Sequence[Entry], tests: Sequence[str]) -> bytes:
    made = _EPOCH + timedelta(milliseconds=edition.made_ms)
    reason = "Listed by floodwatch: it takes part in a mail flood"
    if edition.lookup_url:
        # rbldnsd puts the address that was asked for in the place of $.
        reason += ", see " + edition.lookup_url.replace("$", "$$").replace("{ip}", "$")
    return _lines(
        [
            f"$TIMESTAMP {made:%Y:%m:%d:%H:%M:%S} +{edition.valid_s}s",
            f"$SOA {_TTL_S} localhost. nobody.localhost. 0 {_TTL_S} {_TTL_S} 86400 {_TTL_S}",
            f"$TTL {_TTL_S}",
            f":{_TEMPORARY}:{reason}",
            *tests,
            *(one.subject for one in entries if not one.standing),
            f":{_STANDING}:{reason}",
            *(one.subject for one in entries if one.standing),
        ]
    )


def rpz(edition: Edition) -> dict[str, bytes]:
    """Give `floodwatch.rpz`, a response policy zone that answers listed clients NXDOMAIN."""
    serial = edition.made_ms // 1000
    return {
        "floodwatch.rpz": _lines(
            [
                f"$TTL {_TTL_S}",
                f"@ SOA localhost. nobody.localhost. {serial} {_TTL_S} {_TTL_S} 86400 {_TTL_S}",
                "@ NS localhost.",
                *(f"{_trigger(one.subject)} CNAME ." for one in edition.blocking),
            ]
        )
    }


def _trigger(subject: str) -> str:
    """Give the name by which a policy zone matches a client.

    >>> _trigger("192.0.2.7"), _trigger("2001:db8:1:2::/64")
    ('32.7.2.0.192.rpz-client-ip', '64.zz.2.1.db8.2001.rpz-client-ip')
    """
    if ":" not in subject:
        return f"32.{'.'.join(reversed(subject.split('.')))}.rpz-client-ip"
    words = subject.removesuffix("::/64").split(":")
    return f"64.zz.{'.'.join(reversed(words))}.rpz-client-ip"


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
