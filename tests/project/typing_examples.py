"""Code as users write it; `tox -e typing` checks it with mypy --strict, nothing runs it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from flask import Flask

from session_mw import MemoryStore, Session, SessionManager, SessionMiddleware, get_session, open_store
from session_mw.adapters.bottle import SessionPlugin
from session_mw.adapters.flask import FlaskSessions
from session_mw.adapters.paste import filter_app_factory
from session_mw.csrf import CSRFMiddleware, check_csrf, csrf_token
from session_mw.flash import flash, pop_flashes
from session_mw.inspector import SessionInspector
from session_mw.settings import Settings
from session_mw.testing import session_transaction

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from session_mw.adapters.pyramid import PyramidSession
    from session_mw.protocols import Store


def count_visits(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    session = get_session(environ)
    session["visits"] = session.get("visits", 0) + 1
    session.permanent = True
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"visit %d\n" % session["visits"]]


def log_in(session: Session, user: str) -> None:
    session.regenerate_id()
    session["user"] = user


def log_out(session: Session) -> str | None:
    user: str | None = session.get("user")
    session.invalidate()
    return user


def headers_of_a_visit(sessions: SessionManager, cookie: str) -> list[tuple[str, str]]:
    session = sessions.open({"HTTP_COOKIE": cookie})
    session |= {"seen": True}
    return sessions.commit(session)


def answer(sessions: SessionManager, environ: dict[str, str]) -> list[tuple[str, str]]:
    session = sessions.open(environ)
    session["seen"] = True
    return sessions.respond(session, [("Content-Type", "text/plain")])


wrapped: WSGIApplication = SessionMiddleware(count_visits, secret_key="…", lifetime=timedelta(days=7))
shared: WSGIApplication = SessionMiddleware(count_visits, sessions=SessionManager(b"...", cookie_secure=True))
elsewhere: WSGIApplication = SessionMiddleware(count_visits, secret_key="…", environ_key="app.session", lifetime=3600)


every_setting = SessionManager(
    "…",
    secret_key_fallbacks=["…", b"..."],
    salt="shop",
    cookie_name="__Host-session",
    cookie_domain=None,
    cookie_path="/",
    cookie_secure="auto",
    cookie_httponly=True,
    cookie_samesite="None",
    cookie_partitioned=True,
    lifetime=timedelta(hours=12),
    absolute_lifetime=86400,
    refresh_each_request=False,
    leeway=60,
    digest="sha256",
    encrypt=False,
    store_encryption=True,
    store="sqlite:///sessions.db",
)
bound = SessionManager("…", device_bound="report", device_path="/.device", device_proof_lifetime=timedelta(minutes=5))
from_texts = SessionManager.from_mapping({"secret_key": "…", "lifetime": "30 days"})
checked: Settings = from_texts.settings
stores: list[Store] = [MemoryStore(), open_store("file:///var/lib/app/sessions")]
stored: WSGIApplication = SessionMiddleware(count_visits, store=stores[0])
protected: WSGIApplication = SessionMiddleware(CSRFMiddleware(count_visits), secret_key="…")
inspected: WSGIApplication = SessionMiddleware(SessionInspector(count_visits, "/dev", debug=True), secret_key="…")
reasons: list[str] = [cookie.reason for cookie in from_texts.explain({"HTTP_COOKIE": "session=…"}).candidates]


def save(environ: WSGIEnvironment) -> str:
    session = get_session(environ, "app.session")
    if not check_csrf(environ, session):
        return csrf_token(session)
    flash(session, "Saved.", "success")
    return ", ".join(f"{category}: {message}" for category, message in pop_flashes(session, ["success"]))


flask_app = Flask(__name__)
flask_app.session_interface = FlaskSessions()
flask_app.session_interface = FlaskSessions(from_texts, environ_key="app.session")
flask_app.session_interface = FlaskSessions.from_app_config(flask_app)
plugin = SessionPlugin(keyword="visitor", environ_key="app.session")
filtered: SessionMiddleware = filter_app_factory(count_visits, {}, secret_key="…", lifetime="30 days")


def pyramid_view(session: PyramidSession) -> list[str]:
    session.flash("Saved.", queue="success", allow_duplicate=False)
    session.changed()
    messages: list[str] = [*session.peek_flash("success"), *session.pop_flash()]
    return [*messages, session.new_csrf_token(), session.get_csrf_token(), str(session.created), str(session.new)]


def seed(test_app: object) -> None:
    with session_transaction(test_app) as session:
        session["user"] = "42"
    with session_transaction(test_app, from_texts) as session:
        session.permanent = True
