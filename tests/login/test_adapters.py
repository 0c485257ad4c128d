"""Log-in in the manner of Bottle and Pyramid."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from session_mw import MemoryStore, SessionMiddleware
from session_mw.login import LoginMiddleware, get_login
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
        from session_mw.adapters.bottle import SessionPlugin

        app = bottle.Bottle()
        app.config["catchall"] = False
        app.install(SessionPlugin())

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
        from session_mw.adapters.bottle import SessionPlugin

        app = bottle.Bottle()
        app.config["catchall"] = False
        app.install(SessionPlugin(login_keyword="who"))
        app.get("/", callback=lambda who: str(who.user_id))
        assert behind(app).sees() == "None"

    def test_a_part_of_the_url_called_login_stays_what_it_is(self, app: Any) -> None:
        app.get("/users/<login>", callback=lambda login: f"user {login}")
        assert behind(app).sees("/users/ada") == "user ada"
        assert Browser(SessionMiddleware(app, KEY)).sees("/users/ada") == "user ada"


class TestPyramid:
    """A security policy."""

    @pytest.fixture(params=["set by the application", "by including the adapter"])
    def app(self, request: pytest.FixtureRequest) -> Any:
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

        def index(context: Any, request: Any) -> Any:
            return Response(f"{request.authenticated_userid} {request.identity} {request.is_authenticated}")

        def log_in(request: Any) -> Any:
            return Response("in", headers=remember(request, request.params["id"], remember=True))

        def log_in_anew(request: Any) -> Any:
            request.session.invalidate()
            return log_in(request)

        def log_out(request: Any) -> Any:
            return Response("out", headers=forget(request))

        with Configurator(root_factory=Root) as config:
            config.include("session_mw.adapters.pyramid")
            if request.param == "set by the application":
                config.set_security_policy(LoginSecurityPolicy())
            for name, view, permission in [
                ("", index, None),
                ("in", log_in, None),
                ("in-anew", log_in_anew, None),
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

    def test_a_log_in_that_begins_with_an_empty_session_counts_on_a_remembered_device_too(self, app: Any) -> None:
        # So do views written for Pyramid's own policies, against session fixation.
        store = MemoryStore()
        users = Users("42")
        browser = Browser(SessionMiddleware(LoginMiddleware(app, load_user=users.load), store=store))
        browser.get("/in", QUERY_STRING="id=42")
        browser.get("/in-anew", QUERY_STRING="id=42")
        assert browser.sees() == f"42 {User('42')} True"
        assert browser.restart().sees() == f"42 {User('42')} True"

    def test_what_a_failed_try_did_to_the_log_in_goes_with_it(self) -> None:
        pytest.importorskip("pyramid")
        from pyramid.config import Configurator
        from pyramid.response import Response

        class Again(Exception):
            pass

        def trying_twice(environ: Any, router: Any) -> Any:
            # As pyramid_retry does: a request for each try, with a copy of the environ.
            for attempt in (0, 1):
                with router.request_context(environ | {"retry.attempt": attempt}) as request, suppress(Again):
                    return router.invoke_request(request)
            raise AssertionError

        def view(request: Any) -> Any:
            login = get_login(request.environ)
            seen = (login.user_id, login.user)
            if request.environ["retry.attempt"] == 0 and request.path == "/fails":
                login.log_out()
                raise Again
            if request.path == "/in":
                login.log_in("42", remember=True)
            return Response(str(seen))

        with Configurator() as config:
            config.include("session_mw.adapters.pyramid")
            config.add_route("all", "/*path")
            config.add_view(view, route_name="all")
            config.set_execution_policy(trying_twice)
        users = Users("42")
        app = SessionMiddleware(LoginMiddleware(config.make_wsgi_app(), load_user=users.load), store=MemoryStore())
        browser = Browser(app)
        browser.get("/in")
        users.asked.clear()
        assert browser.sees("/fails") == str(("42", User("42")))
        assert users.asked == ["42", "42"]
        assert browser.sees("/") == str(("42", User("42")))
        assert browser.restart().sees("/") == str(("42", User("42")))

    def test_permissions_are_those_of_the_contexts_acl(self, app: Any) -> None:
        first, second = behind(app, Users("42", "43")), behind(app, Users("42", "43"))
        assert first.get("/view").status == "403 Forbidden"
        first.get("/in", QUERY_STRING="id=42")
        second.get("/in", QUERY_STRING="id=43")
        assert first.get("/edit").status == second.get("/view").status == "200 OK"
        assert second.get("/edit").status == "403 Forbidden"

    def test_without_login_middleware_and_policy_every_view_is_allowed_as_before(self) -> None:
        pytest.importorskip("pyramid")
        from pyramid.config import Configurator
        from pyramid.response import Response

        def index(request: Any) -> Any:
            return Response(f"{request.authenticated_userid} {request.identity}")

        with Configurator() as config:
            config.include("session_mw.adapters.pyramid")
            config.add_view(index, permission="view")
        assert Browser(SessionMiddleware(config.make_wsgi_app(), KEY)).sees() == "None None"

    @pytest.mark.filterwarnings("ignore:Authentication and authorization policies:DeprecationWarning")
    def test_policies_of_the_application_stay_those_of_the_old_kind_too(self) -> None:
        pytest.importorskip("pyramid")
        from pyramid.authentication import RemoteUserAuthenticationPolicy
        from pyramid.authorization import ACLAuthorizationPolicy
        from pyramid.config import Configurator
        from pyramid.response import Response

        def index(request: Any) -> Any:
            return Response(f"{request.authenticated_userid}")

        with Configurator() as config:
            config.include("session_mw.adapters.pyramid")
            config.set_authentication_policy(RemoteUserAuthenticationPolicy())
            config.set_authorization_policy(ACLAuthorizationPolicy())
            config.add_view(index)
        assert behind(config.make_wsgi_app()).sees("/", REMOTE_USER="bob") == "bob"
