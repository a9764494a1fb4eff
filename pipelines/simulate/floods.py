"""The floods, one function a shape; every parameter is drawn from wide ranges.

Rates and counts follow the field's table: direct 100-1,000 a minute, list bombs 15 to 450 a
minute, botnets of thousands of addresses with 1-5 messages each, and so on.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from detector.events.contract import Outcome
from pipelines.simulate.columns import Draft, IntArray, Rows, as_ints
from pipelines.simulate.outcomes import flood_outcomes
from pipelines.simulate.scene import Scene
from pipelines.simulate.sources import (
    company_hosts,
    deal,
    deal_few,
    esp_hosts,
    pick_system,
    pool_hosts,
    rented_hosts,
    scattered_hosts,
)
from pipelines.simulate.timing import MINUTE_MS, evenly, log_uniform, shaped, spread

__all__ = ["FLOODS"]


def _draft(
    scene: Scene,
    shape: str,
    times: IntArray,
    ip: IntArray,
    boxes: IntArray,
    sender: IntArray,
    detail: str,
    domain: str | None = None,
) -> Draft:
    rows = Rows.build(times, ip, scene.at(boxes), sender, flood_outcomes(scene.rng, len(times)))
    victims = scene.names(np.unique(boxes))
    return Draft(shape, f"{shape}: {detail}", rows, victims, domain)


def _senders(scene: Scene, count: int) -> IntArray:
    """Draw forged senders: one for all, a few, or another one every time."""
    rng = scene.rng
    style = rng.random()
    if style < 0.25:  # noqa: PLR2004
        return np.repeat(scene.world.fresh_senders(rng, 1, 1), count)
    if style < 0.5:  # noqa: PLR2004
        few = scene.world.fresh_senders(rng, int(rng.integers(2, 40)), int(rng.integers(1, 20)))
        return few[rng.integers(len(few), size=count)]
    return scene.world.fresh_senders(rng, count, max(1, int(count * rng.uniform(0.1, 1))))


def _aimed(scene: Scene, count: int, boxes: IntArray) -> IntArray:
    """Spread `count` messages unevenly over the mailboxes."""
    rng = scene.rng
    share = rng.dirichlet([2.0] * len(boxes))
    return boxes[rng.choice(len(boxes), size=count, p=share)]


def _pace(scene: Scene, count: int, start: int, span: float) -> IntArray:
    """Draw times: memoryless, even, fading, swelling, or in waves."""
    rng, style = scene.rng, scene.rng.random()
    if style < 0.4:  # noqa: PLR2004
        return spread(rng, count, start, span)
    if style < 0.6:  # noqa: PLR2004
        return evenly(rng, count, start, span, rng.uniform(0, 2))
    knots = int(rng.integers(3, 12))
    if style < 0.8:  # noqa: PLR2004
        weights = np.linspace(1, rng.uniform(0.05, 3), knots)
    else:
        weights = rng.lognormal(0, 0.6, knots)
    return shaped(rng, count, start, span, weights)


def direct(scene: Scene) -> Draft:
    """One or a few addresses, 100-1,000 and more a minute, one mailbox."""
    rng = scene.rng
    rate = log_uniform(rng, 100, 1_600)
    count, start, span = scene.window(rate)
    hosts = rented_hosts(rng, scene.world, int(rng.integers(1, 6)), int(rng.integers(1, 3)))
    if rng.random() < 0.2:  # noqa: PLR2004
        hosts = company_hosts(rng, scene.world, len(hosts))
    boxes = np.repeat(scene.victims(1), count)
    ip = deal(rng, hosts, count, rng.uniform(0, 1.5))
    times = _pace(scene, count, start, span)
    detail = f"{len(hosts)} addresses, {rate:.0f}/min"
    return _draft(scene, "direct", times, ip, boxes, _senders(scene, count), detail)


def botnet(scene: Scene) -> Draft:
    """Thousands of addresses with 1-5 messages each, one to three mailboxes."""
    rng = scene.rng
    rate = log_uniform(rng, 25, 900)
    count, start, span = scene.window(rate)
    high = int(rng.integers(1, 6))
    hosts = scattered_hosts(
        rng, scene.world, int(count * 2 / (1 + high)) + 1, float(rng.choice([0, 0.05, 0.2]))
    )
    if rng.random() < 0.4:  # noqa: PLR2004
        # Stolen accounts: hosts that also send their owners' ordinary mail.
        stolen = company_hosts(rng, scene.world, max(1, len(hosts) // 25))
        hosts = np.concatenate([hosts, stolen])
        rng.shuffle(hosts)
    ip = deal_few(rng, hosts, count, 1, high, float(rng.choice([0, 0.5, 0.95])))
    boxes = _aimed(scene, count, scene.victims(int(rng.integers(1, 4))))
    times = _pace(scene, count, start, span)
    detail = f"{len(np.unique(ip))} addresses, {rate:.0f}/min"
    return _draft(scene, "botnet", times, ip, boxes, _senders(scene, count), detail)


def _bomb(scene: Scene, shape: str, rate: float) -> Draft:
    """Subscription mail from reputable pools, each message different, with a slow tail."""
    rng, world = scene.rng, scene.world
    tail = int(scene.size * rng.uniform(0, 0.15))
    main = Scene(rng, world, scene.wave, scene.size - tail, scene.opening_ms)
    count, start, span = main.window(rate, most=0.5)
    tail = min(tail, count // 4)
    total = count + tail
    high = int(rng.integers(2, 11))
    wanted = int(total * 2 / (1 + high)) + 20
    hosts = esp_hosts(rng, world, int(wanted * rng.uniform(0.5, 1)) + 1, int(rng.integers(3, 10)))
    forms = company_hosts(rng, world, int(wanted * rng.uniform(0, 0.35)))
    hosts = np.concatenate([hosts, forms])
    rng.shuffle(hosts)
    ip = deal_few(rng, hosts, total, 1, high, float(rng.choice([0, 0.3, 0.8])))
    times = _pace(scene, count, start, span)
    behind = start + span + rng.exponential(rng.uniform(1, 6) * 60 * MINUTE_MS, tail)
    times = np.concatenate([times, as_ints(np.sort(behind))])
    sender = world.fresh_senders(rng, total, int(total * rng.uniform(0.7, 1)))
    # Some of the lists are ones that other customers read as well.
    known = np.flatnonzero(rng.random(total) < rng.uniform(0, 0.25))
    who = world.people.bulk[rng.integers(len(world.people.bulk), size=len(known))]
    sender[known], ip[known] = world.people.sender[who], world.hosts_of(rng, as_ints(who))
    boxes = np.repeat(scene.victims(1), total)
    detail = f"{len(np.unique(ip))} addresses, {rate:.0f}/min, tail of {tail}"
    return _draft(scene, shape, times, ip, boxes, sender, detail)


def list_bomb(scene: Scene) -> Draft:
    """A list bomb at 40-450 a minute."""
    return _bomb(scene, "list_bomb", log_uniform(scene.rng, 40, 450))


def list_bomb_slow(scene: Scene) -> Draft:
    """A list bomb at 15-40 a minute (900 to 2,400 an hour)."""
    return _bomb(scene, "list_bomb_slow", log_uniform(scene.rng, 15, 40))


def snowshoe(scene: Scene) -> Draft:
    """One /24 or one AS, more than 100 addresses, each at a low even rate."""
    rng, world = scene.rng, scene.world
    system = pick_system(rng, world.rentable)
    wanted = int(rng.integers(100, 255))
    wide = rng.random() < 0.4  # noqa: PLR2004
    take = world.network.hosts_v4 if wide else world.network.subnet_v4
    hosts = take(rng, system, wanted)
    each = log_uniform(rng, 0.15, 3)
    count, start, span = scene.window(each * len(hosts))
    turns = np.concatenate([rng.permutation(hosts) for _ in range(count // len(hosts) + 1)])
    boxes = _aimed(scene, count, scene.victims(int(rng.choice([1, 1, 2, 3, 6, 12]))))
    times = evenly(rng, count, start, span, rng.uniform(0, 3))
    detail = f"{'an AS' if wide else 'a /24'}, {len(hosts)} addresses, {each:.2f}/min each"
    return _draft(scene, "snowshoe", times, turns[:count], boxes, _senders(scene, count), detail)


def pulse(scene: Scene) -> Draft:
    """On for half a minute, off for minutes, again and again."""
    rng = scene.rng
    on, off = rng.uniform(10, 60) * 1000, rng.uniform(2, 8) * MINUTE_MS
    rate = log_uniform(rng, 120, 1_500)
    _, start, span = scene.window(rate * on / (on + off), most=0.6)
    pulses = max(int(span / (on + off)), 2)
    each = max(scene.size // pulses, 10)
    each = min(each, max(int(rate * on / MINUTE_MS), 10))
    count = each * pulses
    begin = np.repeat(start + np.arange(pulses) * (on + off), each)
    times = np.sort(as_ints(begin + rng.random(count) * on))
    few = int(np.exp(rng.uniform(0, np.log(150))))
    if rng.random() < 0.5:  # noqa: PLR2004
        hosts = rented_hosts(rng, scene.world, few, int(rng.integers(1, 4)))
    else:
        hosts = scattered_hosts(rng, scene.world, few)
    boxes = _aimed(scene, count, scene.victims(int(rng.integers(1, 3))))
    ip = deal(rng, hosts, count, rng.uniform(0, 1))
    detail = f"{on / 1000:.0f} s on, {off / 1000:.0f} s off, {each} a pulse"
    return _draft(scene, "pulse", times, ip, boxes, _senders(scene, count), detail)


def ipv6_rotation(scene: Scene) -> Draft:
    """A new address for every message inside one /64."""
    rng = scene.rng
    rate = log_uniform(rng, 30, 600)
    count, start, span = scene.window(rate)
    homes = scene.world.rentable if rng.random() < 0.7 else scene.world.isps  # noqa: PLR2004
    ip = scene.world.network.rotation_v6(rng, pick_system(rng, homes), count)
    count = len(ip)
    boxes = np.repeat(scene.victims(1), count)
    times = _pace(scene, count, start, span)
    detail = f"one /64, {rate:.0f}/min"
    return _draft(scene, "ipv6_rotation", times, ip, boxes, _senders(scene, count), detail)


def distributed(scene: Scene) -> Draft:
    """One customer domain, hundreds of its mailboxes, many sources."""
    rng, customers = scene.rng, scene.world.customers
    rate = log_uniform(rng, 80, 1_500)
    count, start, span = scene.window(rate)
    large = np.argsort(-customers.count, kind="stable")[: max(3, len(customers.domains) // 12)]
    domain = int(rng.choice(large))
    inside = rng.permutation(customers.of_domain(domain))
    boxes = inside[: max(int(log_uniform(rng, 60, 600)), 30)]
    sources = int(log_uniform(rng, 8, 1_500))
    hosts = (
        rented_hosts(rng, scene.world, sources, int(rng.integers(1, 6)))
        if sources < 60  # noqa: PLR2004
        else scattered_hosts(rng, scene.world, sources)
    )
    ip = deal(rng, hosts, count, rng.uniform(0, 0.8))
    times = _pace(scene, count, start, span)
    name = customers.domains[domain]
    detail = f"{len(boxes)} mailboxes of {name}, {len(hosts)} addresses, {rate:.0f}/min"
    target = boxes[rng.integers(len(boxes), size=count)]
    return _draft(
        scene, "distributed", times, ip, target, _senders(scene, count), detail, domain=name
    )


def slow_ramp(scene: Scene) -> Draft:
    """From nothing to well past 15 a minute over half an hour to three hours, then on."""
    rng, world = scene.rng, scene.world
    longest = scene.horizon.span_ms / MINUTE_MS * 0.6
    peak, power = log_uniform(rng, 30, 150), rng.uniform(0.8, 2.2)
    ramp_min = min(rng.uniform(30, 180), longest)
    rising = peak * ramp_min / (power + 1)
    if rising > scene.size:
        peak = max(peak * scene.size / rising, 25.0)
        ramp_min = min(ramp_min, scene.size * (power + 1) / peak)
        rising = peak * ramp_min / (power + 1)
    hold_min = min(max(scene.size - rising, 0) / peak, rng.uniform(5, 90), longest - ramp_min * 0.9)
    hold_min = max(hold_min, 1.0)
    count = int(rising + peak * hold_min)
    knots = np.linspace(0, 1, 60)
    span_min = ramp_min + hold_min
    weights = np.minimum(knots * span_min / ramp_min, 1.0) ** power + 1e-6
    start = scene.horizon.place(rng, span_min * MINUTE_MS)
    times = shaped(rng, count, start, span_min * MINUTE_MS, weights)
    if rng.random() < 0.5:  # noqa: PLR2004
        hosts = scattered_hosts(rng, world, max(count // int(rng.integers(1, 6)), 20))
    else:
        hosts = esp_hosts(rng, world, max(count // 4, 40), int(rng.integers(2, 8)))
    ip = deal_few(rng, hosts, count, 1, 8, float(rng.choice([0, 0.5])))
    boxes = np.repeat(scene.victims(1), count)
    detail = f"0 to {peak:.0f}/min over {ramp_min:.0f} min"
    return _draft(scene, "slow_ramp", times, ip, boxes, _senders(scene, count), detail)


def busy_victim(scene: Scene) -> Draft:
    """A flood at one of the mailboxes that get much mail anyway, machines' mail included."""
    rng, world = scene.rng, scene.world
    top = np.argsort(-world.customers.weight, kind="stable")[:3]
    top = np.concatenate([top, world.always_busy])
    rate = log_uniform(rng, 40, 600)
    count, start, span = scene.window(rate)
    kind = int(rng.integers(3))
    if kind == 0:
        hosts = esp_hosts(rng, world, max(count // 3, 30), int(rng.integers(3, 9)))
        ip = deal_few(rng, hosts, count, 1, 8, 0.3)
    elif kind == 1:
        hosts = scattered_hosts(rng, world, max(count // 3, 30))
        ip = deal_few(rng, hosts, count, 1, 5, 0.5)
    else:
        hosts = rented_hosts(rng, world, int(rng.integers(1, 30)), 2)
        ip = deal(rng, hosts, count)
    boxes = np.repeat(as_ints([rng.choice(top)]), count)
    times = _pace(scene, count, start, span)
    detail = f"{len(np.unique(ip))} addresses, {rate:.0f}/min"
    return _draft(scene, "busy_victim", times, ip, boxes, _senders(scene, count), detail)


def provider_pool(scene: Scene) -> Draft:
    """A flood out of a large provider's own mail pool, which carries everybody's mail too."""
    rng, world = scene.rng, scene.world
    names = ("google", "microsoft", "yahoo", "amazon-ses", "sendgrid")
    name = str(rng.choice(names))
    pools = [p for p, whose in enumerate(world.pools.name) if whose == name]
    rate = log_uniform(rng, 30, 500)
    count, start, span = scene.window(rate)
    hosts = pool_hosts(rng, world, as_ints(pools), int(log_uniform(rng, 4, 300)))
    ip = deal(rng, hosts, count, rng.uniform(0, 1))
    boxes = np.repeat(scene.victims(1), count)
    times = _pace(scene, count, start, span)
    detail = f"{len(np.unique(ip))} addresses of {name}, {rate:.0f}/min"
    draft = _draft(scene, "provider_pool", times, ip, boxes, _senders(scene, count), detail)
    if rng.random() < 0.3:  # noqa: PLR2004
        slow = rng.random(count) < rng.uniform(0, 0.4)
        outcome = np.where(slow, int(Outcome.DEFER_RATE), draft.rows.outcome)
        return Draft(
            draft.shape, draft.name, draft.rows.with_outcome(as_ints(outcome)), draft.victims
        )
    return draft


_EARLY: Final = (direct, botnet, list_bomb, snowshoe, provider_pool, ipv6_rotation, list_bomb_slow)


def first_minutes(scene: Scene) -> Draft:
    """A flood that begins when the log does, or in its first minutes: nothing is known yet."""
    rng = scene.rng
    wait_ms = 0 if rng.random() < 0.35 else int(rng.uniform(0, 6 * MINUTE_MS))  # noqa: PLR2004
    opened = Scene(rng, scene.world, scene.wave, scene.size, scene.horizon.start_ms + wait_ms)
    inner = _EARLY[int(rng.integers(len(_EARLY)))](opened)
    name = f"first_minutes: after {wait_ms / 1000:.0f} s, {inner.name}"
    return Draft("first_minutes", name, inner.rows, inner.victims, inner.victim_domain)


FLOODS: Final[dict[str, Callable[[Scene], Draft]]] = {
    "direct": direct,
    "botnet": botnet,
    "list_bomb": list_bomb,
    "list_bomb_slow": list_bomb_slow,
    "snowshoe": snowshoe,
    "pulse": pulse,
    "ipv6_rotation": ipv6_rotation,
    "distributed": distributed,
    "slow_ramp": slow_ramp,
    "busy_victim": busy_victim,
    "provider_pool": provider_pool,
    "first_minutes": first_minutes,
}
"""How to draw a flood of each shape."""
