"""The room behind the log-in: devices, and a page that asks for the password again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from webob import Request, Response

from examples.demo import users
from examples.demo.pages import Html, fill, join, page, wants_html
from examples.demo.routing import App, field, routed, see_other, text_of
from session_mw import ConfigurationError, Session, SessionManager
from session_mw.backends.principals import SessionInfo
from session_mw.flash import flash, pop_flashes
from session_mw.login import get_login, login_required, safe_redirect

FRESH_FOR = timedelta(minutes=5)
_BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrom": "Chrome", "Safari": "Safari", "curl": "curl"}
_SYSTEMS = {"Android": "Android", "iPhone|iPad": "iOS", "Windows": "Windows", "Mac OS X": "macOS", "Linux": "Linux"}


def room(sessions: SessionManager) -> App:
    """The application below ``/account``.

    Args:
        sessions: Lists a user's sessions, and ends them from elsewhere.
    """
    account = Account(sessions)
    door = routed({("GET", "/login"): account.ask, ("POST", "/login"): account.log_in})
    inside = {
        ("GET", ""): account.show,
        ("POST", "/label"): account.rename,
        ("POST", "/end"): account.end,
        ("POST", "/everywhere"): account.log_out_everywhere,
        ("POST", "/logout"): account.log_out,
    }
    members = login_required(recognised(routed(inside)))
    vault = login_required(routed({("GET", "/codes"): account.show_codes}), fresh_for=FRESH_FOR)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        chosen = {"/login": door, "/codes": vault}.get(environ["PATH_INFO"], members)
        return chosen(environ, start_response)

    return app


def recognised(app: App) -> App:
    """An application whose sessions have their user's name and device on them.

    The remember cookie brings a user back into a new session, which has neither yet. Only who asks for a page is
    looked at: a picture that comes with a page would replace a cookie that was broken on purpose.
    """

    def recognising(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        session = environ["session"]
        if wants_html(Request(environ)) and (user_id := get_login(environ).user_id) is not None:
            session.setdefault("username", user_id)
            if session.label is None:
                session.label = device_of(environ.get("HTTP_USER_AGENT", ""))
        return app(environ, start_response)

    return recognising


class Account:
    """The views.

    Args:
        sessions: Lists a user's sessions, and ends them from elsewhere.
    """

    def __init__(self, sessions: SessionManager) -> None:
        self.sessions = sessions

    def ask(self, request: Request, session: Session) -> Response:
        """The log-in page. Whom the remember cookie brought back it asks for the password alone."""
        # Not request.GET, which raises where a query is not UTF-8.
        return self._form(request, session, dict(parse_qsl(request.query_string)).get("next", ""))

    def log_in(self, request: Request, session: Session) -> Response:
        """Check the password: a log-in, or a fresh one of the user who is here already."""
        login, target = get_login(request.environ), text_of(request, "next")
        name = text_of(request, "username") or login.user_id or ""
        if not users.is_password(name, text_of(request, "password")):
            return self._form(request, session, target, name, is_wrong=True)
        if login.user_id == name:
            login.confirm()
            flash(session, "It is you: for five minutes nobody asks again.", "success")
        else:
            login.log_in(name, remember=bool(text_of(request, "remember")))
            session["username"] = name
            session.label = device_of(request.headers.get("User-Agent", ""))
            flash(session, f"You are logged in, {name}.", "success")
        return see_other(safe_redirect(request.environ, target, default="/account"))

    def show(self, request: Request, session: Session) -> Response:
        """The user's devices."""
        login = get_login(request.environ)
        state = "fresh" if login.is_fresh else "brought-back"
        messages = pop_flashes(session)
        content = fill(
            "account",
            name=login.user_id,
            label=session.label,
            freshness=fill(state),
            devices=self._devices(session),
            binding=fill(self._binding(session)),
        )
        return page("Your account", content, here="/account", messages=messages)

    def show_codes(self, request: Request, session: Session) -> Response:
        """A page that matters: :data:`FRESH_FOR` after the password was given, it asks for it again."""
        codes = join(fill("code", code=code) for code in get_login(request.environ).user.recovery_codes)
        return page("Recovery codes", fill("codes", codes=codes), here="/account", messages=pop_flashes(session))

    def rename(self, request: Request, session: Session) -> Response:
        """Give this device another name."""
        session.label = field(request, "label")
        return see_other("/account")

    def end(self, request: Request, session: Session) -> Response:
        """Log one device out: one of the user's own, whatever id was sent."""
        wanted = text_of(request, "id")
        if wanted in {info.id for info in self.sessions.sessions_of(get_login(request.environ).user_id or "")}:
            self.sessions.end(wanted)
            flash(session, "That device is logged out.", "success")
        return see_other("/account")

    def log_out_everywhere(self, request: Request, session: Session) -> Response:
        """Log every device out, this one too."""
        get_login(request.environ).log_out_everywhere()
        flash(session, "You are logged out, here and on every other device.", "success")
        return see_other("/")

    def log_out(self, request: Request, session: Session) -> Response:
        """Log this device out, and forget it."""
        get_login(request.environ).log_out()
        return see_other("/")

    def _form(
        self, request: Request, session: Session, target: str, name: str = "", *, is_wrong: bool = False
    ) -> Response:
        known = get_login(request.environ).user_id
        # WCAG 2.2, 3.3.1: the message is tied to the field, and in the title, which is read first.
        error = fill("wrong-password") if is_wrong else Html("")
        invalid = Html(' aria-invalid="true" aria-describedby="wrong"') if is_wrong else Html("")
        title = "Log in" if known is None else "Is it still you?"
        content = fill(
            "log-in" if known is None else "confirm",
            name=known or name,
            target=target,
            password=users.PASSWORD,
            error=error,
            invalid=invalid,
        )
        response = page(
            "Error: " + title if is_wrong else title, content, here="/account", messages=pop_flashes(session)
        )
        response.status = 403 if is_wrong else 200
        return response

    def _binding(self, session: Session) -> str:
        if not self.sessions.settings.device_bound:
            return "no-binding"
        return "bound" if session.device_bound else "not-bound"

    def _devices(self, session: Session) -> Html:
        """The list, and the button for all of them, as far as the sessions can be listed and ended."""
        try:
            devices = self.sessions.sessions_of(session.principal or "")
        except ConfigurationError:
            can_end = self.sessions.revocations is not None
            return join([fill("no-list"), fill("everywhere" if can_end else "no-everywhere")])
        rows = join(_row(info, session) for info in devices)
        return join([fill("devices", devices=rows), fill("everywhere")])


def _row(info: SessionInfo, session: Session) -> Html:
    action = fill("this-device") if info.id == session.id else fill("end-device", id=info.id, label=info.label)
    return fill(
        "device",
        label=info.label or "unnamed",
        created=_when(info.created),
        used=_when(info.last_used),
        bound=fill("bound-device") if info.device_bound else "",
        action=action,
    )


def _when(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def device_of(agent: str) -> str:
    """What a list of devices calls a browser, by its User-Agent: "Firefox on Linux"."""
    browser, system = (
        next((name for pattern, name in known.items() if re.search(pattern, agent)), None)
        for known in (_BROWSERS, _SYSTEMS)
    )
    return " on ".join(name for name in (browser or "A browser", system) if name)
