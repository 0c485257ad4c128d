from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

pytest.importorskip("pymemcache")

from pymemcache import Client

from session_mw.stores.memcached import MemcachedStore
from session_mw.testing.fixtures import loaded, new_key
from support import services


@pytest.fixture
def store(memcached: services.Service) -> Iterator[MemcachedStore]:
    store = MemcachedStore.from_url(f"{memcached.url}?prefix={secrets.token_hex(4)}:")
    yield store
    store.close()


def commands(server: services.Service) -> tuple[int, int]:
    """How many were read and how many written, so far."""
    client = Client((services.HOST, server.port))
    stats = client.stats()
    client.close()
    return stats[b"cmd_get"], stats[b"cmd_set"]


def test_reading_and_writing_are_one_command_each(store: MemcachedStore, memcached: services.Service) -> None:
    key = new_key()
    store.create(key, b"a", 60)
    reads, writes = commands(memcached)
    version = loaded(store, key).version
    assert commands(memcached) == (reads + 1, writes)
    assert store.update(key, b"b", 60, version)
    assert commands(memcached) == (reads + 1, writes + 1)


def test_a_version_of_another_host_is_refused_though_its_number_fits() -> None:
    servers = [services.start_memcached() for _ in range(2)]
    single = [MemcachedStore([(services.HOST, server.port)]) for server in servers]
    store = MemcachedStore([(services.HOST, server.port) for server in servers])
    keys = [new_key(), new_key()]
    store.create(keys[0], b"a", 60)
    while not all(any(one.load(key) for key in keys) for one in single):
        keys[1] = new_key()
        store.create(keys[1], b"a", 60)
    # the numbers count the writes of a server
    versions = [loaded(store, key).version for key in keys]
    for key, other in zip(keys, reversed(versions), strict=True):
        assert not store.update(key, b"b", 60, other)
        assert loaded(store, key).data == b"a"
    for one in (store, *single):
        one.close()
    for server in servers:
        server.stop()


def test_a_version_of_an_application_with_another_prefix_is_refused(memcached: services.Service) -> None:
    prefix, key = secrets.token_hex(4), new_key()
    one = MemcachedStore.from_url(f"{memcached.url}?prefix={prefix}one:")
    other = MemcachedStore.from_url(f"{memcached.url}?prefix={prefix}other:")
    one.create(key, b"a", 60)
    other.create(key, b"a", 60)
    assert not other.update(key, b"b", 60, loaded(one, key).version)
    one.close()
    other.close()
