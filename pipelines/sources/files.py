"""The inputs that a command line names: files, folders, globs and `-`, as partitions in order."""

import errno
import glob
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from detector.errors import FloodwatchError
from pipelines.console.escaped import escaped
from pipelines.sources.rotation import rotation_families

__all__ = [
    "STDIN",
    "InputError",
    "InputPartition",
    "UnreadableInputError",
    "find_partitions",
    "reading_problem",
]

STDIN: Final = "-"
_IN_WORDS: Final = {
    errno.ENOENT: "no such file: check the path",
    errno.EACCES: "may not be read: check its permissions",
    errno.EPERM: "may not be read: check its permissions",
    errno.EISDIR: "it is a directory: name the directory itself as an input, or a file in it",
    errno.EMFILE: "too many files at once: join some of the inputs, or raise `ulimit -n`",
    errno.ENAMETOOLONG: "not a file path: the name is too long",
}


class InputError(FloodwatchError):
    """An input that cannot be used as it was named: `name` is the input, `problem` says why."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"input {escaped(name)}: {problem}")
        self.name = name
        self.problem = problem


class UnreadableInputError(InputError):
    """Reading an input failed: permissions, the disk, or damaged or incomplete compression."""


@dataclass(frozen=True, slots=True)
class InputPartition:
    """The files of one partition, oldest first.

    `named`: the command line named at least one of them itself; others were found in a folder or
    by a glob, and are left out where they hold no log.
    """

    paths: tuple[str, ...]
    named: bool

    @property
    def name(self) -> str:
        """The newest file, which stands for all."""
        return self.paths[-1]


def find_partitions(inputs: Sequence[str]) -> list[InputPartition]:
    """Give the partitions that inputs name; a file reached twice counts once.

    Raises:
        InputError: an input that names no file.
        UnreadableInputError: a folder that may not be listed.
    """
    named: dict[str, bool] = {}
    seen: set[tuple[int, int]] = set()
    for text in inputs:
        if text == STDIN:
            named[STDIN] = True
            continue
        itself = _stands_for_itself(text)
        for path in [text] if itself else _found(text):
            place = _place(path)
            if place not in seen or named.get(path) is False:
                seen.add(place)
                named[path] = named.get(path, False) or itself
    families = rotation_families([path for path in named if path != STDIN])
    partitions = [InputPartition(tuple(f), any(named[path] for path in f)) for f in families]
    if STDIN in named:
        partitions.insert(0, InputPartition((STDIN,), named=True))
    return partitions


def _stands_for_itself(text: str) -> bool:
    try:
        path = Path(text)
        return path.is_file() or not (path.is_dir() or glob.has_magic(text))
    except OSError as error:
        raise reading_problem(text, error) from None


def reading_problem(path: str, error: OSError) -> InputError:
    """Give the error that says in words why a file cannot be read."""
    words = _IN_WORDS.get(error.errno or 0, f"cannot be read ({error.strerror}): check the disk")
    kind = InputError if error.errno in {errno.ENOENT, errno.ENAMETOOLONG} else UnreadableInputError
    return kind(path, words)


def _found(text: str) -> list[str]:
    """Give the files of a folder (not of folders in it), or those that a glob matches."""
    if Path(text).is_dir():
        try:
            within = sorted(Path(text).iterdir())
        except OSError as error:
            raise reading_problem(text, error) from None
        paths = [str(path) for path in within if not path.name.startswith(".")]
        problem = "the directory has no files: name another one, or a glob for folders below it"
    else:
        paths = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - takes absolute patterns too
        problem = "no file matches: check the pattern"
    files = [path for path in paths if Path(path).is_file()]
    if not files:
        raise InputError(text, problem)
    return files


def _place(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError as error:
        raise reading_problem(path, error) from None
    except ValueError:
        raise InputError(path, "not a file path: it contains a NUL character") from None
    if stat.S_ISSOCK(found.st_mode) or stat.S_ISBLK(found.st_mode):
        raise InputError(path, "neither a file nor a pipe: name a file, or - for standard input")
    return found.st_dev, found.st_ino
