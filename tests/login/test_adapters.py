"""Log-in in the manner of Bottle and Pyramid."""

from __future__ import annotations

from typing import Any

import pytest

from session_mw import MissingSession, SessionMiddleware
from session_mw.login import LoginMiddleware
from support.logins import Browser, User, Users
from support.wsgi import KEY


def behind(app: Any, users: Users | None = None) -> Browser:
    users = Users("42") if users is None else users
    return Browser(SessionMiddleware(LoginMiddleware(app, load_user=users.load), KEY))


class TestBottle:
    """A view's argument."""

    @pytest.fixture
    def app(self) -> Any:
        bottle = pytest.importorskip("bottle")
        from session_mw.adapters.bottle import LoginPlugin, SessionPlugin

        app = bottle.Bottle()
        app.config["catchall"] = False
        app.install(SessionPlugin())
        app.install(LoginPlugin())

        @app.get("/")
        def index(login: Any, session: Any) -> str:
            return f"{login.user_id} {session.principal}"

        @app.get("/in/<user_id>")
        def log_in(login: Any, user_id: str) -> str:
            login.log_in(user_id, remember=True)
            bottle.redirect("/")

        @app.get("/plain")
        def plain() -> str:
            return "plain"

        return app

    def test_a_view_that_names_login_gets_it(self, app: Any) -> None:
        browser = behind(app)
        assert browser.sees() == "None None"
        # Bottle answers clients of HTTP/1.0 with 302.
        assert browser.get("/in/42").status.startswith("30")
        assert browser.sees() == "42 42"
        assert browser.restart().sees() == "42 42"
        assert browser.get("/plain").vary == []

    def test_another_keyword(self) -> None:
        bottle = pytest.importorskip("bottle")
        from session_mw.adapters.bottle import LoginPlugin

        app = bottle.Bottle()
        app.config["catchall"] = False
        app.install(LoginPlugin(keyword="who"))
        app.get("/", callback=lambda who: str(who.user_id))
        assert behind(app).sees() == "None"
        with pytest.raises(bottle.PluginError, match="'who'"):
            app.install(LoginPlugin(keyword="who"))

    def test_without_the_middleware_the_error_says_what_to_wrap(self, app: Any) -> None:
        with pytest.raises(MissingSession, match="LoginMiddleware"):
            Browser(SessionMiddleware(app, KEY)).get()


class TestPyramid:
    """A security policy."""

    @pytest.fixture
    def app(self) -> Any:
        pytest.importorskip("pyramid")
        from pyramid.authorization import Allow
        from pyramid.config import Configurator
        from pyramid.response import Response
        from pyramid.security import forget, remember

        from session_mw.adapters.pyramid import LoginSecurityPolicy

        class Root:
            __acl__ = [(Allow, "42", "edit"), (Allow, "system.Authenticated", "view")]  # noqa: RUF012

            def __init__(self, request: Any) -> None:
                """Pyramid gives the request."""

        def index(request: Any) -> Any:
            return Response(f"{request.authenticated_userid} {request.identity} {request.is_authenticated}")

        def log_in(request: Any) -> Any:
            return Response("in", headers=remember(request, request.params["id"], remember=True))

        def log_out(request: Any) -> Any:
            return Response("out", headers=forget(request))

        with Configurator(root_factory=Root) as config:
            config.include("session_mw.adapters.pyramid")
            config.set_security_policy(LoginSecurityPolicy())
            for name, view, permission in [
                ("", index, None),
                ("in", log_in, None),
                ("out", log_out, None),
                ("view", index, "view"),
                ("edit", index, "edit"),
            ]:
                config.add_view(view, name=name, permission=permission)
        return config.make_wsgi_app()

    def test_the_authenticated_userid_is_who_is_logged_in(self, app: Any) -> None:
        browser = behind(app)
        assert browser.sees() == "None None False"
        browser.get("/in", QUERY_STRING="id=42")
        assert browser.sees() == f"42 {User('42')} True"
        assert browser.restart().sees() == f"42 {User('42')} True"
        browser.get("/out")
        assert browser.jar == {}
        assert browser.sees() == "None None False"

    def test_permissions_are_those_of_the_contexts_acl(self, app: Any) -> None:
        first, second = behind(app, Users("42", "43")), behind(app, Users("42", "43"))
        assert first.get("/view").status == "403 Forbidden"
        first.get("/in", QUERY_STRING="id=42")
        second.get("/in", QUERY_STRING="id=43")
        assert first.get("/edit").status == second.get("/view").status == "200 OK"
        assert second.get("/edit").status == "403 Forbidden"
