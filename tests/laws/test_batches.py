"""Batches, interleaving and allowed orders change nothing; an obvious oracle counts the same."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any, Final

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.engine import Engine
from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from detector.judge.cases import Case
from detector.judge.floods import HOUR_STEPS
from detector.judge.rows import LONG_S, SHORT_S, CaseRow
from detector.log.closing import LogCloser
from detector.log.records import (
    AllowlistChange,
    AsnTableChange,
    End,
    LogRecord,
    OperatorAction,
    Partitions,
    PolicyChange,
    RemovalRequest,
    decode_record,
    encode_record,
)
from detector.policy.settings import Policy
from detector.policy.text import policy_to_json
from detector.tally import tally as tally_module
from detector.tally.tally import PartitionTally, ResumePoint, Rows, Tally
from tests.builders import (
    KNOWN,
    START_MS,
    asn_table,
    event_line,
    interleaved,
    quick_policy,
    story,
)
from tests.naive import Key, NaiveCase, NaivePartition, naive_events
from tests.strategies import arrivals, batches, shuffled_within

ALL_CHANGES: Final = {"list", "extend", "remove", "expire", "refuse", "hold", "release"}
STORIES: Final = 120
MINUTES: Final = (8, 8, 8, 48)
"""How long stories last: after half an hour what was learned decides."""

# -- the counting core against the oracle ------------------------------------------------------


def tallies_of(
    lines: list[bytes], cuts: list[int], tables: KeyTables, lateness_s: int
) -> tuple[list[Tally], set[int]]:
    """Read the records of one partition in batches."""
    reader, part = EventReader(tables), PartitionTally(0, lateness_s, 30)
    tallies: list[Tally] = []
    rejected: set[int] = set()
    for first, stop in pairwise(cuts):
        block = b"".join(line + b"\n" for line in lines[first:stop])
        events, rejects, _ = reader.read_json(block, first)
        made, future = part.feed(events, stop)
        tallies += made
        rejected |= {one.position for one in (*rejects, *future)}
    events, _, _ = reader.read_json(b"", len(lines))
    made, future = part.feed(events, len(lines), final=True)
    rejected |= {one.position for one in future}
    return [*tallies, *made, *part.finish()], rejected


def keyed(rows: Rows, tables: KeyTables) -> Counter[Key]:
    """Count rows by their names."""
    out: Counter[Key] = Counter()
    for tick, ip, rcpt, outcome, count in zip(
        rows.tick.tolist(), rows.ip.tolist(), rows.rcpt.tolist(), rows.outcome.tolist(),
        rows.count.tolist(), strict=True,
    ):  # fmt: skip
        box = None if rcpt < 0 else tables.mailboxes.names[rcpt]
        out[tick, tables.ips.names[ip], box, outcome] += count
    return out


@settings(max_examples=1_000)
@given(st.data())
def test_tallies_and_closes_count_what_an_obvious_oracle_counts(data: st.DataObject) -> None:
    """In any batches each event counts once, at its tick, at the close the oracle names."""
    lateness_s = data.draw(st.sampled_from((0, 2, 5)))
    fields = data.draw(arrivals(30))
    lines = [event_line(one) for one in fields]
    tables = KeyTables()
    tallies, rejected = tallies_of(lines, data.draw(batches(len(lines))), tables, lateness_s)
    naive = NaivePartition(lateness_s, 30)
    naive.read(naive_events(lines))
    assert rejected == naive.rejected
    assert [one.number for one in tallies] == list(range(1, len(tallies) + 1))
    counts: Counter[Key] = Counter()
    late: Counter[Key] = Counter()
    nulls = 0
    for one in tallies:
        named = keyed(one.rows, tables)
        counts += named
        late += Counter({key: n for key, n in named.items() if key[0] < one.tick})
        nulls += int(one.rows.nulls.sum())
    assert counts == naive.counts
    assert late == naive.late
    assert nulls == sum(naive.nulls.values())
    closer = LogCloser()
    closes: dict[int, Counter[Key]] = {}
    log: list[LogRecord] = [Partitions(1), *tallies, End(0)]
    for offset, record in enumerate(log):
        closer.take(record, offset)
        if data.draw(st.booleans()) or isinstance(record, End):
            close = closer.close()
            if close is not None:
                for at in np.unique(close.at).tolist():
                    index = np.flatnonzero(close.at == at)
                    rows = tally_module.take_rows(close.rows, index)
                    closes[at] = keyed(rows, tables)
    assert closes == naive.counts_at


@settings(max_examples=500)
@given(st.data())
def test_batches_change_no_byte_of_a_tally(data: st.DataObject) -> None:
    """The same records in other batches, other slots and small parts make the same bytes."""
    lines = [event_line(one) for one in data.draw(arrivals(30))]
    made: list[list[bytes]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally_module, "PART_ROWS", data.draw(st.sampled_from((3, 5, 8_192))))
        for cuts in ([0, len(lines)], data.draw(batches(len(lines)))):
            tables = KeyTables()
            tables.ips.slots(["2001:db8::7", "10.0.0.1"][: len(made)], len(made))
            tallies, _ = tallies_of(lines, cuts, tables, 2)
            made.append([encode_record(one, tables) for one in tallies])
    assert made[0] == made[1]


@settings(max_examples=800)
@given(st.data())
def test_a_partition_changes_hands_at_any_point_without_losing_a_row(data: st.DataObject) -> None:
    """From any commit the next owner makes the same tallies with the same numbers."""
    lines = [event_line(one) for one in data.draw(arrivals(30))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally_module, "PART_ROWS", data.draw(st.sampled_from((3, 8_192))))
        tables = KeyTables()
        whole, _ = tallies_of(lines, [0, len(lines)], tables, 2)
        want = [encode_record(one, tables) for one in whole]
        log: list[bytes] = []
        point: ResumePoint | None = None
        steps = data.draw(st.lists(st.integers(0, 6), max_size=60)) + [0] * len(lines)
        owner: HandedOver | None = None
        for step in steps:
            if owner is None:
                owner = HandedOver(lines, point, log)
            if step in {0, 1}:
                owner.read(1 if step else 5)
            elif step == 2:
                owner.part.acknowledge(data.draw(st.integers(0, len(log))))
            elif step in {3, 4}:
                point = owner.part.resume_point()
                owner = owner if step == 4 else None
            elif step == 5:
                owner = None
        owner = owner or HandedOver(lines, point, log)
        owner.read(len(lines))
        owner.finish()
        assert log == want
        for _ in range(2):
            owner.part.acknowledge(data.draw(st.integers(0, len(log))))
            owner = HandedOver(lines, owner.part.resume_point(), log)
            owner.read(len(lines))
            owner.finish()
        assert log == want


class HandedOver:
    """One owner of a partition; it adds to a log that others have written to."""

    def __init__(self, lines: list[bytes], point: ResumePoint | None, log: list[bytes]) -> None:
        self.tables = KeyTables()
        self.part = PartitionTally(0, 2, 30)
        self.position = 0
        self._lines, self._log = lines, log
        self._reader = EventReader(self.tables)
        if point is not None:
            self.part.resume(point)
            self.position = point.offset

    def read(self, count: int, *, final: bool = False) -> None:
        """Read some records."""
        stop = min(len(self._lines), self.position + count)
        block = b"".join(line + b"\n" for line in self._lines[self.position : stop])
        events, _, _ = self._reader.read_json(block, self.position)
        self.position = stop
        self._append(self.part.feed(events, stop, final=final)[0])

    def finish(self) -> None:
        """Close the finite input."""
        self.read(0, final=True)
        self._append(self.part.finish())

    def _append(self, tallies: list[Tally]) -> None:
        for one in tallies:
            blob = encode_record(one, self.tables)
            if one.number <= len(self._log):
                assert self._log[one.number - 1] == blob
            else:
                assert one.number == len(self._log) + 1
                self._log.append(blob)


row = st.builds(
    CaseRow, tick=st.integers(0, 3), ip=st.integers(0, 3), group=st.integers(1, 2),
    mailbox=st.integers(0, 2), all=st.integers(0, 9), attempts=st.integers(0, 9),
    deferred=st.just(0), senders=st.just(0), asn=st.just(-1), nulls=st.just(0),
    first=st.just(False),
)  # fmt: skip


@settings(max_examples=1_000)
@given(
    st.lists(st.tuples(st.sampled_from((0, 1, 1, 30, 59, 60, 200, 599, 900)), row), max_size=30),
    st.lists(st.integers(0, 4_000), max_size=30),
    st.data(),
)
def test_the_windows_of_a_case_count_like_an_obvious_oracle(
    steps: list[tuple[int, CaseRow]], lags: list[int], data: st.DataObject
) -> None:
    """Sliding windows to the second, the hour in steps; with late rows and removals.

    What is taken out stays in the hour where its rows are older than ten minutes.
    """
    case, naive, now = Case("mailbox", 0), NaiveCase(), 100_000
    case.advance(now)
    for index, (gap, drawn) in enumerate(steps):
        now += gap
        one = drawn._replace(tick=now - (lags[index] if index < len(lags) else 0))
        case.advance(now)
        assert case.add(one) == (now - one.tick < LONG_S)
        naive.rows.append(one)
        what = data.draw(st.sampled_from(("nothing", "nothing", "drop")))
        young = [r for r in naive.rows if now - r.tick < LONG_S]
        if what == "drop":
            upto = now - data.draw(st.integers(0, 700))
            case.drop({1}, upto)
            gone = [r for r in young if r.ip == 1 and r.tick <= upto]
        else:
            gone = []
        naive.rows = [r for r in naive.rows if all(r is not g for g in gone)]
        hour_s = now % LONG_S + 1 + (HOUR_STEPS - 1) * LONG_S
        for span_s, window in ((SHORT_S, SHORT_S), (LONG_S, LONG_S), (3_600, hour_s)):
            got, total = case.window(span_s)
            assert got == naive.by_group(now, window)
            assert total == sum(got.values())
        assert case.tried_long == naive.attempts(now, LONG_S)
        assert [r.tick for r in case.recent(300)] == sorted(
            r.tick for r in naive.rows if now - 300 < r.tick <= now
        )
        assert sum(case.timeline()) == case.all_long


# -- decisions ---------------------------------------------------------------------------------


def controls_of(rng: Random, policy: Policy, minutes: int) -> list[LogRecord]:
    """Give controls of every kind, all known from the start and due at their times."""
    other = quick_policy(rng, tight=0)
    subjects = ["192.0.2.10", "192.0.2.20", "203.0.113.9", "100.70.0.0", "100.71.1.1", "10.0.0.0"]
    out: list[LogRecord] = []
    for number in range(rng.randrange(25)):
        time_ms = START_MS + rng.randrange(minutes * 60_000)
        subject = rng.choice(subjects)
        out.append(
            rng.choice(
                (
                    RemovalRequest(time_ms, subject, f"r{number}"),
                    RemovalRequest(time_ms, subject, f"r{number}"),
                    OperatorAction(time_ms, "release", subject, f"o{number}"),
                    OperatorAction(time_ms, "remove", subject, f"o{number}"),
                    OperatorAction(time_ms, "purge", "rule=victim_flood", f"o{number}"),
                    AllowlistChange(time_ms, ("100.72.0.0/16",)),
                    AsnTableChange(time_ms, asn_table(newer=number % 2 == 0).digest),
                    PolicyChange(time_ms, policy_to_json(replace(other, clock=policy.clock))),
                )
            )
        )
    for number in range(15):
        time_ms = START_MS + rng.randrange(240_000, minutes * 60_000)
        out.append(OperatorAction(time_ms, "release", rng.choice(KNOWN), f"h{number}"))
    return out


def decisions(
    policy: Policy, partitions: list[list[bytes]], controls: list[LogRecord], rng: Random
) -> bytes:
    """Decide: each partition read in batches, interleaved, over the wire or not."""
    tables = KeyTables()
    tables.ips.slots([f"10.9.{rng.randrange(99)}.1" for _ in range(5)], 5)
    waiting: list[list[LogRecord]] = []
    for number, lines in enumerate(partitions):
        reader = EventReader(tables)
        part = PartitionTally(number, policy.clock.lateness_s, policy.clock.future_s)
        records: list[LogRecord] = []
        position = 0
        while position < len(lines):
            stop = min(len(lines), position + rng.choice((1, 7, 50, 10_000)))
            block = b"".join(line + b"\n" for line in lines[position:stop])
            events, _, _ = reader.read_json(block, position)
            position = stop
            records += part.feed(events, stop, final=stop == len(lines))[0]
        waiting.append([*records, *part.finish(), End(number)])
    wire = rng.random() < 0.5
    engine = Engine(policy, KeyTables() if wire else tables, lookup=asn_table())
    engine.offer_table(asn_table(newer=True))
    log: list[LogRecord] = [Partitions(len(partitions)), *controls, *interleaved(waiting, rng)]
    if wire:
        log = [decode_record(encode_record(record, tables), engine.tables) for record in log]
    out: list[dict[str, Any]] = []
    offset = 0
    while offset < len(log):
        stop = min(len(log), offset + rng.choice((1, 2, 30, 10_000)))
        out += engine.accept(list(enumerate(log))[offset:stop])
        offset = stop
    return b"".join(orjson.dumps(change) + b"\n" for change in out)


def one_story(seed: int, attempt: int) -> bytes:
    """Decide one story; every attempt has another order, other batches and other slots."""
    rng = Random(seed)
    policy = quick_policy(rng)
    lateness_ms = policy.clock.lateness_s * 1_000
    count = rng.choice((1, 2))
    minutes = rng.choice(MINUTES)
    events = story(
        rng, count, minutes=minutes, floods=minutes // 3, late=False, lateness_ms=0
    )  # fmt: skip
    controls = controls_of(rng, policy, minutes)
    partitions = []
    for number in range(count):
        mine = [event for event in events if event.partition == number]
        times = [event.fields["time"] for event in mine]
        slack_ms = lateness_ms - 1 if attempt and lateness_ms else 0
        mine = shuffled_within(mine, times, slack_ms, attempt)
        partitions.append([event_line(event.fields) for event in mine])
    return decisions(policy, partitions, controls, Random(attempt))


@settings(max_examples=STORIES)
@given(st.integers(0, 2**32), st.integers(1, 2**32))
def test_any_allowed_order_and_any_batches_make_the_same_decisions(seed: int, other: int) -> None:
    """Within the lateness the order does not matter, nor do batches, slots and interleaving."""
    assert one_story(seed, 0) == one_story(seed, other)


def test_such_stories_have_every_kind_of_change() -> None:
    """The law above would mean little if nothing happened in its stories."""
    seen: set[str] = set()
    for seed in range(STORIES):
        seen |= {orjson.loads(line)["change"] for line in one_story(seed, 0).splitlines()}
        if seen == ALL_CHANGES:
            return
    assert seen == ALL_CHANGES
