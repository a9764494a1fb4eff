"""Inspects the inputs of a replay: partitions, formats and sizes, before anything is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.parsers.foreign_files import foreign_file
from pipelines.replay.first_look import check_copies, problem_of_fields
from pipelines.replay.formats import FORMATS, HEAD_BYTES, detect_format
from pipelines.settings.source import SourceSettings
from pipelines.sources.compressed import PackedFile
from pipelines.sources.files import STDIN, InputError, InputPartition, find_partitions

__all__ = ["Inspection", "inspect"]

_WANTED: Final = "want events in JSON, one a line, a raw Postfix log, Parquet or a dump of the log"
_SHOWN_BYTES: Final = 40


@dataclass(frozen=True, slots=True)
class Inspection:
    """The partitions with their format and how they begin (at most HEAD_BYTES, unpacked).

    `opened` are the pipes, by name of the partition: they can be read only once.
    """

    partitions: tuple[tuple[InputPartition, str, bytes], ...]
    opened: dict[str, PackedFile]
    left_out: tuple[str, ...]
    total_bytes: int | None
    modified_ms: dict[str, int]

    @property
    def is_log(self) -> bool:
        """Whether the input is a dump of the log."""
        return any(kind == "log" for _, kind, _ in self.partitions)

    def opened_log(self) -> PackedFile:
        """Give the dump, from its first byte."""
        name = self.partitions[0][0].name
        return self.opened.get(name) or PackedFile(name)

    def newest_ms(self, partition: InputPartition) -> int | None:
        """Give when the newest file of a partition was written, None for a pipe."""
        return self.modified_ms.get(partition.name)


def inspect(inputs: Sequence[str], name: str | None, source: SourceSettings) -> Inspection:
    """Find the files of all inputs and tell their formats; `name` is the format where it is given.

    `source` says what the records of JSON and Parquet look like.

    Raises:
        InputError: an input that names no file, or none that we can read; a file that would be
            counted twice; records without the fields that are read.
        UnreadableInputError: a file that may not be read.
    """
    found: list[tuple[InputPartition, str, bytes]] = []
    opened: dict[str, PackedFile] = {}
    left_out: list[str] = []
    modified: dict[str, int] = {}
    total: int | None = 0
    heads: dict[str, bytes] = {}
    first_problem = ""
    for partition in find_partitions(inputs):
        kind, head, problem = "", b"", ""
        for path in partition.paths:
            file = PackedFile(path)
            if file.modified_ms is not None:
                modified[path] = file.modified_ms
            beginning = file.peek(HEAD_BYTES)
            heads[path] = beginning
            if not head:
                head = beginning
                kind = name or detect_format(head, named=partition.named) or ""
            problem = problem or problem_of_fields(path, kind, beginning, source)
            if not file.is_regular:
                opened[path] = file
                total = None
                if len(partition.paths) > 1 and partition.name != path:
                    raise InputError(
                        path, "a pipe cannot be part of a rotated log: name it on its own"
                    )
            else:
                file.close()
                if total is not None:
                    total += Path(path).stat().st_size
        if head.strip() and not kind:
            problem = _unknown_format(head)
        if problem:
            if partition.named:
                raise InputError(partition.name, problem)
            left_out.append(partition.name)
            for path in partition.paths:
                del heads[path]
            first_problem = first_problem or problem
            continue
        if kind == "parquet" and STDIN in partition.paths:
            raise InputError(STDIN, "Parquet cannot be read from a pipe: name the file")
        found.append((partition, kind, head))
    if not found:
        first = left_out[0] if left_out else inputs[0]
        raise InputError(
            first, f"none of the files found has a known format: {_WANTED}. {first_problem}"
        )
    check_copies(heads)
    if any(kind == "log" for _, kind, _ in found) and (
        len(found) > 1 or len(found[0][0].paths) > 1
    ):
        raise InputError(
            next(p.name for p, kind, _ in found if kind == "log"),
            "a dump of the log is a whole input: replay it alone",
        )
    return Inspection(tuple(found), opened, tuple(left_out), total, modified)


def _unknown_format(head: bytes) -> str:
    """Say what a file is that is in no format of ours."""
    known = foreign_file(head)
    if known:
        return f"it is {known}"
    shown = ascii(head[:_SHOWN_BYTES])[2:-1]
    options = ", ".join(FORMATS)
    return f"unknown format: it begins with '{shown}', {_WANTED} (or say --format {options})"
