"""The servers of the tests are real, and can be killed."""

from __future__ import annotations

import os
import urllib.request

import pytest

from support.services import ask, start_sentinel, waitress_server


def test_a_killed_valkey_comes_back_at_the_same_port(start_valkey):
    server = start_valkey()
    assert ask(server.port, "SET", "key", "value") == "OK"
    server.kill()
    with pytest.raises(ConnectionError):
        ask(server.port, "PING")
    server.restart()
    assert ask(server.port, "GET", "key") is None


def test_a_persistent_valkey_keeps_its_data_through_a_kill(start_valkey):
    server = start_valkey(persistent=True)
    assert ask(server.port, "SET", "key", "value") == "OK"
    server.kill()
    server.restart()
    assert ask(server.port, "GET", "key") == "value"


def test_a_stopped_valkey_leaves_no_process_and_no_file(start_valkey):
    server = start_valkey()
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(server.process.pid, 0)
    assert not server.directory.exists()


def test_a_killed_memcached_comes_back_at_the_same_port(start_memcached):
    server = start_memcached()
    port = server.port
    server.kill()
    server.restart()
    assert (server.port, server.url) == (port, f"memcached://127.0.0.1:{port}")


def test_a_sentinel_knows_its_master(valkey, valkey_sentinel):
    address = ask(valkey_sentinel.port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "master")
    assert address == ["127.0.0.1", str(valkey.port)]


def test_a_sentinel_can_watch_under_another_name(valkey):
    sentinel = start_sentinel(valkey, name="other")
    try:
        assert ask(sentinel.port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "other")[1] == str(valkey.port)
    finally:
        sentinel.stop()


@pytest.mark.heavy
def test_the_cluster_has_given_all_slots_to_its_three_masters(valkey_cluster):
    info = ask(valkey_cluster.port, "CLUSTER", "INFO")
    assert "cluster_slots_ok:16384" in info
    assert "cluster_size:3" in info


def test_waitress_serves_an_app_and_closes_its_port_afterwards():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode()]

    with waitress_server(app) as server, urllib.request.urlopen(f"{server.url}/path") as answer:
        assert answer.read() == b"/path"
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(server.url)
