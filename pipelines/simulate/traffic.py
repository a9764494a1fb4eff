"""One simulation: a world, its background, the floods and the innocents in it, in file order."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator

from pipelines.simulate.columns import Draft, IntArray, Rows, as_ints
from pipelines.simulate.disruptions import draw_flush, draw_lump
from pipelines.simulate.floods import FLOODS
from pipelines.simulate.innocents import INNOCENTS
from pipelines.simulate.normal import Habits, draw_normal
from pipelines.simulate.scene import Scene
from pipelines.simulate.sizes import draw_floods
from pipelines.simulate.spec import Group, Kind, SimulationSpec
from pipelines.simulate.timing import Horizon, Wave, log_uniform
from pipelines.simulate.world import World, draw_world

__all__ = ["TrafficResult", "group_of", "simulate"]

_EPOCH_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z
_DAY_MS: Final = 86_400_000
_FAST_MESSAGES: Final = 30
_FAST_SPAN_MS: Final = 60_000
_REPEATS: Final = {"newsletter": 4, "login_codes": 2, "harvesting": 2, "big_provider": 2}
_LASTING: Final = ("normal", "monitoring", "ticket", "busy_mailbox", "greylist_retries")
_WEIGHTS: Final = {
    "newsletter": 7.0,
    "monitoring": 7.0,
    "ticket": 2.0,
    "big_provider": 4.0,
    "greylist_retries": 1.0,
    "backscatter": 1.0,
    "harvesting": 1.5,
    "busy_mailbox": 3.0,
    "mailing_list": 1.5,
    "login_codes": 1.5,
}


@dataclass(frozen=True, slots=True)
class TrafficResult:
    """Simulated traffic in the order of its file, with its truth.

    `rows` are the events, `group` (n,) the group of each, `arrival_ms` (n,) when its line was
    received, `host` (n,) which of our hosts logged it. `world` resolves hosts and addresses.
    """

    spec: SimulationSpec
    world: World
    horizon: Horizon
    rows: Rows
    group: IntArray
    arrival_ms: IntArray
    host: IntArray
    groups: tuple[Group, ...]
    list_ids: dict[int, str]

    def __len__(self) -> int:
        """Count the events."""
        return len(self.rows)


def simulate(spec: SimulationSpec) -> TrafficResult:
    """Draw the traffic of `spec`: the same bytes for the same settings and the same build.

    Memory is about 1 kB an event; 300,000 events take a few seconds.
    """
    stream = _Streams(spec.seed)
    start = spec.start_ms
    if start is None:
        rng = stream.of("calendar")
        start = _EPOCH_MS + int(rng.integers(330)) * _DAY_MS + int(rng.integers(_DAY_MS))
    horizon = Horizon(start, start + int(spec.hours * 3_600_000))
    world = draw_world(stream.of("world"), spec.events)
    wave = Wave.draw(stream.of("wave"), horizon)
    drafts = [
        *_draw_floods(spec, stream, world, wave),
        *_draw_innocents(spec, stream, world, wave),
    ]
    drafts = [_inside(draft, horizon) for draft in drafts]
    rest = spec.events - sum(len(draft.rows) for draft in drafts)
    rng = stream.of("normal")
    background = draw_normal(rng, world, wave, Habits.draw(rng), max(rest, 0))
    drafts.insert(0, _inside(Draft("normal", "ordinary mail", background), horizon))
    return _put_together(spec, stream, world, horizon, drafts)


class _Streams:
    """Independent random streams by name, so that one part does not disturb another."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def of(self, name: str, turn: int = 0) -> Generator:
        """Give the stream of a part of the simulation."""
        return np.random.default_rng([self._seed, turn, *name.encode()])


def _draw_floods(spec: SimulationSpec, stream: _Streams, world: World, wave: Wave) -> list[Draft]:
    floods = draw_floods(stream.of("flood sizes"), spec)
    shapes = [shape for shape, _ in floods]
    turns = [shapes[:at].count(shape) for at, shape in enumerate(shapes)]
    return [
        FLOODS[shape](Scene(stream.of(shape, turn), world, wave, size))
        for (shape, size), turn in zip(floods, turns, strict=True)
    ]


def _draw_innocents(
    spec: SimulationSpec, stream: _Streams, world: World, wave: Wave
) -> list[Draft]:
    rng = stream.of("innocent sizes")
    share = rng.uniform(0.2, 0.38)
    total = sum(_WEIGHTS.values())
    drafts = []
    for pattern in spec.patterns:
        if pattern not in INNOCENTS:
            continue
        repeats = _REPEATS.get(pattern, 1)
        budget = share * spec.events * _WEIGHTS[pattern] / total * rng.uniform(0.6, 1.4)
        parts = rng.dirichlet([2.0] * repeats) * budget
        for turn, size in enumerate(parts.tolist()):
            scene = Scene(stream.of(pattern, turn), world, wave, max(int(size), 40))
            drafts.append(INNOCENTS[pattern](scene))
    return drafts


def _inside(draft: Draft, horizon: Horizon) -> Draft:
    times = draft.rows.time_ms
    keep = (times >= horizon.start_ms) & (times < horizon.end_ms)
    return Draft(
        draft.shape,
        draft.name,
        draft.rows.take(keep),
        draft.victims,
        draft.victim_domain,
        draft.list_id,
    )


def _put_together(
    spec: SimulationSpec, stream: _Streams, world: World, horizon: Horizon, drafts: list[Draft]
) -> TrafficResult:
    parts, offset = [], 0
    for draft in drafts:
        message = draft.rows.message
        draft.rows.message[message >= 0] += offset
        offset += len(message)
        parts.append(draft.rows)
    rows = Rows.join(parts)
    group = np.repeat(np.arange(len(drafts)), [len(part) for part in parts])
    flood_ids = [at for at, draft in enumerate(drafts) if draft.shape in FLOODS]
    brief_ids = [at for at, draft in enumerate(drafts) if draft.shape not in _LASTING]
    is_flood = np.isin(group, flood_ids)
    if "outage_flush" in spec.patterns:
        flush = draw_flush(
            stream.of("outage"), world, horizon, rows, is_flood, np.isin(group, brief_ids)
        )
        rows = rows.with_time(flush.time_ms)
        group[flush.flushed] = len(drafts)
        drafts.append(Draft("outage_flush", flush.name, Rows.empty()))
        came = ~flush.lost
        rows, group, is_flood = rows.take(came), group[came], is_flood[came]
    rng = stream.of("arrival")
    hosts = int(rng.integers(2, 7))
    host = as_ints(rng.choice(hosts, size=len(rows), p=rng.dirichlet([4.0] * hosts)))
    arrival = _arrivals(rng, rows.time_ms, spec.disorder)
    if "late_burst" in spec.patterns and spec.disorder:
        lump = draw_lump(rng, horizon, hosts)
        late = (host == lump.host) & (rows.time_ms >= lump.start_ms) & (rows.time_ms < lump.end_ms)
        if rng.random() < 0.7:  # noqa: PLR2004
            host = np.where(late & is_flood, (lump.host + 1) % hosts, host)
            late &= ~is_flood
        arrival[late] = lump.arrival_ms + np.argsort(np.argsort(rows.time_ms[late])) // 4
        group[late & ~is_flood] = len(drafts)
        minutes = (lump.end_ms - lump.start_ms) / 60_000
        drafts.append(
            Draft("late_burst", f"mx{lump.host + 1}: {minutes:.0f} min of log late", Rows.empty())
        )
    order = np.lexsort((np.arange(len(rows)), arrival))
    rows, group = rows.take(order), group[order]
    groups = tuple(
        group_of(at, draft, rows.time_ms[group == at], _kind(draft.shape))
        for at, draft in enumerate(drafts)
    )
    list_ids = {at: draft.list_id for at, draft in enumerate(drafts) if draft.list_id}
    return TrafficResult(
        spec, world, horizon, rows, as_ints(group), arrival[order], host[order], groups, list_ids
    )


def _arrivals(rng: Generator, time_ms: IntArray, disorder: bool) -> IntArray:
    if not disorder:
        return time_ms.copy()
    delay = np.minimum(rng.exponential(log_uniform(rng, 5, 700), len(time_ms)), 1_950)
    very_late = rng.random(len(time_ms)) < rng.uniform(0, 0.002)
    delay = np.where(very_late, rng.uniform(2_000, 90_000, len(time_ms)), delay)
    return as_ints(time_ms + delay)


def _kind(shape: str) -> Kind:
    if shape in FLOODS:
        return "flood"
    return "normal" if shape == "normal" else "innocent"


def group_of(at: int, draft: Draft, times: IntArray, kind: Kind) -> Group:
    """Give the truth of what was drawn; `times` (n,) are those of its events that are left."""
    ordered = np.sort(times)
    enough = kind == "flood" and len(ordered) >= _FAST_MESSAGES
    return Group(
        id=at,
        kind=kind,
        shape=draft.shape,
        name=draft.name,
        victims=draft.victims,
        victim_domain=draft.victim_domain,
        fast=bool(enough and ordered[_FAST_MESSAGES - 1] - ordered[0] <= _FAST_SPAN_MS),
        start_ms=int(ordered[0]) if len(ordered) else 0,
        end_ms=int(ordered[-1]) if len(ordered) else 0,
        events=len(ordered),
    )
