"""JSON records in which a name stands for the address of the client."""

from collections.abc import Iterator


def lines() -> Iterator[bytes]:
    for n in range(1200):
        said = '"client_ip": "mx1", "action": "accept", "recipient": "ann@example.org"'
        yield f'{{"time": {1_773_480_000_000 + n}, {said}}}'.encode()
