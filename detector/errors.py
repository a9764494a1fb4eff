"""What can go wrong, as one tree; every message says what, where, got, allowed, next.

FloodwatchError
├── AsnTableError            an IP to ASN table that cannot be used
├── InputError               an input that cannot be used (pipelines/sources/files.py)
│   └── UnreadableInputError it is there, and cannot be read to its end (the same)
├── LogError                 the log cannot be followed
│   ├── LogFormatError       a record that this version cannot read
│   └── TallyGapError        tallies are missing
├── OutputError              a file that cannot be written (pipelines/stages/publish.py)
├── PolicyError              a policy with errors, all of them at once
├── ProviderFileError        a provider file with errors, all of them at once
├── SettingsError            settings of a live run with errors, all of them at once
├── SnapshotError            a snapshot that cannot be used
├── UsageError               a command that was given wrongly (pipelines/cli/guarded.py)
└── StoreError               the block store
    ├── StoreUrlError        an address that names no store we have
    ├── StoreMissingError    the file or its directory is not there
    ├── StoreForeignError    the file or the keys are something else
    ├── StoreVersionError    a newer floodwatch wrote it
    ├── StoreCorruptError    the file is damaged
    ├── StoreLockedError     another writer holds it
    ├── StoreReadOnlyError   it cannot be written
    ├── StoreFullError       the disk is full
    ├── StoreUnavailableError it cannot be used just now, and the same call may do later
    ├── StoreAccessError     the server does not let us in, or is not the one it should be
    ├── StoreChangeError     a change that the contract does not allow
    ├── StoreGapError        a change is missing before this one
    ├── StoreConflictError   another change already stands under this number
    └── OtherReplayError     another input made it (pipelines/replay/same_input.py)

The simulator drives a Postfix of its own and has its PostfixError (pipelines/simulate/postfix).
"""

from collections.abc import Sequence

__all__ = [
    "AsnTableError",
    "FloodwatchError",
    "LogError",
    "LogFormatError",
    "PolicyError",
    "ProviderFileError",
    "SettingsError",
    "SnapshotError",
    "StoreAccessError",
    "StoreChangeError",
    "StoreConflictError",
    "StoreCorruptError",
    "StoreError",
    "StoreForeignError",
    "StoreFullError",
    "StoreGapError",
    "StoreLockedError",
    "StoreMissingError",
    "StoreReadOnlyError",
    "StoreUnavailableError",
    "StoreUrlError",
    "StoreVersionError",
    "TallyGapError",
]


class FloodwatchError(Exception):
    """Anything that floodwatch explains in words; the command line shows the message alone."""


class AsnTableError(FloodwatchError):
    """An IP to ASN table that cannot be used: `name` is the file, `problem` what is wrong."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"ASN table {name}: {problem}")
        self.name = name
        self.problem = problem


class PolicyError(FloodwatchError):
    """A policy with errors: `name` is where it came from; `problems` are (line or None, words)."""

    def __init__(self, name: str, problems: Sequence[tuple[int | None, str]]) -> None:
        super().__init__("\n".join(f"{name}:{line or ''} {said}" for line, said in problems))
        self.name = name
        self.problems = tuple(problems)


class ProviderFileError(FloodwatchError):
    """A provider file with errors; `problems` has one line each, with line numbers."""

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        super().__init__("\n".join(f"{name}:{problem}" for problem in problems))
        self.name = name
        self.problems = tuple(problems)


class SettingsError(FloodwatchError):
    """Settings with errors; `problems` are (where, words), where a file, a key or a variable."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{where}: {said}" for where, said in problems))
        self.problems = tuple(problems)


class StoreError(FloodwatchError):
    """The block store `store` (its address) could not do what it was asked."""

    def __init__(self, store: str, problem: str) -> None:
        super().__init__(f"block store {store}: {problem}")
        self.store = store
        self.problem = problem


class StoreUrlError(StoreError):
    """The address names no block store that this version has."""


class StoreMissingError(StoreError):
    """The file, or the directory it should be made in, does not exist or may not be opened."""


class StoreForeignError(StoreError):
    """What is there is no store of ours: a file, keys or a server of another program."""


class StoreVersionError(StoreError):
    """A newer version wrote it: `found` is its layout, `known` the newest known."""

    def __init__(self, store: str, problem: str, *, found: int, known: int) -> None:
        super().__init__(store, problem)
        self.found = found
        self.known = known


class StoreCorruptError(StoreError):
    """The file is damaged."""


class StoreLockedError(StoreError):
    """Another writer held the store for longer than we wait."""


class StoreReadOnlyError(StoreError):
    """The file, its directory or the way it was opened does not allow writing."""


class StoreFullError(StoreError):
    """The disk is full; what was not stored whole is not stored at all."""


class StoreUnavailableError(StoreError):
    """A server cannot do it now (gone, slow, loading, full, a replica): repeat the call later.

    A call that ended so may have been carried out all the same; `seq` tells changes apart.
    """


class StoreAccessError(StoreError):
    """A password, a right or a certificate is wrong; it stays so until somebody mends it."""


class StoreChangeError(StoreError):
    """A change outside the decision contract: `seq` is its number where it has one."""

    def __init__(self, store: str, problem: str, *, seq: int | None) -> None:
        super().__init__(store, problem)
        self.seq = seq


class StoreGapError(StoreError):
    """A change came before its predecessor: `expected` was due, `got` came."""

    def __init__(self, store: str, *, expected: int, got: int) -> None:
        super().__init__(
            store,
            f"got change {got}, but {expected} is due (a store takes every change, in order): "
            f"send the changes from {expected} on",
        )
        self.expected = expected
        self.got = got


class StoreConflictError(StoreError):
    """Under `seq` another change stands; `difference` names the first field that differs.

    `what` names what differs where it is no change and has no `seq`.
    """

    def __init__(self, store: str, *, seq: int | None, difference: str, what: str = "") -> None:
        super().__init__(
            store,
            f"{what or f'change {seq}'} differs from the one that stands there: {difference}. Two "
            "detectors disagree, or the store belongs to another log: stop, and compare both by a "
            "replay, or start with an empty store",
        )
        self.seq = seq
        self.difference = difference


class LogError(FloodwatchError):
    """The log cannot be followed."""


class LogFormatError(LogError):
    """A record of the log that this version cannot read: `got`, and what is `allowed`.

    `index` is its place among those that were read together.
    """

    def __init__(self, got: str, allowed: str, index: int = 0) -> None:
        super().__init__(
            f"log record: got {got}, want {allowed}: use the version of floodwatch that wrote it"
        )
        self.got = got
        self.allowed = allowed
        self.index = index


class TallyGapError(LogError):
    """Tallies `first` to `last` of `partition` are missing from the log."""

    def __init__(self, partition: int, first: int, last: int) -> None:
        super().__init__(
            f"log: tallies {first} to {last} of partition {partition} are missing: restore them, "
            f"or declare the loss with gap({partition}, {first}, {last})"
        )
        self.partition = partition
        self.first = first
        self.last = last


class SnapshotError(FloodwatchError):
    """A snapshot that cannot be used: incomplete, or of another version; `problem` says which."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"snapshot: {problem}")
        self.problem = problem
