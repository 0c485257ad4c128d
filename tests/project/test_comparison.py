"""What the README's table says of other libraries, tried on each of them with its defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from session_mw import SessionMiddleware
from support.django_project import configure_django
from support.markdown import README, table
from support.tokens import KEY
from support.visitors import Visitor

Do = Callable[[Any, str], object]
"""What an application does with its session at a path."""


class Library(NamedTuple):
    """A kind of sessions."""

    name: str
    column: str
    """In the README."""
    make: Callable[[Do], Any]
    """A WSGI application of its framework."""
    end: Callable[[Any], object]
    """Its log-out."""
    save: Callable[[Any], object] = lambda session: None
    """What its users have to call."""
    in_cookie: bool = False


def wsgi(middleware: Callable[[Any], Any], environ_key: str) -> Callable[[Do], Any]:
    def make(do: Do) -> Any:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            shown = str(do(environ[environ_key], environ["PATH_INFO"])).encode()
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [shown]

        return middleware(app)

    return make


def ours(**settings: Any) -> Callable[[Do], Any]:
    return wsgi(lambda app: SessionMiddleware(app, **settings), "session")


def beaker(**options: Any) -> Callable[[Do], Any]:
    def around(app: Any) -> Any:
        middleware = pytest.importorskip("beaker.middleware")
        return middleware.SessionMiddleware(app, {f"session.{name}": value for name, value in options.items()})

    return wsgi(around, "beaker.session")


def flask(do: Do) -> Any:
    module = pytest.importorskip("flask")
    app = module.Flask("compared")
    app.config["SECRET_KEY"] = KEY
    app.add_url_rule("/<path:name>", view_func=lambda name: str(do(module.session, f"/{name}")), endpoint="page")
    return app


def flask_session(do: Do) -> Any:
    extension, caches = pytest.importorskip("flask_session"), pytest.importorskip("cachelib")
    app = flask(do)
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=caches.FileSystemCache(str(Path.cwd() / "cache")))
    extension.Session(app)
    return app


def pyramid(do: Do) -> Any:
    config_module = pytest.importorskip("pyramid.config")
    from pyramid.response import Response
    from pyramid.session import SignedCookieSessionFactory

    with config_module.Configurator(session_factory=SignedCookieSessionFactory(KEY)) as config:
        config.add_route("page", "/*path")
        config.add_view(lambda request: Response(str(do(request.session, request.path))), route_name="page")
        return config.make_wsgi_app()


def django(engine: str) -> Callable[[Do], Any]:
    def make(do: Do) -> Any:
        pytest.importorskip("django")
        configure_django()
        from django.core.handlers.wsgi import WSGIHandler
        from django.http import HttpResponse
        from django.test.utils import override_settings
        from django.urls import clear_url_caches, re_path

        chosen = {
            "SESSION_ENGINE": f"django.contrib.sessions.backends.{engine}",
            "MIDDLEWARE": ["django.contrib.sessions.middleware.SessionMiddleware"],
            "ROOT_URLCONF": (
                re_path("(.*)", lambda request, path: HttpResponse(str(do(request.session, f"/{path}")))),
            ),
        }

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            with override_settings(**chosen):
                clear_url_caches()
                # the engine is read when the middleware is built
                return WSGIHandler()(environ, start_response)

        return app

    return make


LIBRARIES = [
    Library("session_mw, store", "session_mw", ours(store="memory://"), lambda session: session.invalidate()),
    Library(
        "session_mw, cookie with revocations",
        "session_mw",
        ours(secret_key=KEY, revocations="memory://"),
        lambda session: session.invalidate(),
        in_cookie=True,
    ),
    Library("Flask", "Flask", flask, lambda session: session.clear(), in_cookie=True),
    Library("Flask-Session", "Flask-Session", flask_session, lambda session: session.clear()),
    Library(
        "Beaker, file",
        "Beaker",
        beaker(type="file", data_dir="data", data_serializer="json"),
        lambda session: session.delete(),
        lambda session: session.save(),
    ),
    Library(
        "Beaker, cookie",
        "Beaker",
        beaker(type="cookie", validate_key=KEY, data_serializer="json"),
        lambda session: session.delete(),
        lambda session: session.save(),
        in_cookie=True,
    ),
    Library("Pyramid", "Pyramid", pyramid, lambda session: session.invalidate(), in_cookie=True),
    Library("Django, database", "Django", django("db"), lambda session: session.flush()),
    Library("Django, cookie", "Django", django("signed_cookies"), lambda session: session.flush(), in_cookie=True),
]
BY_NAME = {library.name: library for library in LIBRARIES}


class Site:
    """An application of a library, and one visitor whose requests may overlap."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.during: Callable[[], object] = lambda: None
        self.visitor = Visitor(library.make(self.do))

    def do(self, session: Any, path: str) -> object:
        match path:
            case "/login":
                session["user"], session["cart"] = "ann", []
            case "/append":
                session["cart"].append("pear")
            case "/logout":
                self.library.end(session)
                return ""
            case "/one" | "/other":
                user = session.get("user")
                self.during()
                session[path] = user
            case "/show":
                return sorted({"user", "/one", "/other"} & set(session.keys())) + session.get("cart", [])
        self.library.save(session)
        return ""

    def show(self) -> str:
        return shown_to(self.visitor)

    def overtaken(self, path: str, by: str) -> None:
        """A slow request, during which another one of the same browser is answered."""
        quick = Visitor(self.visitor.app, dict(self.visitor.jar))

        def overtake() -> None:
            self.during = lambda: None
            answer = quick.get(by)
            self.answered_first = answer

        self.during = overtake
        slow = Visitor(self.visitor.app, dict(self.visitor.jar))
        answer = slow.get(path)
        # the browser keeps what came, in this order
        self.visitor.keep(self.answered_first)
        self.visitor.keep(answer)


def shown_to(visitor: Visitor) -> str:
    answer = visitor.get("/show")
    assert answer.status == "200 OK"
    return answer.body.decode()


def saves_a_change_inside_a_list(site: Site) -> bool:
    site.visitor.get("/login")
    site.visitor.get("/append")
    return "pear" in site.show()


def keeps_both_changes(site: Site) -> bool:
    site.visitor.get("/login")
    site.overtaken("/one", by="/other")
    shown = site.show()
    assert "/one" in shown or "/other" in shown
    return "/one" in shown and "/other" in shown


def keeps_a_log_out(site: Site) -> bool:
    site.visitor.get("/login")
    site.overtaken("/one", by="/logout")
    return "user" not in site.show()


def ends_a_copied_cookie(site: Site) -> bool:
    site.visitor.get("/login")
    copied = dict(site.visitor.jar)
    site.visitor.get("/logout")
    site.visitor.jar = copied
    return "user" not in site.show()


def refuses_a_stolen_cookie(site: Site) -> bool:
    """Copied while the session goes on, to another browser."""
    site.visitor.get("/login")
    thief = Visitor(site.visitor.app, dict(site.visitor.jar))
    return "user" not in shown_to(thief)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _tables_of_django() -> Iterator[None]:
    """The table of sessions, in memory, on one connection that no request closes."""
    pytest.importorskip("django")
    configure_django()
    from django.contrib.sessions.models import Session as Row
    from django.core.signals import request_finished, request_started
    from django.db import close_old_connections, connection

    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    with connection.schema_editor() as editor:
        editor.create_model(Row)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Row)
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def cell(row: str, column: str) -> str:
    rows = table(README, "| session_mw | Flask")
    heads = ["", "session_mw", "Flask", "Flask-Session", "Beaker", "Pyramid", "Django"]
    (found,) = [cells for cells in rows if cells[0].startswith(row)]
    return found[heads.index(column)].replace("*", "")


def says_yes(text: str) -> bool:
    word = re.match(r"yes\b|no\b", text)
    assert word, text
    return word[0] == "yes"


# Row of the table, what is tried, and of which libraries' sessions the row speaks.
ROWS: dict[str, tuple[Callable[[Site], bool], Callable[[Library], bool]]] = {
    "saves": (saves_a_change_inside_a_list, lambda library: True),
    "two requests": (keeps_both_changes, lambda library: not (library.column == "session_mw" and library.in_cookie)),
    "a slow request": (keeps_a_log_out, lambda library: library.name != "Django, cookie"),
    "a session in a cookie": (ends_a_copied_cookie, lambda library: library.in_cookie),
    "a stolen cookie": (refuses_a_stolen_cookie, lambda library: library.column != "session_mw"),
}
TRIED = [(row, library.name) for row, (_, fits) in ROWS.items() for library in LIBRARIES if fits(library)]


@pytest.mark.parametrize(("row", "name"), TRIED)
def test_a_cell_of_the_table_says_what_the_library_does(row: str, name: str, request: pytest.FixtureRequest) -> None:
    library, (tried, _) = BY_NAME[name], ROWS[row]
    if library.column == "Django":
        request.getfixturevalue("_tables_of_django")
    assert tried(Site(library)) is says_yes(cell(row, library.column))


def test_of_two_requests_a_cookie_of_ours_keeps_the_last_alone_as_the_table_says() -> None:
    assert not keeps_both_changes(Site(BY_NAME["session_mw, cookie with revocations"]))
    assert cell("two requests", "session_mw") == "yes, in a store"


def test_a_log_out_of_djangos_cookies_is_undone_as_the_table_says(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("_tables_of_django")
    assert not keeps_a_log_out(Site(BY_NAME["Django, cookie"]))
    assert cell("a slow request", "Django") == "yes, in its stores"


def test_without_store_and_revocations_a_log_out_is_undone_here_too() -> None:
    cookie = Library("", "session_mw", ours(secret_key=KEY), lambda session: session.invalidate(), in_cookie=True)
    assert not keeps_a_log_out(Site(cookie))
    assert not ends_a_copied_cookie(Site(cookie))
    assert cell("a slow request", "session_mw") == "yes, with a store or revocations".replace(
        "revocations", "`revocations`"
    )
    assert cell("a session in a cookie", "session_mw") == "yes, with `revocations`"


def test_flask_session_has_no_sessions_in_cookies() -> None:
    assert cell("a session in a cookie", "Flask-Session") == "has none"


@pytest.mark.parametrize(
    ("column", "is_middleware"),
    [
        ("session_mw", True),
        ("Beaker", True),
        ("Flask", False),
        ("Flask-Session", False),
        ("Pyramid", False),
        ("Django", False),
    ],
)
def test_two_libraries_work_in_any_wsgi_app(column: str, is_middleware: bool) -> None:
    """The others' applications are made by their framework: LIBRARIES has no other way to use them."""
    wraps = [library.make.__qualname__.startswith("wsgi.") for library in LIBRARIES if library.column == column]
    assert set(wraps) == {is_middleware} == {says_yes(cell("works", column))}


def test_the_table_has_six_rows() -> None:
    assert len(table(README, "| session_mw | Flask")) == 6
