from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("redis")

import redis

from session_mw.exceptions import StoreError
from session_mw.stores.redis import RedisStore
from session_mw.stores.redis.connections import Places, deadline
from session_mw.testing.fixtures import loaded, new_key
from support import services


def store_at(url: str, options: str = "", prefix: str = "") -> RedisStore:
    return RedisStore.from_url(f"{url}?prefix={prefix or new_key()}:{options}")


@pytest.fixture
def prefix() -> str:
    return new_key()


@pytest.fixture
def store(valkey: services.Service, prefix: str) -> Iterator[RedisStore]:
    store = store_at(valkey.url, prefix=prefix)
    yield store
    store.close()


def connections_made(port: int) -> int:
    with redis.Redis(port=port) as server:
        return int(server.info("stats")["total_connections_received"])


def test_one_thread_keeps_one_connection(store: RedisStore, valkey: services.Service) -> None:
    key = new_key()
    store.create(key, b"a", 60, "42")
    before = connections_made(valkey.port)
    for _ in range(20):
        loaded(store, key)
        assert list(store.keys_of("42")) == [key]
    assert connections_made(valkey.port) == before + 1


def test_an_answer_that_was_not_waited_for_is_not_the_next_commands(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = new_key(), new_key()
    store.create(one, b"one's", 60)
    store.create(other, b"other's", 60)
    with monkeypatch.context() as patch:
        patch.setattr(redis.Connection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.load(one)
    assert loaded(store, other).data == b"other's"


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_an_error_of_the_server_costs_no_connection(store: RedisStore, valkey: services.Service, prefix: str) -> None:
    key = new_key()
    with redis.Redis(port=valkey.port) as server:
        server.rpush(f"{prefix}:{key}", "x")
    assert loaded(store, key).data == b""
    before = connections_made(valkey.port)
    for _ in range(5):
        assert loaded(store, key).data == b""
    assert connections_made(valkey.port) == before + 1


def test_who_waits_too_long_for_a_connection_is_told_of_an_outage() -> None:
    places = Places(1)
    places.put_nowait(None)
    places.get()
    deadline.set(time.monotonic() + 0.1)
    began = time.monotonic()
    with pytest.raises(redis.ConnectionError):
        places.get()
    assert 0.05 < time.monotonic() - began < 1


def test_who_waits_for_a_connection_is_served_in_turn() -> None:
    """queue.SimpleQueue lets one thread wait for seconds while others come and go."""
    places, served = Places(1), list[str]()
    places.put_nowait(None)
    places.get()

    def wait(name: str) -> None:
        places.get()
        served.append(name)
        places.put_nowait(None)

    threads = [threading.Thread(target=wait, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    places.put_nowait(None)
    for thread in threads:
        thread.join(5)
    assert served == ["a", "b", "c"]


def test_a_server_that_cannot_be_reached_uses_up_no_connections() -> None:
    store = RedisStore.from_url(f"redis://{services.HOST}:{services.free_port()}?max_connections=2&connect_timeout=0.5")
    for _ in range(3):
        with pytest.raises(StoreError) as caught:
            store.load(new_key())
        assert "refused" in str(caught.value.__cause__)
    store.close()


@pytest.mark.heavy
def test_more_threads_than_connections_to_a_sentinels_master_take_turns(valkey_sentinel: services.Service) -> None:
    store = store_at(f"{valkey_sentinel.url}/master/0", "&max_connections=2")
    key, done = new_key(), []
    store.create(key, b"a", 60)

    def load_often() -> None:
        for _ in range(50):
            done.append(loaded(store, key).data)

    threads = [threading.Thread(target=load_often) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [b"a"] * 600
    store.close()


@pytest.mark.heavy
@pytest.mark.parametrize("leaves", ["as a replica", "dead"])
def test_a_kept_connection_follows_the_master(
    start_valkey: Callable[..., services.Service], request: pytest.FixtureRequest, leaves: str
) -> None:
    former, master = start_valkey(), start_valkey()
    sentinel = services.start_sentinel(former)
    request.addfinalizer(sentinel.stop)
    store = RedisStore.from_url(f"{sentinel.url}/master/0")
    assert store.create(new_key(), b"a", 60)
    services.ask(sentinel.port, "SENTINEL", "REMOVE", "master")
    services.ask(sentinel.port, "SENTINEL", "MONITOR", "master", services.HOST, str(master.port), "1")
    if leaves == "dead":
        former.kill()
    else:
        services.ask(former.port, "REPLICAOF", services.HOST, str(master.port))
    key = new_key()
    assert store.create(key, b"b", 60)
    assert loaded(store, key).data == b"b"
    with redis.Redis(port=master.port) as server:
        assert server.exists(f"session:{key}")
    store.close()


GEVENT_WORKER = """
import sys
from session_mw.stores.redis import RedisStore
from session_mw.stores.redis.connections import Places, deadline
store = RedisStore.from_url(sys.argv[1])                     # gunicorn --preload
from gevent import monkey, pool
monkey.patch_all()                                           # the gevent worker, after its fork
key = "a" * 64
store.create(key, b"x", 60)
done = pool.Pool(20).map(lambda _: store.load(key).data, range(100))
sys.exit(done != [b"x"] * 100)
"""


@pytest.mark.heavy
def test_a_store_made_before_gevent_patched_the_worker_waits_as_greenlets_do(valkey: services.Service) -> None:
    pytest.importorskip("gevent")
    url = f"{valkey.url}?max_connections=2&prefix={new_key()}:"
    assert subprocess.run([sys.executable, "-c", GEVENT_WORKER, url], timeout=60, check=False).returncode == 0
