"""HTML without a template engine: what is put into a template is escaped, and every page has the same headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from webob import Request, Response

from session_mw import CookieTooLarge, Session, StoreError

_HERE = Path(__file__).parent
_TEMPLATES = {
    path.stem: Template(path.read_text("utf-8").rstrip("\n")) for path in (_HERE / "templates").glob("*.html")
}
_FILES = {path.name: path.read_bytes() for path in (_HERE / "static").iterdir()}
_KINDS = {".css": "text/css", ".svg": "image/svg+xml"}
_NAVIGATION = {
    "/": "Session",
    "/account": "Account",
    "/break": "Break it",
    "/flask/": "Flask",
    "/wrap": "Wrap your app",
}
_MAX_BODY = 64 * 1024
# RFC 9110's words; WebOb has older ones.
_TOO_LARGE = "413 Content Too Large"

HEADERS = {
    # Nothing but our own style, pictures and frames: even HTML that got in could run no script and send no form away.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Browsers would send "Origin: null" with our forms under "no-referrer" (https://fetch.spec.whatwg.org/).
    "Referrer-Policy": "same-origin",
    # The Back button asks again, so that a page shows what the session holds now.
    "Cache-Control": "no-store",
}


class Html(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def fill(template: str, **values: object) -> Html:
    """A template of ``templates/`` with its values, each escaped unless it is :class:`Html`."""
    shown = {name: value if isinstance(value, Html) else escape(str(value)) for name, value in values.items()}
    return Html(_TEMPLATES[template].substitute(shown))


def join(parts: Iterable[Html]) -> Html:
    """Several pieces of HTML as one."""
    return Html("".join(parts))


def document(
    title: str,
    content: Html,
    *,
    here: str = "",
    messages: Iterable[tuple[str, str]] = (),
    inspector: str | None = "/_session",
) -> Html:
    """A whole page.

    Args:
        title: Goes into ``<title>`` too.
        content: What is under ``<h1>`` and with it.
        here: The entry of the navigation that it belongs to.
        messages: Flash messages, as ``pop_flashes`` gives them.
        inspector: Where the inspector is that stands beside it; None: nowhere.
    """
    links = join(
        fill("link", url=url, text=text, current=Html(' aria-current="page"' if url == here else ""))
        for url, text in _NAVIGATION.items()
    )
    told = join(fill("message", category=category, text=text) for category, text in messages)
    beside = {"jump": Html(""), "aside": Html("")}
    if inspector is not None:
        beside = {"jump": fill("jump"), "aside": fill("inspector", url=inspector)}
    return fill("layout", title=title, links=links, messages=told, content=content, **beside)


def page(title: str, content: Html, **options: Any) -> Response:
    """A response with a :func:`document`."""
    response = Response(document(title, content, **options))
    response.headers.update(HEADERS.items())
    return response


def file(request: Request, session: Session) -> Response:
    """The style sheet or the picture that the path names."""
    name = request.path_info.rpartition("/")[2]
    response = Response(_FILES[name], content_type=_KINDS[Path(name).suffix], conditional_response=True)
    response.md5_etag()
    response.cache_control = "no-cache"
    return response


def wants_html(request: Request) -> bool:
    """Whether the client is a browser, by what it asks for; curl and httpie get plain text."""
    return "text/html" in request.headers.get("Accept", "")


def no_flask(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What stands at ``/flask`` where no Flask application does."""
    return page("Flask", fill("no-flask"), here="/flask/", inspector=None)(environ, start_response)


class ErrorPages:
    """A layer outside of all others: errors told in plain text become pages for browsers, with a way back.

    What SessionMiddleware raises when it saves a session arrives here as well.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        request = Request(environ)
        response = self._answer(request)
        if response.status_code >= 400 and response.content_type == "text/plain" and wants_html(request):
            text = response.text.strip()
            text = text[:1].upper() + text[1:]
            response.content_type = "text/html"
            response.text = document(response.status, fill("error", title=response.status, text=text), inspector=None)
            response.headers.update(HEADERS.items())
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if (request.content_length or 0) > _MAX_BODY:
            return Response("A form of this site has at most 64 KiB.\n", status=_TOO_LARGE, content_type="text/plain")
        try:
            return request.get_response(self.app)
        except CookieTooLarge as error:
            text = f"{error}. Nothing was saved, and the cookie is as it was.\n"
            return Response(text, status=_TOO_LARGE, content_type="text/plain")
        except StoreError as error:
            text = f"The store does not answer ({error}). Please try again in a moment.\n"
            response = Response(text, status=503, content_type="text/plain")
            response.retry_after = 5
            return response
