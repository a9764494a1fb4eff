"""Which provider an address belongs to, by prefix or by AS number, from a file people edit."""

import difflib
import hashlib
import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from detector.errors import ProviderFileError

__all__ = ["ProviderRegistry"]

_KEYS = ("name", "asns", "prefixes")
_MAX_ASN = 2**32 - 1
_MAX_NAME_CHARACTERS = 60
_MAX_V6_LENGTH = 64
_HEADER = re.compile(r"^\s*\[\[\s*(?:provider|\"provider\"|'provider')\s*\]\]")
_SYNTAX_LINE = re.compile(r" \(at line (\d+), column \d+\)$")


@dataclass(frozen=True, slots=True)
class ProviderRegistry:
    """AS numbers and prefixes with the names of their providers.

    `digest` is the SHA-256 of the text in hex; `names` are the providers in the order of the file.
    A lookup costs a dict access, and one more for each prefix length in use.
    """

    digest: str
    names: tuple[str, ...]
    _by_asn: Mapping[int, str] = field(repr=False)
    _by_prefix: Mapping[tuple[int, int], Mapping[int, str]] = field(repr=False)

    @classmethod
    def parse(cls, text: str, name: str) -> "ProviderRegistry":
        r"""Read a provider file (TOML; `detector/providers.toml` shows its form).

        Raises:
            ProviderFileError: with everything that is wrong, each with its line.

        >>> registry = ProviderRegistry.parse('''
        ... [[provider]]
        ... name = "Example"
        ... asns = [64496]
        ... prefixes = ["192.0.2.0/24"]
        ... ''', "providers.toml")
        >>> registry.provider_of(64496, bytes(4)), registry.provider_of(-1, b"\xc0\x00\x02\x07")
        ('Example', 'Example')
        """
        try:
            document = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            line = _SYNTAX_LINE.search(str(error))
            said = _SYNTAX_LINE.sub("", str(error))
            where = line[1] if line else str(text.count("\n") + 1)
            raise ProviderFileError(name, [f"{where} not TOML: {said}"]) from None
        reader = _Reader(text)
        reader.read(document)
        if reader.problems:
            raise ProviderFileError(name, reader.problems)
        lengths = sorted(reader.prefixes, reverse=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        prefixes = {length: reader.prefixes[length] for length in lengths}
        return cls(digest, tuple(reader.names), reader.asns, prefixes)

    def provider_of(self, asn: int, key: bytes) -> str:
        """Give the provider's name, "" when none is known: longest prefix first, then the ASN.

        `asn` may be -1 (unknown); `key` is 4 bytes of IPv4 or the 8 upper bytes of IPv6.
        """
        bits = len(key) * 8
        address = int.from_bytes(key)
        for (family_bits, length), known in self._by_prefix.items():
            if family_bits == bits:
                found = known.get(address >> (bits - length))
                if found is not None:
                    return found
        return self._by_asn.get(asn, "")


class _Reader:
    """Collects what a file says and everything that is wrong with it."""

    def __init__(self, text: str) -> None:
        lines = enumerate(text.split("\n"), start=1)
        self._headers = [number for number, line in lines if _HEADER.match(line)]
        self._line = 1
        self.problems: list[str] = []
        self.names: list[str] = []
        self.asns: dict[int, str] = {}
        self.prefixes: dict[tuple[int, int], dict[int, str]] = {}

    def read(self, document: Mapping[str, Any]) -> None:
        for key in document:
            if key != "provider":
                self._unknown(key, ("provider",))
        entries = document.get("provider", [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            self._wrong("provider", "one value", "a list of tables: write [[provider]]")
            return
        for number, entry in enumerate(entries):
            if number < len(self._headers):
                self._line = self._headers[number]
            self._entry(entry)

    def _entry(self, entry: Mapping[str, Any]) -> None:
        for key in entry:
            if key not in _KEYS:
                self._unknown(f"provider.{key}", _KEYS)
        name = entry.get("name")
        fits = isinstance(name, str) and name.isprintable() and name.strip() == name
        if not isinstance(name, str) or not fits or not 0 < len(name) <= _MAX_NAME_CHARACTERS:
            allowed = f"1 to {_MAX_NAME_CHARACTERS} printable characters"
            self._wrong("provider.name", name, allowed)
            return
        if name in self.names:
            self._wrong("provider.name", name, "each name once: join the two entries")
        self.names.append(name)
        asns, prefixes = entry.get("asns", []), entry.get("prefixes", [])
        for key, values in (("asns", asns), ("prefixes", prefixes)):
            if not isinstance(values, list):
                self._wrong(f"{name}.{key}", values, "a list")
        if not asns and not prefixes:
            self._wrong(name, "no asns and no prefixes", "at least one of them")
        for at, asn in enumerate(asns if isinstance(asns, list) else ()):
            self._asn(f"{name}.asns[{at}]", asn, name)
        for at, prefix in enumerate(prefixes if isinstance(prefixes, list) else ()):
            self._prefix(f"{name}.prefixes[{at}]", prefix, name)

    def _asn(self, where: str, asn: object, name: str) -> None:
        if type(asn) is not int or not 0 < asn <= _MAX_ASN:
            self._wrong(where, asn, f"a whole number from 1 to {_MAX_ASN}")
        elif self.asns.setdefault(asn, name) != name:
            self._wrong(
                where, asn, f"an AS number of one provider, it stands with {self.asns[asn]}"
            )

    def _prefix(self, where: str, prefix: object, name: str) -> None:
        try:
            network = ipaddress.ip_network(prefix) if isinstance(prefix, str) else None
        except ValueError:
            network = None
        v6 = network is not None and network.version == 6  # noqa: PLR2004 - IPv6
        if network is None or (v6 and network.prefixlen > _MAX_V6_LENGTH):
            allowed = (
                'a prefix without host bits, as "192.0.2.0/24" or "2001:db8::/32" (at most /64)'
            )
            self._wrong(where, prefix, allowed)
            return
        head = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
        known = self.prefixes.setdefault((64 if v6 else 32, network.prefixlen), {})
        if known.setdefault(head, name) != name:
            self._wrong(where, prefix, f"a prefix of one provider, it stands with {known[head]}")

    def _unknown(self, key: str, known: tuple[str, ...]) -> None:
        near = difflib.get_close_matches(key.rpartition(".")[2], known, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        self.problems.append(f"{self._line} {_shown(key)}: unknown key, {meant}")

    def _wrong(self, where: str, got: object, allowed: str) -> None:
        shown = "nothing" if got is None else _shown(got)
        self.problems.append(f"{self._line} {where}: got {shown}, must be {allowed}")


def _shown(got: object) -> str:
    text = got if isinstance(got, str) else repr(got)
    cut = text if len(text) <= _MAX_NAME_CHARACTERS else text[:_MAX_NAME_CHARACTERS] + "..."
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)
