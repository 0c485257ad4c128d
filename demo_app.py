"""A tour of sessions: a greeting, a cart, messages, log-in with devices, and cookies that are broken on purpose.

Serve it with ``python demo_app.py`` and open it in a browser, or send it requests with curl and a cookie jar:
``curl -i -c jar -d username=cizixs http://127.0.0.1:8080/login``, ``curl -i -b jar -c jar http://127.0.0.1:8080/``.
"""

from __future__ import annotations

import inspect
from typing import Any

from webob import Request, Response

from examples.demo import account, breaking, pages
from examples.demo.command import run
from examples.demo.routing import App, field, rooms, routed, see_other
from examples.demo.users import USERS
from session_mw import Session, SessionManager, SessionMiddleware
from session_mw.csrf import CSRFMiddleware
from session_mw.flash import flash, pop_flashes
from session_mw.inspector import SessionInspector
from session_mw.login import LoginMiddleware


def home(request: Request, session: Session) -> Response:
    """Greet the visitor: a page for browsers, plain text for curl and httpie."""
    session["visits"] = session.get("visits", 0) + 1
    name, cart = session.get("username", "stranger"), session.get("cart", [])
    if not pages.wants_html(request):
        text = f"hello, {name}\nvisits: {session['visits']}\ncart: {', '.join(cart) or 'empty'}\n"
        return Response(text, content_type="text/plain", vary="Accept")
    items = pages.join(pages.fill("item", text=item) for item in cart) or pages.fill("no-item")
    form = pages.fill("log-out-form" if "username" in session else "name-form")
    content = pages.fill("home", name=name, visits=session["visits"], form=form, items=items)
    response = pages.page(f"hello, {name}", content, here="/", messages=pop_flashes(session))
    response.vary = "Accept"
    return response


def login(request: Request, session: Session) -> Response:
    """Remember the visitor's name. A log-in with a password is in ``examples/demo/account.py``."""
    username = field(request, "username")
    session.regenerate_id()
    session["username"] = username
    return see_other("/")


def logout(request: Request, session: Session) -> Response:
    """End the session."""
    session.invalidate()
    return see_other("/")


def add_to_cart(request: Request, session: Session) -> Response:
    """Add to a list inside the session, which notices. All of it has to fit into a cookie: seven items at most."""
    cart = session.setdefault("cart", [])
    cart.append(field(request, "item"))
    del cart[:-7]
    return see_other("/")


def keep_message(request: Request, session: Session) -> Response:
    """Keep a message for the next page, and for that one only."""
    flash(session, field(request, "message"))
    return see_other("/")


def show_wrapping(request: Request, session: Session) -> Response:
    """Show how an application gets sessions, this one too."""
    content = pages.fill("wrap", source=inspect.getsource(wrap))
    return pages.page("Wrap your app", content, here="/wrap", messages=pop_flashes(session))


VIEWS = {("GET", "/"): home, ("POST", "/login"): login, ("POST", "/logout"): logout, ("POST", "/cart"): add_to_cart}
VIEWS |= {("POST", "/flash"): keep_message, ("GET", "/wrap"): show_wrapping}
VIEWS |= {("GET", "/style.css"): pages.file, ("GET", "/favicon.svg"): pages.file}

app = routed(VIEWS)
"""The application of the first page; ``environ["session"]`` comes from the middleware around it."""


def is_program(environ: dict[str, Any]) -> bool:
    """Whether curl or httpie asks: every browser says where a POST comes from, or wants a page."""
    told = {"HTTP_ORIGIN", "HTTP_REFERER", "HTTP_SEC_FETCH_SITE"}
    return not told & environ.keys() and "text/html" not in environ.get("HTTP_ACCEPT", "")


def wrap(sessions: SessionManager, flask: App = pages.no_flask) -> App:
    """Put the rooms together, and the layers around them, from the inmost to the outmost."""
    front, flask = account.recognised(app), account.recognised(flask)
    site = rooms(front, {"account": account.room(sessions), "break": breaking.room(sessions), "flask": flask})
    site = CSRFMiddleware(site, exempt=is_program)
    site = LoginMiddleware(site, load_user=USERS.get, login_url="/account/login")
    site = SessionInspector(site, debug=True)
    # Another one, which is sent the cookie that is planted for /break alone.
    site = SessionInspector(site, path="/break/_session", debug=True)
    site = SessionMiddleware(site, sessions=sessions)
    return pages.ErrorPages(breaking.Outside(site, sessions.cookie_name))


if __name__ == "__main__":
    run(wrap, __doc__)
