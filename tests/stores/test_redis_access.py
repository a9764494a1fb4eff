"""Passwords, rights and certificates of the Redis store; no password is ever told."""

import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from detector.errors import (
    StoreAccessError,
    StoreError,
    StoreUnavailableError,
    StoreUrlError,
)
from pipelines.ports import BlockStore
from pipelines.stores import open_store
from pipelines.stores.redis import RedisStore
from tests.services.redis_server import (
    RunningRedis,
    redis_server,
    stopped,
)
from tests.services.store_calls import CALLS, SOURCE, server, soon, state, store
from tests.stored_changes import change, mixed

__all__ = ["server", "store"]
pytestmark = pytest.mark.needs("redis-server")

SECRET = "pass/word"  # noqa: S105 - of a server that lives as long as a test


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("", "it requires a password: set one"),
        (":wrong@", "it rejected the user or password"),
        ("nobody:wrong@", "it rejected the user or password"),
        ("nobody:pass%2Fword@", "it rejected the user or password"),
    ],
)
def test_a_wrong_password_is_told_without_it(tmp_path: Path, user: str, message: str) -> None:
    with redis_server(tmp_path, "--requirepass", SECRET) as server:
        url = server.url.replace("//", f"//{user}")
        with pytest.raises(StoreAccessError, match=message) as caught:
            open_store(url)
        told = f"{caught.value} {caught.value!r} {caught.value.__cause__}"
        assert not any(word in told for word in ("wrong@", "pass%2Fword", SECRET))
        with closing(
            open_store(url, password=SECRET)
            if user[:1] in {"", ":"}
            else open_store(server.url, password=SECRET)
        ) as store:
            assert SECRET not in repr(store)
            assert store.apply([change(1)]) == 1


USERS = {
    "publisher": "+@read +@write +@scripting +@connection -@dangerous ~floodwatch:*",
    "reader": "+@read +@connection ~floodwatch:*",
    "mail server": "+get ~floodwatch:ip:*",
    "without streams": "+@all -xadd ~floodwatch:*",
    "without sets": "+@all -zrem ~floodwatch:*",
    "without hashes": "+@all -hset ~floodwatch:*",
    "without ends": "+@all -pexpireat ~floodwatch:*",
    "not published": "+@all ~floodwatch:m* ~floodwatch:l* ~floodwatch:h* ~floodwatch:e*"
    " ~floodwatch:f* ~floodwatch:r* ~floodwatch:c*",
}


@pytest.mark.parametrize("name", USERS)
def test_a_user_without_every_right_that_is_needed_stores_nothing_at_all(
    server: RunningRedis, store: BlockStore, name: str
) -> None:
    with closing(server.client()) as client:
        rights = USERS[name].split()
        client.execute_command("ACL", "SETUSER", "floodwatch", "on", f">{SECRET}", *rights)
    store.apply([change(1)])
    before = state(server)
    url = server.url.replace("//", "//floodwatch@")
    if name == "mail server":
        with pytest.raises(StoreAccessError, match="the user lacks a permission"):
            open_store(url, password=SECRET)
        with closing(server.client(username="floodwatch", password=SECRET)) as client:
            assert client.get(f"floodwatch:ip:{SOURCE}") is not None
        return
    with closing(open_store(url, password=SECRET)) as restricted:
        if name == "publisher":
            for call in ("apply", "add_request", "set_fact"):
                CALLS[call](restricted)
            assert restricted.apply([change(2, "remove")]) == 1
            return
        for changed in (change(2, "remove"), change(2, "hold"), change(2, "extend")):
            with pytest.raises(StoreAccessError, match="the user lacks a permission, and nothing"):
                restricted.apply([changed], {"a": "b"})
        with pytest.raises(StoreAccessError):
            restricted.add_request("removal", SOURCE, 1, "")
        assert state(server) == before
        assert restricted.get(SOURCE, 0) is not None


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that vouches for itself; its key lies beside it."""
    path = tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", str(tmp_path / "key.pem"), "-out", str(path),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@pytest.mark.needs("openssl")
def test_tls_is_verified(tmp_path: Path, certificate: Path) -> None:
    with redis_server(tmp_path, "--requirepass", SECRET, certificate=certificate) as server:
        url = f"rediss://default@localhost:{server.tls_port}/0"
        with closing(open_store(url, password=SECRET, ca_file=certificate)) as store:
            assert store.apply(mixed(2_000, seed=9)) == 2_000
            with stopped(server), soon(), pytest.raises(StoreUnavailableError):
                store.last_seq()
            store.close()
            with stopped(server), soon(), pytest.raises(StoreUnavailableError):
                store.last_seq()
        for wrong, ca_file in (
            (url, None),
            (url.replace("localhost", "127.0.0.1"), certificate),
        ):
            with soon(), pytest.raises(StoreAccessError, match="no TLS with it: check its cert"):
                open_store(wrong, password=SECRET, ca_file=ca_file)
        with pytest.raises(StoreAccessError, match=r"CA file .*key\.pem cannot be used"):
            open_store(url, password=SECRET, ca_file=tmp_path / "key.pem")
        with pytest.raises(StoreAccessError, match="No such file"):
            open_store(url, password=SECRET, ca_file=tmp_path / "none.pem")
        with soon(), pytest.raises(StoreUnavailableError, match=r"no answer .*TLS"):
            open_store(f"rediss://localhost:{server.port}/0", ca_file=certificate)
        with soon(), pytest.raises(StoreUnavailableError, match="whether it requires rediss"):
            open_store(f"redis://localhost:{server.tls_port}/0", password=SECRET)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://u:{SECRET}@h:x/0", "redis://u:***@h:x/0"),
        (f"redis://u:a@{SECRET}@h/zero", "redis://u:***@h/zero"),
        (f"unix:///run/r.sock?password={SECRET}&db=1", "unix:///run/r.sock?password=***&db=1"),
        (f"valkey://:{SECRET}@h/0", "valkey://:***@h/0"),
    ],
)
def test_an_address_that_is_none_is_told_without_its_password(url: str, shown: str) -> None:
    with pytest.raises(StoreUrlError) as caught:
        open_store(url)
    assert caught.value.store == shown
    assert SECRET not in str(caught.value)


def test_what_a_server_repeats_of_a_password_is_masked(tmp_path: Path) -> None:
    """A server without AUTH quotes the whole command in its complaint."""
    with redis_server(tmp_path, "--rename-command", "AUTH", "") as server:
        with pytest.raises(StoreError) as caught:
            RedisStore(server.url, password=SECRET)
        assert SECRET not in f"{caught.value} {caught.value.__cause__}"
        assert "***" in str(caught.value)
