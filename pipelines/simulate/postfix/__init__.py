"""Simulated traffic sent through a real Postfix on loopback, and its log at the traffic's times."""

import asyncio
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.simulate.postfix.mail import Letter, for_postfix, letters
from pipelines.simulate.postfix.rewrite import Prefix, rewrite
from pipelines.simulate.postfix.server import PostfixError, PostfixServer
from pipelines.simulate.postfix.sessions import send_all
from pipelines.simulate.postfix.verdicts import Verdicts
from pipelines.simulate.traffic import TrafficResult

__all__ = ["PostfixError", "RealLog", "for_postfix", "send_through_postfix"]


@dataclass(frozen=True, slots=True)
class RealLog:
    """A raw log, the traffic that made it, and the queue id of each of its events (or None)."""

    lines: list[str]
    traffic: TrafficResult
    queue_ids: list[str | None]
    left_out: int


def send_through_postfix(
    result: TrafficResult, prefix: Prefix = "rfc3339", sessions: int = 8
) -> RealLog:
    """Send the traffic through Postfix and give its log, rewritten to the traffic's own times.

    What cannot be sent is left out first (see `for_postfix`); the events and the truth to compare
    with are those of `RealLog.traffic`. About 200 messages a second on two cores. Needs root.

    Raises:
        PostfixError: Postfix is missing, may not be started, or answered other than planned.
    """
    traffic = for_postfix(result)
    to_send = letters(traffic)
    with TemporaryDirectory(prefix="floodwatch-postfix-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        log = asyncio.run(_run(traffic, to_send, folder, sessions))
    rewritten = rewrite(iter(log.split("\n")), to_send, prefix, "mx1")
    queue_ids: list[str | None] = [None] * len(traffic)
    for letter in to_send:
        for row in letter.rows:
            queue_ids[row] = rewritten.queue_ids.get(letter.index)
    return RealLog(rewritten.lines, traffic, queue_ids, rewritten.left_out)


async def _run(traffic: TrafficResult, to_send: list[Letter], folder: Path, sessions: int) -> str:
    verdicts = Verdicts()
    policy = await asyncio.start_server(verdicts.policy, "127.0.0.1", 0)
    milter = await asyncio.start_server(verdicts.milter, "127.0.0.1", 0)
    texts, customers = traffic.world.texts.texts, traffic.world.customers
    mailboxes = {texts[i] for i in customers.mailbox.tolist()}
    async with policy, milter:
        ports = (_free_port(), _port(policy), _port(milter))
        server = PostfixServer(folder, ports, sessions)
        await asyncio.to_thread(server.start, set(customers.domains), mailboxes)
        try:
            await send_all(to_send, verdicts, server.smtp_port, sessions)
            await _delivered(folder / "queue")
        finally:
            await asyncio.to_thread(server.stop)
            await verdicts.done()
    return server.log.read_text(encoding="utf-8", errors="replace")


async def _delivered(queue: Path) -> None:
    """Wait until no message is on its way (at most a minute)."""
    async with asyncio.timeout(60):
        while any(  # noqa: ASYNC110 (files wake nobody)
            path.is_file() for name in ("incoming", "active") for path in (queue / name).rglob("*")
        ):
            await asyncio.sleep(0.2)


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
