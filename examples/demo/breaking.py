"""The room in which cookies are broken on purpose, and the layer outside of SessionMiddleware that lets it do so.

An application never sets its session's cookie: the middleware does, and puts its own in the place of one that the
application sets. What attackers, time and browsers do to a cookie has to come from outside of it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from pprint import pformat
from typing import Any

from webob import Request, Response

from examples.demo.pages import Html, fill, page
from examples.demo.routing import App, routed, see_other
from session_mw import Session, SessionManager

_LINES = "demo.set_cookie"
_ROOM = "/break"
_INSPECTOR = "/break/_session"
_OF_THE_COPY = "/break/copy/_session"
_KEPT = "kept"
_COPIED = "copied"
_DELETED = "Max-Age=0"


class Outside:
    """A layer outside of SessionMiddleware, which sends Set-Cookie lines as they are, and can be another browser.

    Args:
        app: The application in SessionMiddleware.
        cookie_name: The session cookie's.
    """

    def __init__(self, app: App, cookie_name: str) -> None:
        self.app = app
        self.cookie_name = cookie_name

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        if environ.get("PATH_INFO") == _OF_THE_COPY:
            copied = _token_in(Request(environ), _COPIED)
            environ = {**environ, "PATH_INFO": _INSPECTOR, "HTTP_COOKIE": f"{self.cookie_name}={copied}"}
        lines: list[str] = []
        environ[_LINES] = lines
        ours = f"{self.cookie_name}="

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if any(line.startswith(ours) for line in lines):
                headers = [pair for pair in headers if pair[0] != "Set-Cookie" or not pair[1].startswith(ours)]
            return start_response(status, [*headers, *(("Set-Cookie", line) for line in lines)], exc_info)

        return self.app(environ, start)


def room(sessions: SessionManager) -> App:
    """The application below ``/break``, inside of :class:`Outside`.

    Args:
        sessions: The manager of the middleware.
    """
    broken = Breaking(sessions)
    return routed(
        {
            ("GET", ""): broken.show,
            ("POST", "/change"): broken.change,
            ("POST", "/expire"): broken.expire,
            ("POST", "/twin"): broken.plant,
            ("POST", "/overfill"): broken.overfill,
            ("POST", "/restore"): broken.restore,
            ("POST", "/anew"): broken.begin_anew,
            ("POST", "/close"): broken.close_browser,
            ("POST", "/copy"): broken.copy,
            ("GET", "/copy"): broken.show_copy,
            ("POST", "/logout"): broken.log_out,
        }
    )


class Breaking:
    """The views. Those that show something only read the session: a write would replace the broken cookie.

    Args:
        sessions: The manager of the middleware.
    """

    def __init__(self, sessions: SessionManager) -> None:
        self.sessions = sessions
        self.name = sessions.cookie_name

    def show(self, request: Request, session: Session) -> Response:
        """What has become of the cookie, or what can be done to it."""
        found = self.sessions.explain(request.environ).candidates
        kept = _token_in(request, _KEPT)
        seen = {"sees": _shown(session), "restore": self._offer(kept)}
        if not found:
            title, content = "No cookie yet", fill("break-none")
        elif any(one.reason == "ambiguous" for one in found):
            title, content = "Two cookies of one name", fill("break-twin", **seen)
        elif session.lifetime is not None:
            title, content = "It ends in a second", fill("break-expiring")
        elif not session.new:
            title, content = "Break my cookie", fill("break", sees=seen["sees"], overfill=self._overfill())
        elif _differ_once(kept, found[0].value):
            before, after = _marked(kept, found[0].value), _marked(found[0].value, kept)
            content = fill("break-changed", before=before, after=after, why=fill(self._why()), **seen)
            title = "One character is different"
        else:
            title, content = "The cookie is refused", fill("break-refused", reason=found[0].reason, **seen)
        return page(title, content, here=_ROOM, inspector=_INSPECTOR)

    def change(self, request: Request, session: Session) -> Response:
        """Change one character of the cookie."""
        value = self._keep(request, session)
        if value:
            # A third of the way is in the data of every token, and dots part it.
            place = len(value) // 3
            place += value[place] == "."
            self._send(request, self.name, f"{value[:place]}{'B' if value[place] == 'A' else 'A'}{value[place + 1 :]}")
        return see_other(_ROOM)

    def expire(self, request: Request, session: Session) -> Response:
        """Let the session live for one second more."""
        if self._keep(request, session):
            session.lifetime = 1
        return see_other(_ROOM)

    def plant(self, request: Request, session: Session) -> Response:
        """Set a second cookie of the name, as somebody does who has a page on a neighbouring host: an authentic one."""
        if self._keep(request, session):
            stranger = self.sessions.open({})
            stranger["username"] = "mallory"
            (line,) = (value for name, value in self.sessions.commit(stranger) if name == "Set-Cookie")
            self._send(request, self.name, line.partition(";")[0].partition("=")[2], path=_ROOM)
        return see_other(_ROOM)

    def overfill(self, request: Request, session: Session) -> Response:
        """Put more in than a cookie can hold."""
        session["luggage"] = secrets.token_urlsafe(4000)
        return see_other(_ROOM)

    def restore(self, request: Request, session: Session) -> Response:
        """Put the cookie back that was there before."""
        kept = _token_in(request, _KEPT)
        if kept:
            self._send(request, self.name, "", _DELETED, path=_ROOM)
            self._send(request, self.name, kept)
        self._send(request, _KEPT, "", _DELETED, path=_ROOM)
        return see_other(_ROOM)

    def begin_anew(self, request: Request, session: Session) -> Response:
        """Write to the session, whatever cookie came: the middleware sees to the rest."""
        session["visits"] = session.get("visits", 0) + 1
        self._send(request, _KEPT, "", _DELETED, path=_ROOM)
        return see_other(_ROOM)

    def close_browser(self, request: Request, session: Session) -> Response:
        """Drop what a browser drops when it is closed: the session's cookie, and not the remember cookie."""
        self._send(request, self.name, "", _DELETED)
        return see_other("/account")

    def copy(self, request: Request, session: Session) -> Response:
        """Give another browser the cookie."""
        value = self._good(request, session)
        if not value:
            return see_other(_ROOM)
        self._send(request, _COPIED, value, path=_ROOM)
        return see_other(f"{_ROOM}/copy")

    def show_copy(self, request: Request, session: Session) -> Response:
        """What the server sees of two browsers."""
        copied = _token_in(request, _COPIED)
        if not copied:
            return see_other(_ROOM)
        other = self.sessions.open({"HTTP_COOKIE": f"{self.name}={copied}"})
        if self.sessions.store is not None:
            kind = "copy-store"
        else:
            kind = "copy-cookie" if self.sessions.revocations is None else "copy-revocations"
        action = fill("copy-ended" if session.new else "copy-log-out")
        content = fill("copy", mine=_shown(session), other=_shown(other), action=action, lesson=fill(kind))
        return page("Another browser", content, here=_ROOM, inspector=_OF_THE_COPY)

    def log_out(self, request: Request, session: Session) -> Response:
        """Log this browser out, and look at the other one again."""
        session.invalidate()
        return see_other(f"{_ROOM}/copy")

    def _good(self, request: Request, session: Session) -> str:
        """The cookie's value, if it is good and alone; else an empty str."""
        found = self.sessions.explain(request.environ).candidates
        return found[0].value if len(found) == 1 and not session.new else ""

    def _keep(self, request: Request, session: Session) -> str:
        """The good cookie's value, put aside to be put back; an empty str where there is none."""
        value = self._good(request, session)
        if value:
            self._send(request, _KEPT, value, path=_ROOM)
        return value

    def _send(self, request: Request, name: str, value: str, *attributes: str, path: str = "/") -> None:
        secure = ["Secure"] if request.scheme == "https" else []
        parts = [f"{name}={value}", *attributes, f"Path={path}", *secure, "HttpOnly", "SameSite=Lax"]
        request.environ[_LINES].append("; ".join(parts))

    def _offer(self, kept: str) -> Html:
        """The button that puts the old cookie back, where that is still good for something."""
        is_good = self.sessions.explain({"HTTP_COOKIE": f"{self.name}={kept}"}).accepted is not None
        return fill("break-restore") if is_good else Html("")

    def _why(self) -> str:
        if self.sessions.store is not None:
            return "why-stored"
        return "why-encrypted" if self.sessions.settings.encrypt else "why-signed"

    def _overfill(self) -> Html:
        return fill("break-overfill") if self.sessions.store is None else Html("")


def _token_in(request: Request, name: str) -> str:
    """A token in a cookie of this room; else an empty str. WebOb's reader raises where a cookie is not UTF-8."""
    found = re.search(rf"(?:^|;) *{name}=([\w.-]{{1,4096}}) *(?:;|$)", request.headers.get("Cookie", ""), re.ASCII)
    return found[1] if found else ""


def _differ_once(kept: str, value: str) -> bool:
    return len(kept) == len(value) and sum(a != b for a, b in zip(kept, value, strict=True)) == 1


def _marked(value: str, other: str) -> Html:
    """The value, with the one character marked in which it differs from the other."""
    place = next(n for n, pair in enumerate(zip(value, other, strict=True)) if pair[0] != pair[1])
    return fill("marked", before=value[:place], character=value[place], after=value[place + 1 :])


def _shown(session: Mapping[str, Any]) -> str:
    """What the application put in; the inspector shows what the log-in keeps beside it, under names with "_" too."""
    text = pformat({key: value for key, value in session.items() if not key.startswith("_")}, width=48)
    return text if len(text) <= 600 else text[:600] + " …"
