"""Children that were forked in C, as uWSGI does it: Python hears of it only afterwards, or never."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from session_mw.testing.parallel import TOLD_AFTERWARDS

SECONDS = 20


def start_untold(work: Callable[[], object], *, told_afterwards: bool = True) -> int:
    """Start a child that calls ``work``, and ends with 0 if that returned something true; the child's id."""
    # A child of which Python has not heard yet would wait for ever for a thread of its parent that asked for the GIL.
    # None asks within this interval.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    time.sleep(0.01)
    child: int = ctypes.PyDLL(None).fork()
    if child:
        sys.setswitchinterval(interval)
        return child
    code = 1
    try:
        if told_afterwards and TOLD_AFTERWARDS:
            ctypes.pythonapi.PyOS_AfterFork_Child()
            sys.setswitchinterval(interval)
        code = 0 if work() else 1
    finally:
        os._exit(code)


def code_of(child: int) -> int:
    """How a child ended; -9 if it had to be killed because it hung."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -9


@contextmanager
def visible_folder() -> Iterator[Path]:
    """A folder into which every user can look; pytest's own are for their owner."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def as_nobody(work: Callable[[], str]) -> str:
    """What ``work`` returns in a child without root's rights; needs root."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writes, work().encode())
        except BaseException as error:  # noqa: BLE001 (the parent shows it)
            os.write(writes, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as told:
        text = told.read().decode()
    os.waitpid(child, 0)
    return text
