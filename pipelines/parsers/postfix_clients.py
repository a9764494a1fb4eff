"""Who brought a message: the client field of smtpd, relays of ours that speak for others."""

import ipaddress
import re
from collections.abc import Collection, Container
from typing import Final

from detector.events.contract import OUTBOUND
from detector.events.subjects import ip_key
from pipelines.parsers.postfix_lines import CLIENT

__all__ = ["OUR_OWN", "Clients"]

OUR_OWN: Final = ""
"""Stands for a client on our own machine, which is nobody's source."""

_LOOPBACK_NET: Final = 127
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

    Raises:
        ValueError: An entry of `trusted_relays` is no address or network.
    """

    def __init__(self, trusted_relays: Collection[str]) -> None:
        self._trusted = [ipaddress.ip_network(text, strict=False) for text in trusted_relays]
        self.plain: dict[bytes, str] = {}
        """Client by the whole field, of fields that hold a client and nothing else."""
        self.addresses: dict[bytes, str] = {}
        """Addresses read before, as `address` gives them."""

    def address(self, raw: bytes) -> str | None:
        """Give an address as text, `OUR_OWN` for a loopback address, None where it is none."""
        known = self.addresses.get(raw)
        if known is not None:
            return known
        text = raw.decode("ascii", "replace")
        key = ip_key(text)
        if key is None:
            return None
        if key[0] == _LOOPBACK_NET or text == "::1":
            text = OUR_OWN
        if len(self.addresses) >= _MOST_CACHED:
            self.addresses.clear()
        self.addresses[raw] = text
        return text

    def behind(self, address: str, original: str | None) -> str:
        """Give who stands behind `address`, where its message has named an `original` client."""
        if original and original != address and (address == OUR_OWN or self.trusts(address)):
            return original
        return address

    def trusts(self, address: str) -> bool:
        """Tell whether what a client says of the client behind it is believed.

        A client on our own machine is a filter or proxy of ours, and always believed.
        """
        if address == OUR_OWN:
            return True
        if not self._trusted:
            return False
        ip = ipaddress.ip_address(address)
        return any(ip in network for network in self._trusted)

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
        return client, outbound
