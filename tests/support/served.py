"""Applications that real servers serve in processes of their own."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from session_mw import SessionMiddleware, get_session

KEY = "a-secret-key-of-32-characters-00"
PLAIN = [("Content-Type", "text/plain")]

StartResponse = Callable[..., Callable[[bytes], object]]


def count(environ: dict[str, Any], environ_key: str = "session") -> bytes:
    session = get_session(environ, environ_key)
    session["visits"] = session.get("visits", 0) + 1
    return b"%d" % session["visits"]


def whole(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    return [count(environ)]


def early(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Start before the session is written."""
    start_response("200 OK", PLAIN)
    body = count(environ)
    return iter([body, b" ", body])


def generator(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    """Begin to work when the server asks for the first part."""
    body = count(environ)
    start_response("200 OK", PLAIN)
    yield body
    yield b" streamed"


def written(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", PLAIN)
    write(count(environ))
    write(b" written")
    return [b" and returned"]


def file(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    body = count(environ) + b" in a file"
    start_response("200 OK", [*PLAIN, ("Content-Length", str(len(body)))])
    wrapper = environ.get("wsgi.file_wrapper")
    return wrapper(io.BytesIO(body)) if wrapper else [body]  # type: ignore[no-any-return]


def restarted(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """An error page takes the place of a page that was begun."""
    start_response("200 OK", [*PLAIN, ("X-First", "1")])
    body = count(environ)
    try:
        raise ValueError
    except ValueError:
        start_response("503 Service Unavailable", PLAIN, sys.exc_info())
    return [body, b" restarted"]


def restarted_generator(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    """The same after an empty part, when the server has headers and has not sent them."""
    start_response("200 OK", PLAIN)
    body = count(environ)
    yield b""
    try:
        raise ValueError
    except ValueError:
        start_response("503 Service Unavailable", PLAIN, sys.exc_info())
    yield body


def broken(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    """An error after a part of the body went out: the server can only break off."""
    start_response("200 OK", [*PLAIN, ("Content-Length", "100")])
    yield count(environ)
    try:
        raise ValueError("the body breaks off here")
    except ValueError:
        start_response("503 Service Unavailable", PLAIN, sys.exc_info())
    yield b"never sent"


def raising(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    count(environ)
    raise ValueError("nothing is saved")


PAGES: dict[str, Callable[[dict[str, Any], StartResponse], Iterable[bytes]]] = {
    "/" + page.__name__: page
    for page in (whole, early, generator, written, file, restarted, restarted_generator, broken, raising)
}


def pages(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    return PAGES[environ["PATH_INFO"]](environ, start_response)


in_cookie = SessionMiddleware(pages, KEY)
in_store = SessionMiddleware(pages, store="sqlite:///sessions.db")


def app_factory(global_conf: dict[str, str], environ_key: str = "session") -> Callable[..., Iterable[bytes]]:
    """PasteDeploy's ``paste.app_factory``."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return [count(environ, environ_key)]

    return app
