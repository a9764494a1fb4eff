"""Alerts of a run without Kafka: at least once, through deaths of either side, and from now on."""

import asyncio
import base64
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import Popen

from tests.cli.command_line import lines, story
from tests.follow.followers import Started, ahead, die, stopped, until_it_follows
from tests.follow.test_run import LISTED
from tests.services.ports import free_ports
from tests.services.webhook_target import WebhookTarget

GOOGLE = 15_169
DETECT = "[detect]\nsnapshot_every_s = 0.3\n"


async def following(follow: Started) -> Popen[bytes]:
    """Start a follower with the settings of the test; wait until it has begun."""
    process = follow("--config", "live.toml", "--input", "mail.log")
    await asyncio.to_thread(until_it_follows, process)
    return process


def webhook(folder: Path, target: WebhookTarget, more: str = "") -> str:
    """Give the settings of the webhook; its secret is written."""
    (folder / "secret").write_text("whsec_" + base64.b64encode(bytes(range(32))).decode())
    return f'[webhook]\nurl = "{target.url}"\nsecret_file = "{folder / "secret"}"\n{more}'


def told(folder: Path) -> int:
    """Give up to which change the store says everything was told."""
    with closing(sqlite3.connect(folder / "floodwatch.db")) as connection:
        query = "SELECT text FROM facts WHERE key = 'alerts_told_seq'"
        found = connection.execute(query).fetchone()
    return int(found[0]) if found else -1


def listed(folder: Path) -> list[str]:
    """Give the ids of the listings in the store."""
    with closing(sqlite3.connect(folder / "floodwatch.db")) as connection:
        found = connection.execute("SELECT decision FROM changes ORDER BY seq").fetchall()
    changes = [json.loads(text) for (text,) in found]
    return [one["id"] for one in changes if one["change"] == "list" and one["provider"]]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(true):  # noqa: ASYNC110 - asked of a process
            await asyncio.sleep(0.1)


async def test_what_was_listed_while_the_receiver_was_away_is_told_by_the_next_start(
    tmp_path: Path, follow: Started
) -> None:
    shift, target = ahead(), WebhookTarget()
    (target.port,) = free_ports(1)
    fast = "lead_s = 0.1\ngroup_s = 0.2\nfirst_retry_s = 0.1\nlongest_retry_s = 0.5\n"
    (tmp_path / "live.toml").write_text(DETECT + webhook(tmp_path, target, fast))
    events = [
        {**one, "time": one["time"] + shift}
        | ({"asn": GOOGLE} if one["client_ip"].startswith("198.18.") else {})
        for one in story()
    ]
    (tmp_path / "mail.log").write_bytes(lines(events))
    process = await following(follow)
    await until(lambda: bool(listed(tmp_path)))
    await asyncio.to_thread(die, process, 0.3)
    assert told(tmp_path) == 0, "nobody was there to be told"
    process = await following(follow)
    async with target:
        await until(
            lambda: {i for r in target.requests for i in r.change_ids} >= set(listed(tmp_path))
        )
        await until(lambda: told(tmp_path) > 0)
        assert any(LISTED in r.body.decode() for r in target.requests)
        said = await asyncio.to_thread(stopped, process)
        assert '"event": "alert delivered"' in said
        count = len(target.requests)
        process = await following(follow)
        await asyncio.sleep(1)
        assert '"level": "error"' not in await asyncio.to_thread(stopped, process)
        assert len(target.requests) == count, "what was told is not told again"


async def test_switched_on_late_it_tells_nothing_of_what_was_listed_before(
    tmp_path: Path, follow: Started
) -> None:
    shift = ahead()
    events = [{**one, "time": one["time"] + shift, "asn": GOOGLE} for one in story()]
    (tmp_path / "mail.log").write_bytes(lines(events))
    (tmp_path / "live.toml").write_text(DETECT)
    process = await following(follow)
    await until(lambda: bool(listed(tmp_path)))
    await asyncio.to_thread(stopped, process)
    async with WebhookTarget() as target:
        (tmp_path / "live.toml").write_text(DETECT + webhook(tmp_path, target))
        process = await following(follow)
        await until(lambda: told(tmp_path) > 0)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(stopped, process)
        assert target.requests == []
