"""A parser goes on where another one was: its state is plain JSON, and all it needs."""

import gzip
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.demo_traffic import MAIL_LOG
from pipelines.parsers.postfix import PostfixParser

LINES = gzip.decompress(MAIL_LOG.read_bytes()).split(b"\n")[:2_000]
OTHER_HOST = [line.replace(b" mx1 ", b" mx2 ", 1) for line in LINES[:700]]
ALL = [line for pair in zip(LINES[:700], OTHER_HOST, strict=True) for line in pair] + LINES[1_000:]
NOW_MS = 1_790_000_000_000


def parser(most_open: int) -> PostfixParser:
    return PostfixParser(reference_ms=NOW_MS, most_open=most_open)


def events(one: PostfixParser, lines: list[bytes], first: int) -> list[Any]:
    parsed = one.feed(lines, first)
    got = parsed.events
    return [
        *zip(got.record, got.time_ms, got.client_ip, got.recipient, got.sender, got.outcome,
             strict=True),
        *parsed.rejects,
    ]  # fmt: skip


@settings(max_examples=30)
@given(st.lists(st.integers(0, len(ALL)), max_size=4), st.sampled_from((10, 100, 131_072)))
def test_a_parser_that_is_replaced_anywhere_reads_the_same(cuts: list[int], most: int) -> None:
    wanted = events(parser(most), ALL, 0)
    one, got, bounds = parser(most), [], sorted({0, *cuts, len(ALL)})
    for first, last in pairwise(bounds):
        got += events(one, ALL[first:last], first)
        state = orjson.dumps(one.state())
        one = parser(most)
        one.restore(orjson.loads(state))
    assert sorted(map(repr, got)) == sorted(map(repr, wanted))
    assert len(wanted) > 200


def test_dates_without_a_year_are_read_by_the_latest_reference() -> None:
    line = b"Jan  1 00:00:01 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from a.example[192.0.2.7]: 550 5.7.1 no; from=<a@a.example> to=<b@b.example> proto=ESMTP"  # noqa: E501
    new_year_2027 = 1_798_761_601_000
    one = PostfixParser(reference_ms=new_year_2027 - 40 * 86_400_000)
    one.refer_to(new_year_2027, 0)
    assert one.feed([line], 0).events.time_ms == [new_year_2027]
    one.refer_to(new_year_2027, 3_600)
    assert one.feed([line], 0).events.time_ms == [new_year_2027 - 3_600_000]
