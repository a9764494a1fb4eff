"""The one question that tells whether a Kafka broker works, asked without a client library."""

import socket
import struct
from dataclasses import dataclass
from typing import Final

__all__ = ["Metadata", "ask_metadata"]

_METADATA: Final = 3
_ALL_TOPICS: Final = -1


@dataclass(frozen=True, slots=True)
class Metadata:
    """What one broker knows of its cluster."""

    brokers: frozenset[int]
    lagging: frozenset[tuple[str, int]]
    """Partitions (topic, number) without a leader, or with a replica that is not in sync."""


class _Reader:
    """Takes values off the front of an answer."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(f">{form}", self._data, self._at)
        self._at += struct.calcsize(f">{form}")
        return int(value)

    def text(self) -> str:
        length = max(self.number("h"), 0)
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def numbers(self) -> list[int]:
        return [self.number("i") for _ in range(self.number("i"))]


def ask_metadata(port: int, timeout_s: float = 5.0) -> Metadata:
    """Ask the broker on a port of loopback (Metadata version 1, every topic).

    Raises:
        OSError: nobody answers there within `timeout_s` for each step, or hangs up.
    """
    name = b"tests"
    request = struct.pack(">hhih", _METADATA, 1, 1, len(name)) + name
    request += struct.pack(">i", _ALL_TOPICS)
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", _receive(connection, 4))
        answer = _Reader(_receive(connection, length))
    answer.number("i")  # correlation id
    return _read(answer)


def _receive(connection: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            raise ConnectionResetError("the broker hung up")
        parts += part
    return bytes(parts)


def _read(answer: _Reader) -> Metadata:
    brokers = set()
    for _ in range(answer.number("i")):
        brokers.add(answer.number("i"))
        answer.text(), answer.number("i"), answer.text()  # host, port, rack
    answer.number("i")  # controller
    lagging = set()
    for _ in range(answer.number("i")):
        answer.number("h")  # error
        topic = answer.text()
        answer.number("b")  # internal
        for _ in range(answer.number("i")):
            answer.number("h")  # error
            partition, leader = answer.number("i"), answer.number("i")
            replicas, in_sync = answer.numbers(), answer.numbers()
            if leader < 0 or set(replicas) != set(in_sync):
                lagging.add((topic, partition))
    return Metadata(frozenset(brokers), frozenset(lagging))
