"""Concentrations: all subjects in one pass find what a look at each alone finds."""

import math
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.events.interning import KeyTables
from detector.events.key_texts import KeyTexts
from detector.judge.concentration import LEAST_PER_VICTIM, Concentration, concentrations
from detector.memory.evidence import EvidenceLog
from detector.memory.relations import Relations, mixed_one
from detector.memory.tracking import Sources, Victims, group_hashes
from detector.policy.settings import ConcentrationRule
from detector.tally.rows import Rows

TICK = 1_199
Row = tuple[int, int, int, int, int, int]
"""Close, tick, source, its ASN, mailbox, messages."""


def story(rng: Random) -> list[Row]:
    """Give rows of ten minutes and more: a few sources with favourites, and late rows."""
    rows = []
    for _ in range(rng.randrange(400)):
        at = rng.randrange(500, TICK + 1) if rng.random() < 0.6 else rng.randrange(1_130, TICK + 1)
        ip = rng.randrange(1, 6)
        rcpt = rng.choice((1, 2, rng.randrange(1, 20)))
        late = rng.choice((0, 0, 0, 30, 70))
        rows.append((at, at - late, ip, rng.choice((ip % 3, ip % 2 + 70_000)), rcpt, 1))
    return sorted(rows)


def naive(
    rule: ConcentrationRule, rows: list[Row], known: set[tuple[int, int]], names: KeyTexts,
    forgiven: dict[int, int], by: int,
) -> list[Concentration]:  # fmt: skip
    """Look at one subject after the other, row by row."""

    def sums(subject: int, since_at: int, since: int) -> tuple[dict[int, int], int]:
        out: dict[int, int] = {}
        every = 0
        for at, tick, ip, asn, rcpt, count in rows:
            mine = (ip, asn)[by] == subject and at >= since_at and tick >= since
            if not mine or tick <= forgiven.get(ip, -1):
                continue
            every += count
            out[rcpt] = out.get(rcpt, 0) + count * ((asn, rcpt) not in known)
        return out, every

    found = []
    for subject in sorted({row[2 + by] for row in rows}):
        last, every = sums(subject, TICK - 59, -1)
        few = sum(sorted(last.values(), reverse=True)[: rule.victims])
        if few < rule.share * every or few < rule.per_10min // 10:
            continue
        for span_s, limit in ((60, rule.per_min), (600, rule.per_10min)):
            each, every = sums(subject, TICK + 1 - span_s, TICK + 1 - span_s)
            least = max(rule.per_victim * span_s / 600, LEAST_PER_VICTIM)
            order = sorted(each, key=lambda slot: (-each[slot], names[slot]))[: rule.victims]
            top = tuple(slot for slot in order if each[slot] >= least)
            count = sum(each[slot] for slot in top)
            if count < limit or count < rule.share * every:
                continue
            counts: dict[int, int] = {}
            for at, tick, ip, asn, rcpt, one in rows:
                inside = min(at, tick) > TICK - span_s and tick > forgiven.get(ip, -1)
                if (ip, asn)[by] == subject and rcpt in top and inside and (asn, rcpt) not in known:
                    counts[ip] = counts.get(ip, 0) + one
            share = count / every
            found.append(Concentration(subject, span_s, count, limit, share, top, counts, None))
            break
    return found


@settings(max_examples=300)
@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_one_pass_finds_what_a_look_at_each_subject_finds(
    seed: int, by_asn: bool, removals: bool
) -> None:
    """For sources and for ASNs, with relations, late rows and removed sources."""
    rng = Random(seed)
    rows = story(rng)
    rule = ConcentrationRule(
        per_min=rng.choice((5, 12)), per_10min=rng.choice((10, 40)), victims=rng.choice((1, 2, 5)),
        share=rng.choice((0.3, 0.8, 1.0)), per_victim=rng.choice((2, 30)),
    )  # fmt: skip
    tables = KeyTables()
    tables.ips.slots(texts := [f"192.0.2.{i}" for i in range(8)], len(texts))
    tables.mailboxes.slots(texts := [f"{i % 7}.{i}@example.org" for i in range(20)], len(texts))
    sources, mailboxes = Sources(tables.ips), Victims(tables.mailboxes)
    sources.ensure()
    mailboxes.ensure()
    mailboxes.admit(np.arange(1, 20), np.zeros(19, np.int64), (1, 1))
    relations = Relations(1_024, 14)
    asns = sorted({row[3] for row in rows})
    hashes = dict(zip(asns, group_hashes(np.array(asns, np.int64)).tolist(), strict=True))
    pairs = [(asn, rcpt) for asn in asns for rcpt in range(1, 20)]
    keys = [mixed_one(int(mailboxes.hash[rcpt]), hashes[asn]) for asn, rcpt in pairs]
    learned = np.array([key for key in keys if rng.random() < 0.2], np.uint64)
    relations.learn(learned, np.ones(learned.size, np.int64))
    known = {pair for pair, key in zip(pairs, keys, strict=True) if relations.known(key)}
    at, tick, ip, asn, rcpt, count = np.array(rows, np.int64).reshape(-1, 6).T
    fresh = [one * ((row[3], row[4]) not in known) for row in rows for one in row[5:]]
    evidence = EvidenceLog(10_000)
    evidence.append(
        Rows(
            tick, ip.astype(np.int32), rcpt.astype(np.int32), np.zeros(len(rows), np.uint8),
            count.astype(np.uint32), np.zeros(len(rows), np.uint32),
            np.zeros(len(rows), np.uint64), np.full(len(rows), -1, np.int64),
        ),
        at, asn, count.astype(np.uint32), np.array(fresh, np.uint32),
    )  # fmt: skip
    forgiven = {rng.randrange(1, 6): rng.randrange(600, TICK)} if removals else {}
    got = concentrations(
        rule, TICK, evidence, sources, mailboxes, relations, {} if by_asn else None, forgiven
    )
    want = naive(rule, rows, known, tables.mailboxes.names, forgiven, int(by_asn))
    assert got == want
    assert all(type(one.subject) is int and math.isfinite(one.share) for one in got)
