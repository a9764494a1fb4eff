"""The Redis store on a real server: what others read, racing publishers, bounds."""

import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

import orjson
import pytest

from detector.errors import StoreConflictError, StoreError, StoreGapError
from pipelines.clock import now_ms
from pipelines.ports import BlockStore
from pipelines.stores import open_store
from pipelines.stores.redis import RedisBounds, RedisStore
from tests.services.redis_server import RunningRedis, shared_redis
from tests.stored_changes import change, mixed

__all__ = ["shared_redis"]
pytestmark = pytest.mark.needs("redis-server")

SOURCE = "192.0.2.7"
KEY = f"floodwatch:ip:{SOURCE}"
LATER = 10**14


@pytest.fixture
def server(shared_redis: RunningRedis) -> RunningRedis:
    with closing(shared_redis.client()) as client:
        client.flushall()
        client.script_flush()
    return shared_redis


@pytest.fixture
def redis(server: RunningRedis) -> Iterator[Any]:
    with closing(server.client()) as client:
        yield client


@pytest.fixture
def store(server: RunningRedis) -> Iterator[BlockStore]:
    with closing(open_store(server.url)) as opened:
        yield opened


def test_one_get_answers_whether_an_address_is_listed(store: BlockStore, redis: Any) -> None:
    store.apply([change(1, hard_until=LATER), change(2, "extend", until=9, hard_until=LATER + 1)])
    assert orjson.loads(redis.get(KEY)) == {
        "since": 1_700_000_000_001,
        "subject": SOURCE,
        "tier": "temporary",
        "rule": "victim_flood",
        "asn": 64496,
        "provider": "",
        "first_seen": 0,
        "last_seen": 1,
        "until": 9,
        "hard_until": LATER + 1,
        "policy": "p1",
        "seq": 2,
    }
    assert redis.pexpiretime(KEY) == LATER + 1
    assert redis.get("floodwatch:ip:192.0.2.8") is None


def test_an_ipv6_network_is_found_under_its_64(store: BlockStore, redis: Any) -> None:
    store.apply([change(1, "list", "2001:db8:1:2::/64", hard_until=LATER)])
    assert orjson.loads(redis.get("floodwatch:ip:2001:db8:1:2::/64"))["since"] == 1_700_000_000_001


@pytest.mark.parametrize("kind", ["remove", "expire", "hold"])
def test_what_ends_a_listing_takes_its_key_away(store: BlockStore, redis: Any, kind: str) -> None:
    store.apply([change(1, hard_until=LATER)])
    assert redis.exists(KEY)
    store.apply([change(2, kind, hard_until=LATER)])
    assert not redis.exists(KEY)
    store.apply([change(3, "release", hard_until=LATER)])
    assert redis.exists(KEY)


def test_a_shadow_listing_is_kept_and_not_published(store: BlockStore, redis: Any) -> None:
    store.apply([change(1, shadow=True, hard_until=LATER)])
    assert not redis.exists(KEY)
    row = store.get(SOURCE, 0)
    assert row is not None
    assert row.shadow
    store.apply([change(2, "extend", hard_until=LATER)])
    assert redis.exists(KEY)
    store.apply([change(3, "extend", shadow=True, hard_until=LATER)])
    assert not redis.exists(KEY)
    assert [one.listed_seq for one in store.listings(0)] == [1]


def test_the_server_itself_ends_a_listing(store: BlockStore, redis: Any) -> None:
    """Nothing of ours runs at the hard end: the key goes, the row stays for the port."""
    redis.config_set("notify-keyspace-events", "Ex")
    with closing(redis.pubsub(ignore_subscribe_messages=True)) as told:
        told.subscribe("__keyevent@0__:expired")
        ends = now_ms() + 300
        store.apply([change(1, hard_until=ends)])
        assert 0 < redis.pttl(KEY) <= 300
        assert KEY in (message["data"] for message in told.listen())
    redis.config_set("notify-keyspace-events", "")
    assert not redis.exists(KEY)
    assert store.get(SOURCE, ends - 1) is not None


@pytest.mark.parametrize("hard_until", [5000, 0, -1, -(2**63)])
def test_a_replay_of_old_mail_publishes_nothing(
    store: BlockStore, redis: Any, hard_until: int
) -> None:
    store.apply([change(1, hard_until=LATER), change(2, "list", "192.0.2.8", hard_until=LATER)])
    time = max(hard_until - 1000, -(2**63))
    store.apply([change(3, "extend", time=time, hard_until=hard_until)])
    assert redis.keys("floodwatch:ip:*") == ["floodwatch:ip:192.0.2.8"]
    row = store.get(SOURCE, -(2**63))
    assert (row and row.hard_until_ms) == (hard_until if hard_until > -(2**63) else None)


def test_numbers_beyond_floating_point_stay_exact(store: BlockStore, redis: Any) -> None:
    big, time = 2**63 - 1, 2**53 + 1
    store.start_behind(big - 3)
    store.apply([change(big - 2, time=time, hard_until=big, until=big)])
    store.apply([change(big - 1, "extend", time=time + 1, hard_until=big)])
    row = store.get(SOURCE, big - 1)
    assert row is not None
    assert (row.listed_seq, row.listed_ms, row.seq) == (big - 2, time, big - 1)
    assert (store.last_seq(), redis.exists(KEY)) == (big - 1, 1)
    assert [entry["time"] for entry in store.audit(SOURCE)] == [time, time + 1]


def test_subjects_that_begin_alike_are_kept_apart(store: BlockStore) -> None:
    subjects = ["a", "a 0", "a 1", "a ", "ab", "[a", "(a", "ä", "a\x00"]
    changes = [change(seq, "list", subject) for seq, subject in enumerate(subjects, start=1)]
    store.apply(changes)
    for one in changes:
        assert store.audit(one["subject"]) == [one]
    assert [row.subject for row in store.listings(0)] == sorted(subjects)
    assert [row.subject for row in store.listings(0, after="a ")] == sorted(subjects)[5:]


def test_publishers_that_race_store_each_change_once(server: RunningRedis) -> None:
    changes = mixed(3_000, seed=5)
    edges = {
        1: range(0, 3_001, 150),
        2: [0, *range(70, 3_001, 293), 3_000],
        3: range(0, 3_001, 600),
    }
    stored = dict.fromkeys(edges, 0)
    begin = threading.Barrier(len(edges))
    wrong: list[BaseException] = []

    def publish(number: int) -> None:
        try:
            with closing(RedisStore(server.url, bounds=RedisBounds(at_once=37))) as store:
                begin.wait()
                for start, end in pairwise(edges[number]):
                    facts = {f"publisher {number}": str(end)}
                    stored[number] += store.apply(changes[start:end], facts)
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread of the test
            wrong.append(error)

    threads = [threading.Thread(target=publish, args=(number,)) for number in edges]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(stored.values()) == len(changes)
    with closing(open_store(server.url)) as store, closing(open_store("memory:")) as plain:
        plain.apply(changes)
        assert store.listings(0) == plain.listings(0)
        assert store.held(0) == plain.held(0)
        for subject in {one["subject"] for one in changes}:
            assert store.audit(subject) == plain.audit(subject)
        assert [store.fact(f"publisher {number}") for number in edges] == ["3000"] * 3


def test_publishers_that_disagree_do_not_both_go_on(server: RunningRedis) -> None:
    with closing(open_store(server.url)) as one, closing(open_store(server.url)) as other:
        one.apply([change(1)])
        with pytest.raises(StoreConflictError, match='"rule" stands as "victim_flood"'):
            other.apply([change(1, rule="source_flood"), change(2, "extend")])
        assert one.last_seq() == 1


def test_a_store_that_was_emptied_wants_the_changes_from_the_first_on(
    store: BlockStore, redis: Any
) -> None:
    store.apply([change(1), change(2, "extend")])
    redis.flushall()
    redis.script_flush()
    with pytest.raises(StoreGapError) as caught:
        store.apply([change(3, "extend")])
    assert (caught.value.expected, caught.value.got) == (1, 3)
    assert store.apply([change(1), change(2, "extend"), change(3, "extend")]) == 3


def bounded(server: RunningRedis, **bounds: int) -> RedisStore:
    return RedisStore(server.url, bounds=RedisBounds(**bounds))


def test_of_the_changes_the_last_are_kept_and_the_number_is_never_lost(
    server: RunningRedis, redis: Any
) -> None:
    changes = mixed(400, seed=6)
    with closing(bounded(server, changes=100, at_once=30)) as store:
        for start in range(0, 400, 70):
            store.apply(changes[start : start + 70])
        assert redis.xlen("floodwatch:changes") == redis.zcard("floodwatch:changes:of") == 100
        assert store.last_seq() == 400
        for subject in {one["subject"] for one in changes}:
            assert store.audit(subject) == [c for c in changes[300:] if c["subject"] == subject]
        assert store.apply(changes) == 0
        assert store.apply([changes[200] | {"rule": "another"}]) == 0
        with pytest.raises(StoreConflictError):
            store.apply([changes[350] | {"rule": "another"}])
        with closing(open_store("memory:")) as plain:
            plain.apply(changes)
            assert store.listings(0) == plain.listings(0)


def test_of_one_subject_only_the_last_changes_are_found(server: RunningRedis) -> None:
    with closing(bounded(server, changes_of_subject=5, at_once=4)) as store:
        store.apply([change(1, "list", "192.0.2.8")])
        store.apply([change(seq, "extend") for seq in range(2, 40)])
        assert [entry["seq"] for entry in store.audit(SOURCE)] == [35, 36, 37, 38, 39]
        assert [entry["seq"] for entry in store.audit("192.0.2.8")] == [1]


def test_rows_that_nobody_cleared_go_long_after_their_end(server: RunningRedis, redis: Any) -> None:
    with closing(bounded(server, forget_after_ms=1000)) as store:
        store.apply([change(1, hard_until=5000, time=1), change(2, "hold", "192.0.2.8", time=1)])
        store.apply([change(3, "refuse", "192.0.2.9", time=6000)])
        assert store.get(SOURCE, 0) is not None
        store.apply([change(4, "refuse", "192.0.2.9", time=6001)])
        assert store.get(SOURCE, 0) is None
        assert [row.subject for row in store.held(0)] == ["192.0.2.8"]
        assert redis.zrange("floodwatch:ends", 0, -1) == ["192.0.2.8"]


def test_answered_requests_are_bounded_and_pending_ones_stay(server: RunningRedis) -> None:
    with closing(bounded(server, answered_requests=2)) as store:
        for number in range(1, 6):
            assert store.add_request("removal", SOURCE, 1, "") == number
            if number > 1:
                store.apply([change(number - 1, "refuse", request=str(number))])
        ids = [(one.id, one.answered_seq) for one in store.requests(pending_only=False)]
        assert ids == [(1, None), (4, 3), (5, 4)]
        assert [one.id for one in store.requests(pending_only=True)] == [1]


def test_writing_leaves_no_other_keys(store: BlockStore, redis: Any) -> None:
    store.add_request("removal", SOURCE, 1, "")
    store.apply([change(1, request="1"), change(2, "remove")], {"a": "b"})
    assert sorted(redis.keys()) == [
        "floodwatch:changes",
        "floodwatch:changes:of",
        "floodwatch:facts",
        "floodwatch:meta",
        "floodwatch:requests:answered",
    ]


def test_reading_writes_nothing(store: BlockStore, redis: Any) -> None:
    with pytest.raises(StoreError):
        store.apply([change(7)])
    store.listings(0)
    store.start_behind(0)
    assert redis.keys() == []
