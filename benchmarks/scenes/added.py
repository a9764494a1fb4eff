"""Put more floods into simulated traffic, and keep lines and truth in step."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from pipelines.simulate import TrafficResult
from pipelines.simulate.columns import Draft, Rows, as_ints
from pipelines.simulate.traffic import group_of

__all__ = ["with_floods"]

MEAN_DELAY_MS = 200.0


def with_floods(rng: Generator, traffic: TrafficResult, floods: Sequence[Draft]) -> TrafficResult:
    """Give the traffic with more floods, in order of receipt; what lies outside of it is cut."""
    drafts = [_inside(traffic, draft) for draft in floods]
    added = Rows.join([draft.rows for draft in drafts])
    first = len(traffic.groups)
    group = np.repeat(np.arange(first, first + len(drafts)), [len(one.rows) for one in drafts])
    delay = np.minimum(rng.exponential(MEAN_DELAY_MS, len(added)), 1_900)
    arrival = np.concatenate([traffic.arrival_ms, added.time_ms + as_ints(delay)])
    hosts = int(traffic.host.max(initial=0)) + 1
    host = np.concatenate([traffic.host, rng.integers(hosts, size=len(added))])
    rows = Rows.join([traffic.rows, added])
    order = np.argsort(arrival, kind="stable")
    groups = [
        group_of(first + at, draft, draft.rows.time_ms, "flood") for at, draft in enumerate(drafts)
    ]
    return replace(
        traffic,
        rows=rows.take(as_ints(order)),
        group=as_ints(np.concatenate([traffic.group, group])[order]),
        arrival_ms=as_ints(arrival[order]),
        host=as_ints(host[order]),
        groups=(*traffic.groups, *groups),
    )


def _inside(traffic: TrafficResult, draft: Draft) -> Draft:
    """Cut a flood at the ends of the log and put it in order."""
    time_ms = draft.rows.time_ms
    order = np.argsort(time_ms, kind="stable")
    inside = (time_ms >= traffic.horizon.start_ms) & (time_ms < traffic.horizon.end_ms)
    return replace(draft, rows=draft.rows.take(as_ints(order[inside[order]])))
