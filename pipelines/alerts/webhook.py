"""Posts alerts to a webhook: at least once, in order, for as long as it takes, in bounded memory.

Nothing is given up: a reader of the listings commits `delivered_seq`, so what was not delivered
is read again by the next start. While the receiver is away changes are kept up to a bound, then
`take` waits; the reader falls behind, and nothing else does.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence

import httpx

from pipelines.alerts.incidents import Grouping, Incidents, Message
from pipelines.alerts.messages import CONTENT_TYPE, body_of
from pipelines.alerts.pacing import Backoff, Clock, WallClock, retry_after_s
from pipelines.alerts.posting import Attempt, client_for, post
from pipelines.alerts.settings_check import checked_url, secrets_of, trust_of
from pipelines.alerts.signing import ID_HEADER, SIGNATURE_HEADER, TIME_HEADER, sign
from pipelines.console.messages import logger_of
from pipelines.console.telemetry import Telemetry
from pipelines.ports import Change
from pipelines.settings.model import WebhookSettings

__all__ = ["WebhookAlerts"]

_log = logger_of("alerts")


class WebhookAlerts:
    """Takes changes in the order of their `seq` and delivers those that are to be reported.

    One task calls `take`, one runs `run`. `delivered_seq` is where the reader begins: changes up
    to it are ignored. The secret file is read once: to change a secret add the new one, restart,
    tell the receiver, take the old one out, restart.

    Raises:
        AlertSettingsError: the settings cannot be used.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        delivered_seq: int = 0,
        telemetry: Telemetry | None = None,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._url = checked_url(settings)
        self._keys = secrets_of(settings)
        self._trust = trust_of(settings)
        self._telemetry = telemetry or Telemetry()
        self._clock = clock or WallClock()
        self._backoff = Backoff(settings.first_retry_s, settings.longest_retry_s, draw)
        grouping = Grouping(
            settings.lead_s, settings.group_s, settings.group_changes,
            settings.waiting_changes, settings.providers,
        )  # fmt: skip
        self._incidents = Incidents(grouping, delivered_seq=delivered_seq)
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._hurry = asyncio.Event()
        self._rushed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._scope: asyncio.Timeout | None = None

    @property
    def delivered_seq(self) -> int:
        """Every change up to this one needs no more sending: the reader commits it."""
        return self._incidents.delivered_seq

    async def take(self, changes: Sequence[Change]) -> None:
        """Take changes that follow those before; wait while too many are undelivered.

        If it is cancelled, the same changes may be given again: those that were taken are known.
        """
        incidents = self._incidents
        for change in changes:
            while incidents.full and incidents.wants(change):
                self._room.clear()
                self._show_depth()
                await self._room.wait()
            incidents.take(change, self._clock.elapsed_s())
            if incidents.waiting and self._idle.is_set():
                self._idle.clear()
            self._news.set()
        self._show_depth()

    async def run(self) -> None:
        """Deliver until cancelled or closed."""
        if self._hurry.is_set():
            return
        scope = self._scope = asyncio.timeout(None)
        client = client_for(self._trust, self._settings.request_s)
        try:
            async with client, scope:
                while True:
                    await self._deliver(client, await self._next())
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self._scope = None

    async def close(self, within_s: float) -> None:
        """Deliver what waits without waiting for more of it, within the time; then end `run`.

        What is not delivered by then stays above `delivered_seq`.
        """
        self._incidents.hurry()
        self._hurry.set()
        self._news.set()
        if self._scope is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._idle.wait()
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())
        if self._incidents.waiting:
            _log.warning(
                "undelivered alerts are kept for the next start",
                changes=self._incidents.waiting, behind_seq=self.delivered_seq,
            )  # fmt: skip

    # -- delivering ----------------------------------------------------------------------------

    async def _next(self) -> Message:
        while True:
            self._news.clear()
            now_s = self._clock.elapsed_s()
            message = self._incidents.due(now_s)
            if message is not None:
                return message
            await self._clock.wait(self._news, self._incidents.due_in(now_s))

    async def _deliver(self, client: httpx.AsyncClient, message: Message) -> None:
        """Send until it is accepted; each attempt is signed with its own time."""
        body = body_of(message, self._settings.source)
        while not await self._attempt(client, message, body):
            pass
        self._backoff.reset()
        self._incidents.done(message)
        self._room.set()
        if not self._incidents.waiting:
            self._idle.set()
        self._show_depth()

    async def _attempt(self, client: httpx.AsyncClient, message: Message, body: bytes) -> bool:
        time_s = self._clock.now_ms() // 1000
        headers = {
            "content-type": CONTENT_TYPE,
            ID_HEADER: message.id,
            TIME_HEADER: str(time_s),
            SIGNATURE_HEADER: sign(message.id, time_s, body, self._keys),
        }
        attempt = await post(client, self._url, body, headers, self._settings.request_s)
        self._telemetry.webhook_attempts.add(attempt.outcome)
        if attempt.outcome == "delivered":
            self._tell_delivered(message)
            return True
        asked_s = retry_after_s(attempt.retry_after, self._clock.now_ms())
        wait_s = self._backoff.next_s(asked_s=asked_s, hopeless=attempt.hopeless)
        self._tell_failed(message, attempt, wait_s)
        # Closing cuts one wait short, for a last attempt; more would be a storm of them.
        await self._clock.wait(asyncio.Event() if self._rushed else self._hurry, wait_s)
        self._rushed = self._hurry.is_set()
        return False

    def _tell_delivered(self, message: Message) -> None:
        _log.info(
            "alert delivered",
            host=self._url.host, id=message.id, incident=message.incident,
            provider=message.provider, changes=len(message.changes),
            failures_before=self._backoff.failures,
        )  # fmt: skip

    def _tell_failed(self, message: Message, attempt: Attempt, wait_s: float) -> None:
        _log.warning(
            "alert was not accepted, retrying",
            host=self._url.host, id=message.id, outcome=attempt.outcome, status=attempt.status,
            said=attempt.said, failures=self._backoff.failures, next_try_in_s=round(wait_s, 1),
        )  # fmt: skip

    def _show_depth(self) -> None:
        self._telemetry.queue_depth.set("alerts", self._incidents.waiting)
