"""What device-bound sessions need, and what they do not go with."""

from __future__ import annotations

import builtins
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

pytest.importorskip("jwt")

from session_mw import ConfigurationError, MemoryStore, SessionManager, SessionMiddleware, WeakSecretKeyWarning
from session_mw.commands.audit import audit
from session_mw.login import LoginMiddleware
from session_mw.settings import Settings
from support.device import BindingBrowser, bound_site, site
from support.tokens import KEY
from support.wsgi import PLAIN


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"secret_key": None, "store": "memory://"}, "needs a secret_key, with a store too"),
        ({"secret_key": None}, "needs a secret_key"),
        ({"cookie_name": "__Host-Http-session"}, "__Host-Http-"),
        ({"cookie_name": "__host-http-s"}, "__Host-Http-"),
        ({"cookie_partitioned": True}, "partitioned"),
        ({"cookie_secure": False}, "https only"),
    ],
)
@pytest.mark.parametrize("device_bound", [True, "report"])
def test_what_browsers_do_not_bind_is_refused_when_the_manager_is_built(settings, words, device_bound):
    with pytest.raises(ConfigurationError, match="device_bound") as caught:
        SessionManager(**{"secret_key": KEY, **settings, "device_bound": device_bound})
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["session", "__Host-session", "__Secure-session", "__Http-session"])
def test_other_names_can_be_bound(name):
    browser = BindingBrowser(bound_site(cookie_name=name)).bind()
    assert set(browser.jar) == {name, f"{name}-proof"}


def test_the_settings_are_read_from_texts():
    sessions = SessionManager.from_mapping(
        {"secret_key": KEY, "device_bound": "report", "device_proof_lifetime": "5 minutes", "device_path": "/.d"}
    )
    settings = sessions.settings
    assert (settings.device_bound, settings.proof_seconds, settings.device_path) == ("report", 300, "/.d")
    for text, value in (("true", True), ("off", False), ("Report", "report")):
        assert (
            SessionManager.from_mapping({"SECRET_KEY": KEY, "SESSION_DEVICE_BOUND": text}).settings.device_bound
            == value
        )


def test_flask_s_default_of_an_insecure_cookie_stands_for_none():
    sessions = SessionManager.from_mapping(
        {"SECRET_KEY": KEY, "SESSION_DEVICE_BOUND": True, "SESSION_COOKIE_SECURE": False}
    )
    assert sessions.settings.cookie_secure is True


def test_a_weak_key_is_warned_of_with_a_store_too():
    with pytest.warns(WeakSecretKeyWarning):
        SessionManager("short", store=MemoryStore(), device_bound=True)


@pytest.mark.parametrize("package", ["jwt", "cryptography"])
def test_a_missing_package_is_an_error_that_names_the_extra(package, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] in ("jwt", "cryptography")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("session_mw.device.")]:
        monkeypatch.delitem(sys.modules, name)
    original = builtins.__import__

    def missing(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigurationError) as caught:
        SessionManager(KEY, device_bound=True)
    assert (
        str(caught.value) == f'device_bound=True: the package {package!r} is missing: pip install "session_mw[bound]"'
    )


def test_without_the_setting_no_package_is_asked_for():
    code = (
        "import sys, session_mw.device, session_mw; session_mw.SessionManager('k' * 40 + 'abc');"
        "print([name for name in ('jwt', 'cryptography') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_neither_keys_nor_proofs_are_shown():
    sessions = SessionManager(KEY, device_bound=True)
    assert KEY not in repr(sessions.guard) + repr(sessions.settings) + repr(vars(sessions.guard))


# Two middlewares


def test_two_middlewares_cannot_answer_at_one_path():
    inner = SessionMiddleware(site, KEY, device_bound=True)
    outer = {"environ_key": "outer", "cookie_name": "outer", "salt": "outer", "device_bound": True}
    for app in (inner, CSRF(inner)):
        with pytest.raises(ConfigurationError, match="give one another device_path"):
            SessionMiddleware(app, KEY, **outer)
    SessionMiddleware(inner, KEY, device_path="/.other", **outer)
    SessionMiddleware(inner, KEY, **{**outer, "device_bound": False})


class CSRF:
    """A middleware between the two."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


def test_the_remember_cookie_cannot_be_the_proof_cookie():
    def page(environ, start_response):
        start_response("200 OK", [PLAIN])
        return [b""]

    login = LoginMiddleware(page, load_user=str, remember_cookie_name="session-proof")
    with pytest.raises(ConfigurationError, match="proof cookie"):
        BindingBrowser(bound_site(login)).get()


# Adapters


def test_flask_s_sessions_refuse_it_alone():
    flask = pytest.importorskip("flask")
    from session_mw.adapters.flask import FlaskSessions

    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY=KEY, SESSION_DEVICE_BOUND=True)
    with pytest.raises(ConfigurationError, match="SessionMiddleware"):
        FlaskSessions().init_app(app)

    app = flask.Flask(__name__)
    app.session_interface = FlaskSessions(SessionManager(KEY, device_bound=True))
    app.testing = True
    with pytest.raises(ConfigurationError, match=r"write app\.wsgi_app = SessionMiddleware\(app\.wsgi_app, \.\.\.\)"):
        app.test_client().get("/")


@pytest.mark.parametrize("is_outside", [True, False])
def test_flask_s_sessions_are_bound_behind_the_middleware(is_outside):
    flask = pytest.importorskip("flask")
    from session_mw.adapters.flask import FlaskSessions

    app = flask.Flask(__name__)
    app.secret_key = KEY

    @app.route("/login")
    def login():
        flask.session.principal = "42"
        flask.session["user"] = "42"
        return "welcome"

    @app.route("/")
    def index():
        return f"{flask.session.get('user')} {flask.session.device_bound}"

    settings = {"secret_key": KEY, "device_bound": True}
    if is_outside:
        app.session_interface = FlaskSessions()
        site = SessionMiddleware(app, **settings)
    else:
        app.wsgi_app = SessionMiddleware(app.wsgi_app, **settings)
        FlaskSessions().init_app(app)
        site = app
    browser = BindingBrowser(site).bind()
    assert browser.get().body == b"42 True"
    assert browser.thief("session").get().body == b"None False"
    assert browser.refresh().status == "200 OK"


def test_pyramid_s_sessions_refuse_it_alone_and_are_bound_behind_the_middleware():
    pyramid = pytest.importorskip("pyramid.config")
    settings = {"session.secret_key": KEY, "session.device_bound": "true"}
    with pyramid.Configurator(settings=settings) as config, pytest.raises(ConfigurationError, match="make_wsgi_app"):
        config.include("session_mw.adapters.pyramid")

    def view(request):
        if request.path == "/login":
            request.session.principal = "42"
            request.session["user"] = "42"
        request.response.text = str(request.session.get("user"))
        return request.response

    with pyramid.Configurator() as config:
        config.include("session_mw.adapters.pyramid")
        config.add_route("all", "/*rest")
        config.add_view(view, route_name="all")
        app = SessionMiddleware(config.make_wsgi_app(), KEY, device_bound=True)
    browser = BindingBrowser(app).bind()
    assert browser.get().body == b"42"
    assert browser.thief("session").get().body == b"None"


def test_bottle_s_plugin_gets_bound_sessions():
    bottle = pytest.importorskip("bottle")
    from session_mw.adapters.bottle import SessionPlugin

    app = bottle.Bottle()
    app.install(SessionPlugin())

    @app.get("/login")
    def login(session):
        session.principal = "42"

    @app.get("/")
    def index(session):
        return str(session.principal)

    browser = BindingBrowser(SessionMiddleware(app, KEY, device_bound=True)).bind()
    assert browser.get().body == b"42"
    assert browser.thief("session").get().body == b"None"


def test_a_filter_of_an_ini_file_binds_sessions():
    from session_mw.adapters.paste import filter_app_factory

    app = filter_app_factory(site, {}, secret_key=KEY, device_bound="true")
    browser = BindingBrowser(app).bind()
    assert browser.thief("session").get().body == b"{}"


# The audit


def judged(**settings: Any) -> dict[str, tuple[str, str]]:
    found = audit(Settings(KEY, **settings))
    return {finding.attribute: (finding.value, finding.verdict) for finding in found if "device" in finding.attribute}


def test_the_audit_says_whether_sessions_are_bound():
    other = {"digest": "sha256"}
    lifetime = {"device_proof_lifetime": ("10 minutes", "ok")}
    assert judged() == {"device_bound": ("off", "ok")}
    assert judged(device_bound="report", **other) == {"device_bound": ("report", "warn"), **lifetime}
    assert judged(device_bound=True, **other) == {"device_bound": ("True", "warn"), **lifetime}
    for more in ({"store": "memory://"}, {"revocations": "memory://"}):
        assert judged(device_bound=True, **other, **more) == {"device_bound": ("True", "ok"), **lifetime}


def test_the_audit_warns_of_a_flask_that_reads_the_same_cookies():
    assert judged(device_bound=True)["Flask: device_bound"] == ("not asked for", "warn")


def test_the_audit_warns_of_what_visitors_would_notice():
    assert judged(device_bound=True, device_proof_lifetime=60)["device_proof_lifetime"] == ("1 minute", "warn")
    assert judged(device_bound=True, device_proof_lifetime=3600)["device_proof_lifetime"] == ("1 hour", "warn")
    assert judged(device_bound=True, cookie_domain="example.com")["device: hosts"] == ("all of example.com", "warn")


def test_the_audit_finds_a_missing_package(monkeypatch):
    from session_mw.commands import audit_device

    monkeypatch.setattr(audit_device, "find_spec", lambda name: None)
    assert {finding.attribute for finding in audit(Settings(KEY, device_bound=True)) if finding.verdict == "FAIL"} >= {
        "jwt",
        "cryptography",
    }


def test_the_packages_are_needed_by_two_modules_alone():
    """The rest of the folder does without them, and so do pages that show a binding."""
    for name in ("binding", "fields", "tokens"):
        module = import_module(f"session_mw.device.{name}")
        assert not {"jwt", "cryptography"} & set(vars(module))
