from collections.abc import Iterator

from tests.cases.mail import plain_log


def lines() -> Iterator[bytes]:
    """The log that other cases vary."""
    return plain_log()
