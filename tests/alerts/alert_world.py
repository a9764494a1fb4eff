"""What the tests of alerts share: changes, settings, a clock that jumps, a running sender."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from pipelines.alerts import WebhookAlerts
from pipelines.alerts.pacing import Clock
from pipelines.console.telemetry import Telemetry
from pipelines.settings.model import WebhookSettings

__all__ = ["KEY", "SECRET", "START_MS", "JumpingClock", "change", "listings", "running", "told"]

KEY: Final = bytes(range(24))
SECRET: Final = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"  # noqa: S105 - of the tests
START_MS: Final = 1_767_225_600_000


def change(seq: int, kind: str = "list", provider: str = "Big", **more: Any) -> dict[str, Any]:
    return {
        "v": 1, "seq": seq, "id": f"{seq:024x}", "time": START_MS + seq, "change": kind,
        "shadow": False, "subject": f"198.51.100.{seq % 256}", "tier": "temporary",
        "rule": "victim_flood", "asn": 64496, "provider": provider, "first_seen": 0,
        "last_seen": 1, "until": 2, "hard_until": 3, "policy": "be53ccb985f7",
        "evidence": {"victim": "a***@s***.example", "count": 22},
    } | more  # fmt: skip


def listings(first: int, last: int, **more: Any) -> list[dict[str, Any]]:
    return [change(seq, **more) for seq in range(first, last + 1)]


def told(folder: Path, url: str, **more: Any) -> WebhookSettings:
    path = folder / "secret"
    path.write_text(f"{SECRET}\n")
    return WebhookSettings(url=url, secret_file=path, **more)


class JumpingClock:
    """Nobody waits: its time jumps to the end of each wait, which is noted."""

    def __init__(self) -> None:
        self.s = 0.0
        self.waits: list[float] = []
        self._waited = asyncio.Event()

    def now_ms(self) -> int:
        return START_MS + int(self.s * 1000)

    def elapsed_s(self) -> float:
        return self.s

    async def wait(self, event: asyncio.Event, for_s: float | None) -> None:
        if for_s is None:
            await event.wait()
            return
        await asyncio.sleep(0)
        if not event.is_set():
            self.s += for_s
            self.waits.append(for_s)
            self._waited.set()

    async def waited(self, count: int) -> list[float]:
        async with asyncio.timeout(20):
            while len(self.waits) < count:
                self._waited.clear()
                await self._waited.wait()
        return self.waits


@asynccontextmanager
async def running(
    settings: WebhookSettings,
    clock: Clock | None = None,
    *,
    changes: Sequence[dict[str, Any]] = (),
    delivered_seq: int = 0,
    telemetry: Telemetry | None = None,
    close_s: float = 20.0,
) -> AsyncIterator[WebhookAlerts]:
    """A sender that has taken the changes; at the end all of it is delivered, within `close_s`."""
    alerts = WebhookAlerts(
        settings, delivered_seq=delivered_seq, telemetry=telemetry,
        clock=clock or JumpingClock(), draw=lambda: 0.5,
    )  # fmt: skip
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(alerts.run())
        await asyncio.sleep(0)
        await alerts.take(changes)
        yield alerts
        await alerts.close(close_s)
