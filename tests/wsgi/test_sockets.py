"""Handlers that answer over the socket themselves (WebSockets): no headers go out, and nothing is lost in silence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from session_mw import MemoryStore, SessionManager, SessionMiddleware, StoreError
from support.stores import Recording
from support.tokens import KEY
from support.wsgi import PLAIN, VARY, environ_of, page, visit

HANDSHAKE = {
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}
SENTINEL = object()
"""As gunicorn's: it has no iterator."""


class _AlreadyHandled:
    """As eventlet's: its class alone tells it."""

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


def write(session: Any) -> None:
    session["said"] = "hello"


def log_out(session: Any) -> None:
    session.invalidate()


def log_out_and_write(session: Any) -> None:
    session.invalidate()
    session["said"] = "hello"


def change_inside(session: Any) -> None:
    session["cart"].append(1)


def new_id(session: Any) -> None:
    session.regenerate_id()
    session["said"] = "hello"


def refuse(*_: Any) -> Callable[[bytes], object]:
    raise AssertionError("start_response was called")


class Ended:
    """How a handler ends: by what it returns, or raises."""

    def __init__(self, end: Any) -> None:
        self.end = end

    def __call__(self, do: Callable[[Any], object]) -> Callable[..., Any]:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            do(environ["session"])
            if self.end is StopIteration:
                raise StopIteration
            return self.end

        return app


def lazy(do: Callable[[Any], object]) -> Callable[..., Any]:
    """A generator that speaks over the socket when the server asks for its first part, and has none."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        do(environ["session"])
        yield from ()

    return app


ENDS: dict[str, Any] = {
    "a sentinel": Ended(SENTINEL),
    "eventlet's sentinel": Ended(_AlreadyHandled()),
    "None": Ended(None),
    "an empty list": Ended([]),
    "an empty tuple": Ended(()),
    "an empty text": Ended(""),
    "StopIteration": Ended(StopIteration),
    "a generator": lazy,
}


def serve(app: Any, cookie: str) -> Any:
    """Do with an answer over the socket what servers do."""
    environ = environ_of("/ws", cookie, **HANDSHAKE)
    try:
        body = app(environ, refuse)
    except StopIteration:
        return None
    if hasattr(body, "__iter__"):
        assert list(body) == []
    if hasattr(body, "close"):
        body.close()
    return body


class Site:
    """An application of which one page is a WebSocket, and its visitor."""

    def __init__(self, end: Any, do: Callable[[Any], object], **settings: Any) -> None:
        self.sessions = SessionManager(KEY, **settings)
        self.app = SessionMiddleware(end(do), sessions=self.sessions)
        self.cookie = ""

    def log_in(self) -> None:
        def begin(session: Any) -> None:
            session["user"], session["cart"] = "ada", []

        self.cookie = visit(self.page(begin)).cookies[0].partition(";")[0]

    def page(self, do: Callable[[Any], object]) -> SessionMiddleware:
        return SessionMiddleware(page(do), sessions=self.sessions)

    def serve(self) -> Any:
        return serve(self.app, self.cookie)

    def data(self) -> dict[str, Any]:
        return dict(self.sessions.open({"HTTP_COOKIE": self.cookie}))


@pytest.fixture(params=ENDS)
def end(request: pytest.FixtureRequest) -> Any:
    return ENDS[request.param]


@pytest.mark.parametrize(
    ("do", "left"),
    [
        (write, {"user": "ada", "cart": [], "said": "hello"}),
        (change_inside, {"user": "ada", "cart": [1]}),
        (log_out, {}),
        (lambda session: session.clear(), {}),
    ],
)
def test_what_is_done_to_a_stored_session_is_saved(
    end: Any, do: Callable[[Any], object], left: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(end, do, store=MemoryStore())
    site.log_in()
    site.serve()
    assert site.data() == left
    assert not caplog.records


@pytest.mark.parametrize("do", [write, change_inside, log_out, new_id, log_out_and_write])
def test_a_cookie_session_keeps_what_it_was_and_a_warning_says_so(
    end: Any, do: Callable[[Any], object], caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(end, do)
    site.log_in()
    site.serve()
    assert site.data() == {"user": "ada", "cart": []}
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("session_mw", logging.WARNING)
    assert "over the socket" in record.getMessage()
    assert "what it did is lost" in record.getMessage()


@pytest.mark.parametrize("settings", [{}, {"store": "memory://"}])
@pytest.mark.parametrize("do", [len, lambda session: session.get("user"), lambda session: None])
def test_a_session_that_is_only_read_is_no_matter_for_a_warning(
    end: Any, do: Callable[[Any], object], settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(end, do, **settings)
    site.log_in()
    site.serve()
    assert site.data() == {"user": "ada", "cart": []}
    assert not caplog.records


def test_a_new_session_in_a_store_is_told_of_and_leaves_no_record(end: Any, caplog: pytest.LogCaptureFixture) -> None:
    store = Recording(MemoryStore())
    Site(end, write, store=store).serve()
    assert "what it did is lost" in caplog.text
    assert store.calls == []


@pytest.mark.parametrize("settings", [{}, {"store": "memory://"}, {"revocations": "memory://"}])
def test_a_log_out_of_a_visitor_without_a_session_loses_nothing(
    end: Any, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    Site(end, log_out, **settings).serve()
    assert not caplog.records


def test_a_new_id_cannot_be_sent_so_the_old_one_stays_with_the_changes(
    end: Any, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(end, new_id, store=MemoryStore())
    site.log_in()
    site.serve()
    assert site.data()["said"] == "hello"
    assert "the id stays" in caplog.text


def test_what_is_written_after_a_log_out_is_told_of_and_the_log_out_holds(
    end: Any, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(end, log_out_and_write, store=MemoryStore())
    site.log_in()
    site.serve()
    assert site.data() == {}
    assert "after the log-out" in caplog.text


@pytest.mark.parametrize("do", [log_out, lambda session: session.clear(), log_out_and_write])
def test_a_log_out_that_is_remembered_holds_for_a_cookie_session_too(
    end: Any, do: Callable[[Any], object], caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(end, do, revocations=MemoryStore())
    site.log_in()
    site.serve()
    assert site.data() == {}
    assert ("after the log-out" in caplog.text) is (do is log_out_and_write)


@pytest.mark.parametrize("do", [write, change_inside, new_id])
def test_all_else_that_is_done_to_a_revocable_session_is_told_of(
    end: Any, do: Callable[[Any], object], caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(end, do, revocations=MemoryStore())
    site.log_in()
    site.serve()
    assert site.data() == {"user": "ada", "cart": []}
    assert "what it did is lost" in caplog.text


def test_a_log_out_of_a_session_that_has_no_id_is_told_of(end: Any, caplog: pytest.LogCaptureFixture) -> None:
    former = Site(end, log_out)
    former.log_in()
    site = Site(end, log_out, revocations=MemoryStore())
    site.cookie = former.cookie
    site.serve()
    assert site.data() == {"user": "ada", "cart": []}
    assert "what it did is lost" in caplog.text


@pytest.mark.parametrize("place", ["store", "revocations"])
def test_a_log_out_ends_each_of_two_sessions_that_come_together(end: Any, place: str) -> None:
    site = Site(end, log_out, **{place: MemoryStore()})
    site.log_in()
    first = site.cookie
    site.log_in()
    site.cookie, both = site.cookie, f"{first}; {site.cookie}"
    serve(site.app, both)
    assert site.data() == {}
    site.cookie = first
    assert site.data() == {}


@pytest.mark.parametrize("sent", [SENTINEL, None, [], (), _AlreadyHandled()])
@pytest.mark.parametrize("settings", [{}, {"store": "memory://"}])
def test_what_the_handler_returns_comes_back_as_the_same_object(sent: Any, settings: dict[str, Any]) -> None:
    site = Site(Ended(sent), write, **settings)
    site.log_in()
    assert site.app(environ_of("/ws", site.cookie, **HANDSHAKE), refuse) is sent


def test_a_store_that_fails_at_the_end_is_the_servers_error(end: Any) -> None:
    class Failing(MemoryStore):
        fails = False

        def update(self, *args: Any, **named: Any) -> bool:
            if self.fails:
                raise StoreError("down")
            return super().update(*args, **named)

    store = Failing()
    site = Site(end, write, store=store)
    site.log_in()
    store.fails = True
    with pytest.raises(StoreError):
        site.serve()


def test_a_session_is_over_when_its_handler_has_returned(end: Any) -> None:
    seen = []
    site = Site(end, seen.append, store=MemoryStore())
    site.log_in()
    environ = environ_of("/ws", site.cookie, **HANDSHAKE)
    for _ in range(2):
        try:
            list(site.app(environ, refuse) or ())
        except (StopIteration, TypeError):
            continue
    assert len(set(map(id, seen))) == 2


def test_stop_iteration_of_an_ordinary_request_is_an_exception_and_saves_nothing() -> None:
    site = Site(Ended(StopIteration), write, store=MemoryStore())
    site.log_in()
    with pytest.raises(StopIteration):
        site.app(environ_of("/", site.cookie), refuse)
    assert "said" not in site.data()


def test_a_generator_that_never_starts_leaves_the_session_alone(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(lazy, write, store=MemoryStore())
    site.log_in()
    body = site.app(environ_of("/ws", site.cookie, **HANDSHAKE), refuse)
    body.close()
    assert "said" not in site.data()
    assert not caplog.records


def test_a_handler_that_raises_saves_nothing() -> None:
    def crash(session: Any) -> None:
        write(session)
        raise ZeroDivisionError

    site = Site(Ended([]), crash, store=MemoryStore())
    site.log_in()
    with pytest.raises(ZeroDivisionError):
        site.serve()
    assert "said" not in site.data()


# Handlers of frameworks, which return a response that nobody sends


def answering(status: str) -> Any:
    """The handler of a framework's view: it returns a response after it has spoken."""

    def end(do: Callable[[Any], object]) -> Any:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            do(environ["session"])
            start_response(status, [PLAIN])
            return [b""]

        return app

    return end


@pytest.mark.parametrize("body", [list, tuple, iter])
def test_a_view_that_returns_200_to_a_handshake_has_spoken_over_the_socket(
    body: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    def end(do: Callable[[Any], object]) -> Any:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            do(environ["session"])
            start_response("200 OK", [PLAIN])
            return body([b""])

        return app

    site = Site(end, new_id, store=MemoryStore())
    site.log_in()
    answer = visit(site.app, "/ws", site.cookie, **HANDSHAKE)
    assert (answer.status, answer.headers) == ("200 OK", [PLAIN])
    assert site.data()["said"] == "hello"
    assert "the id stays" in caplog.text


@pytest.mark.parametrize("do", [write, log_out])
def test_such_a_views_change_of_a_cookie_session_is_told_of(
    do: Callable[[Any], object], caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(answering("200 OK"), do)
    site.log_in()
    assert visit(site.app, "/ws", site.cookie, **HANDSHAKE).headers == [PLAIN]
    assert "what it did is lost" in caplog.text


def test_a_handshake_that_is_refused_is_an_ordinary_response(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(answering("403 Forbidden"), write)
    answer = visit(site.app, "/ws", **HANDSHAKE)
    assert len(answer.cookies) == 1
    assert not caplog.records


def test_gevent_websockets_error_pages_are_not_sent_either(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(answering("500 Oops"), write)
    answer = visit(site.app, "/ws", **HANDSHAKE, **{"wsgi.websocket": object()})
    assert answer.headers == [PLAIN]
    assert "what it did is lost" in caplog.text


def test_a_proxy_that_sends_upgrade_with_every_request_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(answering("200 OK"), write)
    headers = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "upgrade"}
    answer = visit(site.app, "/", **headers)
    assert VARY in answer.headers
    assert len(answer.cookies) == 1
    assert not caplog.records


def test_a_session_that_nobody_touched_is_not_loaded_by_a_handshake() -> None:
    site = Site(answering("200 OK"), lambda session: None, store=MemoryStore())
    site.log_in()
    assert visit(site.app, "/ws", site.cookie, **HANDSHAKE).headers == [PLAIN]


@pytest.mark.parametrize("store", [None, "memory://"])
def test_flask_without_the_middleware_does_the_same(store: str | None, caplog: pytest.LogCaptureFixture) -> None:
    flask = pytest.importorskip("flask")
    from session_mw.adapters.flask import FlaskSessions

    app = flask.Flask(__name__)
    app.session_interface = FlaskSessions(SessionManager(KEY, store=store))

    @app.get("/in")
    def log_in() -> str:
        flask.session["user"] = "ada"
        return ""

    @app.route("/ws", websocket=True)
    def socket() -> str:
        flask.session["said"] = "hello"
        return ""

    @app.get("/")
    def show() -> dict[str, Any]:
        return dict(flask.session)

    client = app.test_client()
    client.get("/in")
    answer = client.get("/ws", environ_overrides=HANDSHAKE)
    assert "Set-Cookie" not in answer.headers
    assert client.get("/").json == {"user": "ada", **({"said": "hello"} if store else {})}
    assert ("what it did is lost" in caplog.text) is (store is None)
