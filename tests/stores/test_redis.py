from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis")

import redis
from redis.sentinel import Sentinel

from session_mw import SessionManager, open_store
from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.stores.redis import RedisStore, scripts
from session_mw.stores.redis.clients import target
from session_mw.stores.redis.server import Server
from session_mw.stores.redis.values import LATEST
from session_mw.testing import StoreContract
from session_mw.testing.fixtures import loaded, new_key
from support import dropping, services
from support.shared_store import assert_threads_take_turns, assert_works_in_child
from support.stores import Browser, renewed_before


def store_at(url: str, prefix: str = "") -> RedisStore:
    return RedisStore.from_url(f"{url}?prefix={prefix or secrets.token_hex(4)}:")


@pytest.fixture
def prefix() -> str:
    return secrets.token_hex(4)


@pytest.fixture
def store(valkey: services.Service, prefix: str) -> Iterator[RedisStore]:
    store = store_at(valkey.url, prefix)
    yield store
    store.close()


@pytest.fixture
def server(valkey: services.Service) -> Iterator[redis.Redis]:
    with redis.Redis(port=valkey.port) as client:
        yield client


@pytest.fixture
def cluster_store(valkey_cluster: services.Cluster) -> Iterator[RedisStore]:
    store = store_at(valkey_cluster.url)
    yield store
    store.close()


class TestOneServer(StoreContract):
    @pytest.fixture
    def store(self, valkey: services.Service) -> Iterator[RedisStore]:
        store = store_at(valkey.url)
        yield store
        store.close()


@pytest.mark.heavy
class TestCluster(StoreContract):
    @pytest.fixture
    def store(self, cluster_store: RedisStore) -> RedisStore:
        return cluster_store


@pytest.mark.heavy
class TestSentinel(StoreContract):
    @pytest.fixture
    def store(self, valkey_sentinel: services.Service) -> Iterator[RedisStore]:
        store = store_at(f"{valkey_sentinel.url}/master/0")
        yield store
        store.close()


def test_each_operation_is_one_command(store: RedisStore, server: redis.Redis) -> None:
    key = new_key()
    # It connects.
    store.load(key)
    assert sent(server, lambda: store.create(key, b"a", 60, "42")) == ["evalsha"]
    assert sent(server, lambda: store.load(key)) == ["get"]
    version = loaded(store, key).version
    assert sent(server, lambda: store.update(key, b"b", 60, version, "42")) == ["evalsha"]
    version = loaded(store, key).version
    assert sent(server, lambda: store.update(key, b"c", 60, version)) == ["set"]
    other = new_key()
    store.create(other, b"a", 60)
    assert sent(server, lambda: store.touch(other, 60)) == ["evalsha"]
    assert sent(server, lambda: store.delete(other)) == ["evalsha"]


def test_what_changed_since_it_was_read_is_looked_at_by_a_script(store: RedisStore, server: redis.Redis) -> None:
    key = new_key()
    store.create(key, b"a", 60)
    before = loaded(store, key).version
    store.touch(key, 90)
    assert sent(server, lambda: store.update(key, b"b", 60, before)) == ["set", "evalsha"]
    assert loaded(store, key).data == b"b"
    assert store.update(key, b"c", 60, before) is False
    assert loaded(store, key).data == b"b"


def test_large_records_are_not_sent_twice(store: RedisStore, server: redis.Redis) -> None:
    key = new_key()
    store.create(key, b"x" * 5000, 60)
    version = loaded(store, key).version
    assert sent(server, lambda: store.update(key, b"y" * 5000, 60, version)) == ["evalsha"]


def test_a_server_that_cannot_compare_is_asked_once(valkey: services.Service) -> None:
    class Older(redis.Redis):
        asked = 0

        def execute_command(self, *args: Any, **options: Any) -> Any:
            if "IFEQ" in args:
                self.asked += 1
                raise redis.ResponseError("syntax error")
            return super().execute_command(*args, **options)

    client = Older(port=valkey.port)
    store = RedisStore(client, prefix=f"{new_key()[:8]}:")
    key = new_key()
    store.create(key, b"0", 60)
    for n in range(3):
        assert store.update(key, b"%d" % n, 60, loaded(store, key).version)
    assert (loaded(store, key).data, client.asked) == (b"2", 1)
    store.close()


def sent(server: redis.Redis, operation: Callable[[], object]) -> list[str]:
    """The commands that arrive at a server that knows our scripts while the operation runs; not those of scripts."""
    for script in vars(scripts).values():
        if isinstance(script, scripts.Script):
            server.script_load(script.text)
    with server.monitor() as monitor:
        server.echo("begin")
        operation()
        server.echo("end")
        told = (command["command"] for command in monitor.listen() if command["client_type"] != "lua")
        texts = list(iter(lambda: next(told), "ECHO end"))
    return [text.split()[0].lower() for text in texts[texts.index("ECHO begin") + 1 :]]


def test_a_server_that_forgot_the_scripts_is_sent_them_again(store: RedisStore, server: redis.Redis) -> None:
    key = new_key()
    server.script_flush()
    assert store.create(key, b"a", 60)
    server.script_flush()
    assert store.touch(key, 60)


def test_the_server_drops_a_record_by_itself(store: RedisStore, server: redis.Redis, prefix: str) -> None:
    key = new_key()
    store.create(key, b"a", 60)
    assert 58 <= server.ttl(f"{prefix}:{key}") <= 60
    store.touch(key, 600)
    assert 598 <= server.ttl(f"{prefix}:{key}") <= 600


def test_a_client_whose_clock_is_years_behind_keeps_its_sessions(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1700000000.0)
    key = new_key()
    assert store.create(key, b"a", 60, "42")
    assert store.touch(key, 90)
    record = loaded(store, key)
    assert record.expires == 1700000090
    assert list(store.keys_of("42")) == [key]


def test_the_longest_lifetime_fits(store: RedisStore) -> None:
    key = new_key()
    assert store.create(key, b"a", 86399999999999)
    record = loaded(store, key)
    assert time.time() < record.expires <= LATEST


@pytest.mark.parametrize("garbage", [b"", b"x", b"\x80\x04}q\x00.", b"99999999999999", b"9" * 200])
def test_a_value_that_is_no_record_is_a_record_without_data(
    store: RedisStore, server: redis.Redis, garbage: bytes, prefix: str
) -> None:
    key = new_key()
    server.set(f"{prefix}:{key}", garbage, ex=60)
    assert_garbage(store, key)


def test_a_value_of_another_type_is_a_record_without_data(store: RedisStore, server: redis.Redis, prefix: str) -> None:
    key = new_key()
    server.rpush(f"{prefix}:{key}", "x")
    assert not store.create(key, b"a", 60)
    assert_garbage(store, key)


def assert_garbage(store: RedisStore, key: str) -> None:
    record = loaded(store, key)
    assert record.data == b""
    assert not store.update(key, b"a", 60, record.version)
    assert not store.touch(key, 60)
    store.delete(key)
    assert store.load(key) is None


@pytest.mark.parametrize("operation", ["load", "create", "update", "touch", "delete", "keys_of"])
def test_a_dropped_connection_is_tried_again(store: RedisStore, server: redis.Redis, operation: str) -> None:
    key, new = new_key(), new_key()
    store.create(key, b"a", 60, "42")
    record = loaded(store, key)
    server.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    expected = {"load": record, "create": True, "update": True, "touch": True, "delete": None, "keys_of": [key]}
    arguments: dict[str, tuple[Any, ...]] = {
        "create": (new, b"b", 60),
        "update": (key, b"b", 60, record.version),
        "touch": (key, 60),
        "keys_of": ("42",),
    }
    assert getattr(store, operation)(*arguments.get(operation, (key,))) == expected[operation]


@pytest.fixture
def dropped(valkey: services.Service) -> Iterator[tuple[dropping.DroppingProxy, RedisStore]]:
    proxy = dropping.DroppingProxy(valkey.port)
    store = store_at(f"redis://{services.HOST}:{proxy.port}")
    yield proxy, store
    store.close()
    proxy.close()


def test_a_write_whose_answer_was_lost_is_seen_to_be_done(
    dropped: tuple[dropping.DroppingProxy, RedisStore],
) -> None:
    proxy, store = dropped
    # connects, and teaches the server both scripts
    store.update(new_key(), b"", 60, b"")
    store.create(new_key(), b"", 60)
    dropping.assert_writes_survive_lost_answers(proxy, store)


def test_a_killed_server_is_an_outage_and_works_after_its_restart(
    start_valkey: Callable[..., services.Service],
) -> None:
    server = start_valkey(persistent=True)
    store = store_at(server.url)
    key = new_key()
    store.create(key, b"a", 600)
    server.kill()
    began = time.monotonic()
    for operation in (lambda: store.load(key), lambda: store.create(new_key(), b"", 60), lambda: store.delete(key)):
        with pytest.raises(StoreError) as caught:
            operation()
        assert isinstance(caught.value.__cause__, redis.ConnectionError)
    assert time.monotonic() - began < 2
    server.restart()
    assert loaded(store, key).data == b"a"
    store.close()


def test_a_server_that_hangs_is_an_outage_after_the_timeout(start_valkey: Callable[..., services.Service]) -> None:
    server = start_valkey()
    store = RedisStore.from_url(f"{server.url}?timeout=0.2")
    assert store.load(new_key()) is None
    dropping.hang(server)
    began = time.monotonic()
    with pytest.raises(StoreError) as caught:
        store.load(new_key())
    assert isinstance(caught.value.__cause__, redis.TimeoutError)
    assert 0.1 < time.monotonic() - began < 1.5
    server.thaw()
    store.close()


def test_a_child_process_does_not_share_its_parents_connection(store: RedisStore) -> None:
    assert_works_in_child(store)


@pytest.mark.heavy
def test_a_child_process_does_not_share_its_parents_cluster_connections(cluster_store: RedisStore) -> None:
    assert_works_in_child(cluster_store)


def test_more_threads_than_connections_take_turns(valkey: services.Service) -> None:
    store = RedisStore.from_url(f"{valkey.url}?max_connections=2&prefix={new_key()}:")
    assert_threads_take_turns(store, 12)
    store.close()


def test_prefixes_keep_applications_apart(valkey: services.Service) -> None:
    one, other = store_at(valkey.url), store_at(valkey.url)
    key = new_key()
    one.create(key, b"a", 60, "42")
    assert other.load(key) is None
    assert other.keys_of("42") == []
    one.close()
    other.close()


def index_keys(prefix: str, server: redis.Redis) -> list[bytes]:
    return list(server.scan_iter(f"{prefix}:principal:*", count=1000))


def test_the_index_ends_with_its_last_record(store: RedisStore, server: redis.Redis, prefix: str) -> None:
    key = new_key()
    store.create(key, b"a", 60, "42")
    store.create(new_key(), b"a", 600, "42")
    store.touch(key, 6000)
    (index,) = index_keys(prefix, server)
    assert 5990 <= server.ttl(index) <= 6000


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_a_touch_that_is_cut_off_leaves_no_record_later_than_its_place_in_the_index(
    store: RedisStore, server: redis.Redis, monkeypatch: pytest.MonkeyPatch, calls: int, prefix: str
) -> None:
    key = new_key()
    store.create(key, b"a", 60, "42")
    left = iter(range(calls))
    run = Server.run

    def run_or_fail(asked: Server, *command: Any) -> Any:
        if next(left, None) is None:
            raise StoreError("the connection dropped")
        return run(asked, *command)

    monkeypatch.setattr(Server, "run", run_or_fail)
    with contextlib.suppress(StoreError):
        store.touch(key, 600)
    (index,) = index_keys(prefix, server)
    score = server.zscore(index, key)
    assert score is not None
    assert score >= loaded(store, key).expires


def test_the_index_holds_no_key_of_a_deleted_record(store: RedisStore, server: redis.Redis, prefix: str) -> None:
    key = new_key()
    store.create(key, b"a", 60, "42")
    store.delete(key)
    assert index_keys(prefix, server) == []


def test_what_has_expired_leaves_the_index_when_it_is_listed(
    store: RedisStore, server: redis.Redis, clock: Any, prefix: str
) -> None:
    store.create(new_key(), b"a", 60, "42")
    lasting = new_key()
    store.create(lasting, b"a", 600, "42")
    clock.advance(61)
    assert store.keys_of("42") == [lasting]
    (index,) = index_keys(prefix, server)
    assert server.zcard(index) == 1


def test_a_principal_is_not_shown_by_its_index(store: RedisStore, server: redis.Redis, prefix: str) -> None:
    store.create(new_key(), b"a", 60, "alice@example.org")
    assert not [name for name in server.scan_iter(f"{prefix}:*") if b"alice" in name]


def test_the_devices_of_one_principal_are_listed_in_any_number(store: RedisStore) -> None:
    keys = {new_key() for _ in range(1100)}
    for key in keys:
        store.create(key, b"a", 60, "42")
    assert set(store.keys_of("42")) == keys


@pytest.mark.heavy
def test_the_index_is_right_when_records_lie_in_other_slots(cluster_store: RedisStore) -> None:
    keys = {new_key() for _ in range(60)}
    for key in keys:
        assert cluster_store.create(key, b"a", 60, "42")
    assert set(cluster_store.keys_of("42")) == keys
    moved, ended, *_ = keys
    cluster_store.delete(ended)
    assert cluster_store.update(moved, b"a", 60, loaded(cluster_store, moved).version, "43")
    assert set(cluster_store.keys_of("42")) == keys - {moved, ended}
    assert list(cluster_store.keys_of("43")) == [moved]


def test_a_cluster_that_is_down_is_an_outage_at_the_first_use() -> None:
    store = RedisStore.from_url(f"redis+cluster://{services.HOST}:{services.free_port()}")
    with pytest.raises(StoreError):
        store.load(new_key())
    store.close()


def test_a_sentinel_that_is_down_is_an_outage_at_the_first_use() -> None:
    store = RedisStore.from_url(f"redis+sentinel://{services.HOST}:{services.free_port()}/master")
    with pytest.raises(StoreError):
        store.load(new_key())
    store.close()


def test_a_password_is_used_and_never_shown(start_valkey: Callable[..., services.Service]) -> None:
    server = start_valkey()
    with redis.Redis(port=server.port) as admin:
        admin.config_set("requirepass", "s/esam")
    store = RedisStore.from_url(f"valkey://:s%2Fesam@{services.HOST}:{server.port}/3")
    assert store.create(new_key(), b"a", 60)
    assert repr(store) == f"<RedisStore valkey://***@{services.HOST}:{server.port}/3 prefix='session:'>"
    with redis.Redis(port=server.port, db=3, password="s/esam") as admin:
        assert admin.dbsize() == 1
    store.close()


def test_a_wrong_password_is_an_outage_that_does_not_show_it(start_valkey: Callable[..., services.Service]) -> None:
    server = start_valkey()
    with redis.Redis(port=server.port) as admin:
        admin.config_set("requirepass", "sesam")
    store = RedisStore.from_url(f"redis://:mellon@{services.HOST}:{server.port}")
    with pytest.raises(StoreError) as caught:
        store.load(new_key())
    assert "mellon" not in str(caught.value) + str(caught.value.__cause__) + repr(store)
    store.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://localhost/first", "no database"),
        ("redis://localhost/-1", "no database"),
        ("redis://localhost:99999", "port"),
        ("redis://one,two/0", "several hosts"),
        ("redis://localhost?prefx=a", "'prefix'"),
        ("redis://localhost?decode_responses=true", "unknown option"),
        ("redis://localhost?timeout=never", "'timeout'"),
        ("redis://localhost?timeout=0", "'timeout'"),
        ("redis://localhost?max_connections=0", "'max_connections'"),
        ("redis://localhost?prefix=%00", "'prefix'"),
        ("redis://localhost?ssl_cert_reqs=none", "unknown option"),
        ("rediss://localhost?ssl_cert_reqs=maybe", "'ssl_cert_reqs'"),
        ("redis+sentinel://localhost:26379", "master"),
        ("redis+sentinel://localhost/master/x", "no database"),
        ("redis+cluster://localhost/3", "no databases"),
        ("redis+unix:///run/redis.sock?db=x", "'db'"),
        ("redis+unix://localhost/run/redis.sock", "a socket's file"),
        ("redis+sentinels://localhost/master", "redis+sentinel"),
    ],
)
def test_a_mistake_in_the_url_is_an_error_that_says_what_to_write(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisStore.from_url(url.replace("://", "://user:sesam@"))
    assert said in str(caught.value)
    assert "sesam" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["rediss", "valkeys", "rediss+sentinel", "valkeys+sentinel"])
def test_an_s_in_the_scheme_is_tls(scheme: str) -> None:
    client = target(f"{scheme}://localhost/{'master' if 'sentinel' in scheme else ''}?ssl_ca_certs=/ca.pem").make()
    connection = client.connection_pool.make_connection()
    assert isinstance(connection, redis.SSLConnection)
    assert connection.ca_certs == "/ca.pem"
    assert connection.cert_reqs.name == "CERT_REQUIRED"
    assert connection.check_hostname


def test_a_ready_client_is_taken(valkey: services.Service) -> None:
    store = RedisStore(redis.Redis(port=valkey.port), prefix=f"{new_key()}:")
    key = new_key()
    assert store.create(key, b"a", 60)
    assert loaded(store, key).data == b"a"
    store.close()


@pytest.mark.parametrize("client", [redis.Redis(decode_responses=True), "redis://localhost", None])
def test_what_cannot_hold_bytes_is_refused(client: Any) -> None:
    with pytest.raises(ConfigurationError):
        RedisStore(client)


def test_a_ready_client_may_be_made_by_a_function(valkey: services.Service, prefix: str) -> None:
    store = RedisStore(lambda: redis.Redis(port=valkey.port, socket_timeout=2), prefix=prefix)
    assert store.describe().kind == "other"
    key = new_key()
    assert store.create(key, b"a", 60)
    assert loaded(store, key).data == b"a"
    assert store.describe().hosts == ("localhost",)
    store.close()


def test_a_ready_client_that_may_wait_for_ever_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    RedisStore(redis.Redis(socket_timeout=2))
    assert not caplog.records
    RedisStore(redis.Redis(socket_timeout=None))
    assert ["socket_timeout" in record.message for record in caplog.records] == [True]


def test_a_ready_client_with_one_connection_for_all_threads_is_refused(valkey: services.Service) -> None:
    with pytest.raises(ConfigurationError, match="single_connection_client"):
        RedisStore(redis.Redis(port=valkey.port, single_connection_client=True))


@pytest.mark.parametrize("scheme", ["redis+unix", "valkey+unix"])
def test_a_socket_on_this_machine_has_a_url(
    start_valkey: Callable[..., services.Service], tmp_path: Path, scheme: str
) -> None:
    path = tmp_path / "a b.sock"
    server = start_valkey("--unixsocket", str(path))
    url = f"{scheme}://{str(path).replace(' ', '%20')}?db=3&timeout=1&prefix=own:"
    store = open_store(url)
    key = new_key()
    assert store.create(key, b"a", 60)
    with redis.Redis(port=server.port, db=3) as client:
        assert client.keys() == [f"own:{key}".encode()]
    store.close()
    server.kill()
    with pytest.raises(StoreError, match=r"a b\.sock"):
        store.load(key)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost:7000/0", (("localhost",), False, True, False)),
        ("redis://", (("localhost",), False, True, False)),
        ("redis+unix:///run/redis.sock?db=1", (("localhost",), False, True, False)),
        ("rediss://:sesam@cache.internal/0", (("cache.internal",), True, True, True)),
        ("rediss://***@cache.internal?ssl_cert_reqs=none", (("cache.internal",), True, False, True)),
        ("valkeys://[::1]:7000?ssl_check_hostname=off", (("::1",), True, False, False)),
        ("redis+sentinel://user:sesam@one,two:7000/master", (("one", "two"), False, True, True)),
        ("rediss+cluster://one:7000,two", (("one", "two"), True, True, False)),
    ],
)
def test_a_store_says_where_it_is_without_connecting(url: str, expected: tuple[Any, ...]) -> None:
    location = RedisStore.location_of(url)
    assert location.kind == "redis"
    assert (location.hosts, location.tls, location.verified, location.password) == expected
    assert "sesam" not in repr(location)
    assert RedisStore.from_url(url, create=False).describe() == location


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (redis.Redis(host="one", password="sesam"), (("one",), False, True, True)),
        (redis.Redis(host="one", ssl=True), (("one",), True, True, False)),
        (redis.Redis(host="one", ssl=True, ssl_cert_reqs="none"), (("one",), True, False, False)),
        (redis.Redis.from_url("rediss://:sesam@one"), (("one",), True, True, True)),
        (Sentinel([("one", 1), ("two", 2)]).master_for("master"), (("one", "two"), False, True, False)),
    ],
)
def test_a_ready_client_says_where_it_leads(client: redis.Redis, expected: tuple[Any, ...]) -> None:
    location = RedisStore(client).describe()
    assert (location.hosts, location.tls, location.verified, location.password) == expected
    assert "sesam" not in repr(location)


def test_a_session_that_moves_while_the_records_are_read_is_ended_with_the_others(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = SessionManager(store=store)
    browser = Browser(sessions)
    browser.do(lambda session: setattr(session, "principal", "42"))
    monkeypatch.setattr(Server, "headers", renewed_before(Server.headers, browser))
    sessions.end_all("42")
    assert browser.open().new
