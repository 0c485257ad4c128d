"""What a Redis store does when its server hangs, is full, is another one by now, or refuses."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("redis")

import redis

from session_mw.exceptions import StoreError
from session_mw.stores.redis import RedisStore
from session_mw.testing.fixtures import loaded, new_key
from support import dropping, services
from support.replacing import Address

BINARIES = [
    pytest.param(lambda: "", id="valkey"),
    pytest.param(services.redis_binary, id="redis", marks=pytest.mark.heavy),
]
OPERATIONS: dict[str, Callable[[RedisStore, str], Any]] = {
    "load": lambda store, key: store.load(key),
    "create": lambda store, key: store.create(new_key(), b"a", 60, "42"),
    "update": lambda store, key: store.update(key, b"b", 60, b"0123456789abcdef"),
    "touch": lambda store, key: store.touch(key, 60),
    "delete": lambda store, key: store.delete(key),
    "keys_of": lambda store, key: store.keys_of("42"),
}


@pytest.fixture(params=BINARIES)
def server(request: pytest.FixtureRequest, start_valkey: Callable[..., services.Service]) -> services.Service:
    return start_valkey(binary=request.param())


@pytest.fixture
def admin(server: services.Service) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port) as client:
        yield client


def seconds_of(operation: Callable[[], object]) -> float:
    """How long an operation takes that fails."""
    began = time.monotonic()
    with pytest.raises(StoreError):
        operation()
    return time.monotonic() - began


@pytest.mark.heavy
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_hanging_server_is_given_up_in_time(server: services.Service, operation: str) -> None:
    store = RedisStore.from_url(f"{server.url}?timeout=0.4")
    key = new_key()
    store.create(key, b"a", 60, "42")
    dropping.hang(server)
    assert 0.3 < seconds_of(lambda: OPERATIONS[operation](store, key)) < 0.8
    # now it has to connect
    assert seconds_of(lambda: OPERATIONS[operation](store, key)) < 0.8
    server.thaw()
    assert loaded(store, key).data == b"a"
    store.close()


@pytest.mark.heavy
def test_those_who_wait_for_a_connection_to_a_hanging_server_wait_no_longer(server: services.Service) -> None:
    store = RedisStore.from_url(f"{server.url}?timeout=0.5&max_connections=2")
    store.load(new_key())
    dropping.hang(server)
    took = list[float]()
    threads = [
        threading.Thread(target=lambda: took.append(seconds_of(lambda: store.load(new_key())))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == 20
    assert max(took) < 1.2
    server.thaw()
    assert store.load(new_key()) is None
    store.close()


def test_a_pause_of_the_server_is_given_up_in_time(server: services.Service, admin: redis.Redis) -> None:
    store = RedisStore.from_url(f"{server.url}?timeout=0.3")
    store.load(new_key())
    admin.execute_command("CLIENT", "PAUSE", "600", "ALL")
    assert seconds_of(lambda: store.load(new_key())) < 0.8
    time.sleep(0.5)
    assert store.load(new_key()) is None
    store.close()


def test_connections_that_a_firewall_forgot_cost_one_timeout_together(server: services.Service) -> None:
    address = Address(server.port)
    store = RedisStore.from_url(f"{address.url}?timeout=0.4")
    threads = [threading.Thread(target=lambda: [store.load(new_key()) for _ in range(20)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert address.opened > 1
    address.forget_connections()
    assert 0.3 < seconds_of(lambda: store.load(new_key())) < 0.8
    began = time.monotonic()
    for _ in range(10):
        assert store.load(new_key()) is None
    assert time.monotonic() - began < 0.3
    store.close()
    address.close()


def test_an_answer_that_comes_drop_by_drop_is_given_up_in_time() -> None:
    listener = socket.create_server((services.HOST, 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            for byte in b"$1000\r\n" + b"x" * 100:
                try:
                    connection.sendall(bytes([byte]))
                except OSError:
                    return
                time.sleep(0.05)

    thread = threading.Thread(target=drip)
    thread.start()
    store = RedisStore.from_url(f"redis://{services.HOST}:{listener.getsockname()[1]}?timeout=0.3")
    assert seconds_of(lambda: store.load(new_key())) < 0.8
    thread.join()
    listener.close()
    store.close()


@pytest.mark.heavy
def test_sentinels_that_all_hang_take_no_longer_than_one(
    valkey: services.Service, request: pytest.FixtureRequest
) -> None:
    sentinels = [services.start_sentinel(valkey) for _ in range(3)]
    for sentinel in sentinels:
        request.addfinalizer(sentinel.stop)
    url = f"redis+sentinel://{','.join(f'{services.HOST}:{one.port}' for one in sentinels)}/master/0?timeout=0.8"
    for sentinel in sentinels[:2]:
        dropping.hang(sentinel)
    store = RedisStore.from_url(url)
    assert store.load(new_key()) is None
    store.close()
    dropping.hang(sentinels[2])
    store = RedisStore.from_url(url)
    for operation in OPERATIONS.values():
        assert seconds_of(lambda operation=operation: operation(store, new_key())) < 1.3  # type: ignore[misc]
    store.close()


@pytest.mark.heavy
def test_a_cluster_with_a_node_that_hangs_serves_the_other_nodes(request: pytest.FixtureRequest) -> None:
    cluster = services.start_cluster()
    request.addfinalizer(cluster.stop)
    nodes = ",".join(f"{services.HOST}:{node.port}" for node in cluster.nodes)
    url = f"redis+cluster://{nodes}?timeout=0.6"
    store, keys = RedisStore.from_url(url), [new_key() for _ in range(8)]
    for key in keys:
        store.create(key, b"a", 60)
    dropping.hang(cluster.nodes[1])
    found = 0
    for each in (store, RedisStore.from_url(url)):
        for key in keys:
            began = time.monotonic()
            with contextlib.suppress(StoreError):  # a key of that node
                found += each.load(key) is not None
            assert time.monotonic() - began < 1.2
        each.close()
    assert found > 0


@pytest.fixture
def pair(start_valkey: Callable[..., services.Service], request: pytest.FixtureRequest) -> Iterator[tuple[Any, ...]]:
    binary = request.param()
    servers = [start_valkey("--repl-diskless-sync-delay", "0", binary=binary) for _ in range(2)]
    address = Address(servers[0].port)
    yield (*servers, address)
    address.close()


def fail_over(former: services.Service, new: services.Service, address: Address) -> None:
    """What a managed Redis does: the replica takes over, and the former master follows it."""
    services.ask(new.port, "REPLICAOF", services.HOST, former.port)
    services.wait_until(lambda: "master_link_status:up" in services.ask(new.port, "INFO", "replication"), "no link")
    services.ask(new.port, "REPLICAOF", "NO", "ONE")
    address.target = new.port
    services.ask(former.port, "REPLICAOF", services.HOST, new.port)


@pytest.mark.heavy
@pytest.mark.parametrize("pair", BINARIES, indirect=True)
@pytest.mark.parametrize("kind", ["url", "client", "function"])
@pytest.mark.parametrize("operation", ["create", "update", "touch", "delete"])
def test_after_a_failover_behind_one_address_the_first_write_reaches_the_new_master(
    pair: tuple[services.Service, services.Service, Address], kind: str, operation: str
) -> None:
    former, new, address = pair
    make: dict[str, Callable[[], RedisStore]] = {
        "url": lambda: RedisStore.from_url(address.url),
        "client": lambda: RedisStore(redis.Redis(port=address.port, socket_timeout=2)),
        "function": lambda: RedisStore(lambda: redis.Redis(port=address.port, socket_timeout=2)),
    }
    store, key, other = make[kind](), new_key(), new_key()
    store.create(key, b"a", 600, "42")
    version = loaded(store, key).version
    fail_over(former, new, address)
    done: dict[str, Callable[[], object]] = {
        "create": lambda: store.create(other, b"b", 60),
        "update": lambda: store.update(key, b"b", 60, version),
        "touch": lambda: store.touch(key, 900),
        "delete": lambda: store.delete(key),
    }
    assert done[operation]() is not False
    there = RedisStore.from_url(new.url)
    assert (there.load(key) is None) == (operation == "delete")
    assert (there.load(other) is None) == (operation != "create")
    store.close()
    there.close()


def test_a_server_that_stays_a_replica_is_an_outage_that_says_so(server: services.Service, admin: redis.Redis) -> None:
    store = RedisStore.from_url(server.url)
    key = new_key()
    store.create(key, b"a", 60)
    admin.replicaof(services.HOST, "1")
    for operation in ("create", "delete"):
        with pytest.raises(StoreError, match="READONLY") as caught:
            OPERATIONS[operation](store, key)
        assert isinstance(caught.value.__cause__, redis.ResponseError)
    admin.config_set("replica-serve-stale-data", "no")
    with pytest.raises(StoreError, match="MASTERDOWN"):
        store.load(key)
    store.close()


def test_a_full_server_still_logs_out(server: services.Service, admin: redis.Redis) -> None:
    store = RedisStore.from_url(server.url)
    keys = [new_key() for _ in range(2)]
    for key in keys:
        store.create(key, b"a", 60, "42")
    admin.config_set("maxmemory", "1")
    for principal in (None, "42"):
        with pytest.raises(StoreError, match="OOM command not allowed"):
            store.create(new_key(), b"a", 60, principal)
    with pytest.raises(StoreError, match="OOM command not allowed"):
        store.update(keys[0], b"b", 60, loaded(store, keys[0]).version, "42")
    assert sorted(store.keys_of("42")) == sorted(keys)
    assert store.touch(keys[0], 120)
    store.delete(keys[0])
    admin.script_flush()
    store.delete(keys[1])
    assert [store.load(key) for key in keys] == [None, None]
    assert store.keys_of("42") == []
    store.close()


@pytest.mark.parametrize(
    ("userinfo", "said"),
    [("", "NOAUTH"), (":mellon@", "WRONGPASS"), ("gandalf:mellon@", "WRONGPASS"), ("app:entry@", "NOPERM")],
)
def test_a_refused_login_is_told_without_its_secrets(
    server: services.Service, admin: redis.Redis, userinfo: str, said: str
) -> None:
    admin.acl_setuser("app", enabled=True, passwords=["+entry"], keys=["*"], commands=["+ping"])
    admin.config_set("requirepass", "sesam")
    store = RedisStore.from_url(f"redis://{userinfo}{services.HOST}:{server.port}")
    with pytest.raises(StoreError, match=said) as caught:
        store.create(new_key(), b"a secret of the session", 60)
    assert f"{services.HOST}:{server.port}" in str(caught.value)
    shown = "".join(traceback.TracebackException.from_exception(caught.value.__cause__, capture_locals=True).format())
    for secret in ("gandalf", "mellon", "entry", "secret of the session"):
        assert secret not in str(caught.value)
        assert secret not in shown
    store.close()


def test_a_password_that_changed_is_told_and_the_new_one_works_in_a_new_store(
    server: services.Service, admin: redis.Redis
) -> None:
    admin.config_set("requirepass", "sesam")
    store = RedisStore.from_url(f"redis://:sesam@{services.HOST}:{server.port}")
    store.load(new_key())
    with redis.Redis(port=server.port, password="sesam") as again:
        again.config_set("requirepass", "mellon")
        again.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
    with pytest.raises(StoreError, match="WRONGPASS"):
        store.load(new_key())
    store.close()


def test_a_command_that_the_server_does_not_know_is_not_repeated_with_what_it_was_to_store(
    start_valkey: Callable[..., services.Service],
) -> None:
    server = start_valkey("--rename-command", "EVALSHA", "")
    store = RedisStore.from_url(server.url)
    with pytest.raises(StoreError, match="unknown command") as caught:
        store.create(new_key(), b"a secret of the session", 60)
    assert "secret" not in str(caught.value)
    store.close()


def test_where_no_server_listens_the_address_is_told() -> None:
    port = services.free_port()
    store = RedisStore.from_url(f"redis://:sesam@{services.HOST}:{port}")
    with pytest.raises(StoreError, match=f"{services.HOST}:{port}.*refused"):
        store.load(new_key())
    store.close()


def test_no_frame_of_the_driver_is_left_with_its_local_variables(valkey: services.Service) -> None:
    store = RedisStore.from_url(f"redis://gandalf:mellon@{services.HOST}:{services.free_port()}")
    with pytest.raises(StoreError) as caught:
        store.load(new_key())
    link: BaseException | None = caught.value
    frames = ""
    while link is not None:
        frames += "".join(traceback.TracebackException.from_exception(link, capture_locals=True).format())
        link = link.__cause__ or link.__context__
    assert "mellon" not in frames
    store.close()
