"""The networks of a world: few large ones with most of the mail, and a long tail."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import numpy as np

from benchmarks.second_traffic.columns import IntArray

__all__ = ["Network", "Networks", "make_networks", "v6_texts"]

# asn, country, name, kind, weight of its mail, sender domains
NAMED: tuple[tuple[int, str, str, str, float, tuple[str, ...]], ...] = (
    (15169, "US", "GOOGLE", "mailbox", 22, ("gmail.com", "googlemail.com")),
    (8075, "US", "MICROSOFT-CORP-MSN-AS-BLOCK", "mailbox", 20, ("outlook.com", "hotmail.com")),
    (36647, "US", "YAHOO-GQ1", "mailbox", 3, ("yahoo.com", "aol.com")),
    (714, "US", "APPLE-ENGINEERING", "mailbox", 2, ("icloud.com", "me.com")),
    (16509, "US", "AMAZON-02", "esp", 9, ()),
    (11377, "US", "SENDGRID", "esp", 5, ()),
    (14782, "US", "THEROCKETSCIENCEGROUP", "esp", 3, ()),
    (396479, "US", "MAILGUN-AS", "esp", 2, ()),
    (200069, "FR", "MAILJET-AS", "esp", 1.5, ()),
    (200484, "FR", "SENDINBLUE-AS", "esp", 1.5, ()),
    (16276, "FR", "OVH", "hoster", 5, ()),
    (24940, "DE", "HETZNER-AS", "hoster", 4, ()),
    (8560, "DE", "IONOS-AS", "hoster", 3, ()),
    (47583, "LT", "AS-HOSTINGER", "hoster", 1.5, ()),
    (14061, "US", "DIGITALOCEAN-ASN", "hoster", 0.8, ()),
    (51167, "DE", "CONTABO", "hoster", 0.8, ()),
    (63949, "US", "AKAMAI-LINODE-AP", "hoster", 0.6, ()),
    (20473, "US", "AS-VULTR", "hoster", 0.4, ()),
    (12876, "FR", "SCALEWAY-AS12876", "hoster", 0.4, ()),
    (3320, "DE", "DTAG", "isp", 2, ("t-online.de",)),
    (3215, "FR", "ORANGE-FRANCE", "isp", 1, ("orange.fr", "wanadoo.fr")),
    (12322, "FR", "PROXAD", "isp", 0.8, ("free.fr",)),
    (7922, "US", "COMCAST-7922", "isp", 0.8, ("comcast.net",)),
    (4134, "CN", "CHINANET-BACKBONE", "isp", 0.2, ()),
    (45899, "VN", "VNPT-AS-VN", "isp", 0.1, ()),
    (9829, "IN", "BSNL-NIB", "isp", 0.1, ()),
    (28573, "BR", "CLARO-BR", "isp", 0.1, ()),
)
TAIL = 420
TAIL_WEIGHT = 9.0
COUNTRIES = ("DE", "FR", "NL", "GB", "US", "PL", "IT", "ES", "BR", "IN", "RU", "TR", "ID", "SE")
BLOCKS = (5, 23, 31, 37, 45, 46, 51, 52, 54, 62, *range(77, 96), 104, 109, 141, 144, 151, 176)
PREFIX_BITS = {"mailbox": (15, 18), "esp": (15, 18), "hoster": (15, 18), "isp": (13, 16)}
TAIL_BITS = {"hoster": (19, 22), "isp": (17, 20), "company": (22, 24)}
POOL = {"mailbox": 260, "esp": 140, "hoster": 220, "isp": 60, "company": 4}
V6_BASE = 0x2A00 << 112
SKIPPED_ADDRESSES = 4


@dataclass(frozen=True, slots=True)
class Network:
    """One AS: its IPv4 prefixes as (first, bits), its IPv6 /32, its sender domains.

    `pool`: (addresses,) int64, the sources that send its everyday mail, `share` their shares.
    """

    asn: int
    country: str
    name: str
    kind: str
    weight: float
    v4: tuple[tuple[int, int], ...]
    v6: int
    pool: IntArray
    share: np.ndarray
    domains: IntArray

    def usual(self, rng: np.random.Generator, size: int) -> IntArray:
        """Give sources of its everyday mail, as often as they send."""
        return rng.choice(self.pool, size=size, p=self.share)

    def ranges(self) -> Iterator[tuple[str, str]]:
        """Yield the first and last address of each prefix."""
        for first, bits in self.v4:
            yield str(IPv4Address(first)), str(IPv4Address(first + (1 << 32 - bits) - 1))
        yield str(IPv6Address(self.v6)), str(IPv6Address(self.v6 + (1 << 96) - 1))


def _v4_texts(prefixes: tuple[tuple[int, int], ...], rng: np.random.Generator, n: int) -> list[str]:
    """Give `n` addresses of the prefixes, no network or broadcast addresses of a /24."""
    first = np.array([one for one, _ in prefixes], dtype=np.int64)
    span = np.array([1 << 32 - bits for _, bits in prefixes], dtype=np.int64)
    at = rng.choice(len(first), size=n, p=span / span.sum())
    values = first[at] + (rng.random(n) * span[at]).astype(np.int64)
    last = np.clip(values & 255, SKIPPED_ADDRESSES, 255 - SKIPPED_ADDRESSES)
    return [
        f"{one >> 24}.{one >> 16 & 255}.{one >> 8 & 255}.{low}"
        for one, low in zip(values.tolist(), last.tolist(), strict=True)
    ]


def v6_texts(base: int, rng: np.random.Generator, nets: int, hosts: IntArray) -> list[str]:
    """Give an address for each of `hosts`, evenly over `nets` /64 networks above `base`."""
    tops = rng.integers(1, 1 << 31, size=nets)
    picked = np.resize(tops, len(hosts))
    return [
        str(IPv6Address(base | int(top) << 64 | int(host)))
        for top, host in zip(picked, hosts, strict=True)
    ]


class Networks:
    """All networks of a world and the addresses seen in it, by position in `addresses`."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.all: list[Network] = []
        self._of_text: dict[str, int] = {}

    def add(self, texts: list[str]) -> IntArray:
        """Give the position of each address, new ones appended."""
        known, addresses = self._of_text, self.addresses
        positions = []
        for text in texts:
            position = known.setdefault(text, len(addresses))
            if position == len(addresses):
                addresses.append(text)
            positions.append(position)
        return np.array(positions, dtype=np.int64)

    def fresh(
        self, rng: np.random.Generator, network: Network, n: int, v6_share: float = 0.0
    ) -> IntArray:
        """Give `n` sources anywhere in a network, most of them never seen before."""
        v6 = int(rng.binomial(n, v6_share))
        texts = _v4_texts(network.v4, rng, n - v6)
        texts += v6_texts(network.v6, rng, max(v6, 1), rng.integers(1, 1 << 62, size=v6))
        sources = self.add(texts)
        return rng.permutation(sources)

    def of(self, *kinds: str) -> list[Network]:
        """Give the networks of the kinds, largest senders first."""
        chosen = [one for one in self.all if one.kind in kinds]
        return sorted(chosen, key=lambda one: -one.weight)

    def rows(self) -> list[str]:
        """Give the lines of an ASN table, IPv4 before IPv6, each in order of address."""
        v4, v6 = [], []
        for one in self.all:
            tail = f"{one.asn}\t{one.country}\t{one.name}"
            lines = [f"{first}\t{last}\t{tail}" for first, last in one.ranges()]
            v4 += [(first, line) for (first, _), line in zip(one.v4, lines, strict=False)]
            v6.append((one.v6, lines[-1]))
        return [line for _, line in sorted(v4)] + [line for _, line in sorted(v6)]


class _Space:
    """Public IPv4 space that is handed out in aligned prefixes with gaps."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._next = {block: block << 24 for block in BLOCKS}

    def prefix(self, bits: int) -> tuple[int, int]:
        span = 1 << 32 - bits
        while True:
            block = int(self._rng.choice(BLOCKS))
            first = -(-(self._next[block] + int(self._rng.integers(256, 4096))) // span) * span
            if first + span <= block + 1 << 24:
                self._next[block] = first + span
                return first, bits


def make_networks(rng: np.random.Generator, domain: Callable[[str], int]) -> Networks:
    """Give a world's networks; `domain(text)` gives the number of a sender domain."""
    networks, space = Networks(), _Space(rng)
    tail_asns = rng.permutation(np.r_[30_000:44_000, 52_000:62_000, 197_000:200_000])[:TAIL]
    kinds = rng.choice(("company", "hoster", "isp"), size=TAIL, p=(0.62, 0.23, 0.15)).tolist()
    ranks = 1.0 / np.arange(1, TAIL + 1) ** 0.9
    weights = ranks / ranks.sum() * TAIL_WEIGHT
    rows: list[tuple[int, str, str, str, float, tuple[str, ...]]] = list(NAMED)
    for asn, kind, weight in zip(tail_asns.tolist(), kinds, weights.tolist(), strict=True):
        country = str(rng.choice(COUNTRIES))
        rows.append((asn, country, f"{kind.upper()}-{asn}", kind, weight, ()))
    for at, (asn, country, name, kind, weight, own) in enumerate(rows):
        named = at < len(NAMED)
        low, high = (PREFIX_BITS if named else TAIL_BITS)[kind]
        prefixes = int(rng.integers(2, 6)) if named else int(rng.integers(1, 3))
        v4 = tuple(space.prefix(int(rng.integers(low, high + 1))) for _ in range(prefixes))
        v6 = V6_BASE | int(at * 7 + rng.integers(7) + 256) << 96
        size = max(1, int(POOL[kind] * (1.0 if named else rng.uniform(0.05, 0.4))))
        size = max(size, 2) if kind == "company" else size
        count = {"esp": 240, "hoster": 160, "company": 2}.get(kind, 1)
        texts = own or tuple(
            f"{'news.' if kind == 'esp' and i % 3 == 0 else ''}{kind[:4]}{asn}-{i}.example"
            for i in range(max(1, count if named or kind == "company" else count // 4))
        )
        bare = Network(
            asn, country, name, kind, weight, v4, v6, np.zeros(0, np.int64), np.zeros(0),
            np.array([domain(text) for text in texts], dtype=np.int64),
        )  # fmt: skip
        pool = np.unique(networks.fresh(rng, bare, size, 0.12 if kind != "isp" else 0.03))
        share = 1.0 / np.arange(1, len(pool) + 1) ** (0.5 if kind in {"mailbox", "esp"} else 1.0)
        networks.all.append(
            Network(
                asn, country, name, kind, weight, v4, v6, rng.permutation(pool),
                share / share.sum(), bare.domains,
            )
        )  # fmt: skip
    return networks
