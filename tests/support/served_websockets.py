"""WebSocket handlers that real servers serve in processes of their own; the log goes to standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any

import flask

from session_mw import Session, SessionManager, SessionMiddleware, get_session
from session_mw.adapters.flask import FlaskSessions

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")

KEY = "a-secret-key-of-32-characters-00"


def change(session: Session, what: str) -> None:
    if what == "write":
        session["said"] = "hello"
    elif what == "new-id":
        session.regenerate_id()
        session["said"] = "hello"
    elif what == "leave":
        session.invalidate()


def flask_app() -> flask.Flask:
    """With flask-sock."""
    from flask_sock import Sock

    app = flask.Flask(__name__)
    sock = Sock(app)

    @app.get("/begin")
    def begin() -> str:
        flask.session["user"] = "ada"
        return "begun"

    @app.get("/whole")
    def whole() -> dict[str, Any]:
        return dict(flask.session)

    @sock.route("/ws/<what>")  # type: ignore[untyped-decorator]
    def socket(ws: Any, what: str) -> None:
        ws.receive()
        change(flask.session, what)  # type: ignore[arg-type]
        ws.send("done")

    return app


def behind(**settings: Any) -> flask.Flask:
    app = flask_app()
    app.session_interface = FlaskSessions()
    app.wsgi_app = SessionMiddleware(app.wsgi_app, KEY, **settings)  # type: ignore[method-assign]
    return app


def alone(**settings: Any) -> flask.Flask:
    app = flask_app()
    app.session_interface = FlaskSessions(SessionManager(KEY, **settings))
    return app


def plain(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """As gevent-websocket's users write it: the socket is in the environ, and what is returned counts for nothing."""
    session, socket = get_session(environ), environ.get("wsgi.websocket")
    _, first, *rest = environ["PATH_INFO"].split("/")
    if socket is not None:
        socket.receive()
        change(session, rest[0])
        socket.send("done")
        if rest[1:] != ["start"]:
            return []
    elif first == "begin":
        session["user"] = "ada"
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(session).encode()]


def handled(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """As gunicorn's own way: the handler writes to the socket, and returns the worker's sentinel."""
    session, (_, first, *rest) = get_session(environ), environ["PATH_INFO"].split("/")
    if first == "ws":
        from gunicorn.workers.base_async import ALREADY_HANDLED

        change(session, rest[0])
        environ["gunicorn.socket"].sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\ndone")
        return ALREADY_HANDLED
    return plain(environ, start_response)


STORE = "sqlite:///sessions.db"

behind_store, behind_cookie = behind(store=STORE), behind()
alone_store, alone_cookie = alone(store=STORE), alone()
plain_store, plain_cookie = SessionMiddleware(plain, store=STORE), SessionMiddleware(plain, KEY)
handled_store, handled_cookie = SessionMiddleware(handled, store=STORE), SessionMiddleware(handled, KEY)


def main(app: str, port: str) -> None:
    """Serve one of these applications with gevent-websocket's handler."""
    from gevent.pywsgi import WSGIServer
    from geventwebsocket.handler import WebSocketHandler

    WSGIServer(("127.0.0.1", int(port)), globals()[app], handler_class=WebSocketHandler, log=None).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
