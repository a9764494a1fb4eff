"""Attribution: the probability that a source would have written anyway, and what follows."""

from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.judge.attribution import Crowd, Expected, Source, innocent, is_part
from detector.judge.floods import ACQUAINTED, FRESH, STRANGE, Flood
from detector.judge.rows import CaseRow
from detector.judge.usual import Usual
from detector.policy.settings import VictimRule

NOW = 1_000_000_800
RULE = VictimRule()


@dataclass
class KnownTraffic:
    """What everybody sends: each group a hundredth of all."""

    def share(self, _: int) -> float:
        """Give a group's part of all mail."""
        return 0.01

    def each(self, _: int) -> float:
        """Give the messages of an address of a group."""
        return 5.0


@dataclass
class KnownUsual:
    """What the victim usually gets: so much of each source in ten minutes."""

    own: float = 0.0
    traffic: KnownTraffic = field(default_factory=KnownTraffic)

    def mean(self, _: int) -> float:
        """Give what a source usually sends."""
        return self.own

    def most_of(self, _: int, mean: float, slots: float, surprised: float) -> float:
        """Give what is no surprise where `mean` messages are expected."""
        return 2.0 * mean if slots > 0.0 and surprised > 0.0 else 0.0

    def is_regular(self, _: int, slots: int) -> bool:
        """Say whether a source wrote in so many slots: who is known for something here did."""
        return slots > 0 and self.own > 0.0


def crowd(sent: list[int], kinds: list[int], own: float = 0.0) -> Crowd:
    """Give a flood of a mailbox; source i sends `sent[i]` and is of group i // 4."""
    flood = Flood(NOW - 600, NOW, 20, 20, 60, 0.0, wide=False, slots=0.0)
    for ip, count in enumerate(sent):
        flood.add(CaseRow(NOW, ip, ip // 4, 0, count, count, 0, 0, -1, 0, first=False))
        flood.meet(ip, kinds[ip % len(kinds)])
    return Crowd(flood, cast("Usual", KnownUsual(own)), NOW, 1.0, 0.5, 1.0, RULE.surprise)


def of(at: Crowd, ip: int, others: int = 0) -> Source:
    """Give one of its sources."""
    return Source(ip, ip, at.flood.parts[ip].group, others, 0)


SENT = st.lists(st.integers(1, 40), min_size=2, max_size=30)
KINDS = st.lists(st.sampled_from((FRESH, STRANGE, ACQUAINTED)), min_size=1, max_size=5)
DUE = st.builds(Expected, st.floats(0, 20), st.floats(0, 20), st.floats(0, 5))


@given(SENT, KINDS, DUE)
def test_it_is_a_probability(sent: list[int], kinds: list[int], due: Expected) -> None:
    """From 0 to 1, whatever is expected."""
    at = crowd(sent, kinds)
    for ip, part in at.flood.parts.items():
        assert 0.0 <= innocent(at, of(at, ip), part, due) <= 1.0


@given(SENT, KINDS, DUE, st.integers(1, 40))
def test_where_nothing_is_expected_nobody_is_innocent(
    sent: list[int], kinds: list[int], due: Expected, others: int
) -> None:
    """And the more is expected of a source's group, the more likely it is."""
    at = crowd(sent, kinds)
    part = at.flood.parts[0]
    source = of(at, 0, others)
    assert innocent(at, source, part, Expected(due.newcomers, 0.0, 0.0)) == 0.0
    more = Expected(due.newcomers, due.group + 1.0, due.source)
    assert innocent(at, source, part, more) >= innocent(at, source, part, due) - 1e-9


@given(SENT, KINDS, DUE)
def test_messages_to_others_never_make_a_listing_likelier(
    sent: list[int], kinds: list[int], due: Expected
) -> None:
    """What listing would cost speaks for a source, and only up to twenty messages."""
    at = crowd(sent, kinds)
    part = at.flood.parts[0]
    listed = [
        is_part(RULE, at, of(at, 0, others), part, due, 0.01) for others in (0, 10, 100, 10**6)
    ]
    assert listed == sorted(listed, reverse=True)
    beyond = part.attempts - 2.0 * due.source
    assert listed[-1] == (beyond >= RULE.mailbox_per_min)


@pytest.mark.parametrize(("others", "part"), [(0, True), (29, True), (30, False)])
def test_expected_mail_lost_is_weighed_against_flood_mail_stopped(others: int, part: bool) -> None:
    """At a chance of 1 % it takes 30 messages to others: 0.0101 x (1 + 0.3 x 30) is above 0.1."""
    at = crowd([1, 1], [STRANGE])
    due = Expected(0.0, 0.0, 0.0)
    assert is_part(RULE, at, of(at, 0, others), at.flood.parts[0], due, 0.0101) == part


@pytest.mark.parametrize(("sent", "part"), [(600, False), (601, True)])
def test_a_system_may_send_sixty_times_its_usual(sent: int, part: bool) -> None:
    """It usually sends ten messages in ten minutes; its chance of innocence does not matter."""
    at = crowd([sent], [ACQUAINTED], own=10.0)
    due = Expected(0.0, 0.0, 0.0)
    assert is_part(RULE, at, of(at, 0), at.flood.parts[0], due, 0.0) == part
