"""Memory per request, no growth, and what a hostile token can take."""

from __future__ import annotations

import gc
import logging
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import cycle, islice

from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode

from contenders import OURS
from driving import ask, requests_of
from reports import Report, Table
from scenarios import (
    FORGED,
    KEY,
    NO_COOKIE,
    READ,
    REFRESH,
    SIZES,
    UNTOUCHED,
    WRITE,
    App,
    Environ,
    Scenario,
    environ_of,
    sized,
)
from timing import start_response

MIB = 1024 * 1024
MAX_TOKEN = 4096
"""Characters; a longer token is rejected unread."""
HOSTILE_TOKEN = 4 * MIB
"""Bytes that a request with a hostile token may take."""
LEAK = 4096
"""Bytes by which memory may differ after many requests: dates and log records that are kept."""
SCENARIOS = (NO_COOKIE, UNTOUCHED, READ, WRITE, REFRESH, FORGED)


def run(quick: bool, full: bool) -> Report:
    """Measure with tracemalloc, which slows everything about four times."""
    # Each hostile token is logged; here that goes nowhere.
    logging.getLogger("session_mw").addHandler(logging.NullHandler())
    requests = 1_000_000 if full else 10_000 if quick else 100_000
    peaks = {size: [_peak_of_request(size, scenario) for scenario in SCENARIOS] for size in SIZES}
    grown = _grown(requests)
    hostile = {name: _peak(_served(token)) for name, token in hostile_tokens().items()}
    report = Report("memory", "Memory")
    names = ["", *(scenario.name for scenario in SCENARIOS)]
    rows = [[size, *(f"{peak:,}" for peak in row)] for size, row in peaks.items()]
    report.tables = [Table("Peak of one request, bytes", names, rows), _hostile_table(hostile)]
    kept = "no" if grown < LEAK else "NO: there is"
    report.notes.append(
        f"After {requests:,} requests of all kinds, of 400 visitors each, {grown:,} bytes more are in use than after "
        f"the first of each: {kept} growth."
    )
    report.figures = {"peaks": peaks, "grown": grown, "requests": requests, "hostile": hostile}
    return report


def hostile_tokens() -> dict[str, str]:
    """Cookies of up to 4 KB, signed with the right key, that would like to be large."""
    texts = {
        "inflates to 2.8 MB": b'{"a":"' + b"x" * 2_800_000 + b'"}',
        "inflates to just under 1 MB of text": b'{"a":"' + b"x" * (MIB - 9) + b'"}',
        "the same with one wide character": b'{"a":"' + b"x" * (MIB - 15) + b'\\u0416"}',
        "a quarter of it with one wide character": b'{"a":"'
        + b"x" * (MIB // 4 - 30)
        + "\N{SNOWMAN}\N{GRINNING FACE}".encode()
        + b'"}',
        "half a million numbers": b'{"a":[' + b"0," * (MIB // 2 - 8) + b"0]}",
        "a third of a million empty lists": b'{"a":[' + b"[]," * (MIB // 3 - 8) + b"[]]}",
        "numbers as far as they are read": b'{"a":[' + b"257," * 16_000 + b"0]}",
        "objects as far as they are read": b'{"a":[' + b'{"":1},' * 4_000 + b"0]}",
        "64 KiB of empty objects": b'{"a":[' + b"{}," * 21_000 + b"0]}",
        "64 KiB of objects": b'{"a":[' + b'{"":1},' * 9_000 + b"0]}",
        "64 KiB of brackets and strings": b'{"a":[' + b"[" * 60 + b"]" * 60 + b',"xy"' * 12_000 + b"]}",
        "brackets only": b"[" * (MIB - 1),
        "a thousand levels": b'{"a":' * 1000 + b"1" + b"}" * 1000,
        "an integer of half a million digits": b'{"a":' + b"9" * (MIB // 2) + b"}",
    }
    tokens = {name: _signed(text) for name, text in texts.items()}
    if max(map(len, tokens.values())) > MAX_TOKEN:
        raise AssertionError("a longer token is rejected by its length")
    return tokens


def _signed(text: bytes) -> str:
    """A token that our own codec would not make."""
    signer = URLSafeTimedSerializer(KEY, salt="cookie-session", signer_kwargs={"key_derivation": "hmac"})
    payload = b"." + base64_encode(zlib.compress(text))
    return signer.make_signer("cookie-session").sign(payload).decode()


def _peak_of_request(size: str, scenario: Scenario) -> int:
    works = cycle(_by_strangers(scenario, SIZES[size]))
    return _peak(lambda: next(works)())


def _served(token: str) -> Callable[[], object]:
    app = OURS.build(FORGED, KEY)
    if ask(app, f"session={token}").cookie() is not None:
        raise AssertionError("a hostile token was answered with a cookie")
    return _request(app, environ_of(f"session={token}"))


def _request(app: App, environ: Environ) -> Callable[[], object]:
    return lambda: app(environ.copy(), start_response)


def _peak(work: Callable[[], object]) -> int:
    """The most bytes that were in use at once during a call, above what was before."""
    for _ in range(3):
        work()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak - before


def _grown(requests: int) -> int:
    """How many bytes more are in use after many requests than after the first of each visitor."""
    works = [work for scenario in SCENARIOS for work in _by_strangers(scenario)]
    tracemalloc.start()
    _serve(works, len(works))
    before = tracemalloc.get_traced_memory()[0]
    _serve(works, requests)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown


def _by_strangers(scenario: Scenario, size: int = 100) -> list[Callable[[], object]]:
    data = sized(size, scenario.permanent)
    app = OURS.build(scenario, KEY)
    return [_request(app, environ) for environ in requests_of(OURS, scenario._replace(strangers=True), data)]


def _serve(works: list[Callable[[], object]], requests: int) -> None:
    for work in islice(cycle(works), requests):
        work()
    gc.collect()


def _hostile_table(hostile: dict[str, int]) -> Table:
    rows = [[name, f"{peak / MIB:.1f}", "yes" if peak < HOSTILE_TOKEN else "NO"] for name, peak in hostile.items()]
    return Table("Peak of one request with a hostile token of at most 4 KB, MiB", ["", "peak", "under 4 MiB"], rows)
