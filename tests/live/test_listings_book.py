"""The listings as copies of the detector write them: records with keys are written and compared."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.kafka.listings_book import ListingsBook, ListingsConflictError
from pipelines.kafka.standing_records import StandingRecords
from pipelines.wire import Progress, Record, WireError, read_listing, record_line


def flood(name: str, tick: int, messages: int = 0) -> dict[str, Any]:
    return {"v": 1, "kind": "flood", "id": name, "tick": tick, "messages": messages or tick}


@dataclass
class Topic:
    """The listings, as far as a book sees them: it reads a few messages at a time."""

    messages: list[bytes] = field(default_factory=list)
    position: int = 0
    most: int = 3

    def shared(self) -> "Topic":
        return Topic(self.messages)

    async def bounds(self) -> tuple[int, int]:
        return 0, len(self.messages)

    async def start_at(self, offset: int) -> None:
        self.position = offset

    async def next_listings(self, timeout_s: float) -> list[tuple[Any, Any]]:
        assert timeout_s >= 0.0
        first = self.position
        found = self.messages[first : first + self.most]
        self.position += len(found)
        return [
            (SimpleNamespace(offset=first + i, value=line), read_listing(line, "listings"))
            for i, line in enumerate(found)
        ]

    async def append(self, _topic: str, line: bytes) -> None:
        self.messages.append(line)


async def opened(topic: Topic, offset: int = 0) -> ListingsBook:
    """Give the book of a detector that has decided nothing yet."""
    clients = SimpleNamespace(listings_topic="listings")
    plain, reader = cast("Any", clients), cast("Any", topic)
    book = ListingsBook(plain, reader, reader, derived=0)
    await book.open(offset)
    return book


LIVES = [flood(name, tick) for tick in range(10, 40) for name in "ab" if tick % 3 or name == "a"]


@given(st.integers(0, 2**32))
def test_copies_that_crash_write_every_record_and_never_disagree(seed: int) -> None:
    """Each goes on from a snapshot: the place in the records, and where to read the listings."""

    async def live() -> list[bytes]:
        rng, first = Random(seed), Topic()
        topics = [first, first.shared()]
        books = [await opened(topic) for topic in topics]
        places, saved = [0, 0], [(0, 0), (0, 0)]
        while min(places) < len(LIVES):
            one = rng.randrange(2)
            match rng.randrange(8):
                case 0:
                    topics[one] = first.shared()
                    places[one], offset = saved[one]
                    books[one] = await opened(topics[one], offset)
                case 1:
                    saved[one] = places[one], books[one].resume_offset
                case 2 | 3:
                    await books[one].listen()
                case _:
                    count = rng.randrange(1, 4)
                    await books[one].record(LIVES[places[one] : places[one] + count])
                    places[one] += count
        return first.messages

    messages = asyncio.run(live())
    assert list(dict.fromkeys(messages)) == [record_line(one) for one in LIVES]


async def test_a_record_that_stands_is_compared_and_not_written_again() -> None:
    topic = Topic([record_line(one) for one in LIVES])
    book = await opened(topic)
    assert await book.record(LIVES) == 0
    assert await book.record([flood("a", 50)]) == 1
    assert topic.messages[-1] == record_line(flood("a", 50))


@pytest.mark.parametrize("ours_first", [True, False])
async def test_other_bytes_under_one_key_end_the_detector(ours_first: bool) -> None:
    """Whichever comes first, and the message names the flood and the difference."""
    topic = Topic()
    other = record_line(flood("a", 10, 77))
    book = await opened(topic)
    if not ours_first:
        topic.messages.append(other)
        await book.listen()

    async def both() -> None:
        await book.record([flood("a", 10)])
        topic.messages.append(other)
        await book.listen()
        await book.listen()

    words = r"flood a at tick 10 stands as .*77.*, we decide .*10"
    with pytest.raises(ListingsConflictError, match=words):
        await both()


async def test_records_of_others_do_not_hold_back_where_a_successor_reads() -> None:
    """What a copy wrote of ticks that we have passed counts for nothing."""
    topic = Topic([record_line(flood("x", 5)), record_line(flood("y", 90))])
    book = await opened(topic)
    await book.listen()
    assert book.resume_offset == 0
    await book.record([flood("a", 50)])
    assert book.resume_offset == 1
    await book.record([flood("a", 100)])
    assert book.resume_offset == topic.position


def test_own_records_are_remembered_up_to_a_bound() -> None:
    records = StandingRecords()
    for tick in range(30_000):
        assert records.derive(("flood", "a", tick), b"x") is None
    assert records.hear(("flood", "a", 0), 0, b"y") is None
    assert records.hear(("flood", "a", 29_999), 1, b"y") == b"x"
    assert len(records) == 0


def test_a_reader_tells_records_from_changes_and_progress() -> None:
    """Kinds that it does not know are records too, which it skips."""
    body = {"v": 1, "kind": "account", "id": "x", "tick": 7, "more": 1}
    assert read_listing(record_line(body), "here") == Record("account", "x", 7, body)
    assert isinstance(
        read_listing(b'{"v":1,"progress":{"closed":1,"seq":2,"log_offset":3}}', ""), Progress
    )
    for wrong in ({"kind": 5}, {"id": None}, {"tick": "7"}):
        with pytest.raises(WireError, match="a record without a key"):
            read_listing(record_line(body | wrong), "here")
    with pytest.raises(WireError, match="version 2"):
        read_listing(record_line(body | {"v": 2}), "here")
