"""Threads that read from a Redis store while exceptions are set in them from outside.

A process of its own, since pytest's hooks do not bear to be broken off. It ends with 0 if each answer was
right, no thread hangs, and no place in the pool was lost.

    python breaking_threads.py URL            a store of this URL, with two connections
    python breaking_threads.py --client PORT  one with a ready client
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import random
import sys
import threading
import time

import redis

from session_mw.stores.redis import RedisStore
from session_mw.testing.fixtures import loaded, new_key
from support.interrupting import BrokenOff

SECONDS = 3.0


def opened(url: str) -> RedisStore:
    return RedisStore.from_url(f"{url}?max_connections=2&prefix={new_key()}:")


def ready(port: int) -> RedisStore:
    pool = redis.BlockingConnectionPool(port=port, max_connections=2, timeout=2, socket_timeout=2)
    return RedisStore(redis.Redis(connection_pool=pool), f"{new_key()}:")


def main(url: str, port: str = "") -> int:
    faulthandler.dump_traceback_later(SECONDS + 30, exit=True)
    sys.unraisablehook = lambda _: None  # a connection in the middle of its finalizer
    threading.excepthook = lambda _: None
    store = ready(int(port)) if url == "--client" else opened(url)
    keys = [new_key() for _ in range(3)]
    for key in keys:
        store.create(key, key.encode(), 600, "42")
    wrong = list[str]()
    ends = time.monotonic() + SECONDS

    def read_on() -> None:
        while time.monotonic() < ends:
            with contextlib.suppress(BrokenOff):
                key = random.choice(keys)
                if loaded(store, key).data != key.encode() or set(store.keys_of("42")) != set(keys):
                    wrong.append(key)

    threads = [threading.Thread(target=read_on, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    while time.monotonic() < ends - 0.3:
        ident = ctypes.c_ulong(random.choice(threads).ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(BrokenOff))
        time.sleep(random.uniform(0, 0.004))
    for thread in threads:
        thread.join(10)
    hang = [thread for thread in threads if thread.is_alive()]
    if hang:
        faulthandler.dump_traceback()
    began = time.monotonic()
    wrong += [key for key in keys if loaded(store, key).data != key.encode()]
    return 1 if hang or wrong or time.monotonic() - began > 1.5 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
