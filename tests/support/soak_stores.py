"""The stores of a soak test: each with the faults that can befall it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from support import databases, services
from support.services import HOST, ask

Fault = Callable[[float], None]
"""Does harm for so many seconds, and puts it right."""

TIMEOUT = 1.0
"""Seconds, for every store: an outage of two seconds is a long one then."""


@dataclass
class Rig:
    """A store, and what can happen to it.

    Attributes:
        url: For the site.
        faults: By name.
        forgets: The faults after which sessions may be gone, by what the store promises.
        cuts_requests: Whether a fault ends processes of the site, with the requests in them.
        has_index: Whether the store lists a principal's sessions.
        close: Ends its servers.
    """

    url: str
    faults: dict[str, Fault]
    close: Callable[[], None]
    forgets: frozenset[str] = frozenset()
    cuts_requests: bool = False
    has_index: bool = True
    workers: Callable[[], list[int]] = field(default=lambda: [])


def _network(address: databases.Address) -> dict[str, Fault]:
    def cut(seconds: float) -> None:
        """Connections are closed again and again."""
        for _ in range(max(1, int(seconds * 5))):
            address.cut()
            time.sleep(0.2)

    def silence(seconds: float) -> None:
        """What is open is forgotten, as by a firewall; nobody is told."""
        address.forget()
        time.sleep(seconds)

    return {"cut": cut, "silence": silence}


def _hang(server: services.Service | databases.Server) -> Fault:
    def hang(seconds: float) -> None:
        server.freeze()
        try:
            time.sleep(seconds)
        finally:
            server.thaw()

    return hang


class _Pair:
    """A master and its replica, behind one address that leads to the master."""

    def __init__(self, binary: str) -> None:
        self.master = services.start_valkey(persistent=True, binary=binary)
        self.replica = services.start_valkey(persistent=True, binary=binary)
        self.address = databases.Address(self.master.port)
        self._follow()

    def faults(self) -> dict[str, Fault]:
        own = {"killed": self.killed, "hung": self.hung, "failover": self.failover}
        return {**own, "read only": self.read_only, "full": self.full, **_network(self.address)}

    def killed(self, seconds: float) -> None:
        self.master.kill()
        time.sleep(seconds)
        self.master.restart()

    def hung(self, seconds: float) -> None:
        _hang(self.master)(seconds)

    def failover(self, seconds: float) -> None:
        """The replica becomes the master, with all that was written; open connections lead to the old one."""
        services.wait_until(self._is_in_step, "the replica is not in step")
        # Refused for as long as the master has not noticed that the replica is connected again.
        begin = self.master.port, "FAILOVER", "TO", HOST, self.replica.port
        services.wait_until(lambda: ask(*begin) == "OK", "the failover does not begin")
        services.wait_until(lambda: ask(self.replica.port, "ROLE")[0] == "master", "no failover")
        self.master, self.replica = self.replica, self.master
        self.address.target = self.master.port
        time.sleep(seconds)

    def read_only(self, seconds: float) -> None:
        ask(self.master.port, "REPLICAOF", HOST, services.free_port())
        time.sleep(seconds)
        ask(self.master.port, "REPLICAOF", "NO", "ONE")

    def full(self, seconds: float) -> None:
        ask(self.master.port, "CONFIG", "SET", "maxmemory", 1)
        time.sleep(seconds)
        ask(self.master.port, "CONFIG", "SET", "maxmemory", 0)

    def close(self) -> None:
        self.address.close()
        self.master.stop()
        self.replica.stop()

    def _follow(self) -> None:
        ask(self.replica.port, "REPLICAOF", HOST, self.master.port)

    def _is_in_step(self) -> bool:
        return "master_link_status:up" in ask(self.replica.port, "INFO", "replication")


def _redis(binary: str) -> Rig:
    pair = _Pair(binary)
    return Rig(f"redis://{HOST}:{pair.address.port}/0?timeout={TIMEOUT}", pair.faults(), pair.close)


def valkey(directory: Path) -> Rig:
    return _redis(services.valkey_binary())


def redis(directory: Path) -> Rig:
    return _redis(services.redis_binary())


def memcached(directory: Path) -> Rig:
    server = services.start_memcached()
    address = databases.Address(server.port)

    def killed(seconds: float) -> None:
        server.kill()
        time.sleep(seconds)
        server.restart()

    def close() -> None:
        address.close()
        server.stop()

    faults = {"killed": killed, "hung": _hang(server), **_network(address)}
    url = f"memcached://{HOST}:{address.port}?timeout={TIMEOUT}"
    return Rig(url, faults, close, forgets=frozenset(["killed"]), has_index=False)


def _killed(server: databases.Server) -> Fault:
    def killed(seconds: float) -> None:
        server.kill()
        time.sleep(seconds)
        server.start()

    return killed


def _postgresql_faults(server: databases.PostgreSQL) -> dict[str, Fault]:
    def read_only(seconds: float) -> None:
        for value in ("on", "off"):
            server.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            server.execute("SELECT pg_reload_conf()")
            if value == "on":
                time.sleep(seconds)

    def locked(seconds: float) -> None:
        lock = "LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE"
        server.execute(f"DO $$ BEGIN {lock}; PERFORM pg_sleep({seconds}); END $$", "app")

    return {"killed": _killed(server), "hung": _hang(server), "read only": read_only, "locked": locked}


def postgresql(directory: Path) -> Rig:
    server = databases.PostgreSQL()
    address = databases.Address(server.port)

    def close() -> None:
        address.close()
        server.remove()

    url = f"{server.url('psycopg', address.port)}?timeout={TIMEOUT}"
    return Rig(url, {**_postgresql_faults(server), **_network(address)}, close)


def pgbouncer(directory: Path) -> Rig:
    server = databases.PostgreSQL()
    pooler = databases.PgBouncer(server)
    address = databases.Address(pooler.port)

    def close() -> None:
        address.close()
        pooler.remove()
        server.remove()

    faults = {**_postgresql_faults(server), "pooler killed": _killed(pooler), **_network(address)}
    return Rig(f"{server.url('psycopg', address.port)}?timeout={TIMEOUT}", faults, close)


def mariadb(directory: Path) -> Rig:
    # what is committed is with the kernel, so that a killed server loses nothing
    server = databases.MariaDB("--innodb-flush-log-at-trx-commit=2")
    address = databases.Address(server.port)

    def read_only(seconds: float) -> None:
        server.execute("SET GLOBAL read_only = 1")
        time.sleep(seconds)
        server.execute("SET GLOBAL read_only = 0")

    def locked(seconds: float) -> None:
        import pymysql

        with (
            pymysql.connect(unix_socket=f"{server.directory}/s", user="root", database="app") as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("LOCK TABLES sessions WRITE")
            time.sleep(seconds)

    def close() -> None:
        address.close()
        server.remove()

    faults = {"killed": _killed(server), "hung": _hang(server), "read only": read_only, "locked": locked}
    # PyMySQL makes a TLS context for each connection, else: 20 ms of a processor, in which gevent's hub stands still
    url = f"{server.url('pymysql', address.port)}?timeout={TIMEOUT}&ssl_disabled=true"
    return Rig(url, {**faults, **_network(address)}, close)


def _small_disk(directory: Path) -> Callable[[], None]:
    """Mount a disk of 8 MB, where that is allowed.

    Returns:
        What takes it away.
    """
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(directory)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        return lambda: None

    def unmount() -> None:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)

    return unmount


def _full(directory: Path) -> dict[str, Fault]:
    if not directory.is_mount():
        return {}

    def full(seconds: float) -> None:
        filler = directory / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        time.sleep(seconds)
        filler.unlink()

    return {"full": full}


def _worker_killed(rig: Rig) -> Fault:
    def worker_killed(seconds: float) -> None:
        """The processes that have the store open are what can crash."""
        workers = rig.workers()
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(workers), signal.SIGKILL)
        time.sleep(seconds)

    return worker_killed


def sqlite(directory: Path) -> Rig:
    path = directory / "sessions.db"
    unmount = _small_disk(directory)

    def locked(seconds: float) -> None:
        with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)
            connection.execute("COMMIT")

    rig = Rig(f"sqlite:///{path}?timeout={TIMEOUT}", {"locked": locked, **_full(directory)}, unmount)
    rig.cuts_requests, rig.faults["worker killed"] = True, _worker_killed(rig)
    return rig


def file(directory: Path) -> Rig:
    unmount = _small_disk(directory)
    sessions, away = directory / "sessions", directory / "away"

    def moved_away(seconds: float) -> None:
        sessions.rename(away)
        time.sleep(seconds)
        away.rename(sessions)

    rig = Rig(f"file://{sessions}?timeout={TIMEOUT}", {"moved away": moved_away, **_full(directory)}, unmount)
    rig.cuts_requests, rig.faults["worker killed"] = True, _worker_killed(rig)
    return rig


STORES: dict[str, Callable[[Path], Rig]] = {
    store.__name__: store for store in (valkey, redis, memcached, postgresql, pgbouncer, mariadb, sqlite, file)
}


class Schedule(threading.Thread):
    """Lets the faults happen, in an order that the seed decides, until it is stopped.

    Attributes:
        happened: How often each one happened.
        current: What happens now; empty: nothing.
        first_round: Set when each one has happened.
        forgotten: When (monotonic time) a fault began that the store forgets sessions by.
        error: What went wrong with the schedule itself.
    """

    def __init__(self, rig: Rig, seed: int, seconds_of_peace: float = 0.4, longest: float = 1.8) -> None:
        super().__init__(daemon=True)
        self.happened = dict.fromkeys(rig.faults, 0)
        self.current = ""
        self.first_round = threading.Event()
        self.error: BaseException | None = None
        self.forgotten: list[float] = []
        self._rig, self._random = rig, random.Random(seed)
        self._peace, self._longest = seconds_of_peace, longest
        self._ends = threading.Event()

    def run(self) -> None:
        try:
            while not self._ends.is_set():
                for name in self._random.sample(sorted(self._rig.faults), len(self._rig.faults)):
                    if self._ends.wait(self._peace):
                        return
                    if name in self._rig.forgets:
                        self.forgotten.append(time.monotonic())
                    self.current = name
                    self._rig.faults[name](self._random.uniform(0.3, self._longest))
                    self.happened[name] += 1
                    self.current = ""
                self.first_round.set()
        except BaseException as error:  # noqa: BLE001 (told by the test's own thread)
            self.error = error
            self.first_round.set()

    def stop(self) -> None:
        """End after the fault that is under way, with all put right."""
        self._ends.set()
        self.join(60)
        if self.error is not None:
            raise self.error
