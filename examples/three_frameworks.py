"""Bottle, Flask and Pyramid behind one middleware: a log-in in one of them is a log-in in all.

Run it with ``python examples/three_frameworks.py`` and open http://127.0.0.1:8080/. Log in as ada, with the password
"correct horse".
"""

import hmac
import os

from bottle import Bottle, redirect, request, template
from flask import Flask
from flask import session as flask_session
from pyramid.config import Configurator
from waitress import serve
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from session_mw import SessionMiddleware
from session_mw.adapters.bottle import SessionPlugin
from session_mw.adapters.flask import FlaskSessions
from session_mw.csrf import CSRFMiddleware
from session_mw.login import LoginMiddleware, login_required
from session_mw.secret_keys import generate

if __name__ == "__main__":
    # To try it out. A site has one key for all its processes: export SECRET_KEY="$(python -m session_mw keygen)"
    os.environ.setdefault("SECRET_KEY", generate())

PASSWORDS = {"ada": "correct horse"}  # a real site has hashes of them: docs/login.md

PAGE = """<!doctype html><title>Three frameworks</title>
<p>Hello, {{login.user_id or "stranger"}}. Go to <a href="/blog/">Flask</a> or <a href="/admin/">Pyramid</a>.
% if login.user_id:
<form method="post" action="/logout"><button>Log out</button></form>
% else:
<form method="post" action="/login"><input name="name" aria-label="name">
<input name="password" type="password" aria-label="password"> <button>Log in</button></form>
% end
"""

# Bottle, at /: logs in and out.
home = Bottle()
home.install(SessionPlugin())


@home.get("/")
def index(login):
    """Say who is logged in."""
    return template(PAGE, login=login)


@home.post("/login")
def log_in(login):
    """Log in; where the password is wrong, show the form again."""
    name, password = request.forms.getunicode("name", ""), request.forms.getunicode("password", "")
    if name in PASSWORDS and hmac.compare_digest(PASSWORDS[name].encode(), password.encode()):
        login.log_in(name)
    redirect("/")


@home.post("/logout")
def log_out(login):
    """Log out of all three."""
    login.log_out()
    redirect("/")


# Flask, at /blog: for everybody.
blog = Flask(__name__)
blog.session_interface = FlaskSessions()


@blog.get("/")
def read():
    """Count what a visitor has read."""
    flask_session["read"] = flask_session.get("read", 0) + 1
    return f"Pages read: {flask_session['read']}, by {flask_session.get('_user_id', 'a stranger')}"


# Pyramid, at /admin: for who is logged in.
def dashboard(request):
    """Say who is logged in, and what the blog has counted."""
    return {"user": request.authenticated_userid, "read": request.session.get("read", 0)}


with Configurator() as config:
    config.include("session_mw.adapters.pyramid")
    config.add_route("dashboard", "/")
    config.add_view(dashboard, route_name="dashboard", renderer="json")
    admin = login_required(config.make_wsgi_app())

# Who asks for a page of /admin without a log-in is sent to login_url.
app = DispatcherMiddleware(home, {"/blog": blog, "/admin": admin})
app = CSRFMiddleware(app)
app = LoginMiddleware(app, load_user=lambda user_id: user_id if user_id in PASSWORDS else None, login_url="/")
app = SessionMiddleware(app, secret_key=os.environ["SECRET_KEY"])

if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=os.environ.get("PORT", "8080"))
