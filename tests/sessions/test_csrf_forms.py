"""The CSRF token in forms: found in every body, and the body stays readable."""

from __future__ import annotations

import io
import tracemalloc
from urllib.parse import urlencode

import pytest
import webob

from session_mw.csrf import check_csrf, csrf_token
from support.csrf_requests import FORM, MULTIPART, OnlyRead, form, multipart, request

LIMIT = 1024 * 1024


class Broken:
    def __init__(self, error):
        self._error = error

    def read(self, size):
        raise self._error


@pytest.fixture
def session():
    session = {}
    csrf_token(session)
    return session


# The form


def test_an_urlencoded_form_passes_and_stays_readable(session):
    body = form(csrf_token(session), text="x" * 1000)
    environ = request(body)

    assert check_csrf(environ, session)
    assert check_csrf(environ, session)
    assert environ["wsgi.input"].read() == body


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("boundary", ['"sep"', "sep", "sep; charset=utf-8"])
def test_a_multipart_form_passes_and_stays_readable(session, newline, boundary):
    body = multipart(csrf_token(session), before=bytes(range(256)), newline=newline)
    environ = request(body, f"Multipart/Form-Data; boundary={boundary}")

    assert check_csrf(environ, session)
    assert environ["wsgi.input"].read() == body


def test_a_percent_encoded_token_passes(session):
    encoded = "".join(f"%{ord(character):02x}" for character in csrf_token(session))

    assert check_csrf(request(f"a=1&csrf_token={encoded}&b=2".encode(), f"{FORM}; charset=utf-8"), session)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/json", "", "multipart/form-data", "multipart/form-data; boundary="]
)
def test_bodies_of_other_types_hold_no_token(session, content_type):
    token = csrf_token(session)

    assert not check_csrf(request(form(token), content_type), session)
    assert not check_csrf(request(multipart(token), content_type), session)


@pytest.mark.parametrize("name", ["xcsrf_token", "csrf_tokenx", "csrf_token[]", "CSRF_TOKEN"])
def test_a_field_of_another_name_is_not_the_token(session, name):
    token = csrf_token(session)
    disposition = f'form-data; name="{name}"'.encode()

    assert not check_csrf(request(urlencode({name: token}).encode()), session)
    assert not check_csrf(request(multipart(token, disposition=disposition), MULTIPART), session)


@pytest.mark.parametrize(
    "body", [b"", b"&", b"=", b"csrf_token", b"csrf_token=", b"csrf_token=%", b"csrf_token=%ff%fe", b"\xff\0"]
)
def test_a_hostile_urlencoded_body_is_a_refusal(session, body):
    assert not check_csrf(request(body), session)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--sep",
        b"--sep--",
        b"--sep\r\n\r\n",
        b"--sep\r\n" * 5000,
        b'--sep\r\nContent-Disposition: ;name="csrf_token"',
        multipart("A" * 88)[:-40],
        multipart("\xff"),
        b"\r\n" * 1000,
        b"\xff" * 1000,
    ],
)
@pytest.mark.parametrize(
    "content_type", [MULTIPART, MULTIPART + "; charset=nonsense", 'multipart/form-data; boundary="\ud800"']
)
def test_a_hostile_multipart_body_is_a_refusal(session, body, content_type):
    assert not check_csrf(request(body, content_type), session)


@pytest.mark.parametrize(
    "length", ["", "abc", "-5", "+5", "1_0", "1.0", " 5", "\u0665", "9" * 5000, None, -5, [5]], ids=repr
)
def test_a_length_that_is_no_number_means_no_body(session, length):
    environ = request(form(csrf_token(session)), CONTENT_LENGTH=length)
    before = environ["wsgi.input"]

    assert not check_csrf(environ, session)
    assert environ["wsgi.input"] is before


def test_without_a_length_a_body_is_read_where_the_server_says_that_it_ends(session):
    body = form(csrf_token(session))
    environ = request(body) | {"wsgi.input": OnlyRead(body, at_most=LIMIT), "wsgi.input_terminated": True}
    del environ["CONTENT_LENGTH"]

    assert check_csrf(environ, session)
    assert environ["wsgi.input"].read() == body


def test_a_client_that_promises_more_than_it_sends_is_judged_by_what_it_sent(session):
    body = form(csrf_token(session))
    environ = request(body, CONTENT_LENGTH=str(10**15)) | {"wsgi.input": OnlyRead(body, at_most=10**15)}

    assert check_csrf(environ, session)
    assert environ["wsgi.input"].read() == body


@pytest.mark.parametrize("error", [OSError("reset"), TimeoutError(), ValueError("bad chunk"), EOFError()])
def test_a_body_that_cannot_be_read_is_a_refusal(session, error):
    assert not check_csrf(request(b"x") | {"wsgi.input": Broken(error)}, session)


@pytest.mark.parametrize("absent", [None, 5, "text"])
def test_an_input_that_is_no_file_is_a_refusal(session, absent):
    assert not check_csrf(request(b"x") | {"wsgi.input": absent}, session)


def test_a_seekable_input_stays_the_same_object_where_it_was(session):
    body = form(csrf_token(session))
    stream = io.BytesIO(b"before" + body)
    stream.seek(6)
    environ = request(body) | {"wsgi.input": stream}

    assert check_csrf(environ, session)
    assert environ["wsgi.input"] is stream
    assert stream.tell() == 6


def test_a_seekable_input_that_was_read_to_its_end_is_read_again(session):
    body = form(csrf_token(session))
    stream = io.BytesIO(body)
    stream.read()

    assert check_csrf(request(body) | {"wsgi.input": stream}, session)
    assert stream.read() == b""


# Large bodies


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT])
def test_a_large_upload_after_the_token_passes_and_stays_readable(session, size):
    body = (f"csrf_token={csrf_token(session)}&upload=").encode().ljust(size, b"x")
    environ = request(body)

    assert check_csrf(environ, session)
    assert check_csrf(environ, session)
    assert environ["wsgi.input"].read() == body
    assert environ["wsgi.input"].read(10) == b""


def test_a_token_beyond_the_limit_is_a_refusal_and_the_body_stays_readable(session):
    body = multipart(csrf_token(session), before=b"x" * LIMIT)
    environ = request(body, MULTIPART)

    assert not check_csrf(environ, session)
    assert environ["wsgi.input"].read() == body


def test_a_large_body_can_be_read_in_every_way(session):
    line = b"x" * 999 + b"\n"
    body = line * 2000
    ways = [
        lambda stream: b"".join(iter(lambda: stream.read(7777), b"")),
        lambda stream: b"".join(iter(stream.readline, b"")),
        lambda stream: b"".join(stream.readlines()),
        lambda stream: b"".join(stream),
        lambda stream: stream.readline(5) + stream.read(LIMIT + 5) + stream.read(),
    ]
    for read in ways:
        environ = request(body)
        assert not check_csrf(environ, session)
        assert read(environ["wsgi.input"]) == body


@pytest.mark.parametrize("size", [10, 20_000, LIMIT + 1])
def test_webob_reads_the_form_before_and_after_the_check(session, size):
    token = csrf_token(session)
    body = multipart(token, before=b"x" * size)
    before, after = request(body, MULTIPART), request(body, MULTIPART)

    assert webob.Request(before).POST["csrf_token"] == token
    assert check_csrf(before, session) is check_csrf(after, session) is (size <= LIMIT)
    for environ in (before, after):
        # WebOb keeps what is larger in temporary files, and leaves them open.
        with webob.Request(environ).POST["upload"].file as upload, environ["wsgi.input"] as stream:
            assert upload.read() == b"x" * size
            stream.seek(0)
            assert stream.read() == body


HOSTILE_STARTS = [
    b"",
    b"csrf_token=",
    b"--sep\nContent-Disposition: ",
    b"--sep\nContent-Disposition: x",
    b'--sep\nContent-Disposition: form-data; name="csrf_token"\n\n',
]
HOSTILE_BLOCKS = [
    b"&",
    b"csrf_token=",
    b"%",
    b"\n",
    b"\n--sep",
    b"\n--sepxx",
    b"\n--sep\nContent-Disposition:",
    b";name=",
    b"; ",
    b"x",
]


@pytest.mark.parametrize("content_type", [FORM, MULTIPART])
@pytest.mark.parametrize("start", HOSTILE_STARTS)
@pytest.mark.parametrize("block", HOSTILE_BLOCKS)
def test_a_huge_hostile_body_costs_bounded_memory(session, content_type, start, block):
    body = start + block * (8 * LIMIT // len(block))
    environ = request(body, content_type)
    tracemalloc.start()
    try:
        assert not check_csrf(environ, session)
        assert tracemalloc.get_traced_memory()[1] < 4.5 * LIMIT
    finally:
        tracemalloc.stop()
