"""Health over HTTP: what is stuck is named, not ready is not dead, metrics are Prometheus text."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette

from pipelines.console.telemetry import Telemetry
from pipelines.settings.model import WebSettings
from pipelines.web.health import health_app
from pipelines.web.loop_lag import measure_loop_lag
from pipelines.web.progress import Health
from pipelines.web.serve import WebBindError, WebServer

ANY = WebSettings(host="127.0.0.1", port=0)


class Now:
    def __init__(self) -> None:
        self.s = 0.0

    def ms(self) -> int:
        return 1_767_225_600_000 + int(self.s * 1000)

    def elapsed(self) -> float:
        return self.s


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def health(now: Now) -> Health:
    return Health(now_ms=now.ms, elapsed_s=now.elapsed)


def client_of(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://floodwatch")


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[tuple[WebServer, str]]:
    server = WebServer(app, ANY)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.run())
        yield server, f"http://127.0.0.1:{server.port}"
        await server.close()


async def test_alive_while_everything_moves_and_says_what_does_not(
    health: Health, now: Now
) -> None:
    ingest, detect = health.watch("ingest", within_s=10), health.watch("detect", within_s=30)
    async with client_of(health_app(health, Telemetry())) as client:
        assert (await client.get("/livez")).status_code == 200
        now.s = 42.5
        ingest.beat()
        answer = await client.get("/livez")
        assert answer.status_code == 503
        assert answer.json() == {
            "live": False,
            "stuck": [
                {
                    "check": "detect", "since": "2026-01-01T00:00:00Z",
                    "silent_s": 42.5, "allowed_s": 30,
                }
            ],
        }  # fmt: skip
        detect.beat()
        assert (await client.get("/livez")).json() == {"live": True, "stuck": []}
        now.s = 52.6
        health.release(ingest)
        assert (await client.get("/livez")).status_code == 200


async def test_ready_once_every_gate_is_open_and_not_when_one_shuts_again(health: Health) -> None:
    assigned, restored = health.await_("assigned"), health.await_("restored")
    async with client_of(health_app(health, Telemetry())) as client:
        assigned.open()
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["waiting_for"]) == (503, ["restored"])
        assert (await client.get("/livez")).status_code == 200
        restored.open()
        assert (await client.get("/readyz")).status_code == 200
        assigned.shut()
        assert (await client.get("/readyz")).json() == {"ready": False, "waiting_for": ["assigned"]}


async def test_metrics_are_text_that_prometheus_reads(health: Health) -> None:
    telemetry = Telemetry()
    telemetry.records.inc(7)
    async with client_of(health_app(health, telemetry)) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "\nfloodwatch_input_records_total 7.0\n" in answer.text
    assert "_created" not in answer.text


@pytest.mark.parametrize(("method", "path"), [("POST", "/livez"), ("GET", "/"), ("GET", "/docs")])
async def test_nothing_else_is_served(health: Health, method: str, path: str) -> None:
    async with client_of(health_app(health, Telemetry())) as client:
        assert (await client.request(method, path)).status_code in {404, 405}


async def test_it_serves_in_the_running_loop_and_leaves_the_signals_alone(health: Health) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    async with (
        served(health_app(health, Telemetry())) as (_, url),
        httpx.AsyncClient(trust_env=False) as client,
    ):
        answer = await client.get(f"{url}/livez")
        assert answer.status_code == 200
        assert "server" not in answer.headers
        assert {number: signal.getsignal(number) for number in before} == before


async def test_after_closing_the_port_is_free(health: Health) -> None:
    app = health_app(health, Telemetry())
    async with served(app) as (server, _):
        port = server.port
    again = WebServer(app, WebSettings(port=port))
    await again.close()
    await again.run()


async def test_cancelling_lets_go_of_the_port_as_well(health: Health) -> None:
    app = health_app(health, Telemetry())
    server = WebServer(app, ANY)
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run())
        await client.get(f"http://127.0.0.1:{server.port}/livez")
        running.cancel()
    await WebServer(app, WebSettings(port=server.port)).close()


async def test_an_address_that_cannot_be_had_is_told_in_words(health: Health) -> None:
    app = health_app(health, Telemetry())
    first = WebServer(app, ANY)
    with pytest.raises(WebBindError, match=r"web\.port \d+: cannot listen: already in use"):
        WebServer(app, WebSettings(port=first.port))
    await first.close()
    with pytest.raises(WebBindError, match="this machine does not have this address"):
        WebServer(app, WebSettings(host="192.0.2.1", port=0))
    with pytest.raises(WebBindError, match="check its spelling"):
        WebServer(app, WebSettings(host="no such host", port=0))


async def test_the_lag_of_the_loop_is_measured(health: Health) -> None:
    telemetry = Telemetry()
    pulse = health.watch("loop", within_s=5)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(measure_loop_lag(telemetry, pulse, every_s=0))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
    assert telemetry.value("floodwatch_loop_lag_seconds_count")
