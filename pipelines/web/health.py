"""`/livez`, `/readyz` and `/metrics`: GET and HEAD, no state, nothing of a mail in them."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.console.telemetry import Telemetry
from pipelines.web.exposition import CONTENT_TYPE, exposition
from pipelines.web.progress import Health

__all__ = ["health_app"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WELL: Final = 200
_NOT_NOW: Final = 503


def health_app(health: Health, telemetry: Telemetry) -> Starlette:
    """Give the application.

    `/livez` answers 200 while every check moved in its time, else 503 with those that did not and
    since when: restart this process. `/readyz` answers 200 once every gate is open, else 503 with
    those that are shut: send it no work, but let it be. `/metrics` is Prometheus text.
    """

    async def livez(_: Request) -> Response:
        stuck = [
            {
                "check": found.name,
                "since": _rfc3339(found.since_ms),
                "silent_s": round(found.silent_s, 1),
                "allowed_s": found.within_s,
            }
            for found in health.stuck()
        ]
        return _answer({"live": not stuck, "stuck": stuck}, well=not stuck)

    async def readyz(_: Request) -> Response:
        closed = health.closed()
        return _answer({"ready": not closed, "waiting_for": closed}, well=not closed)

    async def metrics(_: Request) -> Response:
        return Response(exposition(telemetry), media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )


def _answer(said: dict[str, Any], *, well: bool) -> Response:
    headers = {"cache-control": "no-store"}
    status = _WELL if well else _NOT_NOW
    return Response(orjson.dumps(said) + b"\n", status, headers, "application/json")


def _rfc3339(time_ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=time_ms)).strftime("%Y-%m-%dT%H:%M:%SZ")
