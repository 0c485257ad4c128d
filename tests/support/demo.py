"""The whole demo, and browsers that visit it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from session_mw import SessionManager
from support import services, sockets
from support.declared import ROOT
from support.tokens import KEY

PAGE = "text/html,application/xhtml+xml,*/*;q=0.8"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Site:
    """The application that ``python demo_app.py`` serves.

    Args:
        flask: The application at ``/flask``; None: what stands there without the option.
        settings: The manager's, beside its key.
    """

    def __init__(self, flask: Any = None, **settings: Any) -> None:
        demo_app = pytest.importorskip("demo_app")
        self.sessions = SessionManager(KEY, **settings)
        made = demo_app.wrap(self.sessions) if flask is None else demo_app.wrap(self.sessions, flask)
        self.app = validator(made)

    def browser(self, **environ: str) -> Any:
        """A browser with a jar of its own, on this machine."""
        webtest = pytest.importorskip("webtest")
        told = {
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_ACCEPT": PAGE,
            "HTTP_SEC_FETCH_SITE": "same-origin",
            "HTTP_USER_AGENT": FIREFOX,
        }
        # webtest's own lint wants bare str in an environ that holds a session.
        return webtest.TestApp(self.app, extra_environ={**told, **environ}, lint=False)

    def logged_in(self, *, remember: bool = False, **environ: str) -> Any:
        """A browser in which ada has logged in."""
        browser = self.browser(**environ)
        log_in(browser, remember=remember)
        return browser


def log_in(browser: Any, name: str = "ada", password: str = "correct horse", *, remember: bool = False) -> Any:
    """Fill the log-in form in; the page after it."""
    form = form_to(browser.get("/account/login"), "/account/login")
    form["username"], form["password"], form["remember"] = name, password, remember
    answer = form.submit(expect_errors=True)
    return answer.follow() if answer.status_int == 303 else answer


def press(page: Any, action: str) -> Any:
    """Send the page's form that goes to an address; the page after it."""
    return form_to(page, action).submit().follow()


def form_to(page: Any, action: str) -> Any:
    """The page's only form that goes to an address."""
    (form,) = (form for form in page.forms.values() if form.action == action)
    return form


def heading(page: Any) -> str:
    """What stands in the page's only ``<h1>``."""
    (text,) = page.html.find_all("h1")
    return str(text.text)


def _answers(port: int, *, by_tls: bool) -> bool:
    with contextlib.suppress(OSError):
        if by_tls:
            socket.create_connection((services.HOST, port)).close()
        else:
            sockets.ask(port, "/style.css", method="HEAD")
        return True
    return False


def _command(options: Sequence[str], environment: dict[str, str]) -> dict[str, Any]:
    return {
        "args": [sys.executable, str(ROOT / "demo_app.py"), *options],
        "env": {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    }


def failing_demo(directory: Path, *options: str) -> str:
    """What ``python demo_app.py`` says on standard error with options that cannot work."""
    command = _command(options, {"SECRET_KEY": KEY})
    ended = subprocess.run(**command, cwd=directory, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    return str(ended.stderr)


@contextlib.contextmanager
def running_demo(directory: Path, *options: str, **environment: str) -> Iterator[RunningDemo]:
    """``python demo_app.py``; yields a client once it answers, with what it has printed in ``log``."""
    port, log, by_tls = services.free_port(), directory / "demo.log", "--tls" in options
    command = _command(["--port", str(port), *options], environment)
    with log.open("wb") as output:
        process = subprocess.Popen(**command, cwd=directory, stdout=output, stderr=output)
    try:
        services.wait_until(
            lambda: process.poll() is not None or _answers(port, by_tls=by_tls), "the demo does not answer"
        )
        assert process.poll() is None, log.read_text()
        yield RunningDemo(port, log)
    finally:
        process.terminate()
        process.wait(10)


class RunningDemo:
    """The process, seen by one who keeps its cookie."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.log = log
        self.url = f"http://{services.HOST}:{port}"
        self.cookie: str | None = None

    def ask(self, method: str, path: str, **form: str) -> tuple[int, str | None, str]:
        reply = sockets.ask(self.port, path, self.cookie, method=method, form=form)
        # A log-out deletes the cookie at other places first; the last one is our own.
        header = next(reversed(reply.all("Set-Cookie")), None)
        if header is not None:
            self.cookie = None if "Max-Age=0" in header else header.partition(";")[0]
        return reply.status, header, reply.body.decode()
