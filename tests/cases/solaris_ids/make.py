"""A log as Solaris writes it: days without padding, message ids behind the tag."""

from collections.abc import Iterator
from datetime import datetime

from tests.cases.mail import plain_log


def lines() -> Iterator[bytes]:
    for line in plain_log():
        time, host, rest = line.split(b" ", 2)
        tag, _, text = rest.partition(b": ")
        moment = datetime.fromisoformat(time.decode())
        stamp = f"{moment:%b} {moment.day} {moment:%Y %H:%M:%S} ".encode()
        yield stamp + host + b" " + tag + b": [ID 197553 mail.info] " + text
