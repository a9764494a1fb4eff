"""A receiver of webhooks on a real socket, which answers as badly as the test wants it to."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson

__all__ = [
    "Received",
    "WebhookTarget",
    "drip_body",
    "drip_head",
    "garbage",
    "hang",
    "huge",
    "reply",
]

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came; names of headers in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = orjson.loads(self.body)
        return event

    @property
    def change_ids(self) -> list[str]:
        return [change["id"] for change in self.event["data"]["changes"]]


def reply(status: int, body: bytes = b"", **headers: str) -> Answer:
    """A whole answer; `retry_after="3"` is the header `retry-after`."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        own = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
        head = f"HTTP/1.1 {status} x\r\n{own}content-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return answer


async def hang(_: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def drip_head(writer: asyncio.StreamWriter) -> None:
    """An answer whose head never ends, a byte at a time: no pause is long."""
    writer.write(b"HTTP/1.1 200 x\r\nx: ")
    await _drip(writer)


async def drip_body(writer: asyncio.StreamWriter) -> None:
    """A good answer whose body never ends."""
    writer.write(b"HTTP/1.1 200 x\r\ncontent-length: 1000000\r\n\r\n")
    await _drip(writer)


async def huge(writer: asyncio.StreamWriter) -> None:
    """A bad answer with a body as long as somebody reads it."""
    writer.write(b"HTTP/1.1 500 x\r\ncontent-length: 1000000000000\r\n\r\n\x1b[2J")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def garbage(writer: asyncio.StreamWriter) -> None:
    """No HTTP at all."""
    writer.write(b"220 mx.example ESMTP \x1b[2J\r\n\r\n")
    await writer.drain()
    writer.close()


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


class WebhookTarget:
    """Answers each request with the next of `script`, after that with 204.

    As a context it is up, on the same port each time; `requests` has what came, in order.
    """

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.script = list(answers)
        self.requests: list[Received] = []
        self.port = 0
        self._tls = tls
        self._came = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}/hook"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._talk, "127.0.0.1", self.port, ssl=self._tls, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        assert self._server is not None
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._server.wait_closed()

    async def came(self, count: int) -> list[Received]:
        """Wait until `count` requests came in all, and give them."""
        async with asyncio.timeout(20):
            while len(self.requests) < count:
                self._came.clear()
                await self._came.wait()
        return self.requests

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    await self._answer(await self._request(reader), writer)
        finally:
            self._talks.discard(task)
            writer.transport.abort()

    async def _request(self, reader: asyncio.StreamReader) -> Received:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [line.split(":", 1) for line in head[1:] if line]
        headers = {name.lower(): text.strip() for name, text in pairs}
        body = await reader.readexactly(int(headers["content-length"]))
        return Received(head[0].split(" ")[1], headers, body)

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        answer = self.script.pop(0) if self.script else reply(204)
        self.requests.append(request)
        self._came.set()
        await answer(writer)
