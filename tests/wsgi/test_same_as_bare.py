"""Whatever an application does, the server sees the same as without the middleware, but for our headers."""

from __future__ import annotations

import pytest

hypothesis = pytest.importorskip("hypothesis")

from hypothesis import strategies as st  # noqa: E402

from session_mw import MemoryStore, SessionMiddleware  # noqa: E402
from support.tokens import KEY, read  # noqa: E402
from support.wsgi import PLAIN, Server, environ_of, exc_info_of  # noqa: E402

# What an app can do before it returns, between its parts, and in close().
STEPS = st.sampled_from(["start", "restart", "restart without error", "write", "write nothing", "change", "raise"])
PARTS = st.lists(st.one_of(STEPS, st.sampled_from([b"part", b""])), max_size=5)
KINDS = st.sampled_from(["list", "tuple", "iterator", "generator", "late generator"])


class Refused(Exception):
    """The application's own error."""


class Script:
    """An application that does what a list of steps says."""

    def __init__(self, before, parts, kind, at_close):
        self.before, self.parts, self.kind, self.at_close = before, parts, kind, at_close
        self.closed = 0
        self.write = None

    def __call__(self, environ, start_response):
        self.session, self.start = environ["session"], start_response
        if self.kind == "late generator":
            return self.stream([*self.before, *self.parts])
        for step in self.before:
            self.do(step)
        only_parts = [part for part in self.parts if isinstance(part, bytes)]
        bodies = {"list": list, "tuple": tuple, "iterator": lambda parts: Closing(self, iter(parts))}
        return bodies[self.kind](only_parts) if self.kind in bodies else self.stream(self.parts)

    def stream(self, steps):
        return Closing(self, self.run(steps))

    def run(self, steps):
        for step in steps:
            if isinstance(step, bytes):
                yield step
            else:
                self.do(step)

    def do(self, step):
        if step == "start" and self.write is None:
            self.write = self.start("200 OK", [PLAIN])
        elif step == "restart":
            self.write = self.start("500 Oops", [PLAIN, ("X-Error", "1")], exc_info_of(Refused()))
        elif step == "restart without error":
            self.write = self.start("200 Again", [PLAIN])
        elif step.startswith("write") and self.write is not None:
            self.write(b"written" if step == "write" else b"")
        elif step == "change":
            self.session["changes"] = self.session.get("changes", 0) + 1
        elif step == "raise":
            raise Refused


class Closing:
    def __init__(self, script, parts):
        self.script, self.parts = script, parts

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.parts)

    def close(self):
        self.script.closed += 1
        if self.script.at_close:
            raise Refused


def outcome(app, environ, at_most):
    """What a server sees of it: parts, status, the app's headers, and how it ended."""
    server = Server(app, environ)
    try:
        server.run(at_most)
        ended = "well"
    except (Refused, AssertionError, IndexError) as error:
        ended = type(error).__name__
    status, headers = server.starts[-1][:2] if server.headers_sent else (None, [])
    theirs = [header for header in headers if header[0] not in ("Cache-Control", "Set-Cookie", "Vary")]
    return server, (b"".join(server.parts), status, theirs, ended)


@pytest.mark.parametrize("stored", [False, True])
@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(
    before=st.lists(STEPS, max_size=4), parts=PARTS, kind=KINDS, at_close=st.booleans(), at_most=st.none() | st.just(1)
)
def test_the_server_sees_what_it_would_see_without_the_middleware(stored, before, parts, kind, at_close, at_most):
    bare_script, script = (Script(before, parts, kind, at_close) for _ in range(2))
    _, expected = outcome(bare_script, environ_of() | {"session": {}}, at_most)
    middleware = SessionMiddleware(script, secret_key=KEY, store=MemoryStore() if stored else None)
    server, seen = outcome(middleware, environ_of(cookie=started(middleware, script) if stored else None), at_most)
    assert seen == expected
    assert script.closed == bare_script.closed
    for _, headers, *_ in server.starts:
        assert len([name for name, _ in headers if name == "Set-Cookie"]) <= 1
        assert len([name for name, _ in headers if name == "Vary"]) <= 1


def started(middleware, script):
    """The cookie of a visitor who has a stored session."""
    session = middleware.sessions.open({})
    session["changes"] = 0
    return middleware.sessions.commit(session)[1][1].partition(";")[0]


@hypothesis.settings(deadline=None, max_examples=200)
@hypothesis.given(before=st.lists(STEPS, max_size=4), parts=PARTS, kind=KINDS)
def test_the_cookie_holds_the_changes_that_were_made_before_the_headers_went_out(before, parts, kind):
    script = Script(before, parts, kind, at_close=False)
    made = []

    def counting(environ, start_response):
        def start(*args):
            made.append(dict(environ["session"]))
            return start_response(*args)

        return script(environ, start)

    server, (_, status, _, _) = outcome(SessionMiddleware(counting, secret_key=KEY), environ_of(), None)
    cookies = {dict(headers).get("Set-Cookie") for _, headers, *_ in server.starts}
    assert len(cookies) <= 1
    if status is not None and cookies != {None}:
        token = cookies.pop().partition("=")[2].partition(";")[0]
        assert made[0].get("changes", 0) <= read(token)["changes"] <= script.session["changes"]


def test_the_comparison_would_notice_a_difference():
    """The server model tells a lost part, a lost status and a missing close apart."""
    script = Script(["start"], [b"one", b"two"], "generator", at_close=False)
    _, whole = outcome(script, environ_of() | {"session": {}}, None)
    _, cut = outcome(Script(["start"], [b"one"], "generator", at_close=False), environ_of() | {"session": {}}, None)
    assert (whole, script.closed) == ((b"onetwo", "200 OK", [PLAIN], "well"), 1)
    assert cut != whole
