"""Small traffic with floods of every kind, and policies under which minutes are as good as days."""

import json
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Final

from detector.engine import Engine
from detector.events.interning import KeyTables
from detector.log.records import LogRecord
from detector.networks.enrich import AsnTable
from detector.policy.settings import (
    ClockSpec,
    GuardLimits,
    LearningTerms,
    ListingTerms,
    MemoryBounds,
    Policy,
    Rules,
    VictimRule,
)

__all__ = [
    "KNOWN",
    "START_MS",
    "Event",
    "asn_table",
    "event_line",
    "fresh_engine",
    "interleaved",
    "quick_policy",
    "story",
]

START_MS: Final = 1_767_225_600_000 - 180_000
"""Three minutes before a day, an hour and a period of learning end."""

HOSTS: Final = ("192.0.2.10", "192.0.2.20", "192.0.3.10", "203.0.113.9", "2001:db8:5::25")
DOMAINS: Final = ("example.org", "example.net", "shop.example", "club.example")
KNOWN: Final = ("192.0.2.10", "192.0.2.20", "192.0.3.10", "203.0.113.9", "2001:db8:5::/64")
"""Subjects that write all the time; when one of them floods, the guard has something to weigh."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: what the log says, and when the record arrives in which partition."""

    arrives_ms: int
    partition: int
    fields: dict[str, Any]


def event_line(fields: dict[str, Any]) -> bytes:
    """Give the record of an event or heartbeat, without its LF."""
    return json.dumps(fields).encode()


@cache
def asn_table(*, newer: bool = False) -> AsnTable:
    """Give a table that knows some of the networks in a story; a newer one knows others."""
    lines = (
        (
            "100.70.0.0\t100.70.255.255\t64505\tAA\tFive",
            "203.0.113.0\t203.0.113.255\t64501\tAA\tOne",
        )
        if newer
        else (
            "192.0.2.0\t192.0.2.255\t64501\tAA\tOne",
            "192.0.3.0\t192.0.3.255\t64501\tAA\tOne",
            "203.0.113.0\t203.0.113.255\t64502\tAA\tTwo",
            "100.70.0.0\t100.79.255.255\t64503\tAA\tThree",
            "2001:db8:5::\t2001:db8:5:ffff:ffff:ffff:ffff:ffff\t64504\tAA\tFour",
        )
    )
    return AsnTable.parse("\n".join(lines).encode(), "story")[0]


def fresh_engine(policy: Policy, *names: str) -> Engine:
    """Make a detector that knows nothing, in a process that has seen some addresses."""
    tables = KeyTables()
    tables.ips.slots(names, len(names))
    tables.mailboxes.slots([f"{name}@x" for name in names], len(names))
    return Engine(policy, tables, lookup=asn_table())


def interleaved(waiting: list[list[LogRecord]], rng: Random) -> list[LogRecord]:
    """Draw an order of the records of several partitions, which are used up; each keeps its own."""
    out: list[LogRecord] = []
    while any(waiting):
        source = rng.choice([records for records in waiting if records])
        count = rng.choice((1, 3, 40))
        out += source[:count]
        del source[:count]
    return out


def quick_policy(rng: Random, *, tight: float = 0.3) -> Policy:
    """Give a policy with limits of a handful of messages and quiet times of a minute.

    `tight` is how likely it is that fewer keys are tracked than a story has.
    """
    victim = VictimRule(
        mailbox_per_min=6, mailbox_per_10min=10, mailbox_per_hour=20, domain_per_min=10,
        domain_per_10min=20, domain_per_hour=40, domain_mailboxes=3,
        surprise=rng.choice((1.0, 2.0, 3.0)), over_fraction=rng.choice((0.25, 0.8)),
        innocent=rng.choice((0.1, 0.3)), cost=rng.choice((0.0, 0.02, 0.3)),
        system_burst=rng.choice((2.0, 60.0)),
    )  # fmt: skip
    listing = ListingTerms(
        temporary_quiet_s=rng.choice((60, 100)), temporary_removal_quiet_s=rng.choice((5, 30)),
        temporary_hard_s=3_600, standing_quiet_s=rng.choice((100, 120)),
        standing_removal_quiet_s=rng.choice((30, 40)), standing_hard_s=3_600, standing_listings=2,
        standing_flood_s=rng.choice((60, 600)), memory_s=86_400, most_quiet_s=150,
        extend_every_s=rng.choice((1, 10)), connect_floor=2,
    )  # fmt: skip
    few_keys = rng.random() < tight
    return Policy(
        clock=ClockSpec(lateness_s=rng.choice((0, 2, 2, 2, 5)), future_s=30),
        rules=Rules(victim_flood=victim),
        learning=LearningTerms(
            half_life_days=1, young_s=rng.choice((60, 150, 700)),
            young_factor=rng.choice((1.0, 2.0)), fading=rng.choice((0.05, 0.5)),
        ),
        listing=listing,
        guard=GuardLimits(
            never_list=("198.51.100.0/29",), hold_share=rng.choice((0.01, 0.25)),
            alert_share=0.005, victim_alert_share=0.002,
            victim_hold_share=rng.choice((0.02, 0.1)), first_day_s=rng.choice((0, 300)),
        ),
        memory=MemoryBounds(
            keys=30 if few_keys else 1_000, evidence_rows=150 if few_keys else 10_000,
            relation_cells=1_024, cases=1_000, listings=rng.choice((2, 1_000)),
        ),
    )  # fmt: skip


class _Story:
    """Collects events in event time; arrival and partition are drawn at the end."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.events: list[tuple[int, dict[str, Any]]] = []

    def send(self, time_ms: int, ip: str, recipient: str | list[str] | None, **more: Any) -> None:
        fields = {"time": time_ms, "client_ip": ip, "action": "accept", **more}
        if recipient is not None:
            fields["recipient"] = recipient
        fields.setdefault("sender", f"news@{self.rng.choice(('a', 'b', 'c'))}.example")
        self.events.append((time_ms, fields))

    def background(self, start_ms: int, stop_ms: int) -> None:
        """Acquaintances write to the same few mailboxes, and some strangers to others."""
        rng, now = self.rng, start_ms
        while now < stop_ms:
            now += rng.randrange(500, 9_000)
            ip = rng.choice(HOSTS)
            box = f"user{rng.randrange(3)}@{rng.choice(DOMAINS)}"
            draw = rng.random()
            if draw < 0.75:
                self.send(now, ip, box)
            elif draw < 0.80:
                self.send(now, ip, [box, "Ann+x@Example.ORG", "<bob@example.net>"])
            elif draw < 0.84:
                self.send(now, ip, box, action="reject", cause="unknown_user")
            elif draw < 0.88:
                self.send(
                    now, ip, box, direction="outbound", action=rng.choice(("accept", "defer"))
                )
            elif draw < 0.92:
                self.send(now, ip, box, sender="")
            elif draw < 0.96:
                self.send(now, f"100.64.{rng.randrange(9)}.{rng.randrange(9)}", box, asn=64_510)
            else:
                self.send(now, "::ffff:192.0.2.10", box, action="defer")

    def flood(self, start_ms: int) -> None:
        """One flood or what looks like one, with its aftermath.

        Of a mailbox, of a domain, from one source; bounces, or a letter to each of many mailboxes.
        """
        rng = self.rng
        kind = rng.choice(("bomb", "bomb", "domain", "source", "bounces", "letters"))
        count, span_ms = rng.randrange(18, 40), rng.choice((20_000, 60_000, 120_000))
        domain = rng.choice(DOMAINS)
        nets = rng.randrange(4, 14)
        sources = [
            f"100.{70 + rng.randrange(3)}.{i}.{rng.randrange(4)}" if rng.random() < 0.8
            else f"2001:db8:{i + 16:x}:{rng.randrange(3):x}::{rng.randrange(9):x}"
            for i in range(nets)
        ]  # fmt: skip
        sources += [rng.choice(HOSTS), "198.51.100.3", "10.1.2.3"]
        for _ in range(count):
            time_ms = start_ms + rng.randrange(span_ms)
            ip = sources[0] if kind == "source" else rng.choice(sources)
            boxes = {"domain": 8, "letters": 500}.get(kind, 0)
            box = f"m{rng.randrange(boxes)}@{domain}" if boxes else f"victim@{domain}"
            action = "accept" if rng.random() < 0.8 else rng.choice(("reject", "defer"))
            more: dict[str, Any] = (
                {"cause": rng.choice(("rate", "content", "blocklist"))}
                if action != "accept"
                else {}
            )
            if rng.random() < 0.1:
                more["asn"] = rng.choice((64_520, 64_521))
            if kind == "bounces":
                more["sender"] = ""
            self.send(time_ms, ip, box, action=action, **more)
        for _ in range(rng.randrange(12)):
            at = start_ms + span_ms + rng.randrange(90_000)
            self.send(at, rng.choice(sources[:2]), None, action="reject", cause="blocklist")
        for _ in range(rng.randrange(6)):
            at = start_ms + span_ms + rng.randrange(60_000)
            self.send(
                at, rng.choice(sources), f"victim@{domain}", action="reject", cause="blocklist"
            )


def story(
    rng: Random, partitions: int, *, minutes: int = 14, floods: int = 3, late: bool = True,
    lateness_ms: int = 2_000,
) -> list[Event]:  # fmt: skip
    """Give traffic in the order of its arrival.

    Without `late` every event arrives within the lateness of those before it; with it there are
    stragglers, lumps that come minutes late, and clocks that are an hour ahead.
    """
    made = _Story(rng)
    stop_ms = START_MS + minutes * 60_000
    made.background(START_MS, stop_ms)
    for _ in range(floods):
        made.flood(START_MS + rng.randrange(30_000, minutes * 60_000 - 120_000))
    if rng.random() < 0.05:
        made.background(stop_ms + 93_600_000, stop_ms + 93_660_000)
    lumps = []
    for _ in range(3):
        lump_ms = START_MS + rng.randrange(minutes * 60_000)
        lumps.append((rng.randrange(partitions), lump_ms, lump_ms + rng.randrange(90_000)))
    said = rng.random() < 0.3
    events = []
    for time_ms, fields in made.events:
        partition = rng.randrange(partitions)
        arrives_ms = time_ms + (rng.randrange(max(lateness_ms - 100, 1)) if lateness_ms else 0)
        if late and rng.random() < 0.03:
            arrives_ms += rng.randrange(3_000, 90_000)
        for place, first_ms, last_ms in lumps:
            if late and partition == place and first_ms <= time_ms < last_ms:
                arrives_ms = last_ms + rng.randrange(500)
        if late and rng.random() < 0.004:
            fields["time"] = time_ms + 3_600_000
        if said:
            fields["received"] = arrives_ms
        events.append(Event(arrives_ms, partition, fields))
    events.sort(key=lambda event: event.arrives_ms)
    return events
