"""The validators see everything but the session."""

from __future__ import annotations

from wsgiref.util import setup_testing_defaults

import pytest


class Untouchable(dict):
    def __repr__(self):
        raise AssertionError("touched")


def put_session(app):
    def middleware(environ, start_response):
        environ["session"] = Untouchable(visits=1)
        return app(environ, start_response)

    return middleware


def call(app):
    environ = {"QUERY_STRING": ""}
    setup_testing_defaults(environ)
    answer = app(environ, lambda status, headers, exc_info=None: lambda data: None)
    try:
        return b"".join(answer)
    finally:
        answer.close()


def test_the_app_finds_the_session_that_no_validator_has_touched(between_validators):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % environ["session"]["visits"]]

    assert call(between_validators(put_session, app)) == b"1"


def test_a_fault_of_the_app_is_found(between_validators):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ["not bytes"]

    with pytest.raises(AssertionError, match="non-bytestring"):
        call(between_validators(put_session, app))


def test_a_fault_of_the_middleware_is_found(between_validators):
    def break_headers(app):
        return lambda environ, start_response: app(
            environ, lambda status, headers, exc_info=None: start_response(200, [])
        )

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    with pytest.raises(AssertionError, match="Status"):
        call(between_validators(break_headers, app))
