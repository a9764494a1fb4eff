"""Who brought a message: the client field of smtpd, relays of ours that speak for others."""

import ipaddress
import re
from collections.abc import Collection, Container
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from detector.events.contract import OUTBOUND
from detector.events.subjects import ip_key
from pipelines.parsers.postfix_lines import CLIENT
from pipelines.parsers.site import networks_of

__all__ = ["OUR_OWN", "Clients"]

OUR_OWN: Final = ""
"""Stands for a client on our own machine, which is nobody's source."""

_LOOPBACK_NET: Final = 127
_V4_BYTES: Final = 4
_MOST_CACHED: Final = 32_768
_REST: Final = re.compile(rb"(?::\d{1,5})?(?:\s*\Z|(?=, ))")
# What smtpd writes behind the client, in this order. The login is one of ours; the text of
# sasl_sender= (AUTH= of MAIL FROM) is the client's, so nothing behind it is read from the left.
_LOGIN: Final = re.compile(rb", sasl_method=[A-Za-z0-9_-]{1,32}, sasl_username=")
_QUEUE_ID: Final = re.compile(
    rb", orig_queue_id=([0-9A-Za-z]{5,24})(?:, orig_client=[^\s,\"]{1,320})?\s*\Z"
)
_ORIGINAL: Final = re.compile(rb", orig_client=([^\s,\"]{1,320})\s*\Z")


class Clients:
    """Reads client fields, and remembers the texts it has read (at most 32,768 of a kind).

    Mail from a client in `networks` is outbound.

    Raises:
        ValueError: An entry of `trusted_relays` or `networks` is no address or network.
    """

    def __init__(self, trusted_relays: Collection[str], networks: Collection[str] = ()) -> None:
        self._trusted = networks_of(trusted_relays)
        self._networks = networks_of(networks)
        self._own: dict[bytes, str] = {}
        self.plain: dict[bytes, str] = {}
        """Client by the whole field, of fields that hold a client and nothing else."""
        self.addresses: dict[bytes, str] = {}
        """Addresses read before, as `address` gives them; those of our networks are apart."""

    def address(self, raw: bytes) -> str | None:
        """Give an address as text, `OUR_OWN` for a loopback address, None where it is none."""
        known = self.addresses.get(raw)
        if known is None:
            known = self._own.get(raw)
        if known is not None:
            return known
        text = raw.decode("ascii", "replace")
        key = ip_key(text)
        if key is None:
            return None
        if (len(key) == _V4_BYTES and key[0] == _LOOPBACK_NET) or text == "::1":
            text = OUR_OWN
        cache = self._own if self._is_in(text, self._networks) else self.addresses
        if len(cache) >= _MOST_CACHED:
            cache.clear()
        cache[raw] = text
        return text

    def is_own(self, address: str) -> bool:
        """Say whether a client is one of our own hosts, whose mail is outbound."""
        return bool(self._networks) and self._is_in(address, self._networks)

    def behind(self, address: str, original: str | None) -> str:
        """Give who stands behind `address`, where its message has named an `original` client."""
        if original and original != address and (address == OUR_OWN or self.trusts(address)):
            return original
        return address

    def trusts(self, address: str) -> bool:
        """Tell whether what a client says of the client behind it is believed.

        A client on our own machine is a filter or proxy of ours, and always believed.
        """
        return address == OUR_OWN or self._is_in(address, self._trusted)

    @staticmethod
    def _is_in(address: str, networks: list[IPv4Network | IPv6Network]) -> bool:
        """Say whether an address is in a network; one that IPv6 carries counts as IPv4 as well."""
        if not networks or not address:
            return False
        ips = [ipaddress.ip_address(address)]
        key = ip_key(address)
        if ":" in address and key is not None and len(key) == _V4_BYTES:
            ips.append(ipaddress.ip_address(key))
        return any(ip in network for network in networks for ip in ips)

    def read(
        self, line: bytes, at: int, open_messages: Container[bytes], suffix: bytes
    ) -> tuple[str, int] | None:
        """Read what follows `client=`: the client (or `OUR_OWN`), and `OUTBOUND` or 0.

        `suffix` completes a queue id to a key of `open_messages`. None where no address stands
        in Postfix's own field.
        """
        field = CLIENT.match(line, at)
        rest = field and _REST.match(line, field.end())
        if field is None or rest is None:
            return None
        client = self.address(field[1])
        if client is None:
            return None
        if line.find(b", ", rest.end()) < 0:
            if self.is_own(client):
                return client, OUTBOUND
            if client:
                if len(self.plain) >= _MOST_CACHED:
                    self.plain.clear()
                self.plain[line[at:]] = client
            return client, 0
        outbound = OUTBOUND if _LOGIN.match(line, rest.end()) else 0
        believed = self.trusts(client)
        if client == OUR_OWN or believed:
            earlier = _QUEUE_ID.search(line, rest.end())
            if earlier is not None and earlier[1] + b":" + suffix in open_messages:
                return OUR_OWN, outbound
        original = _ORIGINAL.search(line, rest.end()) if believed else None
        if original is not None:
            named = CLIENT.match(original[1])
            client = (self.address(named[1]) if named else None) or client
        if self.is_own(client):
            outbound = OUTBOUND
        return client, outbound
