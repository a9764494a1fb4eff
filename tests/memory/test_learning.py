"""Learning: clean slots become what is usual, a slot late; a flood teaches nothing."""

import pytest

from detector.memory.relations import MESSAGE, mixed_one
from detector.memory.tracking import group_hashes
from tests.days import HOUR, MINUTE, V4, Days, listed, ordinary

TO = "tickets@firm.example"


def learned(days: Days, to: str = TO, asn: int = 64_690) -> tuple[float, float]:
    """Give the messages of an AS that a mailbox is known to get, and the sum of their squares."""
    engine = days.engine
    slot = engine.tables.mailboxes.find(to)
    group = int(group_hashes(engine.sources.group[[0]] * 0 + asn)[0])
    return engine.learner.relations.rate(mixed_one(int(engine.mailboxes.hash[slot]), group))


def test_a_slot_is_learned_a_slot_late() -> None:
    """Three messages of the first ten minutes are known after twenty and not before."""
    for until, count in ((20 * MINUTE - 2, 0.0), (20 * MINUTE, 3.0)):
        days = Days()
        ordinary(days, HOUR)
        for at in (10, 20, 30):
            days.mail(at, V4, TO, asn=64_690)
        days.run(until)
        assert learned(days)[0] == count


def test_one_burst_is_no_habit() -> None:
    """A system that writes a message a minute sends 300 at once: they count, their square less.

    Else one burst would explain the next, which may be a flood.
    """
    days = Days()
    ordinary(days, 4 * HOUR)
    for minute in range(240):
        days.mail(minute * MINUTE + 5, V4, TO, asn=64_690)
    days.flood(3 * HOUR + 60, V4, to=TO, count=300, span_s=300, asn=64_690)
    assert listed(days, 4 * HOUR) == set()
    count, squares = learned(days)
    assert count == pytest.approx(300 + 230, abs=15)
    assert squares < 24 * 10**2 + 50**2


def test_a_flood_teaches_nothing() -> None:
    """Of its mailbox nothing is learned while it lasts, nor of a listed source anywhere."""
    days = Days()
    ordinary(days, 3 * HOUR)
    days.flood(2 * HOUR, V4, to="ann@shop.example", count=900, span_s=900, asn=64_690)
    for i in range(40):
        days.mail(2 * HOUR + 120 + i * 20, V4, TO, asn=64_690)
    assert listed(days, 3 * HOUR) == {V4}
    assert learned(days, "ann@shop.example") == (0.0, 0.0)
    assert learned(days) == (0.0, 0.0)


def test_what_newcomers_bring_is_learned_as_a_crowd() -> None:
    """A mailbox that gets a message of another AS every ten minutes expects one."""
    days = Days()
    ordinary(days, 4 * HOUR)
    for i in range(24):
        days.mail(i * 600 + 60, f"198.18.{i}.7", TO, asn=64_700 + i)
    days.run(4 * HOUR)
    victims = days.engine.mailboxes
    slot = days.engine.tables.mailboxes.find(TO)
    assert victims.crowd[slot] / MESSAGE == pytest.approx(23, abs=2)
    assert victims.came[slot] == victims.got[slot] == victims.crowd[slot]
