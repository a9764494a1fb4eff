"""A failing client is let go of whole, and no stage ends without a word."""

import asyncio

import pytest
from aiokafka.errors import KafkaError

from detector.errors import FloodwatchError
from pipelines.kafka.clients import BrokerError, KafkaClients
from pipelines.live.supervisor import until_told
from pipelines.settings.model import KafkaSettings

CLIENTS = KafkaClients(KafkaSettings(bootstrap="127.0.0.1:1", request_s=1))


class Connections:
    """What a client has open."""

    closed = False

    async def close(self) -> None:
        self.closed = True


class Client:
    """A consumer that ends as aiokafka's do where its broker is away: not always whole."""

    def __init__(self, ending: str) -> None:
        self.connections = self._client = Connections()
        self._ending = ending

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        if self._ending == "cancelled":
            raise asyncio.CancelledError
        if self._ending == "fails":
            raise KafkaError
        if self._ending == "hangs":
            await asyncio.Event().wait()
        await self._client.close()


@pytest.mark.parametrize("ending", ["whole", "cancelled", "fails", "hangs"])
async def test_a_client_that_cannot_close_neither_ends_us_nor_stays_connected(ending: str) -> None:
    """The error from inside is what is raised, whatever closing adds to it."""
    client = Client(ending)
    with pytest.raises(BrokerError, match="is away"):
        async with CLIENTS.started(client):
            raise BrokerError("here", "is away")
    assert client.connections.closed


async def test_a_cancellation_of_the_clients_own_is_a_failure_of_kafka() -> None:
    """Ours goes through, as it must; theirs would end our task without a word."""
    with pytest.raises(BrokerError, match="gave up"), CLIENTS.speaking():
        raise asyncio.CancelledError

    async def waits() -> None:
        with CLIENTS.speaking():
            await asyncio.Event().wait()

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_stage_that_ends_unasked_is_an_error(cancelled: bool) -> None:
    """A process that goes on without one of its stages would look well."""

    async def ends(_stop: asyncio.Event) -> None:
        if cancelled:
            raise asyncio.CancelledError

    stop = asyncio.Event()
    with pytest.raises(FloodwatchError, match="ended unexpectedly"):
        await until_told(ends, stop)
    stop.set()
    await until_told(ends, stop)
