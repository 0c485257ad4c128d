"""Bottle: a view that has an argument named ``session`` gets the session.

Run it with ``python examples/bottle_app.py`` and open http://127.0.0.1:8080/.
"""

import os

from bottle import Bottle, redirect, request, template
from waitress import serve

from session_mw import SessionMiddleware
from session_mw.adapters.bottle import SessionPlugin
from session_mw.secret_keys import generate

if __name__ == "__main__":
    # To try it out. A site has one key for all its processes: export SECRET_KEY="$(python -m session_mw keygen)"
    os.environ.setdefault("SECRET_KEY", generate())

PAGE = """<!doctype html><title>Bottle</title>
<p>Hello, {{session.get("name", "stranger")}}. Your cart: {{", ".join(session.get("cart", [])) or "empty"}}.
% if "name" in session:
<form method="post" action="/cart"><input name="item" aria-label="item" required> <button>Add</button></form>
<form method="post" action="/logout"><button>Log out</button></form>
% else:
<form method="post" action="/login"><input name="name" aria-label="name" required> <button>Log in</button></form>
% end
"""

site = Bottle()
site.install(SessionPlugin())


@site.get("/")
def home(session):
    """Show what the session holds."""
    return template(PAGE, session=session)


@site.post("/login")
def log_in(session):
    """Begin a visitor's session; a real site checks a password first."""
    session.regenerate_id()  # an id that was planted before is worth nothing
    session["name"] = request.forms.getunicode("name", "")[:50] or "stranger"
    redirect("/")


@site.post("/cart")
def add_to_cart(session):
    """Change a list inside the session, which notices."""
    cart = session.setdefault("cart", [])
    cart.append(request.forms.getunicode("item", "")[:50])
    del cart[:-7]  # a cookie holds 4096 bytes
    redirect("/")


@site.post("/logout")
def log_out(session):
    """End the session."""
    session.invalidate()
    redirect("/")


app = SessionMiddleware(site, secret_key=os.environ["SECRET_KEY"])

if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=os.environ.get("PORT", "8080"))
