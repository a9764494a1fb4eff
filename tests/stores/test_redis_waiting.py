"""No call of the Redis store waits longer than 2 s, whatever the server does."""

import signal
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest

from detector.errors import (
    StoreUnavailableError,
)
from pipelines.ports import BlockStore
from pipelines.stores import open_store
from pipelines.stores.redis_scripts import Script
from pipelines.stores.redis_server import RedisServer
from tests.services.redis_server import (
    RunningRedis,
    stopped,
)
from tests.services.store_calls import CALLS, server, soon, store
from tests.stored_changes import FAR, mixed

__all__ = ["server", "store"]
pytestmark = pytest.mark.needs("redis-server")


@pytest.mark.parametrize("connected", [True, False])
def test_a_hanging_server_holds_no_call_longer_than_2_s(
    server: RunningRedis, connected: bool
) -> None:
    def call(name: str) -> None:
        with soon(), pytest.raises(StoreUnavailableError, match="no answer within 2 s"):
            CALLS[name](stores[name])

    with ExitStack() as opened, ThreadPoolExecutor(len(CALLS)) as threads:
        stores = {name: opened.enter_context(closing(open_store(server.url))) for name in CALLS}
        if not connected:
            for store in stores.values():
                store.close()
        with stopped(server):
            list(threads.map(call, CALLS))
        assert stores["apply"].last_seq() in {0, 1, 3}


def test_a_server_that_hangs_in_the_middle_of_a_batch_may_be_given_all_of_it_again(
    server: RunningRedis, store: BlockStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = mixed(5_000, seed=7)
    plain = RedisServer.run_script
    steps = 0

    def hanging_at_the_fourth(own: RedisServer, script: Script, arguments: Sequence[str]) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:
            server.signal(signal.SIGSTOP)
        return plain(own, script, arguments)

    monkeypatch.setattr(RedisServer, "run_script", hanging_at_the_fourth)
    with soon(), pytest.raises(StoreUnavailableError, match="no answer within 2 s"):
        store.apply(changes, {"applied": "5000"})
    server.signal(signal.SIGCONT)
    # What it was sent while it hung it may do yet: nobody can tell, and it does not matter.
    before = store.last_seq()
    assert before in {1_500, 2_000}
    assert store.fact("applied") is None
    assert store.apply(changes, {"applied": "5000"}) <= 5_000 - before
    assert (store.last_seq(), store.fact("applied")) == (5_000, "5000")
    with closing(open_store("memory:")) as other:
        other.apply(changes)
        assert store.listings(FAR) == other.listings(FAR)
        assert [store.audit(f"192.0.2.{n}") for n in range(200)] == [
            other.audit(f"192.0.2.{n}") for n in range(200)
        ]


def trickle(listener: socket.socket) -> None:
    """Answer a byte at a time, each within any timeout for one read."""
    taken, _ = listener.accept()
    with taken:
        taken.settimeout(0.3)
        while True:
            try:
                taken.sendall(b"$")
                taken.recv(1)
            except TimeoutError:
                continue
            except OSError:
                return


def test_a_server_that_trickles_holds_no_call_longer_either() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        with soon(), pytest.raises(StoreUnavailableError, match="no answer within 2 s"):
            open_store(url)
        thread.join()


def test_a_name_that_is_not_resolved_in_time_holds_no_call_longer_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = threading.Event()

    def silent(*_: object, **__: object) -> list[Any]:
        answer.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    with soon(), pytest.raises(StoreUnavailableError, match="no answer within 2 s"):
        open_store("redis://redis.example/0")
    answer.set()
