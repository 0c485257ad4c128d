"""PostgreSQL for tests, where it is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess

import pytest

from support import services


class PostgreSQL:
    """A server of our own; it refuses to run as root."""

    def __init__(self) -> None:
        pytest.importorskip("psycopg", exc_type=ImportError)
        if not (shutil.which("postgres") and shutil.which("initdb")):
            pytest.skip("a PostgreSQL server (postgres and initdb in the PATH) is missing")
        # not below pytest's own directory, which other users may not enter
        self._directory = services.scratch()
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user:
            os.chown(self._directory, pwd.getpwnam(self._user).pw_uid, -1)
        self.port = services.free_port()
        made = self._start("initdb", "--pgdata=data", "--auth=trust", "--username=app", "--no-sync", "--encoding=UTF8")
        assert made.wait() == 0, self._log()
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://app:sesam@{services.HOST}:{self.port}/postgres"

    def start(self) -> None:
        options = {"p": self.port, "h": services.HOST, "k": self._directory, "D": "data"}
        self.process = self._start("postgres", "-F", *(f"-{name}{value}" for name, value in options.items()))
        services.wait_until(self._is_up, "PostgreSQL does not answer")

    def stop(self) -> None:
        """End it at once, with all its sessions' processes."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._directory)

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        found = shutil.which(program)
        assert found is not None
        with open(self._directory / "log", "ab") as log:
            return subprocess.Popen([found, *arguments], cwd=self._directory, user=self._user, stdout=log, stderr=log)

    def _is_up(self) -> bool:
        import psycopg

        assert self.process.poll() is None, self._log()
        try:
            with psycopg.connect(self.url.replace("+psycopg", "")):
                return True
        except psycopg.OperationalError:
            return False

    def _log(self) -> str:
        return (self._directory / "log").read_text()[-2000:]
