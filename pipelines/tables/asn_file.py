"""IP to ASN tables from files: range tables (plain, .gz, .zst) and MMDB, behind one lookup."""

import gzip
import hashlib
import ipaddress
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import zstandard

from detector.errors import AsnTableError
from detector.networks.enrich import UNKNOWN_ASN, AsnLookup, AsnTable, printable_name

__all__ = ["AsnFiles", "load_asn_files"]

_MAX_TABLE_BYTES = 1 << 30
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MMDB_MARKER = b"\xab\xcd\xefMaxMind.com"
_MMDB_TAIL_BYTES = 128 * 1024
_CHUNK_BYTES = 1 << 20
_V4_BYTES = 4
_MAX_ASN = 2**32 - 1


@dataclass(frozen=True, slots=True)
class AsnFiles:
    """Tables asked one after the other: the first that knows an address answers.

    `problems` are the lines left out, in words. The digest of a single table is that of its bytes;
    of several it is the digest of their digests, in order.
    """

    tables: tuple[AsnLookup, ...]
    problems: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 in hex: the same digest, the same answers."""
        if len(self.tables) == 1:
            return self.tables[0].digest
        return hashlib.sha256(" ".join(t.digest for t in self.tables).encode()).hexdigest()

    def lookup(self, keys: Sequence[bytes]) -> npt.NDArray[np.int64]:
        """Give the ASN of each key, (keys,) int64, -1 where no table knows it."""
        asns = np.full(len(keys), UNKNOWN_ASN, dtype=np.int64)
        for table in self.tables:
            open_rows = np.flatnonzero(asns == UNKNOWN_ASN)
            asns[open_rows] = table.lookup([keys[row] for row in open_rows.tolist()])
        return asns

    def name(self, asn: int) -> str:
        """Give the network's name from the first table that has one, else ""."""
        return next((name for table in self.tables if (name := table.name(asn))), "")


def load_asn_files(paths: Sequence[Path]) -> AsnFiles:
    """Read the tables, in the order in which they are asked.

    Raises:
        AsnTableError: a file that cannot be read, or holds no table.
    """
    tables: list[AsnLookup] = []
    problems: list[str] = []
    for path in paths:
        content = _read(path)
        if _MMDB_MARKER in content[-_MMDB_TAIL_BYTES:]:
            tables.append(_MmdbTable(path, hashlib.sha256(content).hexdigest()))
            continue
        table, found = AsnTable.parse(content, str(path))
        tables.append(table)
        problems.extend(f"{path}: {problem}" for problem in found)
        if table.rejected > len(found):
            problems.append(f"{path}: and {table.rejected - len(found)} more lines left out")
    return AsnFiles(tuple(tables), tuple(problems))


def _read(path: Path) -> bytes:
    """Give what the file holds once unpacked; the first bytes say how it is packed."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_ZSTD))
            file.seek(0)
            if head.startswith(_GZIP):
                content = gzip.GzipFile(fileobj=file).read(_MAX_TABLE_BYTES + 1)
            elif head == _ZSTD:
                content = _unpack_zstd(file)
            else:
                content = file.read(_MAX_TABLE_BYTES + 1)
    except FileNotFoundError:
        raise AsnTableError(str(path), "no such file: check the path") from None
    except IsADirectoryError:
        raise AsnTableError(str(path), "it is a directory: name the file in it") from None
    except PermissionError:
        raise AsnTableError(str(path), "may not be read: check its permissions") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        problem = f"its compression is damaged ({error}): fetch the file again"
        raise AsnTableError(str(path), problem) from None
    except OSError as error:
        problem = f"cannot be read ({error.strerror}): check the disk"
        raise AsnTableError(str(path), problem) from error
    if len(content) > _MAX_TABLE_BYTES:
        limit = f"unpacked it is larger than {_MAX_TABLE_BYTES >> 20} MiB, the limit"
        raise AsnTableError(str(path), f"{limit}: choose another file")
    return content


def _unpack_zstd(file: BinaryIO) -> bytes:
    """Unpack all frames; the library's own reader takes a file cut short for a whole one."""
    unpacked: list[bytes] = []
    size = 0
    frame = zstandard.ZstdDecompressor().decompressobj()
    while size <= _MAX_TABLE_BYTES and (packed := file.read(_CHUNK_BYTES)):
        while packed:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            unpacked.append(frame.decompress(packed))
            size += len(unpacked[-1])
            packed = frame.unused_data
    if not frame.eof and size <= _MAX_TABLE_BYTES:
        raise EOFError("the last frame is incomplete")
    return b"".join(unpacked)


class _MmdbTable:
    """An MMDB file through maxminddb: about 1 µs a lookup; IPv6 by the first address of its /64.

    Names are known for the networks looked up so far, so they serve to show, not to decide.
    """

    def __init__(self, path: Path, digest: str) -> None:
        try:
            import maxminddb
        except ImportError:
            hint = "MMDB needs the package maxminddb: install floodwatch[mmdb]"
            raise AsnTableError(str(path), hint) from None
        self.digest = digest
        self._path = str(path)
        self._names: dict[int, str] = {}
        self._broken = maxminddb.InvalidDatabaseError
        try:
            self._reader = maxminddb.open_database(path)
        except maxminddb.InvalidDatabaseError as error:
            raise self._damaged(error) from None

    def lookup(self, keys: Sequence[bytes]) -> npt.NDArray[np.int64]:
        return np.fromiter(map(self._asn, keys), dtype=np.int64, count=len(keys))

    def name(self, asn: int) -> str:
        return self._names.get(asn, "")

    def _asn(self, key: bytes) -> int:
        v4 = len(key) == _V4_BYTES
        address = ipaddress.ip_address(key if v4 else key + bytes(8))
        try:
            record: Any = self._reader.get(address)
        except self._broken as error:
            raise self._damaged(error) from None
        except ValueError:
            # An IPv6 address, and the file holds IPv4 only.
            return UNKNOWN_ASN
        if not isinstance(record, dict):
            return UNKNOWN_ASN
        asn = _asn_number(record.get("autonomous_system_number", record.get("asn")))
        if asn not in self._names:
            text = str(record.get("autonomous_system_organization", record.get("name", "")))
            self._names[asn] = printable_name(text)
        return asn

    def _damaged(self, error: Exception) -> AsnTableError:
        return AsnTableError(self._path, f"the MMDB is damaged ({error}): fetch the file again")


def _asn_number(value: object) -> int:
    """Read 64496 or "AS64496", the two ways in use."""
    if isinstance(value, str) and value[:2] == "AS" and value[2:].isdecimal():
        value = int(value[2:12])
    if type(value) is int and 0 < value <= _MAX_ASN:
        return value
    return UNKNOWN_ASN
