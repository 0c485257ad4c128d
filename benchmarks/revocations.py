"""What it costs that a session in a cookie can be ended: to read it, to remember endings, and to tell every process."""

from __future__ import annotations

import multiprocessing
import secrets
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from driving import ask, requests_of
from reports import Promise, Report, Table, promises_table
from scenarios import KEY, READ, REFRESH, UNTOUCHED, App, Contender, sized
from session_mw import MemoryStore, SessionManager, SessionMiddleware
from session_mw.backends.revocations.entries import Entry, digest_of_id
from session_mw.backends.revocations.follower import Revocations
from session_mw.protocols import Store
from timing import by_turns, ratio, request_timer, typical

ENDINGS = 100_000
PROCESSES = 4
MIB = 1024 * 1024
