"""A log from which somebody filtered the lines of smtpd."""

from collections.abc import Iterator

from tests.cases.mail import plain_log


def lines() -> Iterator[bytes]:
    yield from (line for line in plain_log() if b"/smtpd[" not in line)
