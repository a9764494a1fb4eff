"""Plain Postfix whose senders spell the domain of a mailbox in two ways."""

from collections.abc import Iterator

from tests.cases.mail import plain_log

__all__ = ["lines"]

_SPELLINGS = ("bücher.example".encode(), b"xn--bcher-kva.example")


def lines() -> Iterator[bytes]:
    """Give the log."""
    number = 0
    for line in plain_log():
        head, is_delivery, rest = line.partition(b": to=<")
        if is_delivery:
            local, _, more = rest.partition(b"@")
            more = more[more.index(b">") :]
            yield head + is_delivery + local + b"@" + _SPELLINGS[number % 2] + more
            number += 1
        else:
            yield line
