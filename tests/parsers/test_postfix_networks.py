"""Mail from the site's own networks is outbound, whatever line names the client."""

import pytest

from detector.events.contract import OUTBOUND
from pipelines.parsers.postfix import PostfixParser
from pipelines.parsers.site import Site

HEAD = b"2026-03-14T08:00:00.000000+00:00 mx1 postfix/"
OWN = Site(networks=("198.51.100.0/24", "2001:db8:1::/48"))
REFUSED = (
    b"smtpd[1]: NOQUEUE: reject: RCPT from unknown[%s]: 550 5.1.1 <bob@example.org>: Recipient "
    b"address rejected: User unknown; from=<a@example.net> "
    b"to=<bob@example.org> proto=ESMTP helo=<x>"
)


def outbound(lines: list[bytes], site: Site = OWN, *, relays: tuple[str, ...] = ()) -> list[bool]:
    """Say of each event whether it is outbound; each line is read twice, by way of the caches."""
    one = PostfixParser(reference_ms=1_773_500_000_000, site=site, trusted_relays=relays)
    first = one.feed([HEAD + line for line in lines], 0).events.outcome
    second = one.feed([HEAD + line for line in lines], len(lines)).events.outcome
    assert [code & OUTBOUND for code in first] == [code & OUTBOUND for code in second]
    return [code >= OUTBOUND for code in first]


def delivered(client: bytes, more: bytes = b"") -> list[bytes]:
    return [
        b"smtpd[1]: A1B2C: client=host[%s]%s" % (client, more),
        b"lmtp[2]: A1B2C: to=<ann@example.org>, relay=none, delay=0.1, status=sent (250 Ok)",
        b"qmgr[3]: A1B2C: removed",
    ]


@pytest.mark.parametrize(
    "client", [b"198.51.100.7", b"::ffff:198.51.100.7", b"64:ff9b::198.51.100.7", b"2001:db8:1::5"]
)
def test_mail_and_refusals_of_our_own_hosts_are_outbound(client: bytes) -> None:
    assert outbound(delivered(client)) == [True]
    assert outbound(delivered(client), Site()) == [False]
    assert outbound([REFUSED % client]) == [True]
    assert outbound([REFUSED % client], Site()) == [False]


@pytest.mark.parametrize("client", [b"192.0.2.7", b"2001:db8:2::5"])
def test_mail_and_refusals_of_others_stay_inbound(client: bytes) -> None:
    assert outbound(delivered(client)) == outbound([REFUSED % client]) == [False]


def test_who_stands_behind_a_trusted_relay_decides() -> None:
    relay, behind = b"198.51.100.7", b", orig_client=unknown[%s]"
    trusted = ("198.51.100.7",)
    assert outbound(delivered(relay, behind % b"192.0.2.7"), relays=trusted) == [False]
    assert outbound(delivered(relay, behind % b"198.51.100.9"), relays=trusted) == [True]
    assert outbound(delivered(b"192.0.2.7", behind % b"198.51.100.9"), relays=trusted) == [False]


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.300"):
        PostfixParser(reference_ms=0, site=Site(networks=("192.0.2.300",)))
