"""Flask: ``flask.session`` and ``flash`` as ever, kept in a store, and noticed when a list in them changes.

Run it with ``python examples/flask_app.py`` and open http://127.0.0.1:8080/. It makes ``sessions.db`` where it is run.
"""

import os

from flask import Flask, flash, redirect, render_template_string, request, session
from waitress import serve

from session_mw.adapters.flask import FlaskSessions

PAGE = """<!doctype html><title>Flask</title>
{% for message in get_flashed_messages() %}<p><em>{{ message }}</em>{% endfor %}
<p>Hello, {{ session.get("name", "stranger") }}. Your cart: {{ session.get("cart", []) | join(", ") or "empty" }}.
{% if "name" in session %}
<form method="post" action="/cart"><input name="item" aria-label="item" required> <button>Add</button></form>
<form method="post" action="/logout"><button>Log out</button></form>
{% else %}
<form method="post" action="/login"><input name="name" aria-label="name" required> <button>Log in</button></form>
{% endif %}
"""

app = Flask(__name__)
app.config["SESSION_STORE"] = "sqlite:///sessions.db"  # without it: in the cookie, signed with app.config["SECRET_KEY"]
FlaskSessions().init_app(app)


@app.get("/")
def home():
    """Show what the session holds."""
    return render_template_string(PAGE)


@app.post("/login")
def log_in():
    """Begin a visitor's session; a real site checks a password first."""
    session.regenerate_id()  # an id that was planted before is worth nothing
    session["name"] = request.form["name"][:50] or "stranger"
    flash("You are logged in.")
    return redirect("/")


@app.post("/cart")
def add_to_cart():
    """Change a list inside the session: session.modified = True is not needed."""
    session.setdefault("cart", []).append(request.form["item"][:50])
    return redirect("/")


@app.post("/logout")
def log_out():
    """End the session in the store, for every copy of the cookie."""
    session.invalidate()
    return redirect("/")


if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=os.environ.get("PORT", "8080"))
