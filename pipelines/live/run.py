"""`floodwatch run` on Kafka: the stages of the chosen roles, wired together in one process."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from detector.decode import EventReader
from detector.policy import policy_digest
from detector.policy_text import policy_to_json
from pipelines.asn_file import load_asn_files
from pipelines.config_file import load_policy
from pipelines.ingest import JsonLines
from pipelines.kafka.clients import BrokerError, KafkaClients
from pipelines.live.detect import DetectStage, Tables
from pipelines.live.ingest import IngestStage
from pipelines.live.lives import Lives
from pipelines.live.progress_watch import ProgressWatch
from pipelines.live.publish import PublishStage
from pipelines.provider_file import load_providers
from pipelines.settings import LiveSettings, Role
from pipelines.stores import open_store

__all__ = ["Live"]

_PATIENCE_S = 60.0
"""How long the first connection may take; afterwards Kafka may be away for as long as it likes."""


@dataclass
class _Step:
    """Stages that end together; the next step is told to stop when they have."""

    runs: list[Callable[[asyncio.Event], Awaitable[None]]]
    stop: asyncio.Event


class Live:
    """What runs; `tell` hears what the operator should know."""

    def __init__(
        self, settings: LiveSettings, roles: Sequence[Role], tell: Callable[[str], None]
    ) -> None:
        """Read what has to be read.

        Raises:
            PolicyError, AsnTableError, ProviderFileError: with everything wrong in it.
        """
        self.settings = settings
        self._tell = tell
        clients = KafkaClients(settings.kafka)
        lives = Lives(self._failed, _PATIENCE_S)
        detect = settings.detect
        policy = load_policy(None if detect.policy is None else str(detect.policy))
        self.ingest: IngestStage | None = None
        self.detect: DetectStage | None = None
        self.publish: PublishStage | None = None
        self._steps: list[_Step] = []
        if "ingest" in roles:
            progress = ProgressWatch(clients, lives)
            self.ingest = IngestStage(
                clients, settings.ingest, policy,
                lambda tables: JsonLines(EventReader(tables)), progress, lives,
            )  # fmt: skip
            self._steps.append(_Step([self.ingest.run, progress.run], asyncio.Event()))
        if "detect" in roles:

            def load() -> object:
                return load_asn_files(detect.asn_tables) if detect.asn_tables else None

            tables = Tables(load(), load_providers(detect.providers), load)  # type: ignore[arg-type]
            self.detect = DetectStage(clients, detect, policy, tables, lives, tell)
            self._steps.append(_Step([self.detect.run], asyncio.Event()))
        if "publish" in roles:
            facts = {"policy": policy_to_json(policy), "policy_digest": policy_digest(policy)}
            url = settings.store.url
            self.publish = PublishStage(clients, lambda: open_store(url), facts, lives, tell)
            self._steps.append(_Step([self.publish.run], asyncio.Event()))

    def _failed(self, stage: str, error: BrokerError) -> None:
        self._tell(f"{stage}: {error}: trying again")

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop, then let each stage finish, first to last, within the budget.

        Raises:
            FloodwatchError: what no waiting mends.
        """
        with _first_error():
            async with asyncio.TaskGroup() as group:
                tasks = [
                    [group.create_task(run(step.stop)) for run in step.runs]  # type: ignore[arg-type]
                    for step in self._steps
                ]
                watch = group.create_task(self._wait(stop, tasks))
                await watch

    async def _wait(self, stop: asyncio.Event, tasks: list[list[asyncio.Task[None]]]) -> None:
        await stop.wait()
        try:
            async with asyncio.timeout(self.settings.shutdown_s):
                for step, running in zip(self._steps, tasks, strict=True):
                    step.stop.set()
                    await asyncio.wait(running)
        except TimeoutError:
            self._tell(
                f"not all was finished within {self.settings.shutdown_s:.0f} s: what is left is "
                "done by whoever goes on from the committed places"
            )
            for task in (one for running in tasks for one in running):
                task.cancel()


@contextmanager
def _first_error() -> Iterator[None]:
    """Raise the first of several errors that ended the stages, which says most."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
