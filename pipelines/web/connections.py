"""Connections that cannot keep others out: each must get an answer in time, or make room."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["ANSWER_S", "MOST_CONNECTIONS", "MOST_OF_ONE_PEER", "LimitedConnection"]

MOST_CONNECTIONS: Final = 64
MOST_OF_ONE_PEER: Final = 16
ANSWER_S: Final = 5.0
"""Time from the connect, or from the last answer, until the next answer has been sent."""


class LimitedConnection(H11Protocol):
    """An HTTP connection with a deadline, and a place that it loses to a newer connection.

    A client that sends its headers slowly, sends no request, or does not read the answer is
    disconnected after 5 s. Where one address has more than 16 connections, or all together more
    than 64, the one that has waited longest without an answer is closed. The newest one is always
    served, so a health probe gets its answer however many idle connections there are.
    """

    _waits_since_s = 0.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a place, from another connection if there is none left."""
        super().connection_made(transport)
        self._expect_answer()
        ours: set[LimitedConnection] = self.connections  # type: ignore[assignment] # all are of this class
        of_peer = {one for one in ours if one.peer == self.peer}
        if len(of_peer) > MOST_OF_ONE_PEER:
            _close_longest_waiting(of_peer)
        elif len(ours) > MOST_CONNECTIONS:
            _close_longest_waiting(ours)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._expect_answer()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    @property
    def peer(self) -> str:
        """The address of the client, empty where it is not known."""
        return self.client[0] if self.client else ""

    @property
    def waits_since_s(self) -> float:
        """When it was opened or last answered, by the clock of the event loop."""
        return self._waits_since_s

    def drop(self) -> None:
        """Disconnect without a response."""
        self.connections.discard(self)
        self.transport.abort()

    def _expect_answer(self) -> None:
        self._waits_since_s = self.loop.time()
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(ANSWER_S, self.drop)


def _close_longest_waiting(connections: set[LimitedConnection]) -> None:
    min(connections, key=lambda one: one.waits_since_s).drop()
