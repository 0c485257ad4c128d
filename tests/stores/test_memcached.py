from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("pymemcache")

from session_mw.exceptions import ConfigurationError, NotSerializable, StoreError
from session_mw.protocols import Location
from session_mw.stores.memcached import MemcachedStore
from session_mw.testing import StoreContract
from session_mw.testing.fixtures import loaded, new_key
from support import dropping, services
from support.interposed import Interposed, Told
from support.shared_store import assert_works_in_child

DAY = 24 * 3600


@pytest.fixture
def prefix() -> str:
    return f"{secrets.token_hex(4)}:"


def store_on(*ports: int, prefix: str = "session:", **options: Any) -> MemcachedStore:
    return MemcachedStore([(services.HOST, port) for port in ports], prefix=prefix, **options)


@pytest.fixture
def store(memcached: services.Service, prefix: str) -> Iterator[MemcachedStore]:
    store = store_on(memcached.port, prefix=prefix)
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
    def store(self, memcached: services.Service, prefix: str) -> Iterator[MemcachedStore]:
        store = store_on(memcached.port, prefix=prefix)
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


def seconds_left(memcached: services.Service, name: str) -> int:
    """In how many seconds the server drops what is under the name by itself; -1 for never."""
    answer = tell(memcached.port, b"mg %s t\r\n" % name.encode())
    return int(answer.split(b"t")[1])


def put(memcached: services.Service, name: str, value: bytes) -> None:
    assert tell(memcached.port, b"set %s 1 60 %d\r\n%s\r\n" % (name.encode(), len(value), value)) == b"STORED\r\n"


@pytest.mark.parametrize("ttl", [1, 60, 30 * DAY - 1, 30 * DAY, 31 * DAY, 365 * DAY])
def test_the_server_drops_a_record_when_it_has_ended(
    store: MemcachedStore, memcached: services.Service, prefix: str, ttl: int
) -> None:
    key = new_key()
    assert store.create(key, b"a", ttl)
    assert ttl - 2 <= seconds_left(memcached, prefix + key) <= ttl + 2
    record = loaded(store, key)
    assert store.update(key, b"b", 2 * ttl, record.version)
    assert 2 * ttl - 2 <= seconds_left(memcached, prefix + key) <= 2 * ttl + 2
    assert store.touch(key, ttl)
    assert ttl - 2 <= seconds_left(memcached, prefix + key) <= ttl + 2


def test_a_date_that_the_server_cannot_hold_is_never_and_the_record_still_ends(
    store: MemcachedStore, memcached: services.Service, prefix: str, clock: Any
) -> None:
    key = new_key()
    assert store.create(key, b"a", 36500 * DAY)
    assert seconds_left(memcached, prefix + key) == -1
    clock.advance(36500 * DAY - 1)
    assert store.load(key) is not None
    clock.advance(1)
    assert store.load(key) is None


@pytest.mark.parametrize("ttl", [60, 31 * DAY])
def test_a_client_whose_clock_is_years_behind_keeps_its_sessions(
    store: MemcachedStore, memcached: services.Service, prefix: str, monkeypatch: pytest.MonkeyPatch, ttl: int
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1700000000.0)
    key = new_key()
    assert store.create(key, b"a", ttl)
    assert store.touch(key, ttl)
    record = loaded(store, key)
    assert record.expires == 1700000000 + ttl
    assert ttl - 2 <= seconds_left(memcached, prefix + key) <= ttl + 2


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
    store: MemcachedStore, memcached: services.Service, prefix: str, garbage: bytes
) -> None:
    key = new_key()
    put(memcached, prefix + key, garbage)
    record = loaded(store, key)
    assert record.data == b""
    assert not store.create(key, b"a", 60)
    assert not store.update(key, b"a", 60, record.version)
    assert not store.touch(key, 60)
    store.delete(key)
    assert store.load(key) is None


def test_a_pickle_of_another_program_is_not_opened(
    store: MemcachedStore, memcached: services.Service, prefix: str
) -> None:
    key = new_key()
    # pymemcache's and pylibmc's flag for a pickle; this one would raise SystemExit
    put(memcached, prefix + key, b"cbuiltins\nexit\n(tR.")
    record = loaded(store, key)
    assert record.data == b""


@pytest.fixture
def interposed(memcached: services.Service) -> Iterator[Interposed]:
    proxy = Interposed(memcached.port)
    yield proxy
    proxy.close()


@pytest.fixture
def slow_store(interposed: Interposed, prefix: str) -> Iterator[MemcachedStore]:
    """The same records as in ``store``, behind ``interposed``."""
    store = store_on(interposed.port, prefix=prefix)
    yield store
    store.close()


@contextmanager
def before_the_next_write(proxy: Interposed, happens: Callable[[], object]) -> Iterator[None]:
    """Let something happen once, after a record was read and before it is written."""
    due = iter([True])

    def look(command: bytes) -> None:
        if command.startswith(b"cas ") and next(due, False):
            happens()

    proxy.before = look
    yield
    proxy.before = None
    assert not next(due, False), "nothing was written"


def test_an_update_survives_a_touch_that_comes_between_its_reading_and_its_writing(
    store: MemcachedStore, slow_store: MemcachedStore, interposed: Interposed
) -> None:
    key = new_key()
    store.create(key, b"a", 60)
    version = loaded(slow_store, key).version
    with before_the_next_write(interposed, lambda: store.touch(key, 600)):
        assert slow_store.update(key, b"b", 60, version)
    assert loaded(store, key).data == b"b"
    assert loaded(store, key).expires < time.time() + 61


def test_a_touch_survives_a_touch_that_comes_between(
    store: MemcachedStore, slow_store: MemcachedStore, interposed: Interposed
) -> None:
    key = new_key()
    store.create(key, b"a", 60)
    with before_the_next_write(interposed, lambda: store.touch(key, 600)):
        assert slow_store.touch(key, 60)
    assert loaded(store, key).expires < time.time() + 61


def test_a_touch_does_not_bring_back_what_was_updated_or_deleted_between(
    store: MemcachedStore, slow_store: MemcachedStore, interposed: Interposed
) -> None:
    key = new_key()
    store.create(key, b"a", 60)
    version = loaded(store, key).version
    with before_the_next_write(interposed, lambda: store.update(key, b"b", 60, version)):
        assert slow_store.touch(key, 60)
    assert loaded(store, key).data == b"b"
    with before_the_next_write(interposed, lambda: store.delete(key)):
        assert not slow_store.touch(key, 60)
    assert store.load(key) is None


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


def use_at_once(store: MemcachedStore, count: int) -> None:
    """Let so many threads use the store that it keeps as many connections."""
    barrier = threading.Barrier(count)

    def read_often() -> None:
        for _ in range(20):
            barrier.wait()
            store.load(new_key())

    threads = [threading.Thread(target=read_often) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_many_idle_connections_that_a_restart_dropped_are_no_outage(
    start_memcached: Callable[..., services.Service],
) -> None:
    server = start_memcached()
    store = store_on(server.port)
    use_at_once(store, 5)
    server.kill()
    server.restart()
    assert store.load(new_key()) is None
    store.close()


def test_many_idle_connections_that_a_firewall_forgot_cost_one_timeout(interposed: Interposed, prefix: str) -> None:
    store = store_on(interposed.port, prefix=prefix, timeout=0.3)
    use_at_once(store, 8)
    assert interposed.connections > 1
    interposed.forget()
    with pytest.raises(StoreError, match="timed out"):
        store.load(new_key())
    for _ in range(10):
        assert store.load(new_key()) is None
    store.close()


def test_no_more_idle_connections_are_kept_than_asked_for(memcached: services.Service) -> None:
    store = store_on(memcached.port, max_idle=2)
    before = connections_of(memcached)
    use_at_once(store, 6)
    assert connections_of(memcached) <= before + 2
    store.close()


def connections_of(server: services.Service) -> int:
    lines = tell(server.port, b"stats\r\n", b"END\r\n").split(b"\r\n")
    return next(int(line.split()[2]) for line in lines if line.startswith(b"STAT curr_connections"))


def dribble(connection: socket.socket, command: bytes) -> None:
    """An answer that never ends, a byte at a time."""
    for byte in itertools.cycle(b"VALUE "):
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def answer_late(connection: socket.socket, command: bytes) -> None:
    """Each answer for itself comes in time."""
    time.sleep(0.3)
    connection.sendall(b"NOT_FOUND\r\n" if command.startswith(b"delete") else b"END\r\n")


def lose_every_race(connection: socket.socket, command: bytes) -> None:
    """Somebody else is always faster."""
    if command.startswith(b"gets"):
        value = b"99999999999999:0123456789abcdef:data"
        connection.sendall(b"VALUE %s 0 %d 7\r\n%s\r\nEND\r\n" % (command.split()[1], len(value), value))
    else:
        connection.sendall(b"EXISTS\r\n")


@pytest.mark.parametrize(
    ("answer", "call"),
    [
        (dribble, lambda store: store.load(new_key())),
        (dribble, lambda store: store.create(new_key(), b"a", 60)),
        (dribble, lambda store: store.create(new_key(), b"a", 31 * DAY)),
        (answer_late, lambda store: store.delete(new_key())),
        (answer_late, lambda store: store.create(new_key(), b"a", 31 * DAY)),
        (lose_every_race, lambda store: store.touch(new_key(), 60)),
        (lose_every_race, lambda store: store.update(new_key(), b"a", 60, b"0123456789abcdef")),
    ],
)
def test_a_call_ends_within_its_timeout_whatever_the_server_does(
    answer: Callable[[socket.socket, bytes], object], call: Callable[[MemcachedStore], object]
) -> None:
    server = Told(answer)
    store = store_on(server.port, timeout=0.4, connect_timeout=5)
    began = time.monotonic()
    with pytest.raises(StoreError):
        call(store)
    assert time.monotonic() - began < 0.6
    store.close()
    server.close()


class Interrupted(Exception):
    """What a tool that ends slow requests sets in a thread."""


# A connection that is lost between two lines is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_call_that_was_interrupted_leaves_no_answer_to_the_next(store: MemcachedStore) -> None:
    keys = [new_key() for _ in range(4)]
    for key in keys:
        store.create(key, key.encode(), 600)
    wrong: list[object] = []
    stop = threading.Event()

    def read_until_stopped() -> None:
        while not stop.is_set():
            try:
                for key in keys:
                    if loaded(store, key).data != key.encode():
                        wrong.append(key)
            except Interrupted:
                continue

    def guarded() -> None:
        # the last exception may come when the reading has ended
        with contextlib.suppress(Interrupted):
            read_until_stopped()

    threads = [threading.Thread(target=guarded) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(400):
        thread = threads[number % 2]
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupted))
        time.sleep(0.001)
        assert loaded(store, keys[0]).data == keys[0].encode()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


GREENLETS = """
import sys
from gevent import monkey
monkey.patch_all()
import gevent, hashlib, random
from session_mw import open_store
store = open_store(sys.argv[1])
keys = [hashlib.sha256(bytes([n])).hexdigest() for n in range(8)]
for key in keys:
    store.create(key, key.encode(), 600)
interrupted = 0
for _ in range(500):
    key = random.choice(keys)
    if random.random() < 0.5:
        try:
            with gevent.Timeout(random.random() * 0.001):
                assert store.load(key).data == key.encode()
        except gevent.Timeout:
            interrupted += 1
    else:
        reader = gevent.spawn(store.load, key)
        gevent.sleep(random.random() * 0.001)
        interrupted += not reader.ready()
        reader.kill()
    for key in keys:
        assert store.load(key).data == key.encode(), "another's answer"
assert interrupted > 50, interrupted
"""


@pytest.mark.heavy
def test_a_greenlet_that_was_killed_or_timed_out_leaves_no_answer_to_the_next(interposed: Interposed) -> None:
    pytest.importorskip("gevent")
    interposed.before = lambda command: time.sleep(0.0005)
    url = f"memcached://{services.HOST}:{interposed.port}?prefix={secrets.token_hex(4)}:"
    done = subprocess.run([sys.executable, "-c", GREENLETS, url], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


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
    turned = store_on(other.port, one.port)
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


FORK = """
import ctypes, hashlib, os, sys
from session_mw import open_store
store = open_store(sys.argv[1])
keys = [hashlib.sha256(bytes([n])).hexdigest() for n in range(10)]
for key in keys:
    store.create(key, key.encode(), 600)
child = ctypes.PyDLL(None).fork()
wrong = [key for key in keys * 20 if store.load(key).data != key.encode()]
if child == 0:
    os._exit(bool(wrong))
sys.exit(bool(wrong) or os.waitpid(child, 0)[1])
"""


def test_a_fork_that_python_is_not_told_of_shares_no_connection(memcached: services.Service, prefix: str) -> None:
    """As uWSGI forks."""
    url = f"{memcached.url}?prefix={prefix}"
    done = subprocess.run([sys.executable, "-c", FORK, url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_while_other_threads_are_in_the_middle_of_calls_shares_no_connection(store: MemcachedStore) -> None:
    keys = [new_key() for _ in range(10)]
    for key in keys:
        store.create(key, key.encode(), 60)
    stop, wrong = threading.Event(), list[str]()

    def read_until_stopped() -> None:
        while not stop.is_set():
            wrong.extend(key for key in keys if loaded(store, key).data != key.encode())

    threads = [threading.Thread(target=read_until_stopped) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        child = os.fork()
        if child == 0:
            os._exit(0 if all(loaded(store, key).data == key.encode() for key in keys * 5) else 1)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SERVER_ERROR out of memory storing object\r\n", "MemcacheServerError, out of memory storing object"),
        (b"CLIENT_ERROR bad command line format\r\n", "MemcacheClientError, bad command line format"),
        (b"ERROR\r\n", "the server does not know the command"),
        (b"hush, another visitor's data\r\n", "the answer is not memcached's"),
        (b"VALUE hush 0 1 1\r\nx\r\nEND\r\n", "the answer is not memcached's"),
    ],
)
def test_an_error_says_what_the_server_said_and_nothing_of_a_session(answer: bytes, words: str) -> None:
    server = Told(lambda connection, command: connection.sendall(answer))
    store = store_on(server.port)
    with pytest.raises(StoreError) as caught:
        store.load(new_key())
    assert words in str(caught.value)
    assert f"{services.HOST}:{server.port}" in str(caught.value)
    assert "hush" not in str(caught.value)
    store.close()
    server.close()


def test_a_server_that_is_not_there_is_named() -> None:
    port = services.free_port()
    store = store_on(port)
    with pytest.raises(StoreError, match=f"{services.HOST}:{port}: ConnectionRefusedError, Connection refused"):
        store.load(new_key())


def test_all_addresses_of_a_host_are_tried(memcached: services.Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """``localhost`` is ``::1`` first, where memcached seldom listens."""
    address = (services.HOST, memcached.port)
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (services.HOST, services.free_port())),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", address),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    store = MemcachedStore([("cache.internal", memcached.port)])
    assert store.load(new_key()) is None
    store.close()


def test_a_unix_socket_is_a_server_too() -> None:
    binary = shutil.which("memcached") or services.missing("memcached (Debian: memcached)")
    path = tempfile.mkdtemp(prefix="session-mw-") + "/a b.sock"
    process = subprocess.Popen([binary, "-s", path, "-U", "0", *(["-u", "root"] if os.geteuid() == 0 else [])])
    try:
        services.wait_until(lambda: os.path.exists(path), "memcached makes no socket")
        url = f"memcached://{path.replace(' ', '%20')}?prefix=web:"
        store = MemcachedStore.from_url(url)
        key = new_key()
        assert store.create(key, b"a", 60)
        assert loaded(store, key).data == b"a"
        assert store.describe().hosts == MemcachedStore.location_of(url).hosts == ("localhost",)
        store.close()
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(os.path.dirname(path))


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


def test_the_store_says_where_it_is() -> None:
    url = "memcached://one,[2001:db8::1]:11212?prefix=shop:"
    place = MemcachedStore.location_of(url)
    assert place == Location("memcached", url, hosts=("one", "2001:db8::1"))
    assert MemcachedStore.from_url(url).describe()[2:] == place[2:]


def test_the_url_says_everything() -> None:
    store = MemcachedStore.from_url("memcached://one,[::1]:11212?prefix=shop:")
    assert repr(store) == "<MemcachedStore memcached://one:11211,::1:11212 prefix='shop:'>"
