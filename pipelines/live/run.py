"""`floodwatch run` on Kafka: the stages of the chosen roles, wired together in one process.

A stage is imported where it is made, so that a role starts without what the others need.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from detector.events.decode import EventReader
from detector.policy.settings import Policy, policy_digest
from detector.policy.text import policy_to_json
from pipelines.console.messages import logger_of
from pipelines.console.telemetry import Telemetry
from pipelines.kafka.clients import KafkaClients
from pipelines.live.health import StageHealth
from pipelines.live.outage import Outage
from pipelines.live.supervisor import Run, first_error, until_told
from pipelines.ports import BlockStore
from pipelines.settings.config_file import load_policy
from pipelines.settings.model import LiveSettings, Role, StoreSettings
from pipelines.settings.secret_file import read_secret
from pipelines.shapes.field_mapping import lines_of
from pipelines.stores import open_store
from pipelines.web.health import health_app
from pipelines.web.loop_lag import measure_loop_lag
from pipelines.web.progress import Health
from pipelines.web.serve import WebServer

__all__ = ["Live", "live_store"]

_log = logger_of("run")


@dataclass(slots=True)
class _Step:
    """Stages that end together; the next step is told to stop when they have."""

    runs: list[Run]
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class Live:
    """What runs in this process, by its roles.

    Raises:
        FloodwatchError: a policy, table, provider file, secret or address that cannot be used.
    """

    def __init__(self, settings: LiveSettings, roles: Sequence[Role]) -> None:
        self.settings = settings
        self.telemetry, self.health = Telemetry(), Health()
        self._outage = Outage()
        self._clients = KafkaClients(settings.kafka)
        policy = _policy(settings)
        makers: dict[Role, Callable[[Policy], list[Run]]] = {
            "ingest": self._ingest,
            "detect": self._detect,
            "publish": self._publish,
            "alert": self._alert,
        }
        self._steps = [_Step(make(policy)) for role, make in makers.items() if role in roles]
        self._web: WebServer | None = None
        if settings.web.port:
            self._web = WebServer(health_app(self.health, self.telemetry), settings.web)

    def _stage_health(self, name: str) -> StageHealth:
        return StageHealth.of(name, self.health, self.telemetry, self._outage)

    def _ingest(self, policy: Policy) -> list[Run]:
        from pipelines.live.ingest import IngestStage
        from pipelines.live.progress_watch import ProgressWatch

        progress = ProgressWatch(self._clients, self._stage_health("progress"))
        source = self.settings.source
        ingest = IngestStage(
            self._clients, self.settings.ingest, policy,
            lambda tables: lines_of(source, EventReader(tables)), progress,
            self._stage_health("ingest"), self.settings.site.recipient_delimiter,
        )  # fmt: skip
        return [ingest.run, progress.run]

    def _detect(self, policy: Policy) -> list[Run]:
        from pipelines.live.beginning import load_tables
        from pipelines.live.detect import DetectStage

        detect, tables = self.settings.detect, load_tables(self.settings.detect)
        return [
            DetectStage(self._clients, detect, policy, tables, self._stage_health("detect")).run
        ]

    def _publish(self, policy: Policy) -> list[Run]:
        from pipelines.live.publish import PublishStage

        facts = {"policy": policy_to_json(policy), "policy_digest": policy_digest(policy)}
        store = self.settings.store
        publish = PublishStage(
            self._clients, lambda: live_store(store), facts, self._stage_health("publish")
        )
        return [publish.run]

    def _alert(self, _policy: Policy) -> list[Run]:
        if not self.settings.webhook.url:
            return []
        from pipelines.live.alert import AlertStage

        return [AlertStage(self._clients, self.settings.webhook, self._stage_health("alert")).run]

    async def run(self, stop: asyncio.Event) -> None:
        """Run until asked to stop, then let each step finish, first to last, within the budget.

        Raises:
            FloodwatchError: one that waiting does not repair.
        """
        with first_error():
            async with asyncio.TaskGroup() as group:
                steps = [
                    (step, [group.create_task(until_told(run, step.stop)) for run in step.runs])
                    for step in self._steps
                ]
                beside = [group.create_task(measure_loop_lag(self.telemetry))]
                if self._web is not None:
                    beside.append(group.create_task(self._web.run()))
                await group.create_task(self._wind_up(stop, steps))
                for task in beside:
                    task.cancel()

    async def _wind_up(
        self, stop: asyncio.Event, steps: list[tuple[_Step, list[asyncio.Task[None]]]]
    ) -> None:
        await stop.wait()
        _log.info("stopping", within_s=self.settings.shutdown_s)
        try:
            async with asyncio.timeout(self.settings.shutdown_s):
                for step, running in steps:
                    step.stop.set()
                    if running:
                        await asyncio.wait(running)
        except TimeoutError:
            _log.warning("shutdown timed out: the next run resumes from the committed offsets")
            for _, running in steps:
                for task in running:
                    task.cancel()


def _policy(settings: LiveSettings) -> Policy:
    path = settings.detect.policy
    return load_policy(None if path is None else str(path))


def live_store(store: StoreSettings) -> BlockStore:
    """Open the block store of the settings.

    Raises:
        StoreError: it cannot be opened.
        SettingsError: its password cannot be read.
    """
    file = store.password_file
    password = None if file is None else read_secret(file, "store.password_file")
    return open_store(store.url, password=password, ca_file=store.ca_file)
