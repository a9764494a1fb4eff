"""Parquet files as blocks of event records, one a row, so that one contract validates them all."""

from collections.abc import Collection, Iterator
from typing import Any, Final

import orjson

from pipelines.sources.files import InputError, UnreadableInputError

__all__ = ["parquet_blocks", "parquet_names"]

_ROWS: Final = 16_384
_FIELDS: Final = (
    "time", "client_ip", "action", "recipient", "received", "asn", "sender", "cause", "direction",
    "heartbeat",
)  # fmt: skip


def parquet_names(path: str) -> list[str]:
    """Give the names of the columns, those within a struct as paths with dots.

    Raises:
        InputError: pyarrow is not installed.
        UnreadableInputError: the file is damaged.
    """
    pa, parquet = _libraries(path)
    try:
        with parquet.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            return names + [leaf.path for leaf in file.schema if leaf.path not in names]
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def parquet_blocks(path: str, mapped: Collection[str] = ()) -> Iterator[bytes]:
    """Give the rows as lines of JSON; a timestamp without a zone is taken for UTC.

    `mapped` are the names of the columns that a mapping reads, which then gets times as text.

    Raises:
        InputError: pyarrow is not installed.
        UnreadableInputError: the file is damaged.
    """
    pa, parquet = _libraries(path)
    try:
        with parquet.ParquetFile(path) as file:
            names = [name for name in mapped or _FIELDS if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=_ROWS, columns=names):
                columns = [_values(column, pa, as_text=bool(mapped)) for column in batch.columns]
                order = [batch.schema.names.index(name) for name in names]
                rows = zip(*(columns[i] for i in order), strict=True) if names else ()
                yield b"".join(_line(names, row) for row in rows) or b"\n" * len(batch)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _libraries(path: str) -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        hint = "Parquet needs the package pyarrow: install floodwatch[parquet]"
        raise InputError(path, hint) from None
    return pa, parquet


def _damaged(path: str, error: Exception) -> UnreadableInputError:
    said = str(error).partition("\n")[0]
    return UnreadableInputError(path, f"not readable as Parquet ({said}): write it again")


def _values(column: Any, pa: Any, *, as_text: bool) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", column.type.tz), safe=False)
        column = column if as_text else column.cast(pa.int64())
    values: list[Any] = column.to_pylist()
    return values


def _line(names: list[str], row: tuple[Any, ...]) -> bytes:
    record = {name: value for name, value in zip(names, row, strict=True) if value is not None}
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_NAIVE_UTC) + b"\n"
    except TypeError:  # a lone surrogate, or a number that JSON has no place for
        return b"{\n"
