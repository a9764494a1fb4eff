"""Hypothesis strategies for small traffic: events of a few sources, in orders that are allowed."""

from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.builders import START_MS

__all__ = ["arrivals", "batches", "shuffled_within"]

SOURCES = ("192.0.2.1", "::ffff:192.0.2.1", "198.51.100.9", "2001:db8::1", "2001:db8:0:0:9::")
MAILBOXES = ["ann@example.org", "ANN+x@Example.org", "<bob@example.org>", "eve@example.net"]
ACTIONS = (
    ("accept", None), ("reject", None), ("reject", "unknown_user"), ("reject", "rate"),
    ("defer", "content"), ("discard", None), ("reject", "blocklist"),
)  # fmt: skip


EVENTS = st.tuples(
    st.sampled_from((0, 0, 300, 1_500, 4_000, 9_000)),
    st.sampled_from((0, 0, 0, 0, 500, 2_500, 9_000, -40_000, -3_600_000)),
    st.sampled_from(SOURCES),
    st.sampled_from((*MAILBOXES, MAILBOXES[:2], [])),
    st.sampled_from(ACTIONS),
    st.sampled_from((None, None, "", "a@example.com")),
    st.sampled_from((None, None, None, 0, -10_000, -29_000, -31_000, -90_000)),
)
"""(advance of the clock, how far behind it, source, recipients, outcome, sender, receipt)"""


def arrivals(most: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw the records of one partition, in the order of their arrival.

    Some come late, some from clocks that are ahead, some are heartbeats (no recipients).
    """
    return st.lists(EVENTS, max_size=most).map(_records)


def _records(drawn: list[Any]) -> list[dict[str, Any]]:
    now_ms, out = START_MS, []
    for advance_ms, behind_ms, source, recipients, (action, cause), sender, receipt in drawn:
        now_ms += advance_ms
        if not recipients:
            out.append({"heartbeat": now_ms})
            continue
        time_ms = now_ms - behind_ms
        fields: dict[str, Any] = {
            "time": time_ms, "client_ip": source, "action": action, "recipient": recipients,
        }  # fmt: skip
        optional = {
            "cause": cause, "sender": sender,
            "received": None if receipt is None else time_ms + receipt,
        }  # fmt: skip
        out.append(fields | {name: value for name, value in optional.items() if value is not None})
    return out


def batches(total: int) -> st.SearchStrategy[list[int]]:
    """Draw where to cut `total` things: positions from 0 to total, with both ends."""
    return st.lists(st.integers(0, total), max_size=8).map(
        lambda cuts: sorted({0, total, *cuts}),
    )


def shuffled_within(events: list[Any], times_ms: list[int], slack_ms: int, seed: int) -> list[Any]:
    """Give the events in an order in which none is more than `slack_ms` behind one before it."""
    rng = Random(seed)
    keyed = [
        (time_ms + rng.uniform(0, slack_ms), index)
        for index, time_ms in enumerate(times_ms)
    ]  # fmt: skip
    return [events[index] for _, index in sorted(keyed)]
