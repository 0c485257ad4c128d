"""Requests over real sockets."""

from __future__ import annotations

import contextlib
import http.client
from dataclasses import dataclass
from urllib.parse import urlencode

from support.services import HOST


@dataclass
class Reply:
    """What a server sent.

    Attributes:
        complete: Whether the body came to its end.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header.lower() == name.lower()]

    @property
    def cookie(self) -> str:
        """The one session cookie, as the browser sends it back."""
        (cookie,) = set(self.all("Set-Cookie"))
        return cookie.partition(";")[0]


def ask(
    port: int, path: str, cookie: str | None = None, *, method: str = "GET", form: dict[str, str] | None = None
) -> Reply:
    """Send one request to a server on loopback."""
    headers = {"Cookie": cookie} if cookie else {}
    if form:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=10)) as connection:
        connection.request(method, path, urlencode(form) if form else None, headers)
        response = connection.getresponse()
        try:
            body, complete = response.read(), True
        except http.client.IncompleteRead as error:
            body, complete = error.partial, False
        return Reply(response.status, response.getheaders(), body, complete)
