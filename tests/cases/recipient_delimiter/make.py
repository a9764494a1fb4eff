"""Plain Postfix with `recipient_delimiter = -+`: each message names an extension of its own."""

from collections.abc import Iterator

from tests.cases.mail import plain_log

__all__ = ["lines"]


def lines() -> Iterator[bytes]:
    """Give the log."""
    number = 0
    for line in plain_log():
        head, is_delivery, rest = line.partition(b": to=<")
        if is_delivery:
            local, at, more = rest.partition(b"@")
            yield head + is_delivery + local + b"%c%d" % (b"-+"[number % 2], number) + at + more
            number += 1
        else:
            yield line
