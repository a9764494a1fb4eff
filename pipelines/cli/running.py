"""`floodwatch run` and `floodwatch topics`: settings become a running process."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pipelines.cli.guarded import FAILED, UsageError
from pipelines.cli.listings import print_json
from pipelines.console.messages import logger_of, start_logging, stop_logging
from pipelines.console.resident import lazy_garbage
from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.topics import check_topics, create_topics
from pipelines.settings.file import load_settings
from pipelines.settings.model import LiveSettings, Role
from pipelines.settings.text import settings_toml
from pipelines.settings.warnings import settings_warnings

__all__ = [
    "ask",
    "in_loop",
    "load",
    "make_topics",
    "needs_input",
    "run_live",
    "show_settings",
    "show_topics",
]

ROLES: Final[tuple[Role, ...]] = get_args(Role)

T = TypeVar("T")


def load(config: Path | None, store_url: str | None = None) -> LiveSettings:
    """Read the settings from a file and the environment; `store_url` overrides both."""
    settings = load_settings(config, os.environ)
    if store_url is None:
        return settings
    store = settings.store.model_copy(update={"url": store_url})
    return settings.model_copy(update={"store": store})


def run_live(config: Path | None, roles: Sequence[str]) -> None:
    """Run until SIGTERM or SIGINT; both stop it cleanly, with exit code 0."""
    for role in roles:
        if role not in ROLES:
            raise UsageError(f"--role: got {role!a}, must be one of {', '.join(ROLES)}")
    settings = load(config)
    handler = start_logging()
    try:
        log = logger_of("run")
        for warning in settings_warnings(settings):
            log.warning("unwise settings", what=warning)
        chosen = [role for role in ROLES if role in roles or not roles]
        with lazy_garbage():
            in_loop(_run(settings, chosen))
    finally:
        stop_logging(handler)


def needs_input(*options: object) -> None:
    """Refuse options for following a log if none is followed."""
    if any(options):
        words = "--format, --store, --rejects, --trusted-relay and --utc-offset"
        raise UsageError(
            f"{words}: only with --input (a log to follow); --config also works with Kafka"
        )


async def _run(settings: LiveSettings, roles: Sequence[Role]) -> None:
    from pipelines.live.run import Live

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log = logger_of("run")
    log.info("starts", roles=roles, kafka=settings.kafka.bootstrap)
    await Live(settings, roles).run(stop)
    log.info("stopped")


def in_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in floodwatch's event loop."""
    if sys.platform == "win32":
        return asyncio.run(coroutine)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


def ask(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a command's calls to Kafka with the client's own log lines off."""
    library = logging.getLogger("aiokafka")
    quiet = logging.NullHandler()
    library.addHandler(quiet)
    try:
        return in_loop(coroutine)
    finally:
        library.removeHandler(quiet)


def show_settings(config: Path | None) -> None:
    """Print the settings as a commented file to start from."""
    sys.stdout.write(settings_toml(load(config) if config is not None else None))


def show_topics(config: Path | None, *, as_json: bool) -> int:
    """Compare the topics with their required settings; give the exit code."""
    found = ask(check_topics(KafkaClients(load(config).kafka)))
    wrong = any(differences for _, differences in found)
    if as_json:
        print_json({"ok": not wrong, "topics": dict(found)})
        return FAILED if wrong else 0
    for name, differences in found:
        sys.stdout.write(f"{name}: {'ok' if not differences else ''}\n".replace(": \n", ":\n"))
        for line in differences:
            sys.stdout.write(f"  {line}\n")
    return FAILED if wrong else 0


def make_topics(config: Path | None, partitions: int, *, as_json: bool) -> None:
    """Create the missing topics."""
    clients = KafkaClients(load(config).kafka)
    done = ask(create_topics(clients, partitions))
    if as_json:
        print_json({"topics": dict(done)})
        return
    for name, said in done:
        sys.stdout.write(f"{name}: {said}\n")
