"""The synthetic IP to ASN table that matches a simulated world."""

import gzip
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from pipelines.simulate.network import Network

__all__ = ["asn_table_lines", "write_asn_table"]


def asn_table_lines(network: Network) -> list[str]:
    """Give the table's lines, `start end asn cc name` with tabs, IPv4 first, sorted by start."""
    v4 = sorted(
        (first, first + size - 1, system.asn, system.country, system.name)
        for system in network.systems
        for first, size in system.v4
    )
    v6 = sorted(
        (system.v6, system.v6 | ((1 << 96) - 1), system.asn, system.country, system.name)
        for system in network.systems
    )
    return [
        *(f"{IPv4Address(a)}\t{IPv4Address(b)}\t{n}\t{cc}\t{name}" for a, b, n, cc, name in v4),
        *(f"{IPv6Address(a)}\t{IPv6Address(b)}\t{n}\t{cc}\t{name}" for a, b, n, cc, name in v6),
    ]


def write_asn_table(network: Network, path: Path) -> int:
    """Write the table to `path` (compressed when it ends in `.gz`) and give its line count."""
    lines = asn_table_lines(network)
    payload = ("\n".join(lines) + "\n").encode()
    if path.suffix == ".gz":
        payload = gzip.compress(payload, mtime=0)
    path.write_bytes(payload)
    return len(lines)
