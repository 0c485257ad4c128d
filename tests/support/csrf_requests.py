"""Requests that carry a CSRF token, and inputs as servers hand them out."""

from __future__ import annotations

import io
from urllib.parse import urlencode
from wsgiref.util import setup_testing_defaults

import pytest

FORM = "application/x-www-form-urlencoded"
MULTIPART = 'multipart/form-data; boundary="sep"'


class OnlyRead:
    """A server's input: it cannot seek, and reading beyond the body would wait for ever."""

    def __init__(self, body, at_most=None):
        self._file = io.BytesIO(body)
        self._left = len(body) if at_most is None else at_most

    def read(self, size):
        if not 0 <= size <= self._left:
            pytest.fail("this would block")
        self._left -= size
        return self._file.read(size)


def request(body=b"", content_type=FORM, **headers):
    environ = {
        "REQUEST_METHOD": "POST",
        "QUERY_STRING": "",
        "HTTP_HOST": "shop.example",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": OnlyRead(body),
    }
    setup_testing_defaults(environ)
    return environ | headers


def form(token, **fields):
    return urlencode({"name": "Zoë", **fields, "csrf_token": token}).encode()


def multipart(token, *, before=b"", newline=b"\r\n", disposition=b'form-data; name="csrf_token"'):
    lines = [b"--sep", b'Content-Disposition: form-data; name="upload"; filename="a.bin"', b"", before]
    lines += [b"--sep", b"Content-Disposition: " + disposition, b"", token.encode(), b"--sep--", b""]
    return newline.join(lines)
