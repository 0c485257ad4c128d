"""Pyramid: ``request.session``, with flash messages and Pyramid's own CSRF check.

Run it with ``python examples/pyramid_app.py`` and open http://127.0.0.1:8080/.
"""

import os
from html import escape

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from waitress import serve

from session_mw.secret_keys import generate

if __name__ == "__main__":
    # To try it out. A site has one key for all its processes: export SECRET_KEY="$(python -m session_mw keygen)"
    os.environ.setdefault("SECRET_KEY", generate())

FORM = """<form method="post" action="{path}"><input type="hidden" name="csrf_token" value="{token}">
{field} <button>{label}</button></form>"""
PAGE = """<!doctype html><title>Pyramid</title>
{messages}<p>Hello, {name}. Your cart: {cart}.
{forms}
"""


def home(request):
    """Show what the session holds."""
    session, token = request.session, request.session.get_csrf_token()
    add = FORM.format(path="/cart", token=token, label="Add", field='<input name="item" aria-label="item" required>')
    leave = FORM.format(path="/logout", token=token, label="Log out", field="")
    enter = FORM.format(
        path="/login", token=token, label="Log in", field='<input name="name" aria-label="name" required>'
    )
    page = PAGE.format(
        messages="".join(f"<p><em>{escape(message)}</em>" for message in session.pop_flash()),
        name=escape(session.get("name", "stranger")),
        cart=escape(", ".join(session.get("cart", [])) or "empty"),
        forms=add + leave if "name" in session else enter,
    )
    return Response(page)


def log_in(request):
    """Begin a visitor's session; a real site checks a password first."""
    request.session.regenerate_id()  # an id that was planted before is worth nothing
    request.session["name"] = request.POST.get("name", "")[:50] or "stranger"
    request.session.flash("You are logged in.")
    return HTTPSeeOther("/")


def add_to_cart(request):
    """Change a list inside the session: session.changed() is not needed."""
    cart = request.session.setdefault("cart", [])
    cart.append(request.POST.get("item", "")[:50])
    del cart[:-7]  # a cookie holds 4096 bytes
    return HTTPSeeOther("/")


def log_out(request):
    """End the session."""
    request.session.invalidate()
    return HTTPSeeOther("/")


with Configurator(settings={"session.secret_key": os.environ["SECRET_KEY"]}) as config:
    config.include("session_mw.adapters.pyramid")
    config.set_default_csrf_options(require_csrf=True)
    for path, view in {"/": home, "/login": log_in, "/cart": add_to_cart, "/logout": log_out}.items():
        config.add_route(view.__name__, path, request_method="GET" if view is home else "POST")
        config.add_view(view, route_name=view.__name__)
    app = config.make_wsgi_app()

if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=os.environ.get("PORT", "8080"))
