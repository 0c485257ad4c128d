"""A Flask application on the same session: Flask's own ``session`` and ``flash`` work on the middleware's."""

from __future__ import annotations

import flask
from werkzeug.exceptions import HTTPException

from examples.demo.pages import HEADERS, document, fill, join
from session_mw.adapters.flask import FlaskSessions


def room() -> flask.Flask:
    """The application below ``/flask``."""
    app = flask.Flask(__name__, static_folder=None)
    app.session_interface = FlaskSessions()
    # Errors of the store go on to the layer that answers them for the whole site.
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @app.get("/")
    def index() -> flask.Response:
        session = flask.session
        session["visits"] = session.get("visits", 0) + 1
        items = join(fill("item", text=item) for item in session.get("cart", [])) or fill("no-item")
        content = fill("flask", name=session.get("username", "stranger"), visits=session["visits"], items=items)
        messages = flask.get_flashed_messages(with_categories=True)
        return flask.Response(document("Flask", content, here="/flask/", messages=messages), headers=HEADERS)

    @app.post("/cart")
    def add_to_cart() -> flask.Response:
        cart = flask.session.setdefault("cart", [])
        cart.append(_field("item"))
        del cart[:-7]
        flask.flash("Flask put it into the cart.", "success")
        return flask.redirect("/flask/", 303)

    @app.post("/flash")
    def keep_message() -> flask.Response:
        flask.flash(_field("message"))
        return flask.redirect("/", 303)

    @app.errorhandler(HTTPException)
    def say(error: HTTPException) -> flask.Response:
        response = flask.make_response(error.get_response())
        response.data, response.content_type = f"{error.description}\n", "text/plain"
        return response

    return app


def _field(name: str) -> str:
    value = flask.request.form.get(name, "").strip()
    if not 1 <= len(value) <= 30:
        flask.abort(400, f"Send a form with the field {name!r}, of 1 to 30 characters.")
    return value
