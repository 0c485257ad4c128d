"""An application with log-in, for tests: each path does one thing, and shows who is logged in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from session_mw import SessionManager, SessionMiddleware
from session_mw.login import LoginMiddleware, get_login
from support.validators import App, between_validators
from support.visitors import Visitor
from support.wsgi import KEY, PLAIN, Answer, visit

ATTRIBUTES = "Path=/; HttpOnly; SameSite=Lax"


@dataclass
class User:
    """Attributes: session_version: what changes with the password."""

    id: str
    session_version: str | None = None


class Users(dict[str, User]):
    """Attributes: asked: the ids that were asked for, in their order; failing: what asking raises."""

    def __init__(self, *ids: str) -> None:
        super().__init__({id_: User(id_) for id_ in ids})
        self.asked: list[str] = []
        self.failing: Exception | None = None

    def load(self, user_id: str) -> User | None:
        self.asked.append(user_id)
        if self.failing is not None:
            raise self.failing
        return self.get(user_id)


Page = Callable[[Any, dict[str, Any]], object]

PAGES: dict[str, Page] = {
    "/": lambda login, environ: None,
    "/in": lambda login, environ: login.log_in("42"),
    "/in-remember": lambda login, environ: login.log_in("42", remember=True),
    "/in-as-43": lambda login, environ: login.log_in("43"),
    "/in-as-43-remember": lambda login, environ: login.log_in("43", remember=True),
    "/confirm": lambda login, environ: login.confirm(),
    "/out": lambda login, environ: login.log_out(),
    "/out-everywhere": lambda login, environ: login.log_out_everywhere(),
    "/write": lambda login, environ: environ["session"].update(cart="apple"),
    "/clear": lambda login, environ: environ["session"].clear(),
    "/regenerate": lambda login, environ: environ["session"].regenerate_id(),
    "/silent": lambda login, environ: None,
}


PLACES: dict[str, dict[str, Any]] = {
    "cookie": {},
    "store": {"store": "memory://"},
    "revocations": {"settings": {"revocations": "memory://"}},
}
"""Where sessions are: the arguments of :class:`Site`."""
ENDING = ("store", "revocations")
"""The places where a session can be ended from elsewhere, and a remembered device has a record."""


class Site:
    """The application behind both middlewares, each between validators.

    Args:
        pages: More pages, or others, by their paths; each takes the log-in and the environ.
        store: A store or its URL; None: sessions are in the cookie.
        users: Who is known.
        options: LoginMiddleware's.
    """

    def __init__(
        self,
        pages: dict[str, Page] | None = None,
        *,
        store: Any = None,
        users: Users | None = None,
        settings: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.users = Users("42", "43") if users is None else users
        self.pages = PAGES | (pages or {})
        self.sessions = SessionManager(KEY, store=store, **(settings or {}))
        self.failing: Exception | None = None
        options.setdefault("load_user", self.users.load)
        made: list[App] = []

        def with_login(inner: App) -> App:
            made.append(LoginMiddleware(inner, **options))
            return made[0]

        # The validator around this one would look at the session: it is asked through the other's shim.
        between_validators(with_login, self.page)
        self.app = between_validators(lambda inner: SessionMiddleware(inner, sessions=self.sessions), made[0])

    def page(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        login = get_login(environ)
        path = environ["PATH_INFO"]
        shown = self.pages[path](login, environ)
        if path != "/silent" and shown is None:
            shown = f"{login.user_id} {'fresh' if login.is_fresh else 'stale'}"
        if self.failing is not None:
            raise self.failing
        start_response("200 OK", [PLAIN])
        return [str(shown).encode()]

    def browser(self, **more: Any) -> Browser:
        return Browser(self.app, more=more)

    @property
    def can_end(self) -> bool:
        """Whether a log-out reaches copies of the cookies."""
        return self.sessions.store is not None or self.sessions.revocations is not None

    def session_id(self, browser: Browser) -> str:
        session_id = self.sessions.open({"HTTP_COOKIE": browser.cookie}).id
        assert session_id is not None
        return session_id


def site_on(place: str, store: Any, users: Users | None = None, **settings: Any) -> Site:
    """A site of one of the ``ENDING`` places, with this store."""
    if place == "store":
        return Site(store=store, users=users, settings=settings)
    return Site(users=users, settings={**settings, "revocations": store})


@dataclass
class Browser(Visitor):
    """A visitor whose session cookie goes when the browser is closed.

    Attributes:
        more: Entries of every request's environ.
    """

    more: dict[str, Any] | None = None

    def get(self, path: str = "/", **more: Any) -> Answer:
        answer = visit(self.app, path, self.cookie, **{**(self.more or {}), **more})
        self.keep(answer)
        return answer

    def sees(self, path: str = "/", **more: Any) -> str:
        return self.get(path, **more).body.decode()

    def restart(self) -> Browser:
        """Close the browser and start it again."""
        self.jar.pop("session", None)
        return self

    def copy(self) -> Browser:
        return Browser(self.app, dict(self.jar), self.more)


def seconds(**parts: float) -> float:
    return timedelta(**parts).total_seconds()
