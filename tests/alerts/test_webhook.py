"""The sender against a real receiver that is down, slow, hostile or wrong: every change arrives."""

import asyncio
import logging
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from pipelines.alerts import WebhookAlerts, verify
from pipelines.alerts.pacing import WallClock
from pipelines.console.telemetry import Telemetry
from tests.alerts.alert_world import (
    KEY,
    SECRET,
    START_MS,
    JumpingClock,
    change,
    listings,
    running,
    told,
)
from tests.services.webhook_target import (
    WebhookTarget,
    drip_body,
    drip_head,
    garbage,
    hang,
    huge,
    reply,
)

ATTEMPTS = "floodwatch_webhook_attempts_total"
OPENSSL = shutil.which("openssl")


async def test_a_listing_arrives_signed_and_as_a_cloudevent(tmp_path: Path) -> None:
    async with WebhookTarget() as target:
        async with running(told(tmp_path, target.url), changes=listings(1, 3)) as alerts:
            (request,) = await target.came(1)
        assert alerts.delivered_seq == 3
    headers = request.headers
    assert request.path == "/hook"
    assert headers["content-type"] == "application/cloudevents+json"
    assert headers["webhook-id"] == request.event["id"]
    assert headers["webhook-timestamp"] == str(START_MS // 1000 + 1)
    assert verify(
        headers["webhook-id"], headers["webhook-timestamp"], request.body,
        headers["webhook-signature"], keys=[KEY], now_s=START_MS // 1000,
    )  # fmt: skip
    assert request.event["type"] == "org.floodwatch.provider-listed.v1"
    assert request.event["subject"] == "Big"
    assert request.change_ids == [c["id"] for c in listings(1, 3)]
    assert SECRET.encode() not in request.body


async def test_after_failures_everything_has_arrived_in_order_with_the_same_ids(
    tmp_path: Path,
) -> None:
    answers = [reply(500), reply(503), hang, garbage, drip_head, reply(404), reply(410), reply(302)]
    settings = told(tmp_path, "", group_changes=2, request_s=0.1)
    telemetry, clock = Telemetry(), JumpingClock()
    async with WebhookTarget(*answers) as target:
        settings = settings.model_copy(update={"url": target.url})
        async with running(settings, clock, changes=listings(1, 4), telemetry=telemetry):
            requests = await target.came(len(answers) + 2)
    assert {r.headers["webhook-id"] for r in requests[:9]} == {requests[0].event["id"]}
    assert len({r.body for r in requests[:9]}) == 1
    assert [r.change_ids for r in requests[8:]] == [
        [change(1)["id"], change(2)["id"]], [change(3)["id"], change(4)["id"]],
    ]  # fmt: skip
    counts = {"failed": 2, "timed_out": 2, "garbled": 1, "refused": 2, "redirected": 1}
    for outcome, count in (counts | {"delivered": 2}).items():
        assert telemetry.value(ATTEMPTS, outcome=outcome) == count


async def test_each_attempt_is_signed_with_its_own_time(tmp_path: Path) -> None:
    async with (
        WebhookTarget(reply(500), reply(500)) as target,
        running(told(tmp_path, target.url, first_retry_s=8), changes=[change(1)]),
    ):
        requests = await target.came(3)
    times = [int(r.headers["webhook-timestamp"]) - START_MS // 1000 for r in requests]
    assert times == [1, 5, 13]
    for request in requests:
        headers = request.headers
        time = headers["webhook-timestamp"]
        assert verify(
            headers["webhook-id"], time, request.body, headers["webhook-signature"],
            keys=[KEY], now_s=int(time),
        )  # fmt: skip


async def test_waits_double_up_to_a_limit_and_heed_what_the_receiver_asks(tmp_path: Path) -> None:
    date = "Thu, 01 Jan 2026 00:00:40 GMT"
    answers = [
        reply(500), reply(500), reply(429, retry_after="7"), reply(503, retry_after=date),
        reply(503, retry_after="86400"), reply(408), reply(403), reply(301, location="/else"),
    ]  # fmt: skip
    clock = JumpingClock()
    async with (
        WebhookTarget(*answers) as target,
        running(told(tmp_path, target.url), clock, changes=[change(1)]),
    ):
        await target.came(len(answers) + 1)
    lead, *waits = clock.waits
    assert lead == 1.0
    # Half of 1 and of 2; as asked, 7 and until 00:00:40; a day is cut; half of 32; hopeless, twice.
    assert waits == [0.5, 1.0, 7.0, 30.5, 60.0, 16.0, 60.0, 60.0]


async def test_no_redirect_is_followed(tmp_path: Path) -> None:
    async with WebhookTarget() as elsewhere, WebhookTarget() as target:
        target.script += [reply(code, location=elsewhere.url) for code in (301, 302, 303, 307, 308)]
        async with running(told(tmp_path, target.url), changes=[change(1)]):
            requests = await target.came(6)
    assert elsewhere.requests == []
    assert {r.path for r in requests} == {"/hook"}


async def test_an_answer_that_drips_holds_nobody_longer_than_the_deadline(tmp_path: Path) -> None:
    """No single pause is long, so only a limit on the whole ends it; connections do not run out."""
    loop = asyncio.get_running_loop()
    async with WebhookTarget(*[drip_head] * 15, drip_body) as target:
        began = loop.time()
        settings = told(tmp_path, target.url, request_s=0.05)
        async with running(settings, changes=[change(1)]):
            await target.came(16)
        assert loop.time() - began < 10
    assert len(target.requests) == 16


async def test_of_a_huge_answer_little_is_read_and_nothing_of_it_is_shown_raw(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "floodwatch")
    async with (
        WebhookTarget(huge, reply(500, b"\xff\x1b]0;x\x07\r\nlevel=info")) as target,
        running(told(tmp_path, target.url), changes=[change(1)]),
    ):
        await target.came(3)
    told_lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    said = [line["said"] for line in told_lines if "said" in line]
    assert said[0].startswith("\\x1b[2Jxxx")
    assert len(said[0]) < 250
    assert said[1] == "\\\\xff\\x1b]0;x\\x07\\r\\nlevel=info"
    assert all("/hook" not in str(line) for line in told_lines)


async def test_a_restart_behind_what_was_delivered_sends_again_with_the_same_ids(
    tmp_path: Path,
) -> None:
    """The first process dies between an answer that never came and its commit."""
    async with WebhookTarget(reply(204), hang) as target:
        settings = told(tmp_path, target.url, group_changes=1)
        first = WebhookAlerts(settings, clock=JumpingClock())
        async with asyncio.TaskGroup() as tasks:
            process = tasks.create_task(first.run())
            await first.take(listings(1, 3))
            await target.came(2)
            process.cancel()
        assert first.delivered_seq == 1
        async with running(settings, delivered_seq=1, changes=listings(1, 3)) as second:
            requests = await target.came(4)
        assert second.delivered_seq == 3
    one, two, three = [c["id"] for c in listings(1, 3)]
    assert [r.headers["webhook-id"] for r in requests] == [one, two, two, three]


async def test_while_the_receiver_is_away_memory_is_bounded_and_later_all_arrives(
    tmp_path: Path,
) -> None:
    telemetry, clock = Telemetry(), JumpingClock()
    target = WebhookTarget()
    async with target:
        pass
    settings = told(tmp_path, target.url, waiting_changes=50, group_changes=20)
    alerts = WebhookAlerts(settings, telemetry=telemetry, clock=clock, draw=lambda: 0.9)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(alerts.run())
        feeding = tasks.create_task(alerts.take(listings(1, 1_000)))
        await clock.waited(12)
        assert not feeding.done()
        assert telemetry.value("floodwatch_queue_depth_items", queue="alerts") == 50
        assert alerts.delivered_seq == 0
        async with target:
            await feeding
            await alerts.close(20)
    ids = [i for request in target.requests for i in request.change_ids]
    assert ids == [c["id"] for c in listings(1, 1_000)]
    assert alerts.delivered_seq == 1_000
    assert telemetry.value("floodwatch_queue_depth_items", queue="alerts") == 0
    assert (telemetry.value(ATTEMPTS, outcome="unreachable") or 0) >= 10


async def test_what_is_not_told_never_waits_for_the_receiver(tmp_path: Path) -> None:
    settings = told(tmp_path, "http://127.0.0.1:9/", waiting_changes=1)
    alerts = WebhookAlerts(settings, clock=JumpingClock())
    await alerts.take([change(1), *listings(2, 10_000, provider="")])
    assert alerts.delivered_seq == 0
    quiet = WebhookAlerts(settings, clock=JumpingClock())
    await quiet.take(listings(1, 10_000, change="extend"))
    assert quiet.delivered_seq == 10_000


async def test_taking_may_be_broken_off_and_repeated(tmp_path: Path) -> None:
    async with WebhookTarget(hang) as target:
        settings = told(tmp_path, target.url, waiting_changes=5, request_s=0.3)
        async with running(settings) as alerts:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await alerts.take(listings(1, 9))
            await alerts.take(listings(1, 9))
    ids = [i for request in target.requests[1:] for i in request.change_ids]
    assert ids == [c["id"] for c in listings(1, 9)]


async def test_closing_sends_what_waits_and_gives_up_in_time(tmp_path: Path) -> None:
    """With the real clock: nobody waits for the 30 s of the window or of the next attempt."""
    loop = asyncio.get_running_loop()
    async with WebhookTarget() as target:
        settings = told(tmp_path, target.url, lead_s=30)
        async with running(settings, WallClock(), changes=[change(1)]) as alerts:
            pass
        assert alerts.delivered_seq == 1
        await alerts.run()
    began = loop.time()
    async with WebhookTarget(reply(403), hang) as target:
        settings = told(tmp_path, target.url, lead_s=0)
        async with running(settings, WallClock(), changes=[change(1)], close_s=0.3) as alerts:
            await target.came(1)
        assert alerts.delivered_seq == 0
    assert loop.time() - began < 5
    assert len(target.requests) == 2


async def test_no_proxy_of_the_environment_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with (
        WebhookTarget() as target,
        running(told(tmp_path, target.url), changes=[change(1)]),
    ):
        await target.came(1)


@pytest.mark.needs("openssl")
async def test_a_certificate_is_checked(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    assert OPENSSL is not None
    subprocess.run(  # noqa: ASYNC221 - nothing else runs yet
        [
            OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    telemetry, clock = Telemetry(), JumpingClock()
    async with WebhookTarget(tls=tls) as target:
        settings = told(tmp_path, target.url)
        async with running(settings, clock, changes=[change(1)], telemetry=telemetry, close_s=0):
            await clock.waited(3)
        assert target.requests == []
        trusting = told(tmp_path, target.url, ca_file=cert)
        async with running(trusting, changes=[change(1)]):
            await target.came(1)
    assert (telemetry.value(ATTEMPTS, outcome="untrusted") or 0) >= 2
    assert telemetry.value(ATTEMPTS, outcome="delivered") == 0
