"""Flask on our sessions: behind the middleware, and alone."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

flask = pytest.importorskip("flask")

from session_mw import (  # noqa: E402
    ConfigurationError,
    CookieTooLarge,
    MemoryStore,
    Session,
    SessionManager,
    SessionMiddleware,
    SessionUnavailable,
    StoreError,
)
from session_mw.adapters.flask import FlaskSessions  # noqa: E402
from session_mw.flash import flash, pop_flashes  # noqa: E402
from session_mw.stores import memory  # noqa: E402
from support.forks import code_of, start_untold  # noqa: E402
from support.stores import Recording, unreachable  # noqa: E402

KEY = "a-secret-key-of-32-characters-00"
Wire = Callable[[Any], None]


def alone(app: Any) -> None:
    app.session_interface = FlaskSessions(SessionManager(KEY))


def by_app_config(app: Any) -> None:
    app.config["SECRET_KEY"] = KEY
    app.session_interface = FlaskSessions.from_app_config(app)


def behind_the_middleware(app: Any) -> None:
    app.session_interface = FlaskSessions()
    app.wsgi_app = SessionMiddleware(app.wsgi_app, KEY)


def behind_the_middleware_with_a_store(app: Any) -> None:
    app.session_interface = FlaskSessions()
    app.wsgi_app = SessionMiddleware(app.wsgi_app, store=MemoryStore())


def alone_with_a_store(app: Any) -> None:
    app.session_interface = FlaskSessions(SessionManager(store=MemoryStore()))


WIRINGS = [alone, by_app_config, behind_the_middleware, behind_the_middleware_with_a_store, alone_with_a_store]


@pytest.fixture(params=WIRINGS, ids=lambda wire: wire.__name__)
def app(request: pytest.FixtureRequest) -> Any:
    app = make_app()
    request.param(app)
    return app


def make_app() -> Any:
    app = flask.Flask(__name__)
    app.testing = True

    @app.get("/visits")
    def visits() -> str:
        flask.session["visits"] = flask.session.get("visits", 0) + 1
        return str(flask.session["visits"])

    @app.get("/untouched")
    def untouched() -> str:
        return "untouched"

    @app.get("/look")
    def look() -> str:
        return repr("visits" in flask.session)

    @app.get("/out")
    def out() -> str:
        flask.session.clear()
        return "out"

    return app


def test_the_session_lasts_from_request_to_request(app: Any) -> None:
    client = app.test_client()
    assert [client.get("/visits").text for _ in range(3)] == ["1", "2", "3"]


def test_exactly_one_cookie_and_one_vary_are_sent(app: Any) -> None:
    @app.get("/vary")
    def vary() -> Any:
        flask.session["a"] = 1
        response = flask.make_response("a")
        response.headers.add("Vary", "Accept")
        response.headers.add("Vary", "cookie")
        return response

    headers = app.test_client().get("/vary").headers
    assert len(headers.getlist("Set-Cookie")) == 1
    assert headers.getlist("Vary") == ["Accept, cookie"]


def test_a_session_that_was_not_touched_adds_no_header(app: Any) -> None:
    client = app.test_client()
    client.get("/visits")
    headers = client.get("/untouched").headers
    assert "Set-Cookie" not in headers
    assert "Vary" not in headers


def test_a_session_that_was_only_read_sets_no_cookie_and_varies(app: Any) -> None:
    headers = app.test_client().get("/look").headers
    assert "Set-Cookie" not in headers
    assert headers.getlist("Vary") == ["Cookie"]


def test_asking_for_the_proxied_session_is_an_access_as_in_flask(app: Any) -> None:
    @app.get("/ask")
    def ask() -> str:
        return str(flask.session.modified)

    assert app.test_client().get("/ask").headers.getlist("Vary") == ["Cookie"]


def test_a_cleared_session_deletes_its_cookie(app: Any) -> None:
    client = app.test_client()
    attributes = client.get("/visits").headers["Set-Cookie"].partition("; Path=/")[2]
    deleted = "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
    assert client.get("/out").headers.getlist("Set-Cookie") == [
        f"{deleted}; {scope}{attributes}"
        for scope in ("Domain=localhost; Path=/", "Path=/out", "Domain=localhost; Path=/out", "Path=/")
    ]
    assert client.get("/look").text == "False"


def test_a_permanent_session_is_sent_on_every_response_with_its_expiry(app: Any) -> None:
    @app.get("/permanent")
    def permanent() -> str:
        flask.session.permanent = True
        return "permanent"

    client = app.test_client()
    assert "Expires=" in client.get("/permanent").headers["Set-Cookie"]
    with client.session_transaction() as session:
        assert session.permanent is True


def test_flashed_messages_are_shown_once_with_their_category(app: Any) -> None:
    @app.get("/flash")
    def flashing() -> str:
        flask.flash("Saved.", "success")
        flask.flash("Careful.")
        return "flashed"

    @app.get("/show")
    def show() -> Any:
        return flask.jsonify(flask.get_flashed_messages(with_categories=True))

    client = app.test_client()
    client.get("/flash")
    assert client.get("/show").json == [["success", "Saved."], ["message", "Careful."]]
    assert client.get("/show").json == []


def test_flask_and_our_functions_read_each_others_messages(app: Any) -> None:
    @app.get("/swap")
    def swap() -> Any:
        taken = pop_flashes(flask.session)
        flash(flask.session, "From us.", "info")
        return flask.jsonify(taken + flask.get_flashed_messages(with_categories=True))

    client = app.test_client()
    with app.test_request_context():
        pass
    with client.session_transaction() as session:
        session["_flashes"] = [("success", "From Flask.")]
    assert client.get("/swap").json == [["success", "From Flask."], ["info", "From us."]]


def test_a_session_transaction_seeds_and_reads_the_session(app: Any) -> None:
    client = app.test_client()
    with client.session_transaction() as session:
        session["visits"] = 41
    assert client.get("/visits").text == "42"
    with client.session_transaction() as session:
        assert session["visits"] == 42


def test_a_session_transaction_that_fails_changes_nothing(app: Any) -> None:
    client = app.test_client()
    with pytest.raises(ZeroDivisionError), client.session_transaction() as session:
        session["visits"] = 41 / 0
    assert client.get("/visits").text == "1"


def test_the_session_is_there_in_a_test_request_context(app: Any) -> None:
    with app.test_request_context():
        assert dict(flask.session) == {}
        flask.session["a"] = 1
        assert flask.session == {"a": 1}


def test_a_client_kept_open_shows_the_session_after_the_response(app: Any) -> None:
    with app.test_client() as client:
        client.get("/visits")
        assert flask.session["visits"] == 1


def test_a_stream_with_context_reads_the_session(app: Any) -> None:
    @app.get("/stream")
    def stream() -> Any:
        flask.session["name"] = "World"

        @flask.stream_with_context
        def parts() -> Iterator[str]:
            yield "Hello, "
            yield flask.session["name"]

        return flask.Response(parts())

    answer = app.test_client().get("/stream")
    assert answer.text == "Hello, World"
    assert len(answer.headers.getlist("Set-Cookie")) == 1


def test_a_change_while_streaming_is_warned_about(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    @app.get("/late")
    def late() -> Any:
        @flask.stream_with_context
        def parts() -> Iterator[str]:
            yield "one"
            flask.session["late"] = True
            yield "two"

        return flask.Response(parts())

    with caplog.at_level(logging.WARNING, "session_mw"):
        assert app.test_client().get("/late").text == "onetwo"
    assert [__file__ in record.getMessage() for record in caplog.records] == [True]


def test_redirect_abort_and_error_pages_keep_the_cookie(app: Any) -> None:
    app.testing = False

    @app.get("/redirect")
    def redirect() -> Any:
        flask.session["a"] = 1
        return flask.redirect("/")

    @app.get("/abort")
    def abort() -> None:
        flask.session["a"] = 1
        flask.abort(403)

    @app.get("/error")
    def error() -> float:
        flask.session["a"] = 1
        return 1 / 0

    answers = [app.test_client().get(path) for path in ("/redirect", "/abort", "/error")]
    assert [answer.status_code for answer in answers] == [302, 403, 500]
    assert [len(answer.headers.getlist("Set-Cookie")) for answer in answers] == [1, 1, 1]


def test_an_exception_that_passes_saves_nothing(app: Any) -> None:
    @app.get("/raise")
    def fail() -> float:
        flask.session["visits"] = 100
        return 1 / 0

    client = app.test_client()
    client.get("/visits")
    with pytest.raises(ZeroDivisionError):
        client.get("/raise")
    assert client.get("/visits").text == "2"


def test_a_change_in_an_after_request_function_is_saved(app: Any) -> None:
    @app.after_request
    def count(response: Any) -> Any:
        flask.session["answers"] = flask.session.get("answers", 0) + 1
        return response

    client = app.test_client()
    client.get("/untouched")
    client.get("/untouched")
    with client.session_transaction() as session:
        assert session["answers"] == 2


def test_a_change_inside_a_list_is_saved_without_modified(app: Any) -> None:
    @app.get("/buy")
    def buy() -> Any:
        flask.session["cart"].append("apple")
        return "bought"

    client = app.test_client()
    with client.session_transaction() as session:
        session["cart"] = []
    client.get("/buy")
    with client.session_transaction() as session:
        assert session["cart"] == ["apple"]


def test_the_session_has_what_flask_expects_of_one(app: Any) -> None:
    with app.test_request_context():
        session = flask.session._get_current_object()
        assert isinstance(session, flask.sessions.SessionMixin)
        assert (session.new, session.modified, session.accessed, session.permanent) == (True, False, True, False)


@pytest.mark.parametrize("wire", [alone, behind_the_middleware])
def test_a_cookie_too_large_is_an_error(wire: Wire) -> None:
    app = make_app()
    wire(app)

    @app.get("/large")
    def large() -> str:
        flask.session["large"] = secrets.token_hex(4096)
        return "large"

    with pytest.raises(CookieTooLarge, match="'large'"):
        app.test_client().get("/large")


def test_a_page_whose_session_cannot_be_saved_is_a_500_without_a_cookie() -> None:
    app = make_app()
    alone(app)
    app.testing = False

    @app.get("/unsaved")
    def unsaved() -> str:
        flask.session["object"] = object()
        return "unsaved"

    answer = app.test_client().get("/unsaved")
    assert answer.status_code == 500
    assert "Set-Cookie" not in answer.headers


def sorry(error: StoreError) -> Any:
    return f"sorry: {error}", 503, {"Retry-After": "10"}


def on_a_store(store: Any) -> Any:
    app = make_app()
    app.session_interface = FlaskSessions(SessionManager(store=store))
    app.register_error_handler(StoreError, sorry)

    @app.get("/write")
    def write() -> str:
        flask.session["visits"] = 1
        return "written"

    return app


@pytest.mark.parametrize("testing", [False, True])
@pytest.mark.parametrize("failing", ["create", "update", "load"])
def test_a_handler_for_store_error_answers_when_a_session_cannot_be_loaded_or_saved(
    testing: bool, failing: str
) -> None:
    store = Recording(MemoryStore())
    app = on_a_store(store)
    app.testing = testing
    client = app.test_client()
    if failing != "create":
        client.get("/visits")
    store.fail(failing)
    store.calls.clear()
    answer = client.get("/visits")
    assert (answer.status_code, answer.text, answer.headers["Retry-After"]) == (503, "sorry: the store is down", "10")
    assert "Set-Cookie" not in answer.headers
    assert answer.headers.getlist("Vary") == ["Cookie"]
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert store.calls.count(failing) == 1


def test_a_page_that_does_not_touch_the_session_is_served_while_the_store_is_down() -> None:
    assert on_a_store(unreachable()).test_client().get("/untouched").text == "untouched"


def test_without_a_handler_a_failed_save_is_a_500_that_asks_the_store_once(caplog: pytest.LogCaptureFixture) -> None:
    store = unreachable()
    app = make_app()
    app.session_interface = FlaskSessions(SessionManager(store=store))
    app.testing = False
    answer = app.test_client().get("/visits")
    assert answer.status_code == 500
    assert "Set-Cookie" not in answer.headers
    assert store.calls == ["create"]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [StoreError]


def test_a_handler_for_500_may_answer_a_failed_save_too() -> None:
    app = make_app()
    app.session_interface = FlaskSessions(SessionManager(store=unreachable()))
    app.testing = False

    @app.errorhandler(500)
    def fail(error: Any) -> Any:
        return "sorry", 503 if isinstance(error.original_exception, StoreError) else 500

    assert app.test_client().get("/visits").status_code == 503


def test_a_handler_of_a_blueprint_answers_for_its_pages() -> None:
    app = make_app()
    app.session_interface = FlaskSessions(SessionManager(store=unreachable()))
    shop = flask.Blueprint("shop", __name__, url_prefix="/shop")
    shop.add_url_rule("/", view_func=lambda: flask.session.setdefault("a", "x"))
    shop.register_error_handler(StoreError, sorry)
    app.register_blueprint(shop)
    assert app.test_client().get("/shop/").status_code == 503
    with pytest.raises(StoreError):
        app.test_client().get("/visits")


def test_a_handler_that_fails_is_flasks_500() -> None:
    app = on_a_store(unreachable())
    app.testing = False
    app.register_error_handler(StoreError, lambda error: 1 / 0)
    answer = app.test_client().get("/visits")
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (500, False)


def test_a_page_whose_place_another_takes_is_closed_once_and_so_is_the_other() -> None:
    closed = []

    class Body:
        def __init__(self, name: str) -> None:
            self.name = name

        def __iter__(self) -> Iterator[bytes]:
            yield self.name.encode()

        def close(self) -> None:
            closed.append(self.name)

    app = on_a_store(unreachable())
    app.register_error_handler(StoreError, lambda error: flask.Response(Body("handler"), 503))

    @app.get("/body")
    def body() -> Any:
        flask.session["a"] = 1
        response = flask.Response(Body("page"), headers={"X-Page": "1", "Set-Cookie": "other=1"})
        response.call_on_close(lambda: closed.append("function"))
        return response

    answer = app.test_client().get("/body")
    assert (answer.status_code, answer.data) == (503, b"handler")
    assert not {"X-Page", "Set-Cookie"} & set(answer.headers.keys())
    answer.close()
    assert sorted(closed) == ["function", "handler", "page"]


def test_a_session_transaction_that_cannot_be_saved_raises_whatever_handlers_there_are() -> None:
    client = on_a_store(unreachable()).test_client()
    with pytest.raises(StoreError), client.session_transaction() as session:
        session["visits"] = 1


# Templates


@pytest.mark.parametrize("name", ["id", "created", "principal", "new", "permanent"])
def test_in_a_template_brackets_show_what_is_kept_in_the_session_and_a_point_may_not(app: Any, name: str) -> None:
    @app.get("/template")
    def template() -> str:
        flask.session[name] = "kept"
        flask.session["user"] = "Ada"
        return flask.render_template_string(
            f"{{{{ session['{name}'] }}}} {{{{ session.{name} == 'kept' }}}} {{{{ session.user }}}}"
        )

    assert app.test_client().get("/template").text == "kept False Ada"


def test_behind_the_middleware_the_session_is_the_very_one_in_the_environ() -> None:
    app = make_app()
    behind_the_middleware(app)

    @app.get("/same")
    def same() -> str:
        return str(flask.session._get_current_object() is flask.request.environ["session"])

    assert app.test_client().get("/same").text == "True"


def test_an_app_that_drops_the_session_from_the_environ_changes_nothing() -> None:
    app = make_app()
    behind_the_middleware(app)

    @app.get("/drop")
    def drop() -> str:
        flask.session["visits"] = 10
        del flask.request.environ["session"]
        return "dropped"

    client = app.test_client()
    assert len(client.get("/drop").headers.getlist("Set-Cookie")) == 1
    assert client.get("/visits").text == "11"


def test_the_middlewares_session_is_found_under_another_key() -> None:
    app = make_app()
    app.session_interface = FlaskSessions(environ_key="app.session")
    app.wsgi_app = SessionMiddleware(app.wsgi_app, KEY, environ_key="app.session", cookie_name="other")
    client = app.test_client()
    assert client.get("/visits").headers["Set-Cookie"].startswith("other=")
    with client.session_transaction() as session:
        assert session["visits"] == 1


def test_without_a_key_the_session_reads_as_empty_and_refuses_every_writing() -> None:
    app = make_app()
    app.session_interface = FlaskSessions()
    with app.test_request_context():
        assert app.session_interface.open_session(app, flask.request) is None
        session = flask.session._get_current_object()
        assert session.get("a") is None
        with pytest.raises(SessionUnavailable, match="no secret key"):
            session |= {"a": 1}
        with pytest.raises(RuntimeError):
            flask.session["a"] = 1


def test_without_a_key_pages_that_only_read_are_served() -> None:
    app = make_app()
    app.session_interface = FlaskSessions(SessionManager())
    answer = app.test_client().get("/look")
    assert answer.text == "False"
    assert "Set-Cookie" not in answer.headers


def test_a_null_session_behind_the_middleware_is_one_in_flask_too() -> None:
    app = make_app()
    app.session_interface = FlaskSessions()
    app.wsgi_app = SessionMiddleware(app.wsgi_app)
    assert app.test_client().get("/look").text == "False"
    with pytest.raises(SessionUnavailable):
        app.test_client().get("/visits")


def test_app_config_is_read_when_a_request_starts() -> None:
    app = make_app()
    app.session_interface = FlaskSessions.from_app_config(app)
    app.config.update(SECRET_KEY=KEY, SESSION_COOKIE_NAME="first")
    assert app.test_client().get("/visits").headers["Set-Cookie"].startswith("first=")
    app.config.update(SESSION_COOKIE_NAME="second", SESSION_COOKIE_SECURE=True)
    assert app.test_client().get("/visits").headers["Set-Cookie"].startswith("second=")
    assert "; Secure" in app.test_client().get("/visits").headers["Set-Cookie"]


def test_old_keys_changed_in_place_are_noticed() -> None:
    app = make_app()
    by_app_config(app)
    app.config["SECRET_KEY_FALLBACKS"] = []
    client = app.test_client()
    client.get("/visits")
    app.config["SECRET_KEY"] = "another-secret-key-of-33-letters!"
    app.config["SECRET_KEY_FALLBACKS"].append(KEY)
    assert client.get("/visits").text == "2"


def test_one_configuration_makes_one_manager() -> None:
    app = make_app()
    app.config["store"] = "memory://"
    app.session_interface = FlaskSessions.from_app_config(app)
    client = app.test_client()
    assert [client.get("/visits").text for _ in range(2)] == ["1", "2"]


def test_two_applications_may_share_one_interface() -> None:
    first, second = make_app(), make_app()
    first.session_interface = second.session_interface = FlaskSessions()
    first.config["store"] = second.config["store"] = "memory://"
    second.config["SESSION_COOKIE_NAME"] = "second"
    clients = [first.test_client(), second.test_client()]
    assert [client.get("/visits").text for _ in range(2) for client in clients] == ["1", "1", "2", "2"]


def test_an_application_that_calls_another_keeps_its_session_under_its_own_key() -> None:
    outer, inner = flask.Flask("outer"), flask.Flask("inner")
    for one in (outer, inner):
        one.session_interface = FlaskSessions(SessionManager(secrets.token_hex(), cookie_name=one.name))

    @inner.route("/")
    def inside() -> str:
        flask.session["in"] = 1
        return "inside"

    @outer.route("/")
    def outside() -> Any:
        flask.session["out"] = 1
        return flask.Response.from_app(inner.wsgi_app, flask.request.environ)

    cookies = outer.test_client().get("/").headers.getlist("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == ["inner", "outer"]


def test_requests_that_come_at_once_share_one_store() -> None:
    app = make_app()
    app.config["store"] = "memory://"
    app.session_interface = FlaskSessions()
    start = threading.Barrier(8)

    def first_visit(_: int) -> Any:
        client = app.test_client()
        start.wait(10)
        client.get("/visits")
        return client

    with ThreadPoolExecutor(8) as threads:
        clients = list(threads.map(first_visit, range(8)))
    assert [client.get("/visits").text for client in clients] == ["2"] * 8


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_that_was_forked_while_the_first_request_came_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app()
    app.config["store"] = "memory://"
    app.session_interface = FlaskSessions()
    parent, begun, forked = os.getpid(), threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            if os.getpid() == parent:
                begun.set()
                forked.wait(10)

    monkeypatch.setattr(memory, "MemoryStore", Slow)
    first = threading.Thread(target=lambda: app.test_client().get("/visits"))
    first.start()
    begun.wait(10)
    child = start_untold(lambda: app.test_client().get("/visits").text == "1")
    forked.set()
    first.join()
    assert code_of(child) == 0


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, "/"),
        ({"APPLICATION_ROOT": "/shop"}, "/shop"),
        ({"APPLICATION_ROOT": "/shop", "SESSION_COOKIE_PATH": "/"}, "/"),
        ({"APPLICATION_ROOT": "/shop", "SESSION_COOKIE_PATH": ""}, "/shop"),
    ],
)
def test_the_path_is_flasks(config: dict[str, str], path: str) -> None:
    app = make_app()
    by_app_config(app)
    app.config.update(config)
    assert f"; Path={path};" in app.test_client().get("/visits").headers["Set-Cookie"]


def test_flask_logins_session_protection_is_no_setting_of_ours() -> None:
    app = make_app()
    by_app_config(app)
    app.config["SESSION_PROTECTION"] = "strong"
    assert app.test_client().get("/visits").text == "1"


def test_a_wrong_setting_in_app_config_is_named_at_the_first_request() -> None:
    app = make_app()
    by_app_config(app)
    app.config["SESSION_COOKIE_SAMESITE"] = "sometimes"
    with pytest.raises(ConfigurationError, match="cookie_samesite"):
        app.test_client().get("/untouched")


def test_a_session_expires_after_flasks_lifetime(clock: Any) -> None:
    app = make_app()
    by_app_config(app)
    app.config["PERMANENT_SESSION_LIFETIME"] = timedelta(minutes=5)
    client = app.test_client()
    client.get("/visits")
    clock.advance(300)
    assert client.get("/visits").text == "2"
    clock.advance(301)
    assert client.get("/visits").text == "1"


def test_the_cookie_is_the_one_that_flask_itself_reads_and_writes() -> None:
    ours, flasks = make_app(), make_app()
    by_app_config(ours)
    flasks.config["SECRET_KEY"] = KEY
    client, other = ours.test_client(), flasks.test_client()
    client.get("/visits")
    other.set_cookie("session", client.get_cookie("session").value)
    assert other.get("/visits").text == "2"
    client.set_cookie("session", other.get_cookie("session").value)
    assert client.get("/visits").text == "3"


def test_bare_sessions_are_what_flask_hands_out(app: Any) -> None:
    with app.test_request_context():
        assert isinstance(flask.session._get_current_object(), Session)


def test_flask_login_logs_in_and_out(app: Any) -> None:
    flask_login = pytest.importorskip("flask_login")
    manager = flask_login.LoginManager(app)

    class User(flask_login.UserMixin):  # type: ignore[misc, name-defined]
        id = "42"

    manager.user_loader(lambda user_id: User() if user_id == "42" else None)

    @app.get("/in")
    def log_in() -> str:
        return str(flask_login.login_user(User()))

    @app.get("/me")
    def me() -> str:
        return str(flask_login.current_user.is_authenticated)

    @app.get("/leave")
    def leave() -> str:
        return str(flask_login.logout_user())

    client = app.test_client()
    assert [client.get(path).text for path in ("/me", "/in", "/me", "/leave", "/me")] == [
        "False",
        "True",
        "True",
        "True",
        "False",
    ]


def test_a_secret_key_that_is_an_attribute_of_the_class_counts() -> None:
    class App(flask.Flask):  # type: ignore[misc, name-defined]
        secret_key = KEY

    app = App(__name__)
    app.session_interface = FlaskSessions.from_app_config(app)
    with app.test_client() as client, client.session_transaction() as session:
        session["a"] = 1
    assert client.get_cookie("session") is not None


@pytest.mark.parametrize("name", ["app", "wsgi_app", "application", "_app"])
def test_the_middleware_is_found_behind_others(name: str) -> None:
    class Layer:
        def __init__(self, inner: Any) -> None:
            setattr(self, name, inner)

        def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
            return getattr(self, name)(environ, start_response)

    app = flask.Flask(__name__)
    app.session_interface = FlaskSessions()
    app.wsgi_app = Layer(SessionMiddleware(app.wsgi_app, KEY))
    client = app.test_client()
    with client.session_transaction() as session:
        session["a"] = 1
    app.add_url_rule("/", view_func=lambda: str(flask.session["a"]))
    assert client.get("/").text == "1"


def test_layers_that_wrap_each_other_in_a_circle_end_the_search() -> None:
    def layer(environ: dict[str, Any], start_response: Any) -> Any:
        raise AssertionError("never called")

    layer.app = layer  # type: ignore[attr-defined]
    app = flask.Flask(__name__)
    app.config["SECRET_KEY"] = KEY
    app.session_interface = FlaskSessions()
    app.wsgi_app = layer
    with app.test_request_context():
        assert not flask.session


def test_a_request_that_is_over_lends_its_environ_but_not_its_session() -> None:
    environs = []
    app = flask.Flask(__name__)
    behind_the_middleware_with_a_store(app)

    @app.get("/set")
    def change() -> str:
        environs.append(flask.request.environ)
        flask.session["n"] = flask.session.get("n", 0) + 1
        return "ok"

    app.add_url_rule("/out", view_func=lambda: flask.session.clear() or "ok")
    client = app.test_client()
    client.get("/set")
    client.get("/set")
    client.get("/set")
    with app.request_context(environs[1]):
        assert flask.session["n"] == 3
        flask.session["n"] = 10
        app.session_interface.save_session(app, flask.session._get_current_object(), app.make_response("ok"))
    client.get("/set")
    with app.request_context(environs[1]):
        assert flask.session["n"] == 11
        client.get("/out")
    with app.request_context(environs[1]):
        assert not flask.session


@pytest.mark.parametrize("wrong", [flask.Flask("app"), "a secret key", SessionManager])
def test_sessions_that_are_not_a_manager_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"sessions is a SessionManager, not .*FlaskSessions\(\) reads"):
        FlaskSessions(wrong)
