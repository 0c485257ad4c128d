"""What was in the last genuine tokens is kept; nobody can tell, but for the time it takes."""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict
from typing import Any

import pytest

from session_mw import CookieTooLarge, SessionManager
from session_mw.backends.token_cache import MAX_KEPT, MAX_PAYLOAD_KEPT
from support.wsgi import KEY, OTHER_KEY

DAY = 86400


class Counting:
    """Stands before a manager's codec, and counts what is decoded."""

    def __init__(self, sessions: SessionManager) -> None:
        reader: Any = sessions._home._tokens  # type: ignore[union-attr]
        self.kept = reader._kept
        self.decoded: list[str] = []
        self._codec, reader._codec = reader._codec, self

    def decode(self, token: str) -> object:
        self.decoded.append(token)
        return self._codec.decode(token)


@pytest.fixture(params=[False, True], ids=["signed", "encrypted"])
def sessions(request: pytest.FixtureRequest) -> SessionManager:
    if request.param:
        pytest.importorskip("cryptography")
    return SessionManager(KEY, encrypt=request.param)


@pytest.fixture
def codec(sessions: SessionManager) -> Counting:
    return Counting(sessions)


def cookie_of(sessions: SessionManager, **data: Any) -> str:
    session = sessions.open({})
    session.update(data)
    return dict(sessions.commit(session))["Set-Cookie"].partition(";")[0]


def cookie_of_another_process(sessions: SessionManager, **data: Any) -> str:
    return cookie_of(SessionManager(KEY, encrypt=sessions.settings.encrypt), **data)


def found_in(sessions: SessionManager, cookie: str) -> dict[str, Any]:
    return sessions.open({"HTTP_COOKIE": cookie}).copy()


def test_a_token_that_comes_again_is_not_decoded_again(sessions: SessionManager, codec: Counting) -> None:
    cookie = cookie_of_another_process(sessions, user=1)
    assert [found_in(sessions, cookie) for _ in range(5)] == [{"user": 1}] * 5
    assert len(codec.decoded) == 1


def test_a_visitor_whose_every_request_gets_a_new_cookie_is_known_by_it(
    sessions: SessionManager, codec: Counting, clock: Any
) -> None:
    cookie = cookie_of_another_process(sessions, _permanent=True, visits=0)
    for visit in range(1, 9):
        clock.advance(7)
        session = sessions.open({"HTTP_COOKIE": cookie})
        if visit % 2:
            session["visits"] += 1
        elif visit % 4:
            assert session["visits"] == visit // 2
        cookie = dict(sessions.commit(session))["Set-Cookie"].partition(";")[0]
    assert codec.decoded == codec.decoded[:1]
    other = SessionManager(KEY, encrypt=sessions.settings.encrypt)
    assert found_in(sessions, cookie) == found_in(other, cookie) == {"_permanent": True, "visits": 4}


@pytest.mark.parametrize("lifetime", [None, 1000])
def test_what_is_kept_of_a_token_made_here_is_what_another_process_reads_in_it(
    sessions: SessionManager, lifetime: int | None, clock: Any
) -> None:
    def manager() -> SessionManager:
        return SessionManager(KEY, encrypt=sessions.settings.encrypt, absolute_lifetime=lifetime)

    made_here, other = manager(), manager()
    cookie = cookie_of(made_here, _permanent=True, user=1)
    for touch in (False, True, False):
        clock.advance(5)
        session = made_here.open({"HTTP_COOKIE": cookie})
        if touch:
            session["user"] = 2
        cookie = dict(made_here.commit(session))["Set-Cookie"].partition(";")[0]
        facts = [
            (s.created, s.permanent, s.copy(), s._payload)
            for s in (m.open({"HTTP_COOKIE": cookie}) for m in (made_here, other))
        ]
        assert facts[0] == facts[1]


def test_a_cookie_that_was_too_large_is_not_kept(sessions: SessionManager, codec: Counting) -> None:
    with pytest.raises(CookieTooLarge):
        cookie_of(sessions, text=secrets.token_hex(3000))
    assert not codec.kept


def test_a_kept_token_ends_when_its_time_is_over(sessions: SessionManager, codec: Counting, clock: Any) -> None:
    cookie = cookie_of(sessions, user=1)
    assert found_in(sessions, cookie) == {"user": 1}
    clock.advance(31 * DAY)
    assert found_in(sessions, cookie) == {"user": 1}
    clock.advance(1)
    assert found_in(sessions, cookie) == {}


def test_a_kept_token_is_refused_by_a_clock_that_was_set_back(sessions: SessionManager, clock: Any) -> None:
    cookie = cookie_of(sessions, user=1)
    assert found_in(sessions, cookie) == {"user": 1}
    clock.advance(-61)
    assert found_in(sessions, cookie) == {}


def test_an_absolute_lifetime_ends_a_kept_token(clock: Any) -> None:
    sessions = SessionManager(KEY, absolute_lifetime=60)
    cookie = cookie_of(sessions, user=1)
    assert found_in(sessions, cookie) == {"user": 1}
    clock.advance(61)
    assert found_in(sessions, cookie) == {}


def test_requests_with_one_token_share_nothing(sessions: SessionManager) -> None:
    cookie = cookie_of(sessions, cart=["pear"], inner={"a": [1]})
    mine = sessions.open({"HTTP_COOKIE": cookie})
    mine["cart"].append("fig")
    mine["inner"]["a"].clear()
    mine["user"] = 1
    assert found_in(sessions, cookie) == {"cart": ["pear"], "inner": {"a": [1]}}


def test_nothing_is_kept_of_what_is_refused(sessions: SessionManager, codec: Counting) -> None:
    name, _, token = cookie_of(sessions, user=1).partition("=")
    assert found_in(sessions, f"{name}={token}") == {"user": 1}
    forged = [token[:n] + ("A" if token[n] != "A" else "B") + token[n + 1 :] for n in range(len(token))]
    foreign = cookie_of(SessionManager(OTHER_KEY), user=1)
    for value in [*forged, token + "=", token[:-1], foreign.partition("=")[2]]:
        assert found_in(sessions, f"{name}={value}") == {}
    assert list(codec.kept) == [token]


def test_what_is_kept_stays_small(sessions: SessionManager, codec: Counting) -> None:
    cookies = [cookie_of_another_process(sessions, user=n) for n in range(2 * MAX_KEPT)]
    for n, cookie in enumerate(cookies):
        assert found_in(sessions, cookie) == {"user": n}
        assert len(codec.kept) <= MAX_KEPT
    assert found_in(sessions, cookies[0]) == {"user": 0}
    assert len(codec.decoded) == len(cookies) + 1


def test_a_token_that_holds_much_more_than_it_is_long_is_not_kept() -> None:
    sessions = SessionManager(KEY)
    codec = Counting(sessions)
    cookie = cookie_of(sessions, text="x" * MAX_PAYLOAD_KEPT)
    assert [len(found_in(sessions, cookie)["text"]) for _ in range(3)] == [MAX_PAYLOAD_KEPT] * 3
    assert (len(codec.decoded), codec.kept) == (3, OrderedDict())


def test_a_kept_token_of_an_old_key_is_logged_and_replaced_each_time(
    sessions: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    new = SessionManager(OTHER_KEY, secret_key_fallbacks=[KEY], encrypt=sessions.settings.encrypt)
    cookie = cookie_of(sessions, _permanent=True)
    with caplog.at_level(logging.INFO, "session_mw"):
        for seen in (1, 2, 3):
            session = new.open({"HTTP_COOKIE": cookie})
            assert session == {"_permanent": True}
            replaced = dict(new.commit(session))["Set-Cookie"].partition(";")[0]
            assert sum("old key" in text for text in caplog.messages) == seen
            assert found_in(SessionManager(OTHER_KEY, encrypt=sessions.settings.encrypt), replaced) == session


def test_managers_keep_tokens_apart(sessions: SessionManager) -> None:
    cookie = cookie_of(sessions, user=1)
    assert found_in(sessions, cookie) == {"user": 1}
    for other in (SessionManager(OTHER_KEY), SessionManager(KEY, salt="another")):
        assert found_in(other, cookie) == {}
