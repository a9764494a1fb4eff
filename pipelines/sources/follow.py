"""A log that grows: its whole lines as they come, through rotation, truncation and absence.

    look  -> a block of whole lines that come next, or nothing for now
    take  -> they have been used, all or the first of them; `place` is behind them

What has been looked at and not taken is looked at again: a line counts when it is taken. Nobody is
asked what happens to the file: each look compares it with what was read before.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from detector.events.decode import OVERSIZED
from pipelines.console.escaped import escaped
from pipelines.sources.files import InputError, UnreadableInputError
from pipelines.sources.lines import LONGEST_LINE
from pipelines.sources.rotated import (
    HEAD_BYTES,
    OpenedLog,
    Place,
    digest_of,
    find_place,
    known_beside,
    later_files,
    new_beside,
    open_log,
)

__all__ = ["NOTHING", "Block", "FollowedLog"]

_EXCERPT_BYTES: Final = 200
_MOST_MOVES: Final = 1_000
"""Files that one look goes through; a log has not so many, and a look must come to its end."""
_MISSES: Final = 3
"""Looks in which our file was not found before it is taken for gone."""
_BOM: Final = b"\xef\xbb\xbf"
_LF: Final = b"\n"


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines, each ended by LF; `size` are their bytes in the file."""

    data: bytes
    size: int
    lines: int
    over_long: bool = False
    """It is the beginning of one line, the rest of which is passed over."""

    def first(self, lines: int) -> "Block":
        r"""Give the first lines of it.

        >>> Block(b"a\nb\n", 4, 2).first(1)
        Block(data=b'a\n', size=2, lines=1, over_long=False)
        """
        if lines >= self.lines:
            return self
        end = 0
        for _ in range(lines):
            end = self.data.index(_LF, end) + 1
        return Block(self.data[:end], self.size - len(self.data) + end, lines)


NOTHING: Final = Block(b"", 0, 0)


class FollowedLog:
    """The log at `path`, from `place` on; None: from the beginning of the file that is there.

    `tell` hears once of each thing that happens to the file: words, and the file it is about.
    `moved` counts how often reading went on in another file, or at the beginning of the same.
    """

    def __init__(self, path: str, place: Place | None, tell: Callable[[str, str], None]) -> None:
        self.path = path
        self.moved = 0
        self._place = Place() if place is None else place
        self._new = place is None
        self._tell = tell
        self._file: OpenedLog | None = None
        self._head = b""
        self._said = ""
        self._misses = 0

    @property
    def place(self) -> Place | None:
        """How far lines have been taken; None: no file was there yet."""
        return None if self._new else self._place

    @property
    def name(self) -> str:
        """The file that is being read."""
        return self.path if self._file is None else self._file.path

    @property
    def is_watched(self) -> bool:
        """Whether we hold the file that is written to: only then is its silence observed."""
        return self._file is not None and self._file.is_linked()

    def look(self) -> Block:
        """Give the lines that come next, at most some 2 MiB of them; none where there are none yet.

        Raises:
            UnreadableInputError: the file is there and may not or cannot be read.
        """
        try:
            for _ in range(_MOST_MOVES):
                if self._file is None and not self._open():
                    break
                block = self._read()
                if block is not None and block.size:
                    return block
                if block is not None and (last := self._move_on()) is not None:
                    return last
        except OSError as error:
            words = f"cannot be read ({error.strerror}): check the disk"
            raise UnreadableInputError(self.name, words) from None
        return NOTHING

    def take(self, block: Block) -> None:
        """Go behind lines that `look` gave, or behind the first of them."""
        if not block.size:
            return
        place = self._place
        if len(self._head) < HEAD_BYTES:
            raw = _BOM + block.data if block.size > len(block.data) else block.data
            if block.over_long and self._file is not None:  # what it holds is not what stands there
                raw = self._file.read_at(place.offset, HEAD_BYTES)
            self._head = (self._head + raw[: block.size])[:HEAD_BYTES]
        self._place = replace(
            place,
            head_bytes=len(self._head),
            head=digest_of(self._head),
            offset=place.offset + block.size,
            line=place.line + block.lines,
            skipping=block.over_long,
            beside=(),
        )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- which file ----------------------------------------------------------------------------

    def _open(self) -> bool:
        """Open the file in which we are, or that which is there; False: there is none."""
        if not self._new:
            if self._place.beside and (cut := new_beside(self.path, self._place.beside)):
                self._tell("was truncated, reading it from the start", cut.path)
                self._use(cut, Place())
                return True
            found = find_place(self.path, self._place)
            if found is not None:
                self._use(found, self._place)
                return True
            self._misses += 1
            if self._misses < _MISSES:  # files are being renamed, perhaps
                return False
        try:
            file = open_log(self.path)
        except UnreadableInputError:
            raise
        except InputError as error:
            self._say(f"waits for it: {error.problem.partition(':')[0]}", self.path)
            return False
        if not self._new:
            self._tell(
                "the file that was being read is gone, and what had not been read of it is lost; "
                "begins with the one that is there", self.path,
            )  # fmt: skip
        self.moved += 1
        empty = not file.read_at(0, 1)
        beside = ("", *known_beside(self.path)) if empty else ()  # "": also where there are none
        self._use(file, Place(file.device, file.inode, beside=beside))
        return True

    def _use(self, file: OpenedLog, place: Place) -> None:
        self.close()
        self._file, self._new, self._said = file, False, ""
        self._head = file.read_at(0, place.head_bytes)
        self._place = replace(place, device=file.device, inode=file.inode)

    @property
    def is_current(self) -> bool:
        """Whether the file that is being read is the log itself, not one that was cut off."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 - no Path for each look
        except (OSError, ValueError):
            return False
        file = self._file
        return file is not None and (status.st_dev, status.st_ino) == (file.device, file.inode)

    def _move_on(self) -> Block | None:
        """At the end of a file: go to the one behind it, and give None, or what to return first.

        Until something stands in that one, whoever writes may not have noticed that the log was
        renamed; a line without LF at the end of this one is over then.
        """
        assert self._file is not None  # noqa: S101 - the caller opened
        if self.is_current:
            self._said = ""
            return NOTHING
        following = self._following()
        if following is None:
            if not os.path.lexists(self.path):
                self._say(
                    "does not exist at present: waiting for the next file of the log", self.path
                )
            return NOTHING
        # Once more: it may have been written to before the first line of the next one was.
        block = self._read()
        if block is None or block.size:
            following.close()
            return block
        rest = b"" if self._place.skipping else self._file.read_at(self._place.offset, LONGEST_LINE)
        if rest:
            following.close()
            return Block(rest + _LF, len(rest), 1)
        if self._file.problem:
            self._tell(f"is abandoned before its end: {self._file.problem}", self._file.path)
        self._use(following, Place())
        self.moved += 1
        self._tell("continues with the next file of the log", following.path)
        return None

    def _following(self) -> OpenedLog | None:
        """Open the next file of the log that holds something."""
        for name in later_files(self.path, self._place):
            try:
                file = open_log(name)
            except InputError:
                if name == self.path and os.path.lexists(name):
                    raise
                continue
            if file.read_at(0, 1):
                return file
            file.close()
        return None

    def _cut_back(self) -> None:
        """The file has other content than we read: it was copied and truncated, or replaced."""
        assert self._file is not None  # noqa: S101 - the caller opened
        copy = find_place(self.path, self._place) if self._place.head_bytes else None
        self.moved += 1
        if copy is not None:
            self._tell("was truncated (copytruncate): continues with its copy", copy.path)
            self._use(copy, self._place)
            return
        self._tell("was truncated or replaced: reading it from the start", self.path)
        self._place, self._head = Place(self._file.device, self._file.inode), b""

    # -- what is in it -------------------------------------------------------------------------

    def _read(self) -> Block | None:
        """Read the next whole lines; None: the file is not what it was."""
        assert self._file is not None  # noqa: S101 - the caller opened
        file, place = self._file, self._place
        while True:
            data = file.read_at(self._place.offset, LONGEST_LINE + 1)
            # Looked at behind the read: what was read belongs to the same file as before.
            if file.is_cut(place.offset) or file.read_at(0, len(self._head)) != self._head:
                self._cut_back()
                return None
            if not self._place.skipping or not data:
                break
            end = data.find(_LF) + 1
            self._place = replace(
                self._place, offset=self._place.offset + (end or len(data)), skipping=not end
            )
        end = data.rfind(_LF) + 1
        if end:
            kept = data[:end].removeprefix(_BOM) if not self._place.offset else data[:end]
            return Block(kept, end, data.count(_LF))
        if len(data) > LONGEST_LINE:
            short = OVERSIZED + data[:_EXCERPT_BYTES] + _LF
            return Block(short, len(data), 1, over_long=True)
        return NOTHING

    def _say(self, words: str, path: str) -> None:
        """Report a lasting condition once."""
        if words != self._said:
            self._said = words
            self._tell(words, escaped(path))
