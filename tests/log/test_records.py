"""The wire form of the log: the same bytes alone or together, and nothing but records is read."""

from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import LogFormatError
from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from detector.log.records import (
    AllowlistChange,
    Dead,
    LogRecord,
    Partitions,
    RemovalRequest,
    decode_record,
    decode_records,
    encode_record,
    encode_tallies,
)
from detector.tally.tally import PartitionTally, Tally
from tests.builders import event_line, story


def tallies(seed: int, tables: KeyTables) -> list[Tally]:
    """Give the tallies of a story, empty and late ones among them."""
    lines = [event_line(event.fields) for event in story(Random(seed), 1, minutes=6)]
    events, _, read = EventReader(tables).read_json(b"\n".join(lines) + b"\n", 0)
    partition = PartitionTally(0, 2, 30)
    found, _ = partition.feed(events, read, final=True)
    return found + partition.finish()


@settings(max_examples=25)
@given(st.integers(0, 50), st.lists(st.integers(0, 400), max_size=6))
def test_tallies_are_the_same_bytes_alone_or_together(seed: int, cuts: list[int]) -> None:
    tables = KeyTables()
    made = tallies(seed, tables)
    alone = [encode_record(one, tables) for one in made]
    assert any(not len(one) for one in made)
    edges = sorted({0, len(made), *(min(cut, len(made)) for cut in cuts)})
    together = [
        blob for start, stop in pairwise(edges) for blob in encode_tallies(made[start:stop], tables)
    ]
    assert together == alone
    others = KeyTables()
    others.ips.slots(["192.0.2.99", "203.0.113.9"], 2)
    controls: list[LogRecord] = [
        Partitions(3), Dead(1), RemovalRequest(5, "192.0.2.1", "7"), AllowlistChange(6, ("::/0",)),
    ]  # fmt: skip
    mixed = [encode_record(one, tables) for one in controls] + together
    Random(seed).shuffle(mixed)
    read = decode_records(mixed, others)
    assert [encode_record(one, others) for one in read] == mixed
    assert [encode_record(decode_record(blob, others), others) for blob in mixed] == mixed


def tally_with(**parts: object) -> bytes:
    """Give a tally in which something is otherwise."""
    tables = KeyTables()
    blob = encode_record(next(one for one in tallies(1, tables) if len(one) > 1), tables)
    return blob[:1] + msgspec.msgpack.encode(msgspec.msgpack.decode(blob[1:]) | parts)


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", "got version nothing, want version 1"),
        (b"\x02\x80", "got version 2, want version 1"),
        (b"\x01", "want a record"),
        (b"\x01\xc1", "want a record"),
        (b"\x01\x80", "KeyError"),
        (b"\x01" + msgspec.msgpack.encode([1, 2]), "want a record"),
        (b"\x01" + msgspec.msgpack.encode({"kind": "Purge"}), "KeyError"),
        (b"\x01" + msgspec.msgpack.encode({"kind": ["Dead"]}), "TypeError"),
        (b"\x01" + msgspec.msgpack.encode({"kind": "Dead", "partition": 1, "x": 2}), "TypeError"),
        (tally_with(columns=[b""] * 8), None),
        (tally_with(columns=[b"\0" * 8] + [b""] * 7), "columns of different lengths"),
        (tally_with(columns=[b"\0"] * 8), "columns of different lengths"),
        (tally_with(columns=[b""] * 7), "longer"),
        (tally_with(head=[1, 2, 3]), "want six numbers"),
        (tally_with(head=["0"] * 6), "want six numbers"),
        (tally_with(ips=[]), "ips: a row names a key that is not there"),
        (tally_with(mailboxes=[]), "mailboxes: a row names a key that is not there"),
        (tally_with(ips=[7] * 100), "want texts"),
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused_with_its_place(blob: bytes, message: str | None) -> None:
    tables = KeyTables()
    good = encode_record(Partitions(1), tables)
    if message is None:
        assert len(decode_records([good, blob], tables)) == 2
        return
    with pytest.raises(LogFormatError, match=message) as caught:
        decode_records([good, blob, good], tables)
    assert caught.value.index == 1
