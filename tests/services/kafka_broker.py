"""Real Apache Kafka for tests: one broker, or a cluster of three."""

import base64
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

from tests.services.kafka_node import LOGINS, BrokerError, Login, Node, Ports, what_is_missing
from tests.services.kafka_wire import Metadata
from tests.services.ports import free_ports

__all__ = ["LOGINS", "Broker", "BrokerError", "Cluster", "Login", "what_is_missing"]

_SIZE: Final = 3
_HEAP_MB: Final = 256


def _random_id() -> str:
    """Give what Kafka takes for a uuid: base64, not beginning with a dash, which is an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()).startswith("-"):
        pass
    return text.rstrip("=")


def _quorum(size: int) -> list[Ports]:
    ports = iter(free_ports(3 * size))
    return [Ports(*three) for three in zip(ports, ports, ports, strict=True)]


class Broker(Node):
    """One broker that is its own controller; topics must be made, none appears by itself.

    About 5 s from nothing to the first answer. Used as a context it is started and killed.
    """

    def __init__(self, folder: Path, heap_mb: int = _HEAP_MB) -> None:
        super().__init__(folder, 1, _quorum(1), heap_mb)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start, on an empty data folder the first time; returns when it answers.

        Raises:
            BrokerError: Kafka is missing here, or does not start.
        """
        if not self.is_formatted:
            self.format(_random_id(), "--standalone")
        self.launch()
        self.wait_for(lambda seen: bool(seen.brokers))

    def restart(self) -> None:
        """Stop it where it runs, and start it on the same ports and data."""
        self.stop()
        self.start()


class Cluster:
    """Three brokers, each a controller too: any one may be down, and nothing stops.

    Nodes are numbered 1 to 3. About 10 s from nothing to three that see each other; 500 MB.
    """

    def __init__(self, folder: Path, heap_mb: int = _HEAP_MB) -> None:
        quorum = _quorum(_SIZE)
        self.nodes = {
            number: Node(folder / f"node{number}", number, quorum, heap_mb)
            for number in range(1, _SIZE + 1)
        }

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()

    @property
    def bootstrap(self) -> str:
        """Where clients without a login start: all three."""
        return ",".join(node.bootstrap for node in self.nodes.values())

    @property
    def sasl_bootstrap(self) -> str:
        """Where clients with one of `LOGINS` start (security protocol SASL_PLAINTEXT)."""
        return ",".join(node.sasl_bootstrap for node in self.nodes.values())

    def start(self) -> None:
        """Start all three, on empty data folders; returns when each sees three brokers."""
        cluster_id = _random_id()
        voters = ",".join(
            f"{number}@127.0.0.1:{node.ports.controller}:{_random_id()}"
            for number, node in self.nodes.items()
        )
        with ThreadPoolExecutor(_SIZE) as pool:
            for done in [
                pool.submit(node.format, cluster_id, "--initial-controllers", voters)
                for node in self.nodes.values()
            ]:
                done.result()
        for node in self.nodes.values():
            node.launch()
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Wait until every node that runs sees three brokers and every replica in sync.

        Raises:
            BrokerError: a node ended, or time is up.
        """
        for node in self._running():
            node.wait_for(_is_whole)

    def stop(self, number: int) -> None:
        """End one node as an operator would (SIGTERM)."""
        self.nodes[number].stop()

    def kill(self, number: int) -> None:
        """End one node as a crash would (SIGKILL)."""
        self.nodes[number].kill()

    def pause(self, number: int) -> None:
        """Let one node hang (SIGSTOP)."""
        self.nodes[number].pause()

    def resume(self, number: int) -> None:
        """Let one node go on after `pause` (SIGCONT)."""
        self.nodes[number].resume()

    def restart(self, number: int) -> None:
        """Stop one node where it runs, start it on the same ports and data, until all is whole."""
        self.stop(number)
        self.nodes[number].launch()
        self.nodes[number].wait_for(_is_whole)
        self.wait_until_whole()

    def rolling_restart(self) -> None:
        """Restart one after the other, each when every replica is in sync again."""
        for number in self.nodes:
            self.restart(number)

    def kill_all(self) -> None:
        """End all three at once; three that stop one by one wait for each other."""
        for node in self.nodes.values():
            node.kill()

    def _running(self) -> Iterable[Node]:
        return [node for node in self.nodes.values() if node.is_running]


def _is_whole(seen: Metadata) -> bool:
    return len(seen.brokers) == _SIZE and not seen.lagging
