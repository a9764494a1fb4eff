"""The file of what could not be read, which a run adds to."""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from structlog.stdlib import BoundLogger

from detector.events.contract import Reject
from pipelines.new_file import private_opener
from pipelines.stages.publish import OutputError
from pipelines.wire import reject_line

__all__ = ["RejectsFile"]


class RejectsFile:
    """Adds one JSON object a reject; those behind the last snapshot come again after a crash.

    A disk that fills up later does not stop the run: it is logged once; rejects are still counted.

    Raises:
        OutputError: the file cannot be opened.
    """

    def __init__(self, path: Path | None, log: BoundLogger) -> None:
        self._log, self._path, self._told = log, path, False
        self._file: BinaryIO | None = None
        if path is not None:
            try:
                self._file = open(path, "ab", buffering=0, opener=private_opener)  # noqa: SIM115
            except OSError as error:
                words = f"cannot be written ({error.strerror}): check the path and its permissions"
                raise OutputError(ascii(str(path))[1:-1], words) from None

    def write(self, rejects: Iterable[tuple[str, int, Reject]]) -> None:
        """Add rejects, each with its file and the number of its line."""
        if self._file is None:
            return
        said = b"".join(reject_line(*one) for one in rejects)
        try:
            if said:
                self._file.write(said)
        except OSError as error:
            if not self._told:
                self._log.warning("rejects cannot be written", reason=str(error.strerror))
            self._told = True

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
