"""Plain Postfix with `always_bcc`: each message is delivered to an archive as well."""

from collections.abc import Iterator

from tests.cases.mail import plain_log

__all__ = ["lines"]


def lines() -> Iterator[bytes]:
    """Give the log."""
    for line in plain_log():
        yield line
        head, is_delivery, _ = line.partition(b": to=<")
        if is_delivery:
            yield (
                head + b": to=<archive@journal.example>, relay=mda, delay=0.1, status=sent (250 Ok)"
            )
