"""One process of a real Apache Kafka (KRaft) on loopback: its configuration, its life, its log."""

import shutil
import signal
import struct
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.clock import elapsed_s
from tests.services.kafka_wire import Metadata, ask_metadata

__all__ = ["JARS", "LOGINS", "BrokerError", "Login", "Node", "Ports", "what_is_missing"]

_HERE: Final = Path(__file__).resolve().parent
JARS: Final = _HERE.parent.parent / "build" / "kafka" / "libs"
"""Kafka's jars, which `make test` has Maven put there."""

_READY_S: Final = 90.0
_STOP_S: Final = 30.0
_SHOWN: Final = 20
_QUICK: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_PROPERTIES: Final = """\
process.roles=broker,controller
node.id={node_id}
controller.quorum.bootstrap.servers={quorum}
listeners={listeners}
advertised.listeners={listeners}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,\
SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_plaintext.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{plain_user}="{plain_word}";
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs={folder}/data
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
log.cleaner.dedupe.buffer.size=8388608
offsets.topic.num.partitions=3
transaction.state.log.num.partitions=3
share.coordinator.state.topic.num.partitions=3
offsets.topic.replication.factor={replicas}
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
"""

# The kernel ends a broker with the thread that started it, so this one lives as long as Python.
_STARTER: Final = ThreadPoolExecutor(1, thread_name_prefix="kafka-starter")


class BrokerError(Exception):
    """Kafka is missing, or a broker did not do what it was told; the message has its log's end."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who may use the listener with SASL, and how."""

    mechanism: str
    user: str
    word: str


LOGINS: Final = {
    login.mechanism: login
    for login in (
        Login("PLAIN", "alice", "alice-secret"),
        Login("SCRAM-SHA-256", "bob", "bob-secret"),
        Login("SCRAM-SHA-512", "bob", "bob-secret"),
    )
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where one node listens."""

    plain: int
    sasl: int
    controller: int


def what_is_missing() -> str | None:
    """Say what keeps Kafka from being started here, None where nothing does."""
    if shutil.which("java") is None:
        return "java is not installed"
    if not any(JARS.glob("kafka_*.jar")):
        return "Kafka's jars are missing (make build/kafka/ok fetches them with Maven)"
    return None


class Node:
    """A broker and controller in one process, all of it below `folder`, which is made.

    Its verbs block; a test with clients on its own event loop calls them through
    `asyncio.to_thread`. A killed test run takes its brokers with it where `setpriv` is there.
    """

    def __init__(self, folder: Path, node_id: int, quorum: Sequence[Ports], heap_mb: int) -> None:
        self.folder = folder
        self.node_id = node_id
        self.ports = quorum[node_id - 1]
        self._quorum = quorum
        self._heap_mb = heap_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def bootstrap(self) -> str:
        """Where clients without a login start."""
        return f"127.0.0.1:{self.ports.plain}"

    @property
    def sasl_bootstrap(self) -> str:
        """Where clients with one of `LOGINS` start (security protocol SASL_PLAINTEXT)."""
        return f"127.0.0.1:{self.ports.sasl}"

    @property
    def log(self) -> Path:
        """What this node says, over all its starts."""
        return self.folder / "broker.log"

    @property
    def is_running(self) -> bool:
        """Whether its process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_formatted(self) -> bool:
        """Whether its data folder was made."""
        return (self.folder / "data" / "meta.properties").exists()

    def format(self, cluster_id: str, *options: str) -> None:
        """Write the configuration and an empty data folder, with the users of SCRAM in it.

        Raises:
            BrokerError: Kafka is missing here, or refused the configuration.
        """
        if (missing := what_is_missing()) is not None:
            raise BrokerError(missing)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._settings.write_text(self._properties())
        tool = ("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._settings))
        users = [
            part
            for login in LOGINS.values()
            if login.mechanism.startswith("SCRAM-")
            for part in (
                "--add-scram",
                f"{login.mechanism}=[name={login.user},password={login.word}]",
            )
        ]
        done = subprocess.run(
            self._java(*tool, *users, *options), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise BrokerError(
                f"node {self.node_id}: format failed: {done.stdout}{done.stderr}".rstrip()
            )

    def launch(self) -> None:
        """Start the process; `wait_for` waits until it is of use."""
        if self.is_running:
            raise BrokerError(f"node {self.node_id}: started while it runs")
        setpriv = shutil.which("setpriv")
        bound = [] if setpriv is None else [setpriv, "--pdeathsig", "KILL"]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = _STARTER.submit(
                subprocess.Popen,
                [*bound, *self._java("kafka.Kafka", str(self._settings))],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the test, which then stops its brokers
            ).result()

    def wait_for(self, wanted: Callable[[Metadata], bool], timeout_s: float = _READY_S) -> None:
        """Wait until this node answers, and what it knows of the cluster is as wanted.

        Raises:
            BrokerError: it ended, or time is up.
        """
        deadline = elapsed_s() + timeout_s
        seen: object = None
        while elapsed_s() < deadline:
            try:
                seen = ask_metadata(self.ports.plain)
                if wanted(seen):
                    return
            except (OSError, struct.error) as error:
                seen = error
            if self._ends_within(0.05):
                raise self._failure("ended")
        raise self._failure(f"not ready after {timeout_s:.0f} s, last seen {seen}")

    def stop(self) -> None:
        """End it as an operator would (SIGTERM), and wait for it; nothing where it is down."""
        self.resume()
        self._signal(signal.SIGTERM)
        if not self._ends_within(_STOP_S):
            self.kill()
            raise self._failure(f"still there {_STOP_S:.0f} s after SIGTERM, killed")

    def kill(self) -> None:
        """End it as a crash would (SIGKILL), and wait for it; nothing where it is down."""
        self._signal(signal.SIGKILL)
        self._ends_within(_STOP_S)

    def pause(self) -> None:
        """Let it hang: connections stay open, nothing is answered (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause` (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _ends_within(self, timeout_s: float) -> bool:
        """Wait for its end, at most so long; true also where it is down already."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _failure(self, what: str) -> BrokerError:
        """Tell with what its last start warned of; what it says as it shuts down buries that."""
        lines = self.log.read_bytes()[self._log_start :].decode(errors="replace").split("\n")
        warnings = [line for line in lines if " INFO " not in line and not line.startswith("\tat ")]
        code = None if self._process is None else self._process.returncode
        said = "\n".join([*warnings[-_SHOWN:], "...", *lines[-_SHOWN:]])
        return BrokerError(f"node {self.node_id}: {what} (exit code {code}); {self.log}:\n{said}")

    @property
    def _settings(self) -> Path:
        return self.folder / "server.properties"

    def _java(self, *arguments: str) -> list[str]:
        log_settings = f"-Dlog4j2.configurationFile={_HERE / 'log4j2.xml'}"
        heap = ("-Xms64m", f"-Xmx{self._heap_mb}m")
        return ["java", *_QUICK, *heap, log_settings, "-cp", f"{JARS}/*", *arguments]

    def _properties(self) -> str:
        listeners = {
            "PLAINTEXT": self.ports.plain,
            "SASL_PLAINTEXT": self.ports.sasl,
            "CONTROLLER": self.ports.controller,
        }
        size = len(self._quorum)
        return _PROPERTIES.format(
            node_id=self.node_id,
            quorum=",".join(f"127.0.0.1:{ports.controller}" for ports in self._quorum),
            listeners=",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items()),
            plain_user=LOGINS["PLAIN"].user,
            plain_word=LOGINS["PLAIN"].word,
            folder=self.folder,
            replicas=size,
            in_sync=min(size, 2),
        )
