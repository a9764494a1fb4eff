"""`floodwatch check --config`: all that a live run needs, tried without changing anything."""

import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from detector.errors import FloodwatchError, SettingsError
from detector.policy.settings import Policy, policy_digest
from pipelines.alerts.settings_check import checked_url, secrets_of, trust_of
from pipelines.cli.guarded import FAILED, USAGE, exit_code
from pipelines.cli.policies import asn_lines, policy_lines, provider_lines, store_lines
from pipelines.cli.running import ask, load
from pipelines.cli.shown import columns
from pipelines.console.escaped import escaped
from pipelines.kafka.clients import BrokerError, KafkaClients
from pipelines.kafka.probe import ask_brokers, check_log_place, write_heartbeat
from pipelines.kafka.topics import check_topics
from pipelines.live.beginning import Begun, begin_at_snapshot, load_tables
from pipelines.live.detect import LOST_LOG
from pipelines.live.run import live_store
from pipelines.settings.config_file import load_policy
from pipelines.settings.model import LiveSettings, WebhookSettings
from pipelines.settings.warnings import settings_warnings

__all__ = ["check_installation"]

_SQLITE: Final = "sqlite:///"
_SKIPPED: Final = "not looked at: "


def check_installation(config: Path, *, probe: bool) -> int:
    """Say all problems at once, then what `run` would do; give the exit code.

    2 where settings must be changed, else 1 where a service does not answer as it should.

    Raises:
        SettingsError: the settings themselves cannot be read, so that nothing else can be tried.
    """
    settings = load(config)
    check = _Check(settings)
    detect = settings.detect
    check.part("settings", lambda: _settings(config, settings))
    check.part("policy", lambda: policy_lines(detect.policy))
    check.part("ASN table", lambda: asn_lines(detect.asn_tables, "name some in detect.asn_tables"))
    check.part("providers", lambda: provider_lines(detect.providers))
    check.part("Kafka", check.kafka)
    check.topics()
    check.part("heartbeat", lambda: check.heartbeat(probe=probe))
    check.part("snapshot", check.snapshot)
    check.part("store", lambda: _store(settings))
    check.part("webhook", lambda: _webhook(settings.webhook))
    check.rows += [("run" if not at else "", line) for at, line in enumerate(check.run())]
    sys.stdout.write("\n".join(columns(check.rows)) + "\n")
    return check.code


class _Check:
    """What was found so far, and what later parts need of it."""

    def __init__(self, settings: LiveSettings) -> None:
        self.rows: list[tuple[str, str]] = []
        self.code = 0
        self._settings = settings
        self._clients: KafkaClients | None = None
        """None where Kafka does not let us in."""
        self._begun: Begun | None = None

    def part(self, name: str, say: Callable[[], list[str]]) -> None:
        """Try one thing; the others are tried all the same."""
        try:
            said = say()
        except FloodwatchError as error:
            self.fail(exit_code(error))
            said = [f"WRONG  {line}" for line in str(error).split("\n")]
        self.rows += [(name if not at else "", line) for at, line in enumerate(said)]

    def fail(self, code: int) -> None:
        """Note a problem; settings count for more than services."""
        self.code = max(self.code, code)

    def kafka(self) -> list[str]:
        """Connect and sign in."""
        kafka = self._settings.kafka
        clients = KafkaClients(kafka)
        seen = ask(ask_brokers(clients))
        self._clients = clients
        signed = f"signed in as {kafka.sasl.user}" if kafka.security.startswith("sasl") else "open"
        count = f"{seen.count:,} broker{'s'[: seen.count != 1]}"
        return [f"ok  {kafka.bootstrap}: {count} of cluster {seen.cluster}, {signed}"]

    def topics(self) -> None:
        """Compare the topics with what they should be."""
        clients = self._clients
        if clients is None:
            self.rows.append(("topics", f"{_SKIPPED}Kafka does not let us in"))
            return

        def say() -> list[str]:
            lines: list[str] = []
            for name, differences in ask(check_topics(clients)):
                lines += [f"WRONG  {name}: {one}" for one in differences] or [f"ok  {name}"]
                if differences:
                    self.fail(FAILED)
            return lines

        self.part("topics", say)

    def heartbeat(self, *, probe: bool) -> list[str]:
        """See whether heartbeats may be written; only writing one tells."""
        ingest = self._settings.ingest
        if ingest.heartbeat != "write":
            return [f'nothing is written into the input (ingest.heartbeat = "{ingest.heartbeat}")']
        if self._clients is None:
            return [f"{_SKIPPED}Kafka does not let us in"]
        topic = self._clients.input_topic
        if not probe:
            return [f"not tested: only writing one into {topic} tells: --probe does"]
        try:
            offset = ask(write_heartbeat(self._clients))
        except BrokerError as error:
            said = f'{error.problem}: grant Write on {topic}, or set ingest.heartbeat = "idle"'
            raise BrokerError(error.bootstrap, said) from None
        return [f"ok  one was written into {topic}, partition 0, offset {offset:,}"]

    def snapshot(self) -> list[str]:
        """See whether snapshots can be written, and the log be read on from the last."""
        path = self._settings.detect.snapshot
        folder, shown = path.absolute().parent, escaped(str(path))
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            said = f"{escaped(str(folder))} is no folder that we may write into: make it ours"
            raise SettingsError([("detect.snapshot", said)])
        try:
            policy, tables = self._policy(), load_tables(self._settings.detect)
        except FloodwatchError:
            return [f"{_SKIPPED}policy or tables are wrong"]
        begun = begin_at_snapshot(path, policy, tables)
        self._begun = begun
        lines = [f"left out: {error}" for error in begun.passed_over]
        place = f"at offset {begun.log_offset:,} of the log"
        what = f"{shown}: goes on {place}" if begun.found else f"none at {shown}: begins {place}"
        if self._clients is None:
            return [*lines, f"ok  {what}, which was not looked at"]
        left = ask(check_log_place(self._clients, begun.log_offset, LOST_LOG))
        return [*lines, f"ok  {what}, {left:,} records before its end"]

    def _policy(self) -> Policy:
        file = self._settings.detect.policy
        return load_policy(None if file is None else str(file))

    def run(self) -> list[str]:
        """Say what `floodwatch run` would do with these settings."""
        if self.code == USAGE:
            return ["would not start: see WRONG"]
        settings, topics = self._settings, self._settings.kafka.topics
        names = [topics.prefix + name for name in (topics.log, topics.listings)]
        alert = "alert" if settings.webhook.url else "no alert (webhook.url is empty)"
        policy = self._policy()
        lines = [
            f"as ingest, detect, publish, {alert}; group {settings.kafka.group}",
            f"reads {topics.input}, keeps the log in {names[0]}, decides into {names[1]}",
        ]
        in_force = policy if self._begun is None else self._begun.engine.policy
        digest, ours = policy_digest(in_force), policy_digest(policy)
        shadow = "shadow: nothing is published" if in_force.mode == "shadow" else "published"
        lines.append(f"decides by policy {digest}: {shadow}")
        if digest != ours:
            said = "`floodwatch control policy` puts it in force"
            lines.append(f"the file's policy {ours} is another one: {said}")
        return lines


def _settings(config: Path, settings: LiveSettings) -> list[str]:
    warnings = [f"unwise: {warning}" for warning in settings_warnings(settings)]
    return [f"ok  {escaped(str(config))} and the environment", *warnings]


def _store(settings: LiveSettings) -> list[str]:
    url = settings.store.url
    if url.startswith(_SQLITE):
        return store_lines(url, "run")
    with closing(live_store(settings.store)) as store:
        return [f"ok  {ascii(url)[1:-1]}: {store.last_seq():,} changes"]


def _webhook(webhook: WebhookSettings) -> list[str]:
    if not webhook.url:
        return ["none: nobody is told"]
    problems: list[tuple[str, str]] = []
    for look in (checked_url, secrets_of, trust_of):
        try:
            look(webhook)
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    return [f"ok  {checked_url(webhook).host}, not called; its secret can sign"]
