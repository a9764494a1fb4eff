"""What makes Postfix answer as planned: a policy service for recipients, a milter for messages."""

import asyncio
import struct
from collections.abc import Coroutine
from typing import Final

from detector.events.contract import Outcome

__all__ = ["VERDICT_HEADER", "Verdicts"]

VERDICT_HEADER: Final = "X-Scan-Result"
"""The header by which the milter knows what to answer to a message."""

_POLICY: Final[dict[int, str]] = {
    Outcome.REJECT_OTHER: "554 5.7.1 Access denied",
    Outcome.REJECT_BLOCKLIST: (
        "554 5.7.1 Service unavailable; Client host [{ip}] blocked using bl.example"
    ),
    Outcome.REJECT_RATE: "550 5.7.1 Rate limit exceeded, too many messages",
    Outcome.DEFER_OTHER: "450 4.2.0 Greylisted, see https://help.example/greylist",
    Outcome.DEFER_BLOCKLIST: (
        "450 4.7.1 Service temporarily unavailable; Client host [{ip}] blocked using bl.example"
    ),
    Outcome.DEFER_UNKNOWN_USER: "450 4.1.1 User unknown, unverified address",
    Outcome.DEFER_RATE: "450 4.7.1 Rate limit exceeded, please slow down",
}
_MILTER: Final[dict[int, bytes]] = {
    Outcome.REJECT_CONTENT: b"550 5.7.1 Spam message rejected",
    Outcome.DEFER_CONTENT: b"451 4.7.1 Try again later, suspicious content",
}
_NO_STEPS: Final = 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200
_VERSION: Final = 6


class Verdicts:
    """Answers the questions of one Postfix instance.

    `planned` says, by the client's port and the recipient, which outcome is wanted.
    """

    def __init__(self) -> None:
        self.planned: dict[str, dict[str, int]] = {}
        self._serving: set[asyncio.Future[None]] = set()

    async def done(self) -> None:
        """Wait until Postfix has closed all its connections to us (at most ten seconds)."""
        async with asyncio.timeout(10):
            await asyncio.gather(*self._serving)

    async def policy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve Postfix's policy delegation protocol on one connection."""
        await self._served(self._policy(reader, writer), writer)

    async def milter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve the milter protocol on one connection: only headers matter, then the verdict."""
        await self._served(self._milter(reader, writer), writer)

    async def _served(
        self, talk: Coroutine[None, None, None], writer: asyncio.StreamWriter
    ) -> None:
        ended = asyncio.get_running_loop().create_future()
        self._serving.add(ended)
        try:
            await talk
        finally:
            self._serving.discard(ended)
            ended.set_result(None)
            writer.close()

    async def _policy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked: dict[str, str] = {}
        while line := await reader.readline():
            text = line.decode("latin-1").rstrip("\n")
            if text:
                name, _, value = text.partition("=")
                asked[name] = value
                continue
            wanted = self.planned.get(asked.get("client_port", ""), {})
            outcome = wanted.get(asked.get("recipient", ""), 0)
            answer = _POLICY.get(outcome, "DUNNO").format(ip=asked.get("client_address", ""))
            writer.write(f"action={answer}\n\n".encode())
            asked = {}

    async def _milter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verdict = 0
        try:
            while True:
                (length,) = struct.unpack("!I", await reader.readexactly(4))
                packet = await reader.readexactly(length)
                command, payload = packet[:1], packet[1:]
                if command == b"Q":
                    break
                if command == b"O":
                    _reply(writer, b"O" + struct.pack("!III", _VERSION, 0, _NO_STEPS))
                elif command == b"L":
                    name, _, rest = payload.partition(b"\0")
                    if name == VERDICT_HEADER.encode():
                        verdict = int(rest.rstrip(b"\0") or b"0")
                elif command == b"E":
                    text = _MILTER.get(verdict)
                    _reply(writer, b"c" if text is None else b"y" + text + b"\0")
                    verdict = 0
                elif command == b"A":
                    verdict = 0
        except asyncio.IncompleteReadError:
            return


def _reply(writer: asyncio.StreamWriter, packet: bytes) -> None:
    writer.write(struct.pack("!I", len(packet)) + packet)
