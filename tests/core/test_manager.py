"""A manager's own doing: what it says of itself, and a whole response without the middleware."""

from __future__ import annotations

import pytest

from session_mw import SessionManager
from support.tokens import KEY, token_of
from support.wsgi import ATTRIBUTES, PLAIN, PRIVATE, VARY

pytestmark = pytest.mark.usefixtures("now")


def test_a_manager_says_where_its_sessions_are():
    assert repr(SessionManager(KEY)) == "<SessionManager cookie_name='session' sessions in: cookie>"
    assert repr(SessionManager()) == "<SessionManager cookie_name='session' sessions in: none>"


def test_a_response_gets_the_sessions_headers_in_a_new_list():
    sessions = SessionManager(KEY)
    session = sessions.open({})
    session["a"] = 1
    theirs = [PLAIN, ("vary", "Accept"), ("Set-Cookie", "session=theirs; Path=/")]
    before = list(theirs)

    headers = sessions.respond(session, theirs)

    cookie = ("Set-Cookie", f"session={token_of({'a': 1})}; {ATTRIBUTES}")
    assert headers == [PLAIN, PRIVATE, ("Vary", "Accept, Cookie"), cookie]
    assert theirs == before


def test_a_response_of_an_untouched_session_stays_as_it_is():
    sessions = SessionManager(KEY)
    assert sessions.respond(sessions.open({}), [PLAIN]) == [PLAIN]


def test_a_response_of_a_session_that_was_read_varies():
    sessions = SessionManager(KEY)
    session = sessions.open({})
    assert len(session) == 0
    assert sessions.respond(session, [PLAIN]) == [PLAIN, VARY]


@pytest.mark.parametrize("change", [lambda s: s.__setitem__("a", 2), lambda s: setattr(s, "modified", True)])
@pytest.mark.parametrize("known", [False, True])
def test_a_change_after_the_response_is_logged_with_the_line_that_made_it(change, known, caplog):
    sessions = SessionManager(KEY)
    session = sessions.open({"HTTP_COOKIE": f"session={token_of({'a': 'apple'})}"} if known else {})
    assert len(session) == known
    sessions.respond(session, [])
    change(session)
    (record,) = caplog.records
    assert "after the response's headers were sent" in record.getMessage()
    assert f"{__file__}:{change.__code__.co_firstlineno}" in record.getMessage()
    assert "apple" not in record.getMessage()


def test_a_manager_knows_the_sessions_that_it_opened():
    sessions = SessionManager(KEY)
    assert sessions.opened(sessions.open({}))
    assert not sessions.opened(SessionManager(KEY).open({}))
    assert not sessions.opened({})
