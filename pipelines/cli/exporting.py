"""`floodwatch export`: once, or until it is stopped."""

import asyncio
import contextlib
import shlex
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from detector.errors import FloodwatchError, StoreError
from detector.policy.wording import many
from pipelines import clock
from pipelines.cli.guarded import UsageError, say
from pipelines.cli.listings import print_json
from pipelines.cli.stored import opened
from pipelines.console.messages import logger_of, start_logging, stop_logging
from pipelines.console.telemetry import Telemetry
from pipelines.exports.publishing import FORMATS, Published, Target, publish
from pipelines.settings.model import WebSettings
from pipelines.web.health import health_app
from pipelines.web.progress import Health
from pipelines.web.serve import WebServer

__all__ = ["ExportOptions", "run_export"]

_LOOK_EVERY_S: Final = 0.5
_WRITE_EVERY_S: Final = 60.0
"""How often `--watch` writes where nothing changes: listings end, and files say their age."""
_RUN_EVERY_S: Final = 60.0
_VALID_WATCHED_S: Final = 600
_VALID_ONCE_S: Final = 86_400
_PULSE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The command line, as given."""

    kind: str
    store: str
    out: Path
    watch: bool
    lookup_url: str
    on_change: str
    force: str
    listen: str
    as_json: bool


def run_export(options: ExportOptions) -> None:
    """Publish the list once, or keep it published."""
    if options.kind not in FORMATS:
        raise UsageError(f"export: got {options.kind!a}, must be one of {', '.join(FORMATS)}")
    if options.on_change and not options.watch:
        raise UsageError("--on-change: needs --watch")
    if options.watch and options.force:
        raise UsageError("--force: not with --watch; export once with it, then watch")
    valid_s = _VALID_WATCHED_S if options.watch else _VALID_ONCE_S
    target = Target(options.kind, options.out, valid_s, options.lookup_url)
    if options.watch:
        handler = start_logging()
        try:
            asyncio.run(_watch(options, target))
        finally:
            stop_logging(handler)
        return
    done = _once(options.store, target, options.force)
    if options.as_json:
        print_json({"format": options.kind, **_counts(done), "files": list(done.files)})
        return
    names = ", ".join(str(options.out / name) for name in done.files)
    say(f"{many(done.listed, 'listing')} exported to {names}")
    for problem in _problems(done):
        say(f"warning: {problem}")


def _once(url: str, target: Target, force: str = "") -> Published:
    with opened(url, read_only=not force) as stored:
        return publish(stored.store, stored.now_ms, target, force)


def _counts(done: Published) -> dict[str, int]:
    return {"listed": done.listed, "shadow": done.shadow, "kept": done.kept}


def _problems(done: Published) -> list[str]:
    found = []
    if done.kept:
        found.append(
            f"{many(done.kept, 'listing')} left the store without a change that ended them; "
            "they stay exported until their latest end. If this is intended: --force REASON"
        )
    if done.grown:
        found.append("the list is more than ten times as long as before")
    return found


async def _watch(options: ExportOptions, target: Target) -> None:
    """Publish every change within a second or so, and once a minute, until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    telemetry, health = Telemetry(), Health()
    watcher = _Watcher(options, target, telemetry, health)
    tasks = []
    if options.listen:
        web = WebServer(health_app(health, telemetry), _web(options.listen))
        tasks.append(loop.create_task(web.run()))
    try:
        while not stop.is_set():
            await asyncio.to_thread(watcher.step)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_EVERY_S)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    logger_of("export").info("stopped")


class _Watcher:
    """Keeps an export current; a failure is logged once a minute, and the files stay."""

    def __init__(
        self, options: ExportOptions, target: Target, telemetry: Telemetry, health: Health
    ) -> None:
        self._options = options
        self._target = target
        self._telemetry = telemetry
        self._pulse = health.watch("export", _PULSE_S)
        self._gate = health.await_("first export")
        self._log = logger_of("export")
        self._seq = -1
        self._written_s = self._ran_s = self._failed_s = float("-inf")
        self._to_run = False
        self._said: list[str] = []

    def step(self) -> None:
        """Look at the store, and publish where that is due."""
        now_s = clock.elapsed_s()
        self._pulse.beat()
        try:
            with opened(self._options.store) as stored:
                seq = stored.store.last_seq()
                due = now_s - self._written_s
                if (seq == self._seq and due < _WRITE_EVERY_S) or due < 1:
                    return
                done = publish(stored.store, stored.now_ms, self._target)
        except (FloodwatchError, OSError) as error:
            self._failed(error, now_s)
            return
        self._seq, self._written_s, self._failed_s = seq, now_s, float("-inf")
        self._telemetry.exported(done.listed)
        self._gate.open()
        self._tell(done)
        self._to_run = self._to_run or done.changed
        if self._options.on_change and self._to_run and now_s - self._ran_s >= _RUN_EVERY_S:
            self._ran_s, self._to_run = now_s, False
            self._run_command()

    def _failed(self, error: Exception, now_s: float) -> None:
        if isinstance(error, StoreError):
            self._telemetry.store_errors.add("export")
        if now_s - self._failed_s >= _WRITE_EVERY_S:
            self._failed_s = now_s
            self._log.warning("export failed, the files are unchanged", problem=str(error))

    def _tell(self, done: Published) -> None:
        if done.changed:
            self._log.info("exported", **_counts(done))
        problems = _problems(done)
        for problem in problems:
            if problem not in self._said:
                self._log.warning(problem)
        self._said = problems

    def _run_command(self) -> None:
        try:
            subprocess.run(  # noqa: S603 - the operator's own command, without a shell
                shlex.split(self._options.on_change), check=True, timeout=_PULSE_S / 2,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._log.warning("--on-change failed", problem=str(error))


def _web(listen: str) -> WebSettings:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--listen: got {listen!a}, must be HOST:PORT, as 127.0.0.1:9101")
    return WebSettings(host=host.strip("[]"), port=int(port))
