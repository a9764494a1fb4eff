"""Puts a world's scenarios together and writes events, truth and the ASN table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from benchmarks.second_traffic.background import background
from benchmarks.second_traffic.columns import (
    ACTIONS,
    CAUSES,
    NO_MAILBOX,
    Events,
    IntArray,
    concat,
)
from benchmarks.second_traffic.floods import make_flood
from benchmarks.second_traffic.innocents import LATER, make_pattern
from benchmarks.second_traffic.world import MINUTE_MS, World, make_world

__all__ = ["Group", "Plan", "make_traffic", "write_traffic"]

FLOOD_LIMIT = 0.30
INNOCENT_LIMIT = 0.22
ROUNDS = 4
RETRY_MIN = (4, 8, 10, 15, 15, 30, 60)
FAST_MESSAGES, FAST_MS = 30, 60_000
REASONS = (
    "", "550 5.1.1 user unknown", "550 5.7.1 message content rejected",
    "450 4.7.1 too many messages", "554 5.7.1 listed by a block list", "450 4.2.0 try again later",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """What the truth says of one group, without the times, which its events give."""

    kind: str
    shape: str
    name: str
    victims: IntArray
    domain: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All events of a world in the order of the file, and the groups by id.

    `host`, `received_ms`: (events,) int64, the MX of each event and when its line arrived.
    """

    world: World
    groups: list[Group]
    events: Events
    host: IntArray
    received_ms: IntArray


def _grouped(made: Events, group: int) -> Events:
    made.group[:] = group
    return made


def _floods(world: World, limit: int, shapes: Sequence[str]) -> list[tuple[Group, Events]]:
    """Give floods of all shapes in turn: one of each that fits, then more up to a drawn share."""
    rng, made, total = world.stream("floods"), [], 0
    share = rng.uniform(0.25, 0.9)
    for number in range(ROUNDS):
        room = limit if number == 0 else int(limit * share)
        for at in rng.permutation(len(shapes)).tolist():
            shape = shapes[at]
            if total >= room:
                break
            flood = make_flood(world, shape, number)
            if total + len(flood.events) <= room and len(flood.events):
                total += len(flood.events)
                group = Group("flood", shape, f"{shape}-{number}", flood.victims, flood.domain)
                made.append((group, flood.events))
    return made


def _innocents(world: World, limit: int, names: Sequence[str]) -> list[tuple[Group, Events]]:
    """Give innocent patterns: one of each, then more while there is room."""
    drawn = [one for one in names if one != LATER]
    rng, made, total = world.stream("innocents"), [], 0
    most = max(limit // max(2 * len(drawn), 1), 40)
    for number in range(2):
        for at in rng.permutation(len(drawn)).tolist():
            pattern = make_pattern(world, drawn[at], number, min(most, 4_000))
            if total + len(pattern.events) <= limit and (number == 0 or rng.random() < 0.5):
                total += len(pattern.events)
                group = Group("innocent", drawn[at], f"{drawn[at]}-{number}", pattern.mailboxes)
                made.append((group, pattern.events))
    return made


def _outage(world: World, every: Events, queue: int | None) -> None:
    """Deliver what the outage held up after it; everyday mail among it becomes group `queue`.

    Each sending host retries at an interval of its own, so its queue comes spread over that.
    """
    start, end = world.outage
    rows = np.flatnonzero((every.time_ms >= start) & (every.time_ms < end) & (every.outbound == 0))
    retry_ms = np.array(RETRY_MIN)[every.source[rows] % len(RETRY_MIN)] * MINUTE_MS
    delay = world.stream("outage").random(len(rows)) * retry_ms
    every.time_ms[rows] = np.minimum(end + delay.astype(np.int64), world.end_ms - 1)
    if queue is not None:
        every.group[rows[(every.group[rows] == 0) & (every.mailbox[rows] != NO_MAILBOX)]] = queue


def _arrival(world: World, every: Events) -> tuple[IntArray, IntArray]:
    """Give the MX of each event and when its line arrives: one MX is late for a while."""
    rng, hosts, size = world.stream("arrival"), len(world.site.hosts), len(every)
    host = (every.source * 7 + rng.integers(2, size=size)) % hosts
    received = every.time_ms + rng.exponential(180, size=size).astype(np.int64)
    length_ms = int(rng.uniform(8, 25) * MINUTE_MS)
    start = world.place(rng, length_ms)
    late = (host == hosts - 1) & (every.time_ms >= start) & (every.time_ms < start + length_ms)
    held = (every.time_ms[late] // 45_000 + 1) * 45_000
    received[late] = held + rng.integers(2_000, 20_000) + rng.integers(900, size=len(held))
    return host, received


def make_traffic(
    seed: int,
    size: int,
    hours: float | None,
    shapes: Sequence[str],
    patterns: Sequence[str],
) -> Plan:
    """Give `size` events of a seed: everyday mail fills what floods and patterns leave."""
    world = make_world(seed, size, hours)
    floods = _floods(world, int(size * FLOOD_LIMIT), shapes)
    innocents = _innocents(world, int(size * INNOCENT_LIMIT), patterns)
    groups = [Group("normal", "background", "background", np.zeros(0, np.int64))]
    parts = []
    for group, made in floods + innocents:
        parts.append(_grouped(made, len(groups)))
        groups.append(group)
    queue = len(groups) if LATER in patterns else None
    if queue is not None:
        groups.append(Group("innocent", LATER, f"{LATER}-0", np.zeros(0, np.int64)))
    every = concat([*parts, background(world, size - sum(map(len, parts)))])
    _outage(world, every, queue)
    host, received = _arrival(world, every)
    order = np.argsort(received, kind="stable")
    return Plan(world, groups, every.take(order), host[order], received[order])


def _header(plan: Plan) -> bytes:
    """Give the first line of the truth."""
    every, site = plan.events, plan.world.site
    groups = []
    for number, group in enumerate(plan.groups):
        rows = every.group == number
        times = np.sort(every.time_ms[rows & (every.mailbox != NO_MAILBOX) & (every.outbound == 0)])
        fast = len(times) >= FAST_MESSAGES and times[FAST_MESSAGES - 1] - times[0] < FAST_MS
        inside = every.time_ms[rows]
        groups.append(
            {
                "id": number,
                "kind": group.kind,
                "shape": group.shape,
                "name": group.name,
                "victims": [site.mailboxes[one] for one in group.victims.tolist()],
                "victim_domain": None if group.domain is None else site.domains[group.domain],
                "fast": bool(fast),
                "start_ms": int(inside.min()) if len(inside) else plan.world.start_ms,
                "end_ms": int(inside.max()) + 1 if len(inside) else plan.world.start_ms,
                "events": len(inside),
            }
        )
    return orjson.dumps(
        {
            "truth": 1,
            "seed": plan.world.seed,
            "start_ms": plan.world.start_ms,
            "end_ms": plan.world.end_ms,
            "events": len(every),
            "groups": groups,
        }
    )


def _lines(plan: Plan) -> list[str]:
    """Give the events as JSON; a tenth of the recipients with a plus part or in capitals."""
    every, names, rng = plan.events, plan.world.names, plan.world.stream("text")
    addresses, mailboxes = plan.world.networks.addresses, plan.world.site.mailboxes
    hosts = plan.world.site.hosts
    sizes = rng.lognormal(9.6, 1.3, size=len(every)).astype(np.int64) + 600
    tags = rng.choice(["", "+shop", "+x1", "up"], size=len(every), p=(0.94, 0.02, 0.02, 0.02))
    columns = (
        every.time_ms, every.source, every.mailbox, every.sender, every.action, every.cause,
        every.outbound, every.list_id, plan.host, plan.received_ms, sizes,
    )  # fmt: skip
    lines = []
    for row in zip(*(one.tolist() for one in columns), tags.tolist(), strict=True):
        time, source, mailbox, sender, action, cause, out, listed, host, received, size, tag = row
        text = (
            f'{{"time":{time},"client_ip":"{addresses[source]}","action":"{ACTIONS[action]}",'
            f'"host":"{hosts[host]}","received":{received}'
        )
        if mailbox != NO_MAILBOX:
            own, other = mailboxes[mailbox], names.sender_text(sender) if sender >= 0 else ""
            if tag and not out:
                own = own.upper() if tag == "up" else own.replace("@", f"{tag}@", 1)
            to, by = (other, own) if out else (own, other)
            text += f',"recipient":"{to}","sender":"{by}","size":{size}'
        if cause:
            text += f',"cause":"{CAUSES[cause]}","reason":"{REASONS[cause]}"'
        if listed >= 0:
            text += f',"list_id":"{names.lists[listed]}"'
        lines.append(text + (',"direction":"outbound"}\n' if out else "}\n"))
    return lines


def write_traffic(directory: Path, plan: Plan) -> None:
    """Write `events.ndjson`, `truth.ndjson` and `asn.tsv`; the directory is made if missing."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "events.ndjson").write_text("".join(_lines(plan)), encoding="ascii")
    numbers = "\n".join(map(str, plan.events.group.tolist()))
    (directory / "truth.ndjson").write_bytes(_header(plan) + b"\n" + numbers.encode() + b"\n")
    rows = plan.world.networks.rows()
    (directory / "asn.tsv").write_text("\n".join(rows) + "\n", encoding="ascii")
