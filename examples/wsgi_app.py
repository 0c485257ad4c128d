"""A WSGI application without any framework: it counts visits, and remembers the pages.

Run it with ``python examples/wsgi_app.py`` and open http://127.0.0.1:8080/.
"""

import os

from waitress import serve

from session_mw import SessionMiddleware
from session_mw.secret_keys import generate

if __name__ == "__main__":
    # To try it out. A site has one key for all its processes: export SECRET_KEY="$(python -m session_mw keygen)"
    os.environ.setdefault("SECRET_KEY", generate())


def count_visits(environ, start_response):
    """Show what the session holds."""
    session = environ["session"]
    session["visits"] = session.get("visits", 0) + 1
    pages = session.setdefault("pages", [])
    pages.append(environ["PATH_INFO"][:50])  # a change inside a list is saved too
    del pages[:-5]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"visit {session['visits']}, pages: {' '.join(pages)}\n".encode()]


app = SessionMiddleware(count_visits, secret_key=os.environ["SECRET_KEY"])

if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=os.environ.get("PORT", "8080"))
