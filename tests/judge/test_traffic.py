"""Traffic: what everybody sends now is the sum of the rows of whole minutes and of this one."""

import json
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.engine import Engine
from detector.events.interning import KeyTables
from detector.judge.rows import HOUR_S, LONG_S, SHORT_S
from detector.judge.traffic import Traffic
from detector.log.records import LogRecord, Partitions
from detector.memory.tracking import group_hashes
from detector.policy.settings import Policy
from tests.builders import START_MS
from tests.laws.test_batches import tallies_of

START = START_MS // 1_000


def site(seed: int, minutes: int) -> list[tuple[int, int]]:
    """Give (second, AS number) of mail that floods nobody, up to the middle of a minute."""
    rng = Random(seed)
    drawn = [(START + rng.randrange(minutes * 60), 64_500 + rng.randrange(4)) for _ in range(200)]
    return [*sorted(drawn), (START + minutes * 60 + 30, 64_500)]


def engine_of(mail: list[tuple[int, int]]) -> Engine:
    """Detect; each message goes to another mailbox of another domain."""
    lines = [
        json.dumps(
            {"time": at * 1_000, "client_ip": f"192.0.2.{asn % 100}", "action": "accept",
             "recipient": f"u@d{index}.example", "asn": asn}
        ).encode()
        for index, (at, asn) in enumerate(mail)
    ]  # fmt: skip
    engine = Engine(Policy(), KeyTables())
    tallies, _ = tallies_of(lines, [0, len(lines)], engine.tables, 2)
    log: list[LogRecord] = [Partitions(1), *tallies]
    engine.accept(enumerate(log))
    return engine


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(2, 90))
def test_volumes_are_those_of_counting_the_mail_again(seed: int, minutes: int) -> None:
    """Whole minutes of the last one, ten or sixty (in steps of ten), and this minute so far."""
    mail = site(seed, minutes)
    engine = engine_of(mail)
    now = engine.watermark()
    assert now is not None
    traffic = Traffic(engine)
    traffic.at(now)
    minute = now // 60 * 60
    begins = {SHORT_S: minute - 60, LONG_S: minute - 600, HOUR_S: minute // 600 * 600 - 3_600}
    for span_s, first in begins.items():
        counts = Counter(asn for at, asn in mail if first <= at <= now)
        assert traffic.site(span_s) == sum(counts.values())
        assert traffic.singles(span_s) == sum(count == 1 for count in counts.values())
        for asn in range(64_500, 64_504):
            group = int(group_hashes(engine.sources.group[[0]] * 0 + asn)[0])
            assert traffic.volume(group, span_s) == counts[asn]
    assert traffic.volume(1, HOUR_S) == 0


def test_asked_tick_by_tick_it_says_what_it_says_at_once() -> None:
    """What is kept of the minute in between changes nothing: snapshots do not hold it."""
    mail = [(START + 120 + second, 64_500 + second % 3) for second in range(50)]
    engine = engine_of([(START, 64_500), *mail, (START + 175, 64_500)])
    now = engine.watermark()
    assert now is not None
    stepwise, at_once = Traffic(engine), Traffic(engine)
    for tick in range(START + 121, now + 1, 7):
        stepwise.at(tick)
    stepwise.at(now)
    at_once.at(now)
    for span_s in (SHORT_S, LONG_S, HOUR_S):
        assert stepwise.site(span_s) == at_once.site(span_s) > 0
        assert stepwise.singles(span_s) == at_once.singles(span_s)


def test_who_sends_others_more_than_usual_is_busier_and_nobody_less_than_once() -> None:
    """A hundred in each ten minutes, of which 400 are learned; then 30 within a minute.

    Its part of all mail is smoothed: 401 of 500, so that 80 of the hundred are its usual.
    """
    mail = [(START + 180 + second * 6, 64_500) for second in range(500)]
    last = START + 180 + 3_000
    mail += [(last + second, 64_500) for second in range(30)]
    engine = engine_of(mail)
    now = engine.watermark()
    assert now is not None
    traffic = Traffic(engine)
    traffic.at(now)
    group = int(group_hashes(engine.sources.group[[0]] * 0 + 64_500)[0])
    assert traffic.usual(group) == pytest.approx(100 * 401 / 500, rel=0.01)
    assert 1.5 < traffic.busier(group, SHORT_S, 0, 0.0) < 3.0
    assert traffic.busier(group, SHORT_S, 10**6, 0.0) == 1.0
    assert traffic.busier(12_345, SHORT_S, 0, 0.0) >= 1.0
