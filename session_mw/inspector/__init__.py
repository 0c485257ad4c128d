"""A page about the session cookie that a request brought: for development.

app = SessionMiddleware(SessionInspector(app, debug=True), secret_key=KEY)     # then open /_session

middleware.py   answers requests below the path, and decides who may see them
page.py         the page, from top to bottom
html.py         elements, and texts that show what they hold
reasons.py      why a cookie is refused, with cause and remedy
"""

from session_mw.inspector.middleware import SessionInspector as SessionInspector
