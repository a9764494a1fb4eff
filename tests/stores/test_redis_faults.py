"""The Redis store where its server is gone, a replica, full, or something else."""

import socket
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from detector.errors import (
    StoreForeignError,
    StoreUnavailableError,
    StoreUrlError,
    StoreVersionError,
)
from pipelines.ports import BlockStore
from pipelines.stores import open_store
from pipelines.stores.redis_scripts import KEYS
from tests.services.redis_server import (
    RunningRedis,
    redis_server,
)
from tests.services.store_calls import CALLS, SOURCE, WRITES, server, soon, state, store
from tests.stored_changes import FAR, change, mixed

__all__ = ["server", "store"]
pytestmark = pytest.mark.needs("redis-server")


def test_a_server_that_was_killed_is_used_again_when_it_is_back(
    server: RunningRedis, store: BlockStore
) -> None:
    store.apply([change(1)])
    server.kill()
    for call in CALLS.values():
        with soon(), pytest.raises(StoreUnavailableError, match="not reachable: check host"):
            call(store)
    with pytest.raises(StoreUnavailableError):
        open_store(server.url)
    server.start()
    assert store.apply([change(1)]) == 1


def test_a_connection_that_the_server_closed_is_not_noticed_by_who_calls(
    server: RunningRedis, store: BlockStore
) -> None:
    with closing(server.client()) as client:
        for seq in range(1, 4):
            client.client_kill_filter(_type="normal", skipme=True)
            assert store.apply([change(seq, "extend")]) == 1


def test_a_replica_is_read_and_not_written(server: RunningRedis, tmp_path: Path) -> None:
    folder = tmp_path / "replica"
    folder.mkdir()
    with (
        closing(open_store(server.url)) as store,
        redis_server(folder, "--replicaof", "127.0.0.1", str(server.port)) as replica,
        closing(server.client()) as client,
        closing(open_store(replica.url)) as copy,
    ):
        store.apply([change(1)])
        assert client.wait(1, 10_000) == 1
        assert copy.get(SOURCE, 0) is not None
        for name in WRITES:
            if name != "start_behind":
                with pytest.raises(StoreUnavailableError, match="it is a read-only replica"):
                    CALLS[name](copy)
        with pytest.raises(StoreUnavailableError, match="it is a read-only replica"):
            copy.apply([change(2, "remove")])
        assert (copy.last_seq(), store.last_seq()) == (1, 1)


def test_a_full_memory_stores_nothing_of_the_step(server: RunningRedis, store: BlockStore) -> None:
    store.apply([change(1)])
    before = state(server)
    with closing(server.client()) as client:
        client.config_set("maxmemory", "1mb")
        client.config_set("maxmemory-policy", "noeviction")
        for one in (change(2, "remove"), change(2, "list", "192.0.2.8"), change(2, "refuse")):
            with pytest.raises(StoreUnavailableError, match=r"its memory is full \(maxmemory\)"):
                store.apply([one], {"a": "b"})
        with pytest.raises(StoreUnavailableError, match="its memory is full"):
            store.add_request("removal", SOURCE, 1, "")
        assert state(server) == before
        assert store.get(SOURCE, 0) is not None
        client.config_set("maxmemory", 0)
    assert store.apply([change(2, "remove")]) == 1


def test_a_batch_goes_on_where_a_full_memory_stopped_it(
    server: RunningRedis, store: BlockStore
) -> None:
    changes = mixed(5_000, seed=8)
    with closing(server.client()) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_500_000)
        with pytest.raises(StoreUnavailableError):
            store.apply(changes, {"applied": "5000"})
        whole = store.last_seq()
        assert 0 < whole < 5_000
        assert whole % 500 == 0
        assert store.fact("applied") is None
        client.config_set("maxmemory", 0)
    assert store.apply(changes, {"applied": "5000"}) == 5_000 - whole
    with closing(open_store("memory:")) as plain:
        plain.apply(changes)
        assert store.listings(FAR) == plain.listings(FAR)
        assert store.held(FAR) == plain.held(FAR)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("ours", [False, True])
def test_a_key_of_another_program_is_left_as_it_is(
    server: RunningRedis, store: BlockStore, key: str, ours: bool
) -> None:
    if ours:
        store.add_request("removal", SOURCE, 1, "")
        store.apply([change(1), change(2, "hold", "192.0.2.8")], {"a": "b"})
    with closing(server.client()) as client:
        client.delete(key)
        client.sadd(key, "something else")
    before = state(server)
    for write in ("apply", "add_request", "set_fact"):
        with pytest.raises(StoreForeignError, match=r"floodwatch:.*(left as|was not changed)"):
            CALLS[write](store)
    if not ours:
        with pytest.raises(StoreForeignError):
            open_store(server.url)
    assert state(server) == before


def test_a_store_of_a_newer_version_is_refused(server: RunningRedis, store: BlockStore) -> None:
    store.apply([change(1)])
    with closing(server.client()) as client:
        client.hset("floodwatch:meta", "layout", "2")
        before = state(server)
        for use in (lambda: open_store(server.url), lambda: store.apply([change(2, "remove")])):
            with pytest.raises(StoreVersionError, match="got layout 2, known is 1") as caught:
                use()
            assert (caught.value.found, caught.value.known) == (2, 1)
        client.hset("floodwatch:meta", "layout", "\x1b[31m")
        with pytest.raises(StoreForeignError):
            open_store(server.url)
        client.hset("floodwatch:meta", "layout", "2")
    assert state(server) == before


@pytest.mark.parametrize("first", [True, False])
def test_what_is_no_redis_is_told(first: bool) -> None:
    """A mail server speaks first, a web server when it is asked."""

    def speak(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                taken, _ = listener.accept()
                with taken, suppress(OSError):
                    if not first:
                        taken.recv(100)
                    taken.sendall(b"220 mail.example ESMTP \x1b[31m\r\n")
                    taken.recv(100)

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=speak, args=(listener,))
    thread.start()
    with pytest.raises(StoreForeignError, match="the server is not Redis") as caught:
        open_store(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
    assert "\x1b" not in str(caught.value)
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_a_socket_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="not reachable"):
        open_store(f"unix://{tmp_path}/none.sock")


def test_a_database_that_the_server_does_not_have_is_told(server: RunningRedis) -> None:
    with pytest.raises(StoreUrlError, match="no database of this number"):
        open_store(server.url.replace("/0", "/99"))


def test_a_socket_of_this_machine_and_other_databases_are_stores_too(tmp_path: Path) -> None:
    path = tmp_path / "r.sock"
    with redis_server(tmp_path, "--unixsocket", str(path)) as server:
        with closing(open_store(f"unix://{path}?db=3")) as store:
            store.apply([change(1)])
        with closing(open_store(server.url.replace("/0", "/3"))) as same:
            assert same.last_seq() == 1
        with closing(open_store(server.url)) as other:
            assert other.last_seq() == 0
