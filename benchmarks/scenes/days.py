"""Floods with tails of days: a burst, then some messages a minute until the attacker has enough."""

from typing import Final

import numpy as np
from numpy.random import Generator

from benchmarks.scenes.added import with_floods
from pipelines.simulate import SimulationSpec, TrafficResult, simulate
from pipelines.simulate.columns import Draft, IntArray, Rows, as_ints
from pipelines.simulate.outcomes import flood_outcomes
from pipelines.simulate.scene import Scene
from pipelines.simulate.sources import company_hosts, deal, esp_hosts, scattered_hosts
from pipelines.simulate.timing import MINUTE_MS, Wave, log_uniform, spread

__all__ = ["BOMBS", "draw_days"]

HOUR_MS: Final = 60 * MINUTE_MS
MAILBOX_TAIL: Final = 60
"""Messages an hour of a mailbox's tail at least."""
DOMAIN_TAIL: Final = 240
MEDIAN, SIGMA = 2_000, 0.8
BOMBS: Final = ("list_bomb_days", "list_bomb_days", "botnet_days", "distributed_days")
"""What each log of days gets beside the floods of the simulator."""


def draw_days(seed: int, events: int, hours: float) -> TrafficResult:
    """Draw a log of days with all floods of the simulator and `BOMBS`."""
    traffic = simulate(SimulationSpec(seed=seed, events=events, hours=hours))
    rng = np.random.default_rng([seed, *b"days"])
    wave = Wave.draw(rng, traffic.horizon)
    floods = []
    for shape in BOMBS:
        size = int(np.clip(rng.lognormal(np.log(MEDIAN), SIGMA), 300, 15_000))
        floods.append(_bomb(Scene(rng, traffic.world, wave, size), shape))
    return with_floods(rng, traffic, floods)


def _bomb(scene: Scene, shape: str) -> Draft:
    """Draw one flood with its tail: who attacks more in the burst goes on with more."""
    rng, world, horizon = scene.rng, scene.world, scene.horizon
    wide = shape == "distributed_days"
    burst_ms = scene.size / log_uniform(rng, 20, 200) * MINUTE_MS
    start = horizon.start_ms + int(rng.uniform(0.02, 0.4) * horizon.span_ms)
    tail_ms = min(rng.uniform(0.3, 1.0) * horizon.span_ms, horizon.end_ms - start - burst_ms)
    per_hour = (DOMAIN_TAIL if wide else MAILBOX_TAIL) * max(1.0, scene.size / MEDIAN) ** 0.5
    per_hour *= rng.uniform(1.0, 1.5)
    tail = int(per_hour * tail_ms / HOUR_MS)
    fading = int(scene.size * rng.uniform(0, 0.3))
    times = np.concatenate([
        spread(rng, scene.size, start, burst_ms),
        as_ints(start + burst_ms + rng.exponential(HOUR_MS, fading)),
        spread(rng, tail, start + burst_ms, tail_ms),
    ])  # fmt: skip
    times.sort()
    count = len(times)
    boxes, domain = _victims(scene, count, wide=wide)
    ip = deal(rng, _sources(scene, shape, count), count, rng.uniform(0, 0.6))
    sender = world.fresh_senders(rng, count, max(1, int(count * rng.uniform(0.3, 1))))
    rows = Rows.build(times, ip, scene.at(boxes), sender, flood_outcomes(rng, count))
    detail = f"{scene.size} messages, then {per_hour:.0f} an hour for {tail_ms / HOUR_MS:.0f} h"
    return Draft(shape, f"{shape}: {detail}", rows, scene.names(np.unique(boxes)), domain)


def _victims(scene: Scene, count: int, *, wide: bool) -> tuple[IntArray, str | None]:
    """Give a mailbox for each message, and the domain where the flood is at a whole one."""
    if not wide:
        return np.repeat(scene.victims(1), count), None
    customers = scene.world.customers
    large = np.argsort(-customers.count, kind="stable")[: max(3, len(customers.domains) // 12)]
    domain = int(scene.rng.choice(large))
    boxes = scene.rng.permutation(customers.of_domain(domain))[:300]
    return boxes[scene.rng.integers(len(boxes), size=count)], customers.domains[domain]


def _sources(scene: Scene, shape: str, count: int) -> IntArray:
    """Give the addresses of a flood: of mailing services and web forms, or of a botnet."""
    rng: Generator = scene.rng
    wanted = max(int(count / log_uniform(rng, 3, 12)), 40)
    if shape != "list_bomb_days":
        return scattered_hosts(rng, scene.world, wanted)
    hosts = esp_hosts(rng, scene.world, wanted, int(rng.integers(3, 10)))
    forms = company_hosts(rng, scene.world, wanted // 5)
    return as_ints(rng.permutation(np.unique(np.concatenate([hosts, forms]))))
