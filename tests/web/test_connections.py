"""Clients that hold connections open: probes are answered beside them, and they are closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from pipelines.console.telemetry import Telemetry
from pipelines.settings.model import WebSettings
from pipelines.web import connections
from pipelines.web.connections import MOST_CONNECTIONS, MOST_OF_ONE_PEER
from pipelines.web.health import health_app
from pipelines.web.progress import Health
from pipelines.web.serve import WebServer

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = WebServer(health_app(Health(), Telemetry()), WebSettings(host="127.0.0.1", port=0))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.run())
        yield server.port
        await server.close()


@asynccontextmanager
async def held_open(port: int, addresses: list[str], first: bytes) -> AsyncIterator[list[Streams]]:
    """Connections from these addresses, each of which has sent the beginning of a request."""
    opened: list[Streams] = []
    try:
        for address in addresses:
            streams = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            opened.append(streams)
            streams[1].write(first)
        yield opened
    finally:
        for _, writer in opened:
            writer.close()


async def are_closed(streams: list[Streams]) -> None:
    """Wait until the server has closed all of them."""
    async with asyncio.timeout(10):
        for reader, _ in streams:
            with suppress(ConnectionResetError):
                assert await reader.read() == b""


@pytest.mark.parametrize("first", [b"", b"GET /livez HTTP/1.1\r\nx-slow: "])
@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"] * 70, [f"127.0.0.{1 + n // 10}" for n in range(10 * 10)]],
    ids=["one address", "ten addresses"],
)
async def test_probes_are_answered_beside_idle_connections(
    port: int, addresses: list[str], first: bytes
) -> None:
    async with (
        held_open(port, addresses, first) as opened,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await client.get(f"http://127.0.0.1:{port}{path}")).status_code == 200
        most = min(MOST_OF_ONE_PEER * len(set(addresses)), MOST_CONNECTIONS)
        await are_closed(opened[: len(opened) - most])


async def test_a_client_that_sends_its_headers_slowly_is_disconnected(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ANSWER_S", 0.2)
    request = b"GET /livez HTTP/1.1\r\n"
    async with held_open(port, ["127.0.0.1"], request) as opened, asyncio.timeout(10):
        reader, writer = opened[0]
        closed = asyncio.create_task(are_closed([(reader, writer)]))
        while not closed.done():  # each header comes long before the deadline
            writer.write(b"x: y\r\n")
            await asyncio.wait({closed}, timeout=0.05)
        await closed


async def test_a_connection_that_is_used_stays_open(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ANSWER_S", 0.5)
    loop = asyncio.get_running_loop()
    began_s, answers = loop.time(), 0
    async with held_open(port, ["127.0.0.1"], b"") as opened, asyncio.timeout(10):
        reader, writer = opened[0]
        while loop.time() - began_s < 3 * connections.ANSWER_S:
            writer.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await reader.readuntil(b"\n")).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"}\n")
            answers += 1
    assert answers > 1
