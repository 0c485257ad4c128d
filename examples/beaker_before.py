"""An application with Beaker's sessions, as it was. ``beaker_after.py`` is the same one with session_mw.

Run it with ``python examples/beaker_before.py`` and open http://127.0.0.1:8080/add/apple.
"""

import os

from beaker.middleware import SessionMiddleware
from waitress import serve


def cart_app(environ, start_response):
    """/add/apple fills the cart, /out empties it, any other page shows it."""
    session = environ["beaker.session"]
    action, _, item = environ["PATH_INFO"].strip("/").partition("/")
    if action == "add":
        session.setdefault("cart", []).append(item)
        session.save()
    elif action == "out":
        session.delete()
    cart = ", ".join(session.get("cart", [])) or "empty"
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"cart: {cart}\n".encode()]


app = SessionMiddleware(cart_app, {
    "session.type": "file",
    "session.data_dir": "sessions",
    "session.data_serializer": "json",
    "session.timeout": 1200,
    "session.httponly": True,
    "session.samesite": "Lax",
})  # fmt: skip

if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=os.environ.get("PORT", "8080"))
