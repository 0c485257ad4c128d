"""Pyramid on our sessions: behind the middleware, and alone."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyramid")
webtest = pytest.importorskip("webtest")

from pyramid.config import Configurator  # noqa: E402
from pyramid.csrf import get_csrf_token  # noqa: E402
from pyramid.httpexceptions import HTTPForbidden, HTTPFound  # noqa: E402
from pyramid.interfaces import ISession  # noqa: E402
from pyramid.response import Response  # noqa: E402
from zope.interface.verify import verifyObject  # noqa: E402

from session_mw import (  # noqa: E402
    ConfigurationError,
    MemoryStore,
    MissingSession,
    Session,
    SessionManager,
    SessionMiddleware,
    SessionUnavailable,
    get_session,
)
from session_mw.csrf import check_csrf, csrf_token  # noqa: E402
from session_mw.flash import flash, pop_flashes  # noqa: E402
from session_mw.testing import session_transaction  # noqa: E402

KEY = "a-secret-key-of-32-characters-00"
View = Callable[[Any], Any]


def view_of(view: View, **settings: Any) -> Any:
    """An application with one view, which answers with what the view returns as JSON."""
    config = configured(settings)
    config.add_view(view, route_name="all", renderer="json")
    return config.make_wsgi_app()


def configured(settings: dict[str, Any]) -> Configurator:
    config = Configurator(settings=settings)
    config.include("session_mw.adapters.pyramid")
    config.add_route("all", "/*rest")
    return config


def alone(view: View) -> Any:
    return view_of(view, **{"session.secret_key": KEY})


def alone_with_a_store(view: View) -> Any:
    return view_of(view, **{"session.store": "memory://"})


def behind_the_middleware(view: View) -> Any:
    return SessionMiddleware(view_of(view), KEY)


def behind_the_middleware_with_settings_too(view: View) -> Any:
    return SessionMiddleware(alone(view), store=MemoryStore())


WIRINGS = [alone, alone_with_a_store, behind_the_middleware, behind_the_middleware_with_settings_too]


@pytest.fixture(params=WIRINGS, ids=lambda wire: wire.__name__)
def serve(request: pytest.FixtureRequest) -> Callable[[View], Any]:
    """Makes a test app of one view."""
    return lambda view: webtest.TestApp(request.param(view))


def count(request: Any) -> int:
    request.session["visits"] = request.session.get("visits", 0) + 1
    visits: int = request.session["visits"]
    return visits


def by_path(request: Any) -> Any:
    """Runs the session's method that the path names, with the JSON arguments of the query."""
    arguments = json.loads(request.params.get("args", "[]"))
    keywords = json.loads(request.params.get("kw", "{}"))
    return getattr(request.session, request.matchdict["rest"][0])(*arguments, **keywords)


def call(app: Any, method: str, *args: Any, **kw: Any) -> Any:
    return app.get("/" + method, {"args": json.dumps(args), "kw": json.dumps(kw)}).json


def test_the_session_lasts_from_request_to_request(serve: Any) -> None:
    app = serve(count)
    assert [app.get("/").json for _ in range(3)] == [1, 2, 3]


def test_exactly_one_cookie_and_one_vary_are_sent(serve: Any) -> None:
    def vary(request: Any) -> Response:
        request.session["a"] = 1
        return Response(headerlist=[("Vary", "Accept"), ("Vary", "cookie"), ("Content-Type", "text/plain")])

    headers = serve(vary).get("/").headers
    assert len(headers.getall("Set-Cookie")) == 1
    assert headers.getall("Vary") == ["Accept, cookie"]


def test_a_session_that_was_not_touched_adds_no_header(serve: Any) -> None:
    app = serve(lambda request: count(request) if "count" in request.path else 0)
    app.get("/count")
    headers = app.get("/").headers
    assert "Set-Cookie" not in headers
    assert "Vary" not in headers


def test_a_permanent_session_that_nobody_touched_is_sent_again() -> None:
    def permanent_at_first(request: Any) -> int:
        if "first" in request.path:
            request.session.permanent = True
        return 0

    app = webtest.TestApp(alone(permanent_at_first))
    assert "Set-Cookie" not in app.get("/").headers
    app.get("/first")
    assert "; Expires=" in app.get("/").headers["Set-Cookie"]


def test_the_session_is_a_complete_isession(serve: Any) -> None:
    app = serve(lambda request: verifyObject(ISession, request.session))
    assert app.get("/").json is True


def test_the_session_is_a_dict_and_renders_as_json(serve: Any) -> None:
    def render(request: Any) -> Any:
        request.session["a"] = [1]
        assert isinstance(request.session, dict)
        return request.session

    assert serve(render).get("/").json == {"a": [1]}


def test_the_session_knows_when_it_began_and_whether_it_is_new(serve: Any, clock: Any) -> None:
    def facts(request: Any) -> Any:
        answer = [request.session.created, request.session.new]
        request.session["a"] = 1
        return answer

    app = serve(facts)
    began = int(clock.now)
    assert app.get("/").json == [began, True]
    clock.advance(10)
    assert app.get("/").json == [began, False]


def test_an_invalidated_session_is_empty_and_its_cookie_is_deleted(serve: Any) -> None:
    def end(request: Any) -> Any:
        if "end" in request.path:
            request.session.invalidate()
            return dict(request.session)
        return count(request)

    app = serve(end)
    app.get("/")
    answer = app.get("/end")
    assert answer.json == {}
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert app.get("/").json == 1


def test_changed_has_the_session_saved(serve: Any) -> None:
    def change(request: Any) -> None:
        request.session.changed()

    app = serve(lambda request: count(request) if "count" in request.path else change(request))
    app.get("/count")
    assert app.get("/").headers.getall("Vary") == ["Cookie"]


def test_messages_are_kept_by_queue_until_they_are_popped(serve: Any) -> None:
    app = serve(by_path)
    call(app, "flash", "one")
    call(app, "flash", "two", "errors")
    call(app, "flash", "three")
    assert call(app, "peek_flash") == ["one", "three"]
    assert call(app, "peek_flash", "errors") == ["two"]
    assert call(app, "pop_flash") == ["one", "three"]
    assert call(app, "pop_flash") == []
    assert call(app, "pop_flash", queue="errors") == ["two"]


def test_a_duplicate_is_refused_in_its_own_queue_only(serve: Any) -> None:
    app = serve(by_path)
    for queue in ("", "errors"):
        call(app, "flash", "again", queue, allow_duplicate=False)
        call(app, "flash", "again", queue, False)
        call(app, "flash", "again", queue)
    assert call(app, "pop_flash") == ["again", "again"]
    assert call(app, "pop_flash", "errors") == ["again", "again"]


@pytest.mark.parametrize("queue", ["", "message", "errors", "_flashes", "ü"])
def test_no_two_queues_are_one(queue: str) -> None:
    app = webtest.TestApp(alone(by_path))
    for name in ("", "message", "errors", "_flashes", "ü"):
        call(app, "flash", name, name)
    assert call(app, "pop_flash", queue) == [queue]


def test_looking_for_messages_where_there_are_none_sets_no_cookie(serve: Any) -> None:
    app = serve(by_path)
    assert "Set-Cookie" not in app.get("/peek_flash").headers
    assert "Set-Cookie" not in app.get("/pop_flash").headers


def test_peeking_sets_no_cookie(serve: Any) -> None:
    app = serve(by_path)
    call(app, "flash", "one")
    assert "Set-Cookie" not in app.get("/peek_flash").headers


def test_pyramid_and_our_functions_read_each_others_messages(serve: Any) -> None:
    def swap(request: Any) -> Any:
        request.session.flash("from Pyramid")
        taken = pop_flashes(request.session)
        flash(request.session, "from us")
        flash(request.session, "from us, too", "info")
        return [taken, request.session.pop_flash(), request.session.pop_flash("info")]

    assert serve(swap).get("/").json == [[["message", "from Pyramid"]], ["from us"], ["from us, too"]]


def test_a_message_may_be_more_than_text(serve: Any) -> None:
    app = serve(by_path)
    call(app, "flash", {"title": "Saved", "level": 3})
    call(app, "flash", {"title": "Saved", "level": 3}, allow_duplicate=False)
    assert call(app, "pop_flash") == [{"title": "Saved", "level": 3}]


def test_the_csrf_token_stays_until_it_is_renewed(serve: Any) -> None:
    app = serve(by_path)
    first = call(app, "get_csrf_token")
    assert call(app, "get_csrf_token") == first
    renewed = call(app, "new_csrf_token")
    assert renewed != first
    assert call(app, "get_csrf_token") == renewed


def test_pyramids_token_and_ours_are_the_same_secret(serve: Any) -> None:
    def check(request: Any) -> list[bool]:
        token = request.session.get_csrf_token()
        masked = csrf_token(request.session)
        return [check_csrf(request.environ, request.session, given) for given in (token, masked, token[::-1])]

    assert serve(check).get("/").json == [True, True, False]


@pytest.fixture(params=["alone", "behind the middleware"])
def protected(request: pytest.FixtureRequest) -> Any:
    """An application under Pyramid's default CSRF policy."""
    settings = {"session.secret_key": KEY} if request.param == "alone" else {}
    config = configured(settings)
    config.set_default_csrf_options(require_csrf=True)
    config.add_view(lambda request: get_csrf_token(request), route_name="all", renderer="json")
    app = config.make_wsgi_app()
    return webtest.TestApp(app if request.param == "alone" else SessionMiddleware(app, KEY))


def test_pyramids_policy_accepts_its_token_in_a_form_and_in_a_header(protected: Any) -> None:
    token = protected.get("/").json
    assert protected.post("/", {"csrf_token": token}).json == token
    assert protected.post("/", headers={"X-CSRF-Token": token}).json == token


@pytest.mark.parametrize("token", [None, "", "wrong", "w\xf6rng", "\u2603", "x" * 5000])
def test_pyramids_policy_refuses_other_tokens_with_400(protected: Any, token: str | None) -> None:
    protected.get("/")
    form = {} if token is None else {"csrf_token": token.encode()}
    assert protected.post("/", form, status=400).status_code == 400


def test_pyramids_policy_refuses_the_token_of_another_session(protected: Any) -> None:
    token = protected.get("/").json
    protected.reset()
    protected.get("/")
    assert protected.post("/", {"csrf_token": token}, status=400).status_code == 400


def test_redirects_and_refusals_keep_the_cookie(serve: Any) -> None:
    def leave(request: Any) -> Any:
        request.session["a"] = 1
        if "redirect" in request.path:
            return HTTPFound("/")
        raise HTTPForbidden

    app = serve(leave)
    assert len(app.get("/redirect").headers.getall("Set-Cookie")) == 1
    app.reset()
    assert len(app.get("/refuse", status=403).headers.getall("Set-Cookie")) == 1


def test_an_exception_that_passes_saves_nothing(serve: Any) -> None:
    def fail(request: Any) -> Any:
        if "fail" in request.path:
            request.session["visits"] = 1 / 0 if count(request) < 0 else 100
            raise ZeroDivisionError
        return count(request)

    app = serve(fail)
    app.get("/")
    with pytest.raises(ZeroDivisionError):
        app.get("/fail")
    assert app.get("/").json == 2


def test_a_change_in_a_response_callback_is_saved(serve: Any) -> None:
    def late(request: Any) -> int:
        request.add_response_callback(lambda request, response: count(request))
        return int(request.session.get("visits", 0))

    app = serve(late)
    assert [app.get("/").json for _ in range(3)] == [0, 1, 2]


def test_a_change_while_streaming_is_warned_about(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    def stream(request: Any) -> Response:
        def parts() -> Iterator[bytes]:
            yield b"one"
            request.session["late"] = True
            yield b"two"

        return Response(app_iter=parts(), content_type="text/plain")

    with caplog.at_level(logging.WARNING, "session_mw"):
        assert serve(stream).get("/").text == "onetwo"
    assert [__file__ in record.getMessage() for record in caplog.records] == [True]


def test_behind_the_middleware_the_session_is_the_very_one_in_the_environ() -> None:
    app = webtest.TestApp(behind_the_middleware(lambda request: request.session is get_session(request.environ)))
    assert app.get("/").json is True


def test_alone_the_session_is_in_the_environ_too() -> None:
    app = webtest.TestApp(alone(lambda request: request.session is get_session(request.environ)))
    assert app.get("/").json is True


def test_another_environ_key_is_a_setting() -> None:
    def same(request: Any) -> bool:
        return request.session is request.environ["app.session"]

    app = view_of(same, **{"session.environ_key": "app.session"})
    assert webtest.TestApp(SessionMiddleware(app, KEY, environ_key="app.session")).get("/").json is True


def test_texts_of_an_ini_file_are_understood() -> None:
    settings = {
        "session.secret_key": KEY,
        "session.secret_key_fallbacks": "old-key-0123456789 older-key-0123456789",
        "session.cookie_name": "visitor",
        "session.cookie_secure": "true",
        "session.lifetime": "30 days",
        "sessions": "not ours",
    }
    answer = webtest.TestApp(view_of(count, **settings)).get("/")
    assert answer.headers["Set-Cookie"].startswith("visitor=")
    assert "; Secure" in answer.headers["Set-Cookie"]


def test_a_wrong_setting_is_an_error_when_the_application_is_configured() -> None:
    with pytest.raises(ConfigurationError, match="lifetime"):
        view_of(count, **{"session.secret_key": KEY, "session.liftime": "1"})


def test_without_settings_and_middleware_the_error_says_what_to_set() -> None:
    app = webtest.TestApp(view_of(count))
    with pytest.raises(MissingSession, match=r"session\.secret_key"):
        app.get("/")


def test_a_key_of_the_environ_that_is_taken_by_something_else_is_an_error() -> None:
    app = webtest.TestApp(alone(count), extra_environ={"session": "beaker"})
    with pytest.raises(ConfigurationError, match=r"taken by a str .* session\.environ_key"):
        app.get("/")


def test_a_view_that_needs_no_session_needs_no_settings() -> None:
    assert webtest.TestApp(view_of(lambda request: 1)).get("/").json == 1


def test_without_a_key_the_session_reads_as_empty_and_refuses_writing() -> None:
    app = webtest.TestApp(SessionMiddleware(view_of(by_path)))
    assert call(app, "peek_flash") == []
    with pytest.raises(SessionUnavailable):
        call(app, "flash", "one")
    with pytest.raises(SessionUnavailable):
        call(app, "get_csrf_token")


def test_a_request_that_is_tried_again_starts_from_the_visitors_session() -> None:
    tries: list[int] = []

    def again(environ: Any, router: Any) -> Any:
        with router.request_context(environ) as request, contextlib.suppress(ZeroDivisionError):
            return router.invoke_request(request)
        with router.request_context(environ) as request:
            return router.invoke_request(request)

    def fail_once(request: Any) -> int:
        tries.append(count(request))
        return tries[-1] // (len(tries) - 1)

    config = configured({"session.secret_key": KEY})
    config.set_execution_policy(again)
    config.add_view(fail_once, route_name="all", renderer="json")
    app = webtest.TestApp(config.make_wsgi_app())
    answer = app.get("/")
    assert tries == [1, 1]
    assert len(answer.headers.getall("Set-Cookie")) == 1


def test_an_environ_that_is_served_again_gets_its_session_anew() -> None:
    app = alone(count)
    first = webtest.TestRequest.blank("/")
    cookie = first.get_response(app).headers["Set-Cookie"].partition(";")[0]
    again = webtest.TestRequest({**first.environ, "HTTP_COOKIE": cookie}).get_response(app)
    assert again.json == 2
    assert len(again.headers.getall("Set-Cookie")) == 1


def test_a_tween_may_touch_the_session_before_the_request_is_announced() -> None:
    def tween_factory(handler: View, registry: Any) -> View:
        def tween(request: Any) -> Any:
            request.session["tween"] = True
            return handler(request)

        return tween

    config = configured({"session.secret_key": KEY})
    config.add_view(lambda request: [count(request), request.session["tween"]], route_name="all", renderer="json")
    config.registry.tween_factory = tween_factory
    config.add_tween(f"{__name__}.tween_in_front")
    app = webtest.TestApp(config.make_wsgi_app())
    assert app.get("/").json == [1, True]
    assert app.get("/").json == [2, True]


def tween_in_front(handler: View, registry: Any) -> View:
    return registry.tween_factory(handler, registry)  # type: ignore[no-any-return]


def test_a_script_has_a_session_without_a_request_event() -> None:
    from pyramid.scripting import prepare

    with prepare(registry=alone(count).registry) as env:
        assert count(env["request"]) == 1


def test_a_session_of_ours_stays_itself_for_other_frameworks() -> None:
    def seen(request: Any) -> bool:
        return isinstance(request.session, Session) and type(request.session.copy()) is dict

    assert webtest.TestApp(behind_the_middleware(seen)).get("/").json is True


def test_the_manager_of_the_middleware_is_the_one_that_commits() -> None:
    sessions = SessionManager(KEY, cookie_name="outer")
    app = webtest.TestApp(SessionMiddleware(view_of(count, **{"session.secret_key": KEY[::-1]}), sessions=sessions))
    (cookie,) = app.get("/").headers.getall("Set-Cookie")
    assert cookie.startswith("outer=")


@pytest.mark.parametrize("active", ["", "session"])
def test_the_debug_toolbar_shows_a_page_that_uses_the_session(active: str) -> None:
    pytest.importorskip("pyramid_debugtoolbar")
    config = configured({"session.secret_key": KEY, "debugtoolbar.hosts": "0.0.0.0/0"})
    config.include("pyramid_debugtoolbar")
    config.add_view(lambda request: Response(f"<html><body>{count(request)}</body></html>"), route_name="all")
    app = webtest.TestApp(config.make_wsgi_app(), extra_environ={"REMOTE_ADDR": "127.0.0.1"})
    app.set_cookie("pdtb_active", active)
    assert "<body>1" in app.get("/").text
    second = app.get("/")
    assert "<body>2" in second.text
    toolbar = app.get(second.html.find("link", href=lambda href: "toolbar" in href)["href"], status="*")
    assert toolbar.status_code == 200
    panels = app.get("/_debug_toolbar/")
    assert "visits" in panels.text


class Again(Exception):
    pass


def trying_twice(environ: dict[str, Any], router: Any) -> Any:
    """What pyramid_retry does: a request of its own for each try, each with a copy of the environ."""
    for attempt in (0, 1):
        with router.request_context(environ | {"retry.attempt": attempt}) as request, contextlib.suppress(Again):
            return router.invoke_request(request)
    raise AssertionError("both tries failed")


@pytest.mark.parametrize("settings", [{}, {"session.secret_key": KEY}])
@pytest.mark.parametrize("kind", [{"secret_key": KEY}, {"store": "memory://"}])
@pytest.mark.parametrize(("outer_writes", "expected"), [(False, [1, None, [], ["hello"]]), (True, [2, 1, ["x"], None])])
def test_what_a_failed_try_did_to_the_session_goes_with_it_unless_an_outer_layer_wrote_before(
    settings: dict[str, str], kind: dict[str, Any], outer_writes: bool, expected: list[Any]
) -> None:
    def view(request: Any) -> list[Any]:
        session = request.session
        session["n"] = session.get("n", 0) + 1
        if not outer_writes:
            session.flash("hello")
        if request.environ["retry.attempt"] == 0:
            session["failed"] = 1
            session["cart"].append("x")
            session.regenerate_id()
            raise Again
        flashed = None if outer_writes else session.peek_flash()
        return [session["n"], session.get("failed"), session["cart"], flashed]

    config = configured(settings)
    config.add_view(view, route_name="all", renderer="json")
    config.set_execution_policy(trying_twice)
    inner = config.make_wsgi_app()

    def outer(environ: dict[str, Any], start_response: Any) -> Any:
        if outer_writes:
            environ["session"]["outer"] = True
        return inner(environ, start_response)

    app = webtest.TestApp(SessionMiddleware(outer, **kind))
    with session_transaction(app) as session:
        session["cart"] = []
    assert app.get("/").json == expected


def test_the_first_example_of_the_page_shows_its_messages_and_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "pyramid.md").read_text(encoding="utf-8")
    monkeypatch.setenv("SECRET_KEY", KEY)
    module = types.ModuleType("session_mw_pyramid_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(page.partition("```python\n")[2].partition("```")[0], vars(module))
    client = webtest.TestApp(vars(module)["app"])
    answers = [client.get("/") for _ in range(20)]
    assert [answer.json["messages"] for answer in answers] == [[], *[["Welcome back."]] * 19]
    sizes = [len(answer.headers["Set-Cookie"]) for answer in answers]
    assert max(sizes) - min(sizes) < 20
    with session_transaction(client, SessionManager(KEY)) as session:
        assert "_flashes" not in session
