"""What an export says of the list: the entries, when they were true, where to look one up."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from detector.errors import FloodwatchError
from detector.events.subjects import subject_key, subject_text
from detector.listing.guard import NeverList
from pipelines.ports import Listing

__all__ = ["Edition", "Entry", "ExportRefusedError", "checked", "entry_of"]

_RESERVED: Final = NeverList()


class ExportRefusedError(FloodwatchError):
    """What was about to be published is wrong; the existing files are kept."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"export refused: {problem}; the existing files are kept")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Entry:
    """One listing of an export; `subject` is an IPv4 address or an IPv6 /64."""

    subject: str
    standing: bool
    shadow: bool
    hard_until_ms: int

    @property
    def is_v6(self) -> bool:
        """Say whether the subject is an IPv6 network."""
        return ":" in self.subject


@dataclass(frozen=True, slots=True)
class Edition:
    """The list at one moment: entries by address, blocking and shadow ones apart.

    `made_ms` is the time of day in Unix milliseconds; `valid_s` seconds later a name server must no
    longer use the data. `lookup_url` is put into the reason that a
    rejected sender reads, with the address in the place of `{ip}`; empty: there is no such page.
    """

    blocking: tuple[Entry, ...]
    shadow: tuple[Entry, ...]
    made_ms: int
    valid_s: int = 3600
    lookup_url: str = ""


def entry_of(listing: Listing) -> Entry:
    """Give what an export needs of a listing."""
    standing = listing.tier == "standing"
    return Entry(listing.subject, standing, listing.shadow, listing.hard_until_ms)


def checked(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Give the entries in order of their addresses, IPv4 first.

    Raises:
        ExportRefusedError: a subject is reserved, no address, or wider than one IPv4 address or one
            IPv6 /64 (RFC 6471, 3.4 and 3.5).
    """
    keyed = [(_key(one.subject), one) for one in entries]
    keyed.sort(key=lambda pair: (len(pair[0]), pair[0]))
    return tuple(one for _, one in keyed)


def _key(subject: str) -> bytes:
    key = subject_key(subject)
    if key is None or subject_text(key) != subject:
        raise ExportRefusedError(f"{subject!a} is not an IPv4 address or an IPv6 /64")
    if _RESERVED.covers(key):
        raise ExportRefusedError(f"{subject!a} is reserved and must never be listed")
    return key
