"""A log with smtpd's lines only."""

from collections.abc import Iterator

from tests.cases.mail import plain_log


def lines() -> Iterator[bytes]:
    yield from (line for line in plain_log() if b"/smtpd[" in line)
