"""Database servers for tests: PostgreSQL, MariaDB and PgBouncer as Debian packages them.

Each listens on a free loopback port, runs as an unprivileged user, and is ended by its process id.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import services

# it has to be percent-encoded in a URL
PASSWORD = "sesam&open/now"
QUOTED = "sesam%26open%2Fnow"
# SQLAlchemy's names, and the modules
POSTGRESQL_DRIVERS = {"psycopg": "psycopg", "psycopg2": "psycopg2", "pg8000": "pg8000"}
MYSQL_DRIVERS = {"pymysql": "pymysql", "mysqldb": "MySQLdb", "mysqlconnector": "mysql.connector"}


def a_table() -> str:
    """A table of the test's own."""
    return f"t{secrets.token_hex(4)}"


def binary(name: str, package: str) -> str:
    """The path of a server's program; the test is skipped where it is missing."""
    places = [*sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True), "/usr/sbin", "/usr/local/sbin"]
    path = os.pathsep.join([os.environ.get("PATH", ""), *places])
    return shutil.which(name, path=path) or services.missing(f"{name} (Debian: {package})")


# Fixture and driver: each driver on a server that it speaks to.
EVERY_DRIVER = [("postgresql", name) for name in POSTGRESQL_DRIVERS] + [("mariadb", name) for name in MYSQL_DRIVERS]


def driver(name: str) -> str:
    """A driver of SQLAlchemy's; the test is skipped where it is missing."""
    pytest.importorskip({**POSTGRESQL_DRIVERS, **MYSQL_DRIVERS}[name], exc_type=ImportError)
    return name


class Server(ABC):
    """A database server that can be stopped, frozen and started again."""

    scheme: str
    database: str

    def __init__(self) -> None:
        # not below pytest's own directory, which other users may not enter
        self.directory = services.scratch()
        self.user = "nobody" if os.geteuid() == 0 else None
        if self.user:
            os.chown(self.directory, pwd.getpwnam(self.user).pw_uid, -1)
        self.port = services.free_port()

    def url(self, driver: str, port: int | None = None) -> str:
        """The URL for a driver; with the port of what stands in front of the server."""
        at = f"{services.HOST}:{port or self.port}"
        return f"{self.scheme}+{driver}://app:{QUOTED}@{at}/{self.database}"

    def start(self) -> None:
        self.process = self.run(*self.command())
        try:
            services.wait_until(self._is_up, f"{type(self).__name__} does not answer")
            self.settle()
        except BaseException:
            self.kill()
            raise

    @abstractmethod
    def settle(self) -> None:
        """Make what the tests need, once."""

    def kill(self) -> None:
        """End it at once, with all that it made."""
        self.process.send_signal(self.at_once)
        self.process.wait(30)

    def freeze(self) -> None:
        """Let it hang, with each process that it made: connections stand, nothing is answered."""
        for pid in [self.process.pid, *children(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in [*children(self.process.pid), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        self.thaw()
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with open(self.directory / "log", "ab") as log:
            return subprocess.Popen([program, *arguments], cwd=self.directory, user=self.user, stdout=log, stderr=log)

    def make(self, program: str, *arguments: str) -> None:
        made = self.run(program, *arguments)
        assert made.wait(120) == 0, self.log()

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-2000:]

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log()
        return self.answers()

    at_once: signal.Signals = signal.SIGKILL

    @abstractmethod
    def command(self) -> list[str]:
        """What starts it."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it is up."""

    @abstractmethod
    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as the administrator, past the store."""


class PostgreSQL(Server):
    """Its user ``app`` may do everything in the database ``app``, and needs its password."""

    scheme, database = "postgresql", "app"
    at_once = signal.SIGQUIT

    def __init__(self, *settings: str) -> None:
        pytest.importorskip("psycopg", exc_type=ImportError)
        self._program = binary("postgres", "postgresql")
        initdb = binary("initdb", "postgresql")
        super().__init__()
        self.settings = list(settings)
        self.make(initdb, "--pgdata=data", "--auth=trust", "--username=root", "--no-sync", "--encoding=UTF8")
        (self.directory / "data/pg_hba.conf").write_text(
            "host all root 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        self.start()

    def settle(self) -> None:
        if not self.execute("SELECT 1 FROM pg_roles WHERE rolname = 'app'"):
            self.execute(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
            self.execute("CREATE DATABASE app OWNER app")

    def command(self) -> list[str]:
        set_to = [part for setting in self.settings for part in ("-c", setting)]
        place = ["-D", "data", "-p", str(self.port), "-h", services.HOST, "-k", str(self.directory)]
        return [self._program, "-F", *place, "-c", "max_connections=200", *set_to]

    def answers(self) -> bool:
        import psycopg

        with contextlib.suppress(psycopg.OperationalError):
            return bool(self.execute("SELECT 1", "postgres"))
        return False

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        import psycopg

        place = f"host={services.HOST} port={self.port} user=root dbname={database}"
        with psycopg.connect(place, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []


class MariaDB(Server):
    """Its user ``app`` may do everything in the database ``app``, and needs its password."""

    scheme, database = "mysql", "app"

    def __init__(self, *options: str) -> None:
        pytest.importorskip("pymysql")
        self._program = binary("mariadbd", "mariadb-server")
        install = binary("mariadb-install-db", "mariadb-server")
        super().__init__()
        self.options = list(options)
        self.make(
            install, f"--datadir={self.directory}/data", "--auth-root-authentication-method=normal", "--skip-test-db"
        )
        self.start()

    def settle(self) -> None:
        self.execute("CREATE DATABASE IF NOT EXISTS app")
        self.execute(f"CREATE USER IF NOT EXISTS app@'%' IDENTIFIED BY '{PASSWORD}'")
        # without SUPER, which may write to a server that is read only
        self.execute("GRANT ALL ON app.* TO app@'%'")

    def command(self) -> list[str]:
        place = [f"--port={self.port}", f"--bind-address={services.HOST}", f"--socket={self.directory}/s"]
        own = [f"--datadir={self.directory}/data", f"--pid-file={self.directory}/pid", "--skip-name-resolve"]
        fast = ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--max-connections=300"]
        return [self._program, "--no-defaults", *place, *own, *fast, *self.options]

    def answers(self) -> bool:
        # PyMySQL would leave its socket open where there is no server yet
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(f"{self.directory}/s")
            return True
        return False

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        import pymysql

        with (
            pymysql.connect(unix_socket=f"{self.directory}/s", user="root", autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return list(cursor.fetchall())


class PgBouncer(Server):
    """Stands in front of a PostgreSQL, in transaction mode: each transaction gets any of two server connections."""

    scheme, database = "postgresql", "app"

    def __init__(self, server: PostgreSQL) -> None:
        self._program = binary("pgbouncer", "pgbouncer")
        super().__init__()
        self._server = server
        (self.directory / "users").write_text(f'"app" "{PASSWORD}"\n')
        (self.directory / "ini").write_text(
            f"[databases]\napp = host={services.HOST} port={server.port} dbname=app user=app password={PASSWORD}\n"
            f"[pgbouncer]\nlisten_addr = {services.HOST}\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {self.directory}/users\npool_mode = transaction\n"
            "default_pool_size = 2\nmax_client_conn = 200\n"
        )
        self.start()

    def command(self) -> list[str]:
        return [self._program, str(self.directory / "ini")]

    def answers(self) -> bool:
        try:
            socket.create_connection((services.HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def settle(self) -> None:
        """The server behind it has all."""

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        return self._server.execute(statement, "app")


@contextlib.contextmanager
def administrator(server: Server) -> Iterator[Any]:
    """A cursor in the tests' database, past the store."""
    if isinstance(server, PostgreSQL):
        import psycopg

        place = f"host={services.HOST} port={server.port} user=root dbname=app"
        connection: Any = psycopg.connect(place, autocommit=True)
    else:
        import pymysql

        connection = pymysql.connect(unix_socket=f"{server.directory}/s", user="root", database="app", autocommit=True)
    with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:
        yield cursor


@contextlib.contextmanager
def locked_row(server: Server, table: str, key: str) -> Iterator[None]:
    """A record on which other transactions wait."""
    with administrator(server) as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT * FROM {table} WHERE id = '{key}' FOR UPDATE")
        yield
        cursor.execute("ROLLBACK")


def children(pid: int) -> list[int]:
    """The processes that a process made."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


class Address:
    """A TCP address whose new connections go to ``port``; those that are open stay where they are.

    Attributes:
        made: How many connections were made.
    """

    def __init__(self, port: int) -> None:
        self.target, self.made = port, 0
        self._listener = socket.create_server((services.HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._silent: list[threading.Event] = []
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        """From now on nothing passes on the connections that are open, and nobody is told: as a firewall does."""
        for silent in self._silent:
            silent.set()

    def cut(self) -> None:
        """Close the connections that are open."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for end in self._ends:
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((services.HOST, self.target))
                self.made += 1
                silent = threading.Event()
                self._silent.append(silent)
                self._ends += [client, server]
                for source, target in ((client, server), (server, client)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=_pump, args=(source, target, silent), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, silent: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if not silent.is_set():
                target.sendall(data)
    for end in (source, target):
        if not silent.is_set():
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
