"""Days of traffic in seconds of event time: mail, floods and requests go in, decisions come out."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, Final

from detector.engine import Engine
from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from detector.log.records import LogRecord, OperatorAction, Partitions, RemovalRequest, Timed
from detector.networks.providers import ProviderRegistry
from detector.policy.settings import Policy
from detector.tally.tally import PartitionTally, Tally
from tests.builders import asn_table, event_line

__all__ = [
    "BOTH_FAMILIES", "DAY", "DAY0_MS", "FLOODED", "HOUR", "MINUTE", "V4", "V6", "V6_HOST", "Days",
    "changes", "listed", "ordinary", "seconds",
]  # fmt: skip

DAY0_MS: Final = 1_767_225_600_000
"""Second 0 of every story: the begin of a day."""
MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400
BEAT_S: Final = 30 * MINUTE
"""How often a partition says that it is alive: an hour of silence would not be observed."""
DOMAINS: Final = (
    "quiet.example", "shop.example", "club.example", "firm.example", "example.org", "example.net",
)  # fmt: skip
"""Domains that get mail from the first second on: at a young one the limits are higher."""
FLOODED: Final = "ann@shop.example"
V4: Final = "203.0.113.9"
V6_HOST: Final = "2001:db8:5:1::25"
V6: Final = "2001:db8:5:1::/64"
BOTH_FAMILIES: Final = ((V4, V4), (V6_HOST, V6))
"""(address that sends, subject that is listed)"""


def seconds(time_ms: int) -> int:
    """Give a time of a decision in seconds of the story."""
    return (time_ms - DAY0_MS) // 1_000


def changes(decisions: Iterable[dict[str, Any]], subject: str | None = None) -> list[str]:
    """Name the changes in their order, of one subject or of all."""
    return [one["change"] for one in decisions if subject in {None, one["subject"]}]


class Days:
    """A story over one or more partitions; everything is told in seconds from `DAY0_MS`."""

    def __init__(
        self, policy: Policy | None = None, providers: ProviderRegistry | None = None
    ) -> None:
        self.policy = policy or Policy()
        self.controls: list[Timed] = []
        self.engine = Engine(self.policy, KeyTables(), lookup=asn_table(), providers=providers)
        self._events: list[tuple[float, int, int, dict[str, Any]]] = []
        for domain in DOMAINS:
            self.mail(0, "192.0.2.10", f"first@{domain}")

    def mail(
        self, at: float, ip: str, to: str | None = FLOODED, *, arrives: float | None = None,
        partition: int = 0, **more: Any,
    ) -> None:  # fmt: skip
        """Send one message; it arrives at once, or later."""
        arrives = at if arrives is None else arrives
        fields: dict[str, Any] = {
            "time": DAY0_MS + int(at * 1_000), "received": DAY0_MS + int(arrives * 1_000),
            "client_ip": ip, "action": "accept", "sender": "news@bulk.example", **more,
        }  # fmt: skip
        if to is not None:
            fields["recipient"] = to
        self._events.append((arrives, partition, len(self._events), fields))

    def flood(
        self, at: float, *ips: str, to: str = FLOODED, count: int = 60, span_s: float = 30,
        arrives: float | None = None, partition: int = 0, **more: Any,
    ) -> None:  # fmt: skip
        """Send `count` messages in `span_s` seconds, from the addresses by turns."""
        for i in range(count):
            when = at + i * span_s / count
            late = when if arrives is None else arrives
            self.mail(when, ips[i % len(ips)], to, arrives=late, partition=partition, **more)

    def refused_at_connect(self, at: float, ip: str, count: int) -> None:
        """Knock `count` times in one second without naming a recipient."""
        for _ in range(count):
            self.mail(at, ip, None, action="reject", cause="blocklist")

    def ask(self, at: float, subject: str, request: str = "r") -> None:
        """Ask for the removal of a subject."""
        self.controls.append(RemovalRequest(DAY0_MS + int(at * 1_000), subject, request))

    def operate(self, at: float, action: str, argument: str) -> None:
        """Let an operator act."""
        self.controls.append(OperatorAction(DAY0_MS + int(at * 1_000), action, argument))

    def tallies(self, until: float, partition: int = 0) -> list[Tally]:
        """Read a partition up to a time; heartbeats show that there was nothing more."""
        clock = self.policy.clock
        reader = EventReader(self.engine.tables)
        part = PartitionTally(partition, clock.lateness_s, clock.future_s)
        mine = sorted(e for e in self._events if e[1] == partition and e[0] <= until)
        beats = [
            (at, partition, -1, {"heartbeat": DAY0_MS + at * 1_000})
            for at in range(BEAT_S, int(until), BEAT_S)
        ]
        lines = [event_line(fields) for *_, fields in sorted([*mine, *beats], key=lambda e: e[:3])]
        end_ms = DAY0_MS + int((until + 1 + clock.lateness_s) * 1_000)
        lines.append(event_line({"heartbeat": end_ms}))
        events, rejects, count = reader.read_json(b"\n".join(lines), 0)
        tallies, future = part.feed(events, count, final=True)
        assert not rejects
        assert not future
        return tallies

    def run(self, until: float, partitions: int = 1) -> list[dict[str, Any]]:
        """Close everything up to a time and give all decisions."""
        log: list[LogRecord] = [Partitions(partitions), *self.controls]
        for partition in range(partitions):
            log += self.tallies(until, partition)
        return self.follow(log)

    def follow(self, log: Sequence[LogRecord]) -> list[dict[str, Any]]:
        """Take a log that was put together by hand."""
        return self.engine.accept(enumerate(log))


def ordinary(days: Days, until: int, seed: int = 1) -> Random:
    """Six acquaintances write to twelve mailboxes, six messages a minute."""
    rng = Random(seed)
    for i in range(until // 10):
        n = rng.randrange(6)
        to = f"user{rng.randrange(12)}@{'shop' if n % 2 else 'club'}.example"
        days.mail(i * 10 + rng.random() * 9, f"192.0.2.{30 + n}", to, sender=f"a@m{n}.example")
    return rng


def listed(days: Days, until: int) -> set[str]:
    """Give whoever was listed or held."""
    return {one["subject"] for one in days.run(until) if one["change"] in {"list", "hold"}}
