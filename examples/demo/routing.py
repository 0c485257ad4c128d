"""From a request's method and path to a view."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.util import shift_path_info

from webob import Request, Response
from webob.exc import HTTPBadRequest, HTTPMethodNotAllowed, HTTPNotFound, WSGIHTTPException

from session_mw import Session, get_session

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
View = Callable[[Request, Session], Response]


def routed(views: Mapping[tuple[str, str], View]) -> App:
    """The WSGI application of some views, found by method and path. An HTTP error that a view raises is plain text."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        try:
            response = find(environ)(request, get_session(environ))
        except WSGIHTTPException as error:
            response = Response(f"{error.detail}\n", status=error.status, content_type="text/plain")
            response.allow = error.allow
        return response(environ, start_response)

    def find(environ: dict[str, Any]) -> View:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        view = views.get(("GET" if method == "HEAD" else method, path))
        if view is not None:
            return view
        allowed = ", ".join(method for method, known in views if known == path)
        if allowed:
            raise HTTPMethodNotAllowed(f"This address takes {allowed} only.", headers={"Allow": allowed})
        raise HTTPNotFound("There is no page at this address.")

    return app


def rooms(front: App, others: Mapping[str, App]) -> App:
    """The application that hands a request to the one that its first path segment names, or else to ``front``."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        _, _, path = environ.get("PATH_INFO", "").partition("/")
        room = others.get(path.partition("/")[0])
        if room is None:
            return front(environ, start_response)
        shift_path_info(environ)
        return room(environ, start_response)

    return app


def text_of(request: Request, name: str) -> str:
    """The text in a field of the form that was sent, without white space around it; empty where there is none.

    Raises:
        HTTPBadRequest: The form cannot be read.
    """
    try:
        value = request.POST.get(name)
    except (ValueError, DeprecationWarning) as error:  # webob raises the warning for a form that is not UTF-8
        raise HTTPBadRequest("The form cannot be read.") from error
    return value.strip() if isinstance(value, str) else ""


def field(request: Request, name: str) -> str:
    """The text in a field that has to be filled in, with 1 to 30 characters.

    Raises:
        HTTPBadRequest: It is not.
    """
    text = text_of(request, name)
    if not 1 <= len(text) <= 30:
        raise HTTPBadRequest(f"Send a form with the field {name!r}, of 1 to 30 characters.")
    return text


def see_other(location: str) -> Response:
    """Sent after a form, so that a reload does not send it a second time."""
    return Response(status=303, location=location)
