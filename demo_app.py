"""A small application with a session: a greeting, a counter of visits, a cart, log-in and log-out.

Serve it with ``python demo_app.py`` and open it in a browser, or send it requests with curl and a cookie jar:
``curl -i -c jar -d username=cizixs http://127.0.0.1:8080/login``, ``curl -i -b jar -c jar http://127.0.0.1:8080/``.
"""

from __future__ import annotations

import argparse
import logging
import os
from html import escape

from waitress import serve
from webob import Request, Response
from webob.dec import wsgify
from webob.exc import HTTPBadRequest, HTTPMethodNotAllowed, HTTPNotFound

from session_mw import ConfigurationError, Session, SessionMiddleware, get_session
from session_mw.secret_keys import generate

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>session_mw demo</title>
<style>
body {{ font: 18px/1.5 system-ui, sans-serif; color: #234; background: #eef2f6; margin: 8vh 1em }}
main {{ max-width: 26em; margin: auto; padding: 1em 2em 2em; background: #fff; border-radius: 12px }}
h1, h2 {{ margin: .8em 0 0; line-height: 1.2 }} p {{ margin: .2em 0 1em; color: #567 }}
input, button {{ font: inherit; padding: .4em .8em; border: 1px solid #bcd; border-radius: 6px }} input {{ flex: 1 }}
form {{ display: flex; gap: .5em }} button {{ background: #25f; border-color: #25f; color: #fff; cursor: pointer }}
</style>
<main><h1>hello, {name}</h1> <p>Visits in this session: {visits}</p> {form}
<h2>Cart</h2> <ul>{cart}</ul>
<form method="post" action="/cart"><input name="item" placeholder="apple" aria-label="item" maxlength="30" required>
<button>Add</button></form></main></html>"""
LOG_IN = """<form method="post" action="/login"><input name="username" placeholder="your name" aria-label="username"
maxlength="30" required> <button>Log in</button></form>"""
LOG_OUT = '<form method="post" action="/logout"><button>Log out</button></form>'


def home(request: Request, session: Session) -> Response:
    """Greet the visitor: a page for browsers, plain text for curl and httpie."""
    session["visits"] = session.get("visits", 0) + 1
    name, cart = session.get("username", "stranger"), session.get("cart", [])
    if "text/html" not in request.headers.get("Accept", ""):
        text = f"hello, {name}\nvisits: {session['visits']}\ncart: {', '.join(cart) or 'empty'}\n"
        return Response(text, content_type="text/plain", vary="Accept")
    items = "".join(f"<li>{escape(item)}</li>" for item in cart) or "<li>nothing yet</li>"
    form = LOG_OUT if "username" in session else LOG_IN
    page = PAGE.format(name=escape(name), visits=session["visits"], cart=items, form=form)
    return Response(page, vary="Accept")


def login(request: Request, session: Session) -> Response:
    """Remember the visitor's name; a real application checks a password here."""
    username = _field(request, "username")
    session.regenerate_id()
    session["username"] = username
    return Response(status=303, location="/")


def logout(request: Request, session: Session) -> Response:
    """End the session."""
    session.invalidate()
    return Response(status=303, location="/")


def add_to_cart(request: Request, session: Session) -> Response:
    """Add to a list inside the session, which notices. All of it has to fit into a cookie: seven items at most."""
    cart = session.setdefault("cart", [])
    cart.append(_field(request, "item"))
    del cart[:-7]
    return Response(status=303, location="/")


def _field(request: Request, name: str) -> str:
    try:
        value = request.POST.get(name)
    except (ValueError, DeprecationWarning) as error:  # webob raises the warning for a form that is not UTF-8
        raise HTTPBadRequest("The form cannot be read.") from error
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= 30:
        raise HTTPBadRequest(f"Send a form with the field {name!r}, of 1 to 30 characters.")
    return value.strip()


ROUTES = {("GET", "/"): home, ("POST", "/login"): login, ("POST", "/logout"): logout, ("POST", "/cart"): add_to_cart}


@wsgify  # type: ignore[untyped-decorator, unused-ignore]  # WebOb's types are a package apart
def app(request: Request) -> Response:
    """The application; ``environ["session"]`` comes from the middleware around it."""
    path = request.environ.get("PATH_INFO", "")
    view = ROUTES.get(("GET" if request.method == "HEAD" else request.method, path))
    if view is not None:
        return view(request, get_session(request.environ))
    allowed = [method for method, known in ROUTES if known == path]
    return HTTPMethodNotAllowed(headers={"Allow": ", ".join(allowed)}) if allowed else HTTPNotFound()


def main() -> None:
    """Serve the application under waitress."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--store", metavar="URL", help="keep sessions on the server: sqlite:///sessions.db")
    options = parser.parse_args()
    secret_key = os.environ.get("SECRET_KEY") or generate()
    if not os.environ.get("SECRET_KEY"):
        print("SECRET_KEY is not set: using a random key, so cookie sessions end with this process.", flush=True)
    logging.basicConfig(level=logging.INFO)
    try:
        serve(SessionMiddleware(app, secret_key, store=options.store), host=options.host, port=options.port)
    except (ConfigurationError, OSError) as error:
        listens = f"cannot listen at {options.host}:{options.port}: {error}; choose another --host or --port"
        parser.error(listens if isinstance(error, OSError) else str(error))


if __name__ == "__main__":
    main()
