"""`floodwatch run --input`: options and settings become a detector that follows logs."""

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.cli.guarded import UsageError
from pipelines.cli.postfix_options import check_relays, offset_s
from pipelines.cli.running import in_loop, load
from pipelines.console.messages import logger_of, start_logging, stop_logging
from pipelines.console.resident import lazy_garbage
from pipelines.console.telemetry import Telemetry
from pipelines.follow.alerts import FollowAlerts
from pipelines.follow.format import FOLLOWED_FORMATS
from pipelines.follow.run import Follower, FollowSpec
from pipelines.live.health import StageHealth
from pipelines.live.supervisor import first_error, until_told
from pipelines.settings.model import LiveSettings
from pipelines.settings.warnings import settings_warnings
from pipelines.stores import open_store
from pipelines.web.health import health_app
from pipelines.web.loop_lag import measure_loop_lag
from pipelines.web.progress import Health
from pipelines.web.serve import WebServer

__all__ = ["FollowOptions", "run_follow"]

_AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """The command line of a run that follows logs, as given."""

    inputs: tuple[str, ...]
    config: Path | None
    roles: tuple[str, ...]
    input_format: str
    store: str | None
    rejects: Path | None
    trusted_relays: tuple[str, ...]
    utc_offset: str | None


def run_follow(options: FollowOptions) -> None:
    """Follow logs until SIGTERM or SIGINT; both stop it cleanly, with exit code 0."""
    spec = _spec(options)
    handler = start_logging()
    try:
        log = logger_of("run")
        for warning in settings_warnings(spec.settings):
            log.warning("unwise settings", what=warning)
        with lazy_garbage():
            in_loop(_run(spec))
    finally:
        stop_logging(handler)


async def _run(spec: FollowSpec) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    telemetry, health = Telemetry(), Health()
    stage = StageHealth.of("follow", health, telemetry)
    alerts = _alerts(spec.settings, health, telemetry)
    with contextlib.ExitStack() as stack:
        beside = [measure_loop_lag(telemetry)]
        if spec.settings.web.port:
            beside.append(WebServer(health_app(health, telemetry), spec.settings.web).run())
        tasks = [loop.create_task(one) for one in beside]
        try:
            follower = await asyncio.to_thread(Follower, spec, stage, stack)
            await _follow(follower, alerts, stop)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    stage.log.info("stopped")


def _alerts(settings: LiveSettings, health: Health, telemetry: Telemetry) -> FollowAlerts | None:
    if not settings.webhook.url:
        return None
    stage = StageHealth.of("alert", health, telemetry)
    return FollowAlerts(lambda: open_store(settings.store.url), settings.webhook, stage)


async def _follow(follower: Follower, alerts: FollowAlerts | None, stop: asyncio.Event) -> None:
    """Follow until asked to stop; alerts go on until the last change is stored."""
    if alerts is None:
        await follower.run(stop)
        return
    begun, stored = asyncio.Event(), asyncio.Event()
    with first_error():
        async with asyncio.TaskGroup() as group:
            group.create_task(until_told(lambda told: alerts.run(begun, told), stored))
            await begun.wait()
            await follower.run(stop)
            stored.set()


def _spec(options: FollowOptions) -> FollowSpec:
    kind = options.input_format
    if options.roles:
        raise UsageError("--role: only for a run on Kafka; with --input one process runs all roles")
    if kind not in {_AUTO, *FOLLOWED_FORMATS}:
        wanted = ", ".join((_AUTO, *FOLLOWED_FORMATS))
        raise UsageError(f"--format: got {kind!a}, must be one of {wanted}")
    paths = [Path(text).absolute() for text in options.inputs]
    if len(set(paths)) < len(paths):
        raise UsageError("--input: the same file is named twice")
    if options.rejects is not None and options.rejects.absolute() in paths:
        raise UsageError("--rejects: is an input, and cannot be written")
    check_relays(options.trusted_relays)
    zone = options.utc_offset
    settings = load(options.config, options.store)
    return FollowSpec(
        options.inputs, settings, None if kind == _AUTO else kind, options.rejects,
        None if zone is None else offset_s(zone), options.trusted_relays,
    )  # fmt: skip
