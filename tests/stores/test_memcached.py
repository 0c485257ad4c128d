from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("pymemcache")

from session_mw.exceptions import ConfigurationError, NotSerializable, StoreError
from session_mw.stores.memcached import MemcachedStore
from session_mw.testing import StoreContract
from session_mw.testing.fixtures import loaded, new_key
from support import dropping, services
from support.shared_store import assert_works_in_child

DAY = 24 * 3600


def store_on(*ports: int) -> MemcachedStore:
    return MemcachedStore([(services.HOST, port) for port in ports], prefix=f"{secrets.token_hex(4)}:")


@pytest.fixture
def store(memcached: services.Service) -> Iterator[MemcachedStore]:
    store = store_on(memcached.port)
    yield store
    store.close()


@pytest.fixture
def two_hosts(
    start_memcached: Callable[..., services.Service],
) -> Iterator[tuple[MemcachedStore, services.Service, services.Service]]:
    one, other = start_memcached(), start_memcached()
    store = store_on(one.port, other.port)
    yield store, one, other
    store.close()


class TestMemcached(StoreContract):
    @pytest.fixture
    def store(self, memcached: services.Service) -> Iterator[MemcachedStore]:
        store = store_on(memcached.port)
        yield store
        store.close()


def tell(port: int, command: bytes, end: bytes = b"\r\n") -> bytes:
    """Say something to memcached in its own words, and return the answer."""
    with socket.create_connection((services.HOST, port), timeout=5) as connection:
        connection.sendall(command)
        answer = b""
        while not answer.endswith(end):
            answer += connection.recv(65536)
        return answer


def seconds_left(memcached: services.Service, store: MemcachedStore, key: str) -> int:
    """In how many seconds the server drops the record by itself; -1 for never."""
    answer = tell(memcached.port, b"mg %s%s t\r\n" % (store._prefix.encode(), key.encode()))
    return int(answer.split(b"t")[1])


def put(memcached: services.Service, store: MemcachedStore, key: str, value: bytes) -> None:
    name = f"{store._prefix}{key}".encode()
    assert tell(memcached.port, b"set %s 1 60 %d\r\n%s\r\n" % (name, len(value), value)) == b"STORED\r\n"


@pytest.mark.parametrize("ttl", [1, 60, 30 * DAY - 1, 30 * DAY, 31 * DAY, 365 * DAY])
def test_the_server_drops_a_record_when_it_has_ended(
    store: MemcachedStore, memcached: services.Service, ttl: int
) -> None:
    key = new_key()
    assert store.create(key, b"a", ttl)
    assert ttl - 2 <= seconds_left(memcached, store, key) <= ttl + 2
    record = loaded(store, key)
    assert store.update(key, b"b", 2 * ttl, record.version)
    assert 2 * ttl - 2 <= seconds_left(memcached, store, key) <= 2 * ttl + 2
    assert store.touch(key, ttl)
    assert ttl - 2 <= seconds_left(memcached, store, key) <= ttl + 2


def test_a_date_that_the_server_cannot_hold_is_never_and_the_record_still_ends(
    store: MemcachedStore, memcached: services.Service, clock: Any
) -> None:
    key = new_key()
    assert store.create(key, b"a", 36500 * DAY)
    assert seconds_left(memcached, store, key) == -1
    clock.advance(36500 * DAY - 1)
    assert store.load(key) is not None
    clock.advance(1)
    assert store.load(key) is None


@pytest.mark.parametrize("ttl", [60, 31 * DAY])
def test_a_client_whose_clock_is_years_behind_keeps_its_sessions(
    store: MemcachedStore, memcached: services.Service, monkeypatch: pytest.MonkeyPatch, ttl: int
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1700000000.0)
    key = new_key()
    assert store.create(key, b"a", ttl)
    assert store.touch(key, ttl)
    record = loaded(store, key)
    assert record.expires == 1700000000 + ttl
    assert ttl - 2 <= seconds_left(memcached, store, key) <= ttl + 2


def test_a_record_that_is_too_large_is_refused_with_its_size_and_the_old_one_stays(store: MemcachedStore) -> None:
    key = new_key()
    with pytest.raises(NotSerializable, match="1048608 bytes"):
        store.create(key, b"a" * 2**20, 60)
    assert store.load(key) is None
    store.create(key, b"a", 60)
    record = loaded(store, key)
    with pytest.raises(NotSerializable, match="1048608 bytes"):
        store.update(key, b"a" * 2**20, 60, record.version)
    assert store.load(key) == record


@pytest.mark.parametrize("garbage", [b"", b"x", b"\x80\x04}q\x00.", b"9" * 200])
def test_a_value_that_is_no_record_is_a_record_without_data(
    store: MemcachedStore, memcached: services.Service, garbage: bytes
) -> None:
    key = new_key()
    put(memcached, store, key, garbage)
    record = loaded(store, key)
    assert record.data == b""
    assert not store.create(key, b"a", 60)
    assert not store.update(key, b"a", 60, record.version)
    assert not store.touch(key, 60)
    store.delete(key)
    assert store.load(key) is None


def test_a_pickle_of_another_program_is_not_opened(store: MemcachedStore, memcached: services.Service) -> None:
    key = new_key()
    # pymemcache's and pylibmc's flag for a pickle; this one would raise SystemExit
    put(memcached, store, key, b"cbuiltins\nexit\n(tR.")
    record = loaded(store, key)
    assert record.data == b""


def test_an_update_survives_a_touch_that_comes_between_its_reading_and_its_writing(store: MemcachedStore) -> None:
    assert_survives_a_touch(store, lambda key, version: store.update(key, b"b", 60, version))


def test_a_touch_survives_a_touch_that_comes_between(store: MemcachedStore) -> None:
    assert_survives_a_touch(store, lambda key, version: store.touch(key, 60))


def assert_survives_a_touch(store: MemcachedStore, change: Callable[[str, Any], bool]) -> None:
    key = new_key()
    store.create(key, b"a", 60)
    record = loaded(store, key)
    # else an update would not read again
    store.touch(key, 300)
    with between_reading_and_writing(store, lambda: store.touch(key, 600)):
        assert change(key, record.version)
    assert loaded(store, key).expires < time.time() + 61


def test_a_touch_does_not_bring_back_what_was_updated_or_deleted_between(store: MemcachedStore) -> None:
    key = new_key()
    store.create(key, b"a", 60)
    version = loaded(store, key).version
    with between_reading_and_writing(store, lambda: store.update(key, b"b", 60, version)):
        assert store.touch(key, 60)
    assert loaded(store, key).data == b"b"
    with between_reading_and_writing(store, lambda: store.delete(key)):
        assert not store.touch(key, 60)
    assert store.load(key) is None


class between_reading_and_writing:
    """Lets something happen once, right after the store's next ``gets``."""

    def __init__(self, store: MemcachedStore, happens: Callable[[], object]) -> None:
        self._host = store._hosts[0]
        self._happens = happens
        self._call = self._host.call

    def __enter__(self) -> None:
        self._host.call = self._interrupted  # type: ignore[method-assign]

    def __exit__(self, *error: object) -> None:
        assert self._host.call == self._call, "nothing was read"

    def _interrupted(self, method: str, *args: Any, **options: Any) -> Any:
        answer = self._call(method, *args, **options)
        if method == "gets":
            self._host.call = self._call  # type: ignore[method-assign]
            self._happens()
        return answer


@pytest.fixture
def dropped(memcached: services.Service) -> Iterator[tuple[dropping.DroppingProxy, MemcachedStore]]:
    proxy = dropping.DroppingProxy(memcached.port)
    store = store_on(proxy.port)
    yield proxy, store
    store.close()
    proxy.close()


def test_a_write_whose_answer_was_lost_is_seen_to_be_done(
    dropped: tuple[dropping.DroppingProxy, MemcachedStore],
) -> None:
    proxy, store = dropped
    dropping.assert_writes_survive_lost_answers(proxy, store)


def test_many_idle_connections_that_a_restart_dropped_are_no_outage(
    start_memcached: Callable[..., services.Service],
) -> None:
    server = start_memcached()
    store = store_on(server.port)
    host = store._hosts[0]
    for client in [host._connect() for _ in range(5)]:
        client.version()
        host._keep(client)
    server.kill()
    server.restart()
    assert store.load(new_key()) is None
    store.close()


def test_no_more_idle_connections_are_kept_than_asked_for(memcached: services.Service) -> None:
    store = MemcachedStore.from_url(f"memcached://{services.HOST}:{memcached.port}?max_idle=2")
    host = store._hosts[0]
    clients = [host._connect() for _ in range(5)]
    for client in clients:
        client.version()
        host._keep(client)
    assert sum(client.sock is not None for client in clients) == 2
    store.close()


def test_the_keys_are_spread_over_the_hosts(
    two_hosts: tuple[MemcachedStore, services.Service, services.Service],
) -> None:
    store, one, other = two_hosts
    for _ in range(200):
        store.create(new_key(), b"a", 60)
    counts = [items_of(server) for server in (one, other)]
    assert sum(counts) == 200
    assert min(counts) > 60


def items_of(server: services.Service) -> int:
    lines = tell(server.port, b"stats\r\n", b"END\r\n").split(b"\r\n")
    return next(int(line.split()[2]) for line in lines if line.startswith(b"STAT curr_items"))


def test_the_order_of_the_hosts_does_not_matter(
    two_hosts: tuple[MemcachedStore, services.Service, services.Service],
) -> None:
    store, one, other = two_hosts
    turned = MemcachedStore([(services.HOST, other.port), (services.HOST, one.port)], prefix=store._prefix)
    keys = [new_key() for _ in range(20)]
    for key in keys:
        store.create(key, b"a", 60)
    assert all(turned.load(key) for key in keys)
    turned.close()


def test_sessions_of_a_dead_host_are_an_outage_and_never_absent(
    two_hosts: tuple[MemcachedStore, services.Service, services.Service],
) -> None:
    store, one, _ = two_hosts
    keys = [new_key() for _ in range(40)]
    for key in keys:
        store.create(key, b"a", 60)
    one.kill()
    for _ in range(3):
        answers = [answer(store, key) for key in keys]
        assert set(answers) == {"record", "outage"}
    one.restart()
    assert {answer(store, key) for key in keys} == {"record", "absent"}


def answer(store: MemcachedStore, key: str) -> str:
    try:
        return "record" if store.load(key) else "absent"
    except StoreError as error:
        return "outage" if isinstance(error.__cause__, OSError) else "error"


def test_a_server_that_hangs_is_an_outage_after_the_timeout(
    start_memcached: Callable[..., services.Service],
) -> None:
    server = start_memcached()
    store = MemcachedStore.from_url(f"{server.url}?timeout=0.2")
    assert store.load(new_key()) is None
    dropping.hang(server)
    began = time.monotonic()
    with pytest.raises(StoreError) as caught:
        store.load(new_key())
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert 0.1 < time.monotonic() - began < 1.5
    server.thaw()
    store.close()


def test_an_answer_that_came_too_late_is_not_taken_for_the_next(
    start_memcached: Callable[..., services.Service],
) -> None:
    server = start_memcached()
    store = MemcachedStore.from_url(f"{server.url}?timeout=0.2")
    key, other = new_key(), new_key()
    store.create(key, b"a", 60)
    store.create(other, b"b", 60)
    dropping.hang(server)
    with pytest.raises(StoreError):
        store.load(key)
    server.thaw()
    assert loaded(store, other).data == b"b"
    store.close()


def test_a_child_process_does_not_share_its_parents_connection(store: MemcachedStore) -> None:
    assert_works_in_child(store)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memcached://localhost:99999", "port"),
        ("memcached://localhost,localhost", "each of them once"),
        ("memcached://localhost/sessions", "without a path"),
        ("memcached://user:sesam@localhost", "no log-in"),
        ("memcached://localhost?prefx=a", "'prefix'"),
        ("memcached://localhost?prefix=a%20b", "without spaces"),
        ("memcached://localhost?prefix=" + "a" * 187, "at most 186"),
        ("memcached://localhost?timeout=never", "'timeout'"),
        ("memcache://localhost", "memcached://"),
    ],
)
def test_a_mistake_in_the_url_is_an_error_that_says_what_to_write(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MemcachedStore.from_url(url)
    assert said in str(caught.value)
    assert "sesam" not in str(caught.value)


@pytest.mark.parametrize(("hosts", "prefix"), [([], ""), ([("a", 1)], "a b"), ([("a", 1), ("a", 1)], "")])
def test_a_store_that_cannot_work_is_refused(hosts: list[tuple[str, int]], prefix: str) -> None:
    with pytest.raises(ConfigurationError):
        MemcachedStore(hosts, prefix)


def test_the_url_says_everything() -> None:
    store = MemcachedStore.from_url("memcached://one,[::1]:11212?prefix=shop:")
    assert repr(store) == "<MemcachedStore memcached://one:11211,::1:11212 prefix='shop:'>"
