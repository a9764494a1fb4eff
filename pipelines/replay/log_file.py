"""The log as a file: every tally and control in order, to be replayed without its input.

A magic line, then each record behind its length (4 bytes, little-endian).
"""

from collections.abc import Iterator
from typing import Final

from detector.events.interning import KeyTables
from detector.log.records import LogRecord, decode_records, encode_record
from pipelines.replay.formats import LOG_MAGIC
from pipelines.sources.compressed import PackedFile
from pipelines.sources.files import UnreadableInputError
from pipelines.stages.publish import SideFile

__all__ = ["LogWriter", "read_log"]

_LENGTH_BYTES: Final = 4
_LONGEST_RECORD: Final = 1 << 26


class LogWriter:
    """Writes records as they come."""

    def __init__(self, file: SideFile, tables: KeyTables) -> None:
        self._file = file
        self._tables = tables
        file.write(LOG_MAGIC)

    def write(self, record: LogRecord) -> None:
        """Write the next record."""
        self.write_bytes(encode_record(record, self._tables))

    def write_bytes(self, content: bytes) -> None:
        """Write the next record as it was encoded."""
        self._file.write(len(content).to_bytes(_LENGTH_BYTES, "little") + content)


def read_log(file: PackedFile, tables: KeyTables) -> Iterator[list[LogRecord]]:
    """Give the records of a dump in runs of about a chunk.

    Raises:
        LogFormatError: a record that this version cannot read.
        UnreadableInputError: it cannot be read, or is cut short; what came before has been given.
    """
    held = b""
    while len(held) < len(LOG_MAGIC) and (chunk := file.read()):
        held += chunk
    at = len(LOG_MAGIC)
    while True:
        blobs: list[bytes] = []
        while (end := _end(held, at, file.path)) <= len(held):
            blobs.append(held[at + _LENGTH_BYTES : end])
            at = end
        if blobs:
            yield decode_records(blobs, tables)
        chunk = file.read()
        if not chunk:
            break
        held, at = held[at:] + chunk, 0
    if at < len(held):
        problem = "the log ends in the middle of a record: the data before it was used"
        raise UnreadableInputError(file.path, problem)


def _end(held: bytes, at: int, name: str) -> int:
    """Give where the record at `at` ends, beyond `held` where its length is not there yet."""
    head = held[at : at + _LENGTH_BYTES]
    if len(head) < _LENGTH_BYTES:
        return len(held) + 1
    size = int.from_bytes(head, "little")
    if size > _LONGEST_RECORD:
        problem = f"no log from byte {at} of this part on: a record of {size:,} bytes"
        raise UnreadableInputError(name, f"{problem} (at most {_LONGEST_RECORD:,}): is it damaged?")
    return at + _LENGTH_BYTES + size
