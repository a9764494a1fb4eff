"""SMTP sessions that carry letters into Postfix, each from its own client address (XCLIENT)."""

import asyncio
from collections.abc import Iterator
from typing import Final

from pipelines.simulate.postfix.mail import Letter
from pipelines.simulate.postfix.server import PostfixError
from pipelines.simulate.postfix.verdicts import VERDICT_HEADER, Verdicts

__all__ = ["FIRST_PORT", "PORTS", "port_of", "send_all"]

FIRST_PORT: Final = 1_024
PORTS: Final = 60_000
_GREETED: Final = 220
_DONE: Final = 250
_GO_AHEAD: Final = 354


def port_of(index: int) -> int:
    """Give the client port by which a letter is recognised in the log."""
    return FIRST_PORT + index % PORTS


async def send_all(
    letters: list[Letter], verdicts: Verdicts, smtp_port: int, sessions: int
) -> None:
    """Send all letters in order, at most `sessions` at a time.

    Raises:
        PostfixError: an answer other than the planned one.
    """
    queue = iter(letters)
    async with asyncio.TaskGroup() as group:
        for _ in range(sessions):
            group.create_task(_worker(queue, verdicts, smtp_port))


async def _worker(queue: Iterator[Letter], verdicts: Verdicts, smtp_port: int) -> None:
    for letter in queue:
        port = str(port_of(letter.index))
        verdicts.planned[port] = dict(letter.recipients)
        reader, writer = await asyncio.open_connection("127.0.0.1", smtp_port)
        try:
            await _send(letter, port, reader, writer)
        finally:
            writer.close()
        del verdicts.planned[port]


async def _send(
    letter: Letter, port: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    async def say(line: str, expected: int | None = _DONE) -> int:
        if line:
            writer.write(f"{line}\r\n".encode())
        code, text = await _answer(reader)
        if expected is not None and code != expected:
            raise PostfixError(f"{line[:80]!r}: got {code} {text[:200]!r}, expected {expected}")
        return code

    name = letter.client_name or "[UNAVAILABLE]"
    address = f"IPV6:{letter.client_ip}" if ":" in letter.client_ip else letter.client_ip
    await say("", _GREETED)
    await say("EHLO relay.test")
    await say(f"XCLIENT NAME={name} ADDR={address} PORT={port}", _GREETED)
    await say(f"EHLO {letter.helo}")
    await say(f"MAIL FROM:<{letter.sender}>")
    accepted = 0
    for recipient, _ in letter.recipients:
        accepted += await say(f"RCPT TO:<{recipient}>", None) == _DONE
    if accepted:
        await say("DATA", _GO_AHEAD)
        planned = letter.verdict
        writer.write(_body(letter).encode())
        await say(".", None if planned else _DONE)
    await say("QUIT", 221)


def _body(letter: Letter) -> str:
    verdict = f"{VERDICT_HEADER}: {letter.verdict}\r\n" if letter.verdict else ""
    return (
        f"From: <{letter.sender}>\r\nTo: <{letter.recipients[0][0]}>\r\n"
        f"Subject: message {letter.index}\r\nMessage-ID: <{letter.index:x}@{letter.helo}>\r\n"
        f"{verdict}\r\nHello.\r\n{'text ' * (letter.index % 40)}\r\n"
    )


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    while True:
        line = (await reader.readline()).decode("latin-1")
        if len(line) < 4:  # noqa: PLR2004
            raise PostfixError(f"connection closed, got {line!r}")
        if line[3] != "-":
            return int(line[:3]), line[4:].rstrip()
