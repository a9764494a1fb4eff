"""The receiver of alerts fails: nobody waits for it, and it is told all of it in the end."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from random import Random

import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import for_code

from pipelines.clock import elapsed_s
from pipelines.live.run import Live
from pipelines.settings.file import load_settings
from tests.builders import Event
from tests.live.site import Site, traffic
from tests.live.test_faults import SOAK
from tests.services.ports import free_ports
from tests.services.webhook_target import Answer, WebhookTarget, drip_head, reply

DELIVERED_S = 30.0
AWAY_S = 600.0 if SOAK else 6.0
PROVIDERS = (15_169, 396_982, 8_075, 16_509, 14_618, 11_377, 14_782, 16_276, 36_646, 26_101)
"""AS numbers of the file that comes with floodwatch, for the networks that flood in the story."""
FAULTS: Mapping[str, Answer | None] = {
    "down": None,
    "fails": reply(500, b"no \x1b[2J"),
    "slow loris": drip_head,
    "redirects": reply(302, location="/elsewhere"),
}


def mail_of_providers(rng: Random, partitions: int) -> list[Event]:
    events = traffic(rng, partitions, minutes=40, floods=8)
    for event in events:
        network = event.fields["client_ip"].split(":")
        if network[:2] == ["2001", "db8"] and network[2] != "5":
            event.fields["asn"] = PROVIDERS[int(network[2], 16) % len(PROVIDERS)]
    return events


def webhook(site: Site, target: WebhookTarget) -> dict[str, str]:
    """Give the settings of the webhook as variables, with retries that suit a test."""
    secret = site.folder / "secret"
    secret.write_text("whsec_" + base64.b64encode(bytes(range(32))).decode() + "\n")
    settings = {
        "url": target.url, "secret_file": str(secret), "lead_s": "0.1", "group_s": "0.5",
        "request_s": "1", "first_retry_s": "0.1", "longest_retry_s": "2", "waiting_changes": "20",
    }  # fmt: skip
    return {f"FLOODWATCH__WEBHOOK__{key.upper()}": value for key, value in settings.items()}


@contextlib.asynccontextmanager
async def failing(target: WebhookTarget, answer: Answer | None) -> AsyncIterator[None]:
    """Let the target give this answer always; None: there is no target."""
    if answer is None:
        yield
        return
    target.script = [answer] * 100_000
    async with target:
        yield
    target.script = []


async def wanted(site: Site) -> set[str]:
    """Give the ids of the changes that are to be reported."""
    changes = [orjson.loads(line) for line in await site.decisions()]
    return {
        change["id"]
        for change in changes
        if not change["shadow"]
        and (
            change["change"] == "hold"
            or (change["change"] in {"list", "release"} and change["provider"])
        )
    }


async def all_told(target: WebhookTarget, ids: set[str], bad: range) -> float:
    """Wait until all ids came, not counting the requests that were answered badly."""
    begin = elapsed_s()
    async with asyncio.timeout(DELIVERED_S):
        while True:
            came = enumerate(target.requests)
            missing = ids - {i for at, r in came if at not in bad for i in r.change_ids}
            if not missing:
                return elapsed_s() - begin
            await asyncio.sleep(0.1)


def new_target() -> WebhookTarget:
    target = WebhookTarget()
    (target.port,) = free_ports(1)
    return target


@pytest.mark.parametrize("name", FAULTS)
async def test_the_receiver_fails_for_a_while_and_alerts_are_killed_meanwhile(
    kafka: str, tmp_path: Path, name: str, record_property: Callable[[str, object], None]
) -> None:
    """Decisions and store are whole before it is back; then it hears of each change."""
    rng, target = Random(43), new_target()
    with Site.of_seed(tmp_path / "site", kafka, 43) as site:
        await site.prepare()
        environ = webhook(site, target)
        site.run()
        alerts = site.run("alert", **environ)
        events = mail_of_providers(rng, site.partitions)
        half = len(events) // 2
        async with target:
            await site.feed(events[:half], over_s=3)
            async with asyncio.timeout(60):
                while not target.requests:  # noqa: ASYNC110 - `came` waits for less
                    await asyncio.sleep(0.1)
        begin = len(target.requests)
        async with failing(target, FAULTS[name]):
            await site.feed(events[half:], over_s=AWAY_S)
            await site.end()
            await site.settled(60)
            await asyncio.to_thread(alerts.wait_until_it_says, "was not accepted")
            alerts.kill()
            alerts = site.run("alert", **environ)
            await asyncio.to_thread(alerts.wait_until_it_says, "was not accepted")
        bad = range(begin, len(target.requests))
        ids = await wanted(site)
        assert ids
        async with target:
            record_property("delivered_s", await all_told(target, ids, bad))
        assert {request.path for request in target.requests} == {"/hook"}
        assert (await site.verify())["list"]
        assert await asyncio.to_thread(alerts.stop) == 0


async def test_alerts_go_on_after_their_place_could_not_be_committed(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure of Kafka ends a life of the stage, not the process."""
    target, plain = new_target(), AIOKafkaConsumer.commit
    failures = [25, 82]

    async def commit(self: AIOKafkaConsumer, offsets: object) -> None:
        if failures:
            raise for_code(failures.pop())
        await plain(self, offsets)

    with Site.of_seed(tmp_path / "site", kafka, 43) as site:
        await site.prepare()
        site.run()
        await site.feed(mail_of_providers(Random(43), site.partitions))
        await site.end()
        await site.settled(60)
        ids = await wanted(site)
        assert ids
        monkeypatch.setattr(AIOKafkaConsumer, "commit", commit)
        stop = asyncio.Event()
        live = Live(load_settings(site.config(), webhook(site, target)), ["alert"])
        async with target, asyncio.TaskGroup() as group:
            group.create_task(live.run(stop))
            await all_told(target, ids, range(0))
            async with asyncio.timeout(30):
                while failures:  # noqa: ASYNC110 - the commits are not ours
                    await asyncio.sleep(0.1)
            stop.set()
