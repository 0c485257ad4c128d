"""A soak test: a bounded load on real servers, while their store has faults, and visitors who know what must be true.

    cd tests; python -m support.soak --seconds 600 --store redis

Four servers (waitress; gunicorn with threads, with gevent, and with ``--preload`` and two workers) share one store.
Each visitor has a session with several tabs, which write at once and keep count of it: what was answered with 200 has
to be there in every later answer, whichever server it comes from, until the visitor logs out; then it must never be
there again. All is on loopback, and the run ends by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import secrets
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from support import databases, services, soak_stores
from support.services import HOST

_GUNICORN = ["-m", "gunicorn", "--no-control-socket", "--bind", "{host}:{port}", "soak_app:app", "--worker-class"]
SERVERS = {
    "waitress": ["-m", "waitress", "--threads=4", "--listen={host}:{port}", "soak_app:app"],
    "gthread": [*_GUNICORN, "gthread", "--threads", "4"],
    "gevent": [*_GUNICORN, "gevent"],
    "preload": [*_GUNICORN, "gthread", "--threads", "4", "--workers", "2", "--preload"],
}
LONGEST_WAIT = 2 * soak_stores.TIMEOUT + 3
"""Seconds: a request loads and saves, and the machine may be busy."""
_GIVEN_UP = 20.0
_PLACES = 3
"""Requests with a session at once for each server: one of waitress's four threads is left for other pages."""
_MOST_SECONDS_MORE = 30
"""For each fault to happen once."""
_MOST_REQUESTS = 40
"""A tab's, a second."""


@dataclass
class Answer:
    """What a server sent.

    Attributes:
        status: 0 where the connection broke.
        cookie: What was set, as the browser sends it back; empty for a deletion, None where none was sent.
    """

    status: int
    body: bytes = b""
    cookie: str | None = None

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Figures:
    """What was done, and what was seen that must not be."""

    store: str
    seconds: float
    requests: int = 0
    plain: int = 0
    writes: int = 0
    log_ins: int = 0
    log_outs: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    faults: dict[str, int] = field(default_factory=dict)
    # by server: seconds, and the fault that was under way
    longest_wait: dict[str, tuple[float, str]] = field(default_factory=dict)
    longest_plain: dict[str, tuple[float, str]] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def is_wrong(self, kind: str, example: str) -> None:
        with self.lock:
            self.wrong[kind] += 1
            self.examples.setdefault(kind, example)

    def answered(self, site: str, answer: Answer, took: float, fault: str, *, is_plain: bool) -> None:
        with self.lock:
            self.requests += 1
            self.plain += is_plain
            self.statuses[answer.status] += 1
            longest = self.longest_plain if is_plain else self.longest_wait
            longest[site] = max(longest.get(site, (0.0, "")), (took, fault))

    def __str__(self) -> str:
        faults = ", ".join(f"{name} {times}" for name, times in self.faults.items())
        broken = self.statuses[0]
        lines = [
            f"{self.store}: {self.requests} requests in {self.seconds:.0f} s, {sum(self.faults.values())} faults "
            f"({faults})",
            f"  {self.writes} acknowledged writes, lost: {self.wrong['lost']}; {self.log_outs} log-outs, "
            f"undone: {self.wrong['undone']}; {self.log_ins} log-ins",
            f"  503: {self.statuses[503]}, other errors: {self.wrong['status']}, connections broken: {broken}",
            f"  longest waits: {_waits(self.longest_wait)}",
            f"  of {self.plain} pages without a session: {_waits(self.longest_plain)}",
        ]
        lines += [f"  WRONG {kind} ({times}): {self.examples[kind]}" for kind, times in self.wrong.items() if times]
        return "\n".join(lines)


def _waits(longest: dict[str, tuple[float, str]]) -> str:
    return ", ".join(f"{site} {took:.1f} s" + f" ({fault})" * bool(fault) for site, (took, fault) in longest.items())


class Site:
    """One of the servers."""

    def __init__(self, name: str, directory: Path, settings: dict[str, Any], soak: Soak) -> None:
        self.name, self._soak, self._figures = name, soak, soak.figures
        self.places = threading.Semaphore(_PLACES)
        directory.mkdir()
        shutil.copy(Path(__file__).with_name("soak_app.py"), directory)
        (directory / "soak.json").write_text(json.dumps(settings))
        self._port = services.free_port()
        argv = [sys.executable, *(part.format(host=HOST, port=self._port) for part in SERVERS[name])]
        self.service = services.Service("http", self._port, argv, self._is_up, directory)

    def ask(self, path: str, cookie: str | None = None, **asked: object) -> Answer:
        """Send one request, note how long it took, and see that the answer is one that may be."""
        began = time.monotonic()
        try:
            answer = self._get(f"{path}?{urlencode(asked)}", cookie)
        except (OSError, http.client.HTTPException) as error:
            answer = Answer(0, repr(error).encode())
        took, fault = time.monotonic() - began, self._soak.schedule.current
        self._figures.answered(self.name, answer, took, fault, is_plain=path == "/plain")
        if took > LONGEST_WAIT:
            self._figures.is_wrong("wait", f"{path} of {self.name}: {answer.status} after {took:.1f} s ({fault})")
        if path == "/plain" and self.name == "waitress" and took > soak_stores.TIMEOUT:
            self._figures.is_wrong("plain", f"{self.name} served a page without a session after {took:.1f} s ({fault})")
        if answer.status not in (0, 200, 503):
            self._figures.is_wrong("status", f"{path} of {self.name}: {answer.status}")
        return answer

    def _is_up(self, port: int) -> bool:
        return self._get("/plain").status == 200

    def _get(self, path: str, cookie: str | None = None) -> Answer:
        with contextlib.closing(http.client.HTTPConnection(HOST, self._port, timeout=_GIVEN_UP)) as connection:
            connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
            response = connection.getresponse()
            sent = response.headers.get_all("Set-Cookie", [])
            kept = [header.partition(";")[0] for header in sent]
            cookie_sent = None if not kept else kept[-1] if not kept[-1].endswith("=") else ""
            return Answer(response.status, response.read(), cookie_sent)

    def stop(self) -> None:
        self.service.process.terminate()
        with contextlib.suppress(Exception):
            self.service.process.wait(5)
        for pid in databases.children(self.service.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.service.stop()


@dataclass
class Tab:
    """What one tab has written to the session that its visitor has now."""

    tried: int = 0
    acknowledged: list[int] = field(default_factory=list)


class Visitor:
    """A visitor with a session, and what must be true of it."""

    def __init__(self, soak: Soak, tabs: int) -> None:
        self.name = f"visitor {secrets.token_hex(4)}"
        self.ended: list[str] = []
        self._soak, self._figures = soak, soak.figures
        self._tabs = [Tab() for _ in range(tabs)]
        self._lock = threading.Lock()
        self.cookie: str | None = None
        # Changed with each session: an answer that began under another one says nothing about this one.
        self._generation = 0
        self._began = 0.0
        self._is_leaving = False

    def run(self, tab: int) -> None:
        """One tab: ask, until the soak ends."""
        chance = random.Random(f"{self._soak.seed} {self.name} {tab}")
        for _ in range(int((self._soak.seconds + _MOST_SECONDS_MORE) * _MOST_REQUESTS)):
            if self._soak.ends.wait(chance.uniform(0.005, 0.05)):
                return
            kind = chance.random()
            if self.cookie is None:
                if tab == 0:
                    self.log_in()
            elif kind < 0.6:
                self.write(tab)
            elif kind < 0.9:
                self.read()
            elif kind < 0.97 or tab:
                self.look_back(chance)
            else:
                self.log_out(everywhere=self._soak.rig.has_index and chance.random() < 0.3)

    def log_in(self) -> None:
        """Begin a session, and give it a new id by the log-in; all over again where that is not acknowledged."""
        before, began = self._soak.ask("/begin", who=self.name), time.monotonic()
        if before.status != 200:
            return
        answer = self._soak.ask("/login", before.cookie, who=self.name)
        if answer.status != 200:
            return
        if answer.data.get("who") != self.name:
            self._explain(answer, began)
        elif not (before.cookie and answer.cookie):
            self._figures.is_wrong("cookie", f"a log-in set {before.cookie!r}, then {answer.cookie!r}")
        else:
            with self._lock:
                self.ended.append(before.cookie)
                self._generation += 1
                self._tabs = [Tab() for _ in self._tabs]
                self._began, self._is_leaving, self.cookie = began, False, answer.cookie
            self._figures.log_ins += 1

    def write(self, number: int) -> None:
        with self._lock:
            cookie, generation, tab = self.cookie, self._generation, self._tabs[number]
            if cookie is None:
                return
            tab.tried += 1
            tried, expected = tab.tried, self._expected()
        answer = self._soak.ask("/write", cookie, who=self.name, tab=number, number=tried)
        if self._check(answer, generation, expected):
            with self._lock:
                tab.acknowledged.append(tried)
            with self._figures.lock:
                self._figures.writes += 1

    def read(self, site: Site | None = None) -> Answer:
        with self._lock:
            cookie, generation, expected = self.cookie, self._generation, self._expected()
        answer = self._soak.ask("/read", cookie, site=site)
        self._check(answer, generation, expected)
        return answer

    def log_out(self, *, everywhere: bool) -> None:
        """Log out until it is acknowledged; the other tabs go on meanwhile."""
        with self._lock:
            cookie, self._is_leaving = self.cookie, True
        path = "/logout_everywhere" if everywhere else "/logout"
        answer = self._soak.ask(path, cookie, who=self.name)
        while answer.status != 200 and not self._soak.is_over:
            time.sleep(0.05)
            answer = self._soak.ask(path, cookie, who=self.name)
        if answer.status == 200 and cookie:
            with self._lock:
                self.ended.append(cookie)
                self._generation += 1
                self.cookie = None
            self._figures.log_outs += 1

    def look_back(self, chance: random.Random) -> None:
        with self._lock:
            cookie = chance.choice(self.ended[-10:])
        self.is_still_ended(cookie)

    def is_still_ended(self, cookie: str) -> Answer:
        answer = self._soak.ask("/read", cookie)
        if answer.status == 200 and answer.data:
            self._figures.is_wrong("undone", f"{self.name} has {answer.data} again")
        return answer

    def _expected(self) -> list[list[int]]:
        return [list(tab.acknowledged) for tab in self._tabs]

    def _check(self, answer: Answer, generation: int, expected: list[list[int]]) -> bool:
        """Compare an answer with what must be in it; False where it says nothing about the present session."""
        if answer.status != 200:
            return False
        data = answer.data
        if data.get("who", self.name) != self.name:
            self._figures.is_wrong("foreign", f"{self.name} was shown {data}")
        with self._lock:
            if generation != self._generation or self._is_leaving:
                return False
            if "who" not in data:
                self.cookie, self._generation = None, generation + 1
                self._explain(answer, self._began)
                return False
            tried = [tab.tried for tab in self._tabs]
        if answer.cookie is not None:
            self._figures.is_wrong("cookie", f"{self.name} was sent {answer.cookie!r} with {data}")
        if not data.get("logged_in"):
            self._figures.is_wrong("lost", f"the log-in of {self.name}: {data}")
        for number, most in enumerate(tried):
            self._check_tab(number, data, expected[number], most)
        return True

    def _check_tab(self, number: int, data: dict[str, Any], expected: list[int], most: int) -> None:
        count, listed = data.get(f"count {number}", 0), data.get(f"list {number}", [])
        least = listed[0] if len(listed) == 20 else 0
        missing = [one for one in expected if one >= least and one not in listed]
        if count < len(expected) or missing:
            self._figures.is_wrong("lost", f"{self.name}, tab {number}: {missing} of {expected[-25:]} in {data}")
        if count > most or listed != sorted(set(listed)):
            self._figures.is_wrong("twice", f"{self.name}, tab {number}: {most} writes, and {data}")

    def _explain(self, answer: Answer, began: float) -> None:
        """A session is gone: that is wrong, unless the store forgot it as it says it may."""
        if not any(fault > began for fault in self._soak.schedule.forgotten):
            self._figures.is_wrong("empty", f"{self.name} was shown {answer.data} by a session that nobody ended")


class Soak:
    """One run over one store."""

    def __init__(self, rig: soak_stores.Rig, figures: Figures, seed: int) -> None:
        self.rig, self.figures, self.seed, self.seconds = rig, figures, seed, figures.seconds
        self.schedule = soak_stores.Schedule(rig, seed)
        self.ends = threading.Event()
        self.is_over = False
        self._sites: list[Site] = []
        self._choice = random.Random(seed)

    def run(self, directory: Path, visitors: int, tabs: int) -> None:
        settings = {"secret_key": secrets.token_hex(), "store": self.rig.url}
        try:
            self._start(directory, settings)
            # Before the first fault each server has made what it needs.
            assert [site.ask("/begin", who="nobody").status for site in self._sites] == [200] * len(SERVERS)
            self.rig.workers = self._workers
            self._load([Visitor(self, tabs) for _ in range(visitors)], tabs)
        finally:
            for site in self._sites:
                site.stop()

    def _start(self, directory: Path, settings: dict[str, Any]) -> None:
        """Start the servers, all at once."""

        def start(name: str) -> None:
            self._sites.append(Site(name, directory / name, settings, self))

        with ThreadPoolExecutor(len(SERVERS)) as threads:
            list(threads.map(start, SERVERS))

    def ask(self, path: str, cookie: str | None = None, *, site: Site | None = None, **asked: object) -> Answer:
        """Ask a server that has a place free, or wait for one."""
        chosen = site or self._free_site()
        if site:
            site.places.acquire()
        try:
            answer = chosen.ask(path, cookie, **asked)
        finally:
            chosen.places.release()
        if answer.status == 0 and not self.rig.cuts_requests:
            self.figures.is_wrong("broken", f"{path} of {chosen.name}: {answer.body.decode()}")
        return answer

    def _free_site(self) -> Site:
        sites = self._choice.sample(self._sites, len(self._sites))
        for site in sites:
            if site.places.acquire(blocking=False):
                return site
        sites[0].places.acquire()
        return sites[0]

    def _workers(self) -> list[int]:
        return [pid for site in self._sites for pid in databases.children(site.service.process.pid)]

    def _load(self, visitors: list[Visitor], tabs: int) -> None:
        threads = [threading.Thread(target=visitor.run, args=(tab,)) for visitor in visitors for tab in range(tabs)]
        threads += [threading.Thread(target=self._look_at_plain_pages, args=(site,)) for site in self._sites]
        for thread in [*threads, self.schedule]:
            thread.start()
        began = time.monotonic()
        self.ends.wait(self.seconds)
        self.schedule.first_round.wait(_MOST_SECONDS_MORE)
        self.ends.set()
        self.figures.seconds = time.monotonic() - began
        try:
            self.schedule.stop()
        finally:
            self.is_over = True
            for thread in threads:
                thread.join()
        self.figures.faults = self.schedule.happened
        self._look_again(visitors)

    def _look_at_plain_pages(self, site: Site) -> None:
        while not self.ends.wait(0.1):
            answer = site.ask("/plain")
            if answer.status != 200 and not self.rig.cuts_requests:
                self.figures.is_wrong("plain", f"{site.name}: {answer.status} {answer.body.decode()}")

    def _look_again(self, visitors: list[Visitor]) -> None:
        """All is put right: every server has to find every session, without being started again."""
        for site in self._sites:
            deadline = time.monotonic() + 10
            while site.ask("/begin", who="nobody").status != 200:
                if time.monotonic() > deadline:
                    self.figures.is_wrong("recovery", f"{site.name} still fails 10 s after the last fault")
                    break
                time.sleep(0.1)
        for visitor in visitors:
            for site in self._sites if visitor.cookie else ():
                if visitor.read(site).status != 200:
                    self.figures.is_wrong("recovery", f"{site.name} failed for {visitor.name} after the last fault")
            for cookie in visitor.ended[-20:]:
                visitor.is_still_ended(cookie)


@contextmanager
def _rig(store: str, directory: Path) -> Iterator[soak_stores.Rig]:
    place = directory / "store"
    place.mkdir(mode=0o700)
    rig = soak_stores.STORES[store](place)
    try:
        yield rig
    finally:
        rig.close()


def run(store: str, seconds: float, *, visitors: int = 4, tabs: int = 3, seed: int = 1) -> Figures:
    """Let visitors use a site over a store that has faults.

    Args:
        store: One of :data:`support.soak_stores.STORES`.
        seconds: For how long, or until each fault has happened once; the servers' starts, the last fault and a
            last look at all come on top.
        visitors: How many.
        tabs: Of each visitor.
        seed: Decides the order of the faults.
    """
    directory, figures = services.scratch(), Figures(store, seconds)
    try:
        with _rig(store, directory) as rig:
            Soak(rig, figures, seed).run(directory, visitors, tabs)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return figures


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m support.soak", description=__doc__.partition("\n")[0])
    arguments.add_argument("--store", choices=[*soak_stores.STORES, "all"], default="all")
    arguments.add_argument("--seconds", type=float, default=60, help="for each store (60)")
    arguments.add_argument("--visitors", type=int, default=4)
    arguments.add_argument("--tabs", type=int, default=3, help="of each visitor (3)")
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = arguments.parse_args()
    is_wrong = False
    for store in soak_stores.STORES if given.store == "all" else [given.store]:
        try:
            figures = run(store, given.seconds, visitors=given.visitors, tabs=given.tabs, seed=given.seed)
        except pytest.skip.Exception as reason:
            print(f"{store}: skipped, {reason}", flush=True)
            continue
        print(f"{figures}\n  seed {given.seed}", flush=True)
        is_wrong |= bool(+figures.wrong)
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main())
