"""Incidents: the first listing goes at once, the wave behind it together, and nothing is lost."""

from collections import defaultdict
from typing import Any

import orjson
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from pipelines.alerts.incidents import Grouping, Incidents, Message
from pipelines.alerts.messages import HELD, LISTED, body_of
from tests.alerts.alert_world import START_MS, change, listings

SPEC = Grouping(lead_s=1.0, window_s=30.0, most=100, waiting=1_000)


def given_at(incidents: Incidents, now_s: float) -> Message:
    message = incidents.due(now_s)
    assert message is not None
    incidents.done(message)
    return message


def ids(message: Message) -> list[int]:
    return [c["seq"] for c in message.changes]


def test_the_first_listings_go_after_a_second_and_the_rest_when_the_window_is_over() -> None:
    """As drawn.

    seconds     0    1         10   20    31
    listings    1 2            3    4
    messages         1 2                  3 4
    """
    incidents = Incidents(SPEC)
    for item in listings(1, 2):
        incidents.take(item, 0.0)
    assert incidents.due(0.9) is None
    first = given_at(incidents, 1.0)
    incidents.take(change(3), 10.0)
    incidents.take(change(4), 20.0)
    assert incidents.due(30.9) is None
    assert incidents.due_in(30.0) == 1.0
    second = given_at(incidents, 31.0)
    assert (ids(first), ids(second)) == ([1, 2], [3, 4])
    assert (first.part, second.part) == (1, 2)
    assert second.incident == first.incident == change(1)["id"]


def test_after_a_quiet_window_a_listing_is_a_new_incident() -> None:
    incidents = Incidents(SPEC)
    incidents.take(change(1), 0.0)
    given_at(incidents, 1.0)
    incidents.take(change(2), 31.0)
    assert incidents.due(31.9) is None
    message = given_at(incidents, 32.0)
    assert (message.incident, message.part) == (change(2)["id"], 1)


def test_other_providers_rules_and_victims_are_other_incidents() -> None:
    incidents = Incidents(SPEC)
    for item in (
        change(1), change(2, provider="Else"), change(3, rule="source_flood"),
        change(4, evidence={"victim": "b***@s***.example"}), change(5, "hold"), change(6),
    ):  # fmt: skip
        incidents.take(item, 0.0)
    assert [ids(given_at(incidents, 1.0)) for _ in range(5)] == [[1, 6], [2], [3], [4], [5]]


def test_a_message_is_full_at_its_limit_and_goes_without_waiting() -> None:
    incidents = Incidents(SPEC)
    for item in listings(1, 250):
        incidents.take(item, 0.0)
    assert len(given_at(incidents, 0.0).changes) == 100
    assert len(given_at(incidents, 0.0).changes) == 100
    assert incidents.due(29.9) is None
    assert len(given_at(incidents, 30.0).changes) == 50


def test_told_are_new_listings_of_providers_and_what_is_held_but_nothing_in_shadow() -> None:
    wanted = [change(1), change(2, "release"), change(3, "hold"), change(4, "hold", provider="")]
    others = [
        change(5, provider=""), change(6, shadow=True), change(7, "hold", shadow=True),
        *(change(8, kind) for kind in ("extend", "remove", "expire", "refuse")),
    ]  # fmt: skip
    incidents = Incidents(SPEC)
    assert [incidents.wants(c) for c in wanted] == [True] * 4
    assert [incidents.wants(c) for c in others] == [False] * 7
    only = Incidents(Grouping(providers=("Else",)))
    assert [only.wants(c) for c in wanted] == [False, False, True, True]
    assert only.wants(change(9, provider="Else"))


def test_changes_that_are_not_told_are_delivered_as_soon_as_taken() -> None:
    incidents = Incidents(SPEC, delivered_seq=4)
    for item in listings(5, 9, provider=""):
        incidents.take(item, 0.0)
    assert (incidents.delivered_seq, incidents.waiting, incidents.due_in(0.0)) == (9, 0, None)
    incidents.take(change(10), 0.0)
    incidents.take(change(11, provider=""), 0.0)
    assert incidents.delivered_seq == 9
    message = incidents.due(1.0)
    assert incidents.delivered_seq == 9
    assert message is not None
    assert incidents.due(50.0) is message
    incidents.done(message)
    assert incidents.delivered_seq == 11


def test_an_id_names_the_changes_in_a_message_and_nothing_else() -> None:
    def message(*seqs: int, incident: str = "x") -> Message:
        changes = tuple(change(seq) for seq in seqs)
        return Message("listed", "Big", "victim_flood", "", incident, 1, changes)

    assert message(1).id == change(1)["id"]
    assert message(1, 2).id == message(1, 2, incident="y").id == "ff5587e7e47caac786d3db6d"
    assert len({message(*seqs).id for seqs in ((1,), (2,), (1, 2), (2, 1), (1, 2, 3))}) == 5


def test_a_message_is_a_cloudevent_that_the_package_reads_back() -> None:
    changes = (change(1), change(2, evidence={"victim": "\x1b\u202e\udc80"}))
    message = Message("listed", "Größe AG", "victim_flood", "a***", "i", 2, changes)
    body = body_of(message, "https://mx.example/floodwatch")
    event = JSONFormat().read(None, body)
    assert event.get_type() == LISTED
    assert event.get_id() == message.id
    assert event.get_subject() == "Größe AG"
    time = event.get_time()
    assert time is not None
    assert time.timestamp() * 1000 == START_MS + 1
    data = event.get_data()
    assert isinstance(data, dict)
    assert data["changes"] == [*changes]
    assert body.isascii()
    assert body == body_of(message, "https://mx.example/floodwatch")


def test_a_held_listing_is_another_type_and_may_have_no_provider() -> None:
    message = Message("held", "", "victim_flood", "a***", "i", 1, (change(1, "hold", time=10**30),))
    event = orjson.loads(body_of(message, "floodwatch"))
    assert event["type"] == HELD
    assert "subject" not in event
    assert event["time"].startswith("9999-12-31T23:59:59")


STEPS = st.lists(
    st.tuples(
        st.sampled_from((0.0, 0.5, 1.0, 7.0, 29.0, 31.0)),
        st.sampled_from(("list", "list", "hold", "extend")),
        st.sampled_from(("", "Big", "Else")),
    ),
    max_size=60,
)


@given(steps=STEPS, start=st.integers(0, 5))
def test_each_change_goes_once_in_order_and_in_time(
    steps: list[tuple[float, str, str]], start: int
) -> None:
    """With a receiver that takes at once; the oracle is what `take` was given."""
    spec = Grouping(lead_s=1.0, window_s=30.0, most=3, waiting=1_000)
    incidents = Incidents(spec, delivered_seq=start)
    now_s, came_s, sent_s = 0.0, dict[int, float](), dict[int, float]()
    by_incident = defaultdict[Any, list[int]](list)
    wanted, before = set[int](), start

    def deliver(until_s: float) -> None:
        nonlocal now_s, before
        while (in_s := incidents.due_in(now_s)) is not None and now_s + in_s <= until_s:
            now_s += in_s
            message = incidents.due(now_s)
            assert message is not None
            assert 1 <= len(message.changes) <= 3
            incidents.done(message)
            for seq in ids(message):
                assert seq not in sent_s
                sent_s[seq] = now_s
            key = (message.kind, message.provider)
            by_incident[key] += ids(message)
            assert incidents.delivered_seq >= before
            before = incidents.delivered_seq
            assert all(seq in sent_s for seq in wanted if seq <= before)
        now_s = until_s

    for seq, (pause_s, kind, provider) in enumerate(steps, start=1):
        deliver(now_s + pause_s)
        item = change(seq, kind, provider)
        if incidents.wants(item):
            wanted.add(seq)
            came_s[seq] = now_s
        incidents.take(item, now_s)
    deliver(now_s + 100)
    assert set(sent_s) == wanted
    assert wanted <= set(range(start + 1, len(steps) + 1))
    assert incidents.delivered_seq == max(start, len(steps))
    assert all(order == sorted(order) for order in by_incident.values())
    assert all(sent_s[seq] - came_s[seq] <= 30.0 for seq in wanted)
    firsts = {order[0] for order in by_incident.values()}
    assert all(sent_s[seq] - came_s[seq] <= 1.0 for seq in firsts)


def test_a_full_memory_does_not_wait_for_windows() -> None:
    incidents = Incidents(Grouping(lead_s=1.0, window_s=30.0, waiting=3))
    incidents.take(change(1), 0.0)
    given_at(incidents, 1.0)
    for item in listings(2, 4):
        incidents.take(item, 2.0)
    assert incidents.full
    assert ids(given_at(incidents, 2.0)) == [2, 3, 4]


def test_names_of_past_incidents_are_bounded() -> None:
    incidents = Incidents(SPEC)
    for seq in range(1, 3_001):
        incidents.take(change(seq, provider=f"p{seq}"), 0.0)
        given_at(incidents, 1.0)
    assert len(incidents._quiet) <= 1_002  # noqa: SLF001 - the memory is the subject
