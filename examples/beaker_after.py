"""The application of ``beaker_before.py`` with session_mw: another import, other settings, and no ``save()``.

Run it with ``python examples/beaker_after.py`` and open http://127.0.0.1:8080/add/apple.
"""

import os

from waitress import serve

from session_mw import SessionMiddleware


def cart_app(environ, start_response):
    """/add/apple fills the cart, /out empties it, any other page shows it."""
    session = environ["beaker.session"]
    action, _, item = environ["PATH_INFO"].strip("/").partition("/")
    if action == "add":
        session.setdefault("cart", []).append(item)
    elif action == "out":
        session.invalidate()
    cart = ", ".join(session.get("cart", [])) or "empty"
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"cart: {cart}\n".encode()]


app = SessionMiddleware(
    cart_app,
    store="sqlite:///sessions.db",  # or file://, redis://, ...
    lifetime=1200,
    environ_key="beaker.session",  # the old place, so that the views stay as they are
)

if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=os.environ.get("PORT", "8080"))
