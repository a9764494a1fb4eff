"""`floodwatch check --config`: tests everything a live run on Kafka needs, without changes."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from detector.errors import FloodwatchError, SettingsError
from detector.policy.settings import Policy, policy_digest
from pipelines.alerts.settings_check import checked_url, secrets_of, trust_of
from pipelines.cli.guarded import FAILED, USAGE, exit_code
from pipelines.cli.policies import (
    asn_lines,
    policy_lines,
    print_rows,
    provider_lines,
    store_lines,
)
from pipelines.cli.running import ask
from pipelines.console.escaped import escaped
from pipelines.kafka.clients import BrokerError, KafkaClients, NotAllowedError
from pipelines.kafka.probe import ask_brokers, check_log_place, write_heartbeat
from pipelines.kafka.topics import cannot_be_made, check_topics, is_missing
from pipelines.live.beginning import Begun, begin_at_snapshot, load_tables
from pipelines.live.detect import LOST_LOG
from pipelines.live.run import live_store
from pipelines.settings.config_file import load_policy
from pipelines.settings.model import LiveSettings, WebhookSettings
from pipelines.settings.warnings import settings_warnings

__all__ = [
    "CheckedParts",
    "check_installation",
    "check_snapshot_folder",
    "detect_parts",
    "settings_part",
    "webhook_lines",
]

_SQLITE: Final = "sqlite:///"
_SKIPPED: Final = "not checked: "
_CREATE: Final = "run floodwatch topics create first"


def check_installation(settings: LiveSettings, config: Path, *, probe: bool, as_json: bool) -> int:
    """Report all problems at once, then what `run` would do; give the exit code.

    2 where settings must be changed, else 1 where a service does not answer as it should.
    """
    check = _Check(settings)
    settings_part(check, "a run on Kafka", config, settings)
    detect_parts(check, settings)
    check.part("Kafka", check.kafka)
    check.topics()
    check.part("heartbeat", lambda: check.heartbeat(probe=probe))
    check.part("snapshot", check.snapshot)
    check.part("store", lambda: _store(settings))
    check.part("webhook", lambda: webhook_lines(settings.webhook))
    return check.finish(check.run(), as_json=as_json)


class CheckedParts:
    """What was found so far: rows to print, and the exit code."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []
        self.code = 0

    def part(self, name: str, say: Callable[[], list[str]]) -> None:
        """Run one check; a failure does not stop the others."""
        try:
            said = say()
        except FloodwatchError as error:
            self.fail(exit_code(error))
            said = [f"WRONG  {line}" for line in str(error).split("\n")]
        self.add(name, said)

    def add(self, name: str, said: list[str]) -> None:
        """Add the lines of one part."""
        self.rows += [(name if not at else "", line) for at, line in enumerate(said)]

    def fail(self, code: int) -> None:
        """Note a problem; settings count for more than services."""
        self.code = max(self.code, code)

    def finish(self, run: list[str], *, as_json: bool) -> int:
        """Print everything, at last what a run would do; give the exit code."""
        self.add(
            "run", ["would not start: see the lines marked WRONG"] if self.code == USAGE else run
        )
        print_rows(self.rows, as_json=as_json, ok=not self.code)
        return self.code


def settings_part(
    check: CheckedParts, mode: str, config: Path | None, settings: LiveSettings
) -> None:
    """Show the mode and the source of the settings, with warnings."""
    named = "the environment" if config is None else f"{escaped(str(config))} and the environment"
    warnings = [f"unwise: {warning}" for warning in settings_warnings(settings)]
    check.add("settings", [f"ok  {named}, for {mode}", *warnings])


def detect_parts(check: CheckedParts, settings: LiveSettings) -> None:
    """Check policy, tables and providers."""
    detect = settings.detect
    check.part("policy", lambda: policy_lines(detect.policy))
    check.part("ASN table", lambda: asn_lines(detect.asn_tables, "name some in detect.asn_tables"))
    check.part("providers", lambda: provider_lines(detect.providers))


class _Check(CheckedParts):
    """The parts that talk to Kafka, and what later ones need of earlier ones."""

    def __init__(self, settings: LiveSettings) -> None:
        super().__init__()
        self._settings = settings
        self._clients: KafkaClients | None = None
        """None where Kafka refused the login."""
        self._missing: set[str] = set()
        """Topics that are not there yet."""
        self._begun: Begun | None = None

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
        """Compare the topics with their required settings."""
        clients = self._clients
        if clients is None:
            self.rows.append(("topics", f"{_SKIPPED}Kafka refused the login"))
            return

        def say() -> list[str]:
            lines: list[str] = []
            for name, differences in ask(check_topics(clients)):
                lines += [f"WRONG  {name}: {one}" for one in differences] or [f"ok  {name}"]
                if differences:
                    self.fail(USAGE if cannot_be_made(differences) else FAILED)
                if is_missing(differences):
                    self._missing.add(name)
            return lines

        self.part("topics", say)

    def heartbeat(self, *, probe: bool) -> list[str]:
        """Check whether heartbeats may be written; only writing one proves it."""
        ingest = self._settings.ingest
        if ingest.heartbeat != "write":
            return [f'nothing is written to the input (ingest.heartbeat = "{ingest.heartbeat}")']
        if self._clients is None:
            return [f"{_SKIPPED}Kafka refused the login"]
        topic = self._clients.input_topic
        if topic in self._missing:
            return [f"{_SKIPPED}topic {topic} is missing: {_CREATE}"]
        if not probe:
            return [f"not tested: only writing a heartbeat to {topic} would show it: use --probe"]
        try:
            offset = ask(write_heartbeat(self._clients))
        except NotAllowedError as error:
            said = f'{error.problem}: grant Write on {topic}, or set ingest.heartbeat = "idle"'
            raise BrokerError(error.bootstrap, said) from None
        return [f"ok  one was written to {topic}, partition 0, offset {offset:,}"]

    def snapshot(self) -> list[str]:
        """Check that snapshots can be written, and that the log reaches back to the last one."""
        path = self._settings.detect.snapshot
        shown = escaped(str(path))
        check_snapshot_folder(path)
        try:
            policy, tables = self._policy(), load_tables(self._settings.detect)
        except FloodwatchError:
            return [f"{_SKIPPED}policy or tables are wrong"]
        begun = begin_at_snapshot(path, policy, tables)
        self._begun = begun
        lines = [f"left out: {error}" for error in begun.passed_over]
        place = f"at offset {begun.log_offset:,} of the log"
        what = f"{shown}: resumes {place}" if begun.found else f"none at {shown}: starts {place}"
        if self._clients is None:
            return [*lines, f"ok  {what}, which was not checked"]
        if self._clients.log_topic in self._missing:
            if begun.found:
                said = f"{what}, which is missing: {LOST_LOG}"
                raise SettingsError([("detect.snapshot", said)])
            return [f"ok  {what}, which is missing: {_CREATE}"]
        left = ask(check_log_place(self._clients, begun.log_offset, LOST_LOG))
        return [*lines, f"ok  {what}, {left:,} records before its end"]

    def _policy(self) -> Policy:
        file = self._settings.detect.policy
        return load_policy(None if file is None else str(file))

    def run(self) -> list[str]:
        """Say what `floodwatch run` would do with these settings."""
        if self.code == USAGE:
            return []
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
        shadow = "shadow mode: nothing is published" if in_force.mode == "shadow" else "published"
        lines.append(f"decides by policy {digest}: {shadow}")
        if digest != ours:
            said = "`floodwatch control policy` activates it"
            lines.append(f"the file's policy {ours} differs: {said}")
        return lines


def _store(settings: LiveSettings) -> list[str]:
    url = settings.store.url
    if url.startswith(_SQLITE):
        return store_lines(url, "run")
    with closing(live_store(settings.store)) as store:
        return [f"ok  {ascii(url)[1:-1]}: {store.last_seq():,} changes"]


def webhook_lines(webhook: WebhookSettings) -> list[str]:
    """Check what an alert needs; no request is sent."""
    if not webhook.url:
        return ["none: no alerts are sent"]
    problems: list[tuple[str, str]] = []
    for look in (checked_url, secrets_of, trust_of):
        try:
            look(webhook)
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    return [f"ok  {checked_url(webhook).host}, not contacted; its secret is valid"]


def check_snapshot_folder(path: Path) -> None:
    """Check that a snapshot can be written beside `path`.

    Raises:
        SettingsError: its directory does not exist, or must not be written.
    """
    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        said = (
            f"{escaped(str(folder))} is not a writable directory: check that it "
            "exists and its permissions"
        )
        raise SettingsError([("detect.snapshot", said)])
