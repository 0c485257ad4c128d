"""What was in the last authentic tokens is kept; nobody can tell, but for the time it takes."""

from __future__ import annotations

import logging
import secrets
from typing import Any

import pytest

from session_mw import CookieTooLarge, SessionManager
from session_mw.codecs.signed import SignedCodec
from support.tokens import KEY, OTHER_KEY
from support.visitors import Client

DAY = 86400
KEPT, LONGEST_KEPT = 256, 8192
"""How many tokens are kept, and how many bytes of a payload, so that all of it is never more than a few MB."""


def codec_of(sessions: SessionManager) -> Any:
    if not sessions.settings.encrypt:
        return SignedCodec(KEY)
    return pytest.importorskip("session_mw.codecs.encrypted").EncryptedCodec(KEY.encode(), cookie_name="session")


@pytest.fixture(params=[False, True], ids=["signed", "encrypted"])
def encrypt(request: pytest.FixtureRequest) -> bool:
    if request.param:
        pytest.importorskip("cryptography")
    return bool(request.param)


@pytest.fixture
def decoded(encrypt: bool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every token that is decoded."""
    kind = type(codec_of(SessionManager(KEY, encrypt=encrypt)))
    tokens: list[str] = []
    decode = kind.decode
    monkeypatch.setattr(kind, "decode", lambda self, token: [tokens.append(token), decode(self, token)][1])
    return tokens


@pytest.fixture
def sessions(encrypt: bool, decoded: list[str]) -> SessionManager:
    return SessionManager(KEY, encrypt=encrypt)


def cookie_of(sessions: SessionManager, **data: Any) -> str:
    client = Client(sessions)
    client.do(lambda s: s.update(data))
    return client.cookie


def cookie_of_another_process(sessions: SessionManager, **data: Any) -> str:
    return cookie_of(SessionManager(KEY, encrypt=sessions.settings.encrypt), **data)


def found_in(sessions: SessionManager, cookie: str) -> dict[str, Any]:
    return sessions.open({"HTTP_COOKIE": cookie}).copy()


def test_a_token_that_comes_again_is_not_decoded_again(sessions: SessionManager, decoded: list[str]) -> None:
    cookie = cookie_of_another_process(sessions, user=1)
    assert [found_in(sessions, cookie) for _ in range(5)] == [{"user": 1}] * 5
    assert len(decoded) == 1


def test_a_token_that_was_made_here_is_not_decoded(sessions: SessionManager, decoded: list[str]) -> None:
    cookie = cookie_of(sessions, user=1)
    assert (found_in(sessions, cookie), decoded) == ({"user": 1}, [])


def test_a_visitor_whose_every_request_gets_a_new_cookie_is_known_by_it(
    sessions: SessionManager, decoded: list[str], clock: Any
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
    assert len(decoded) == 1
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
        facts = []
        for reader in (made_here, other):
            session = reader.open({"HTTP_COOKIE": cookie})
            known = (session.created, session.permanent, session.new, session.principal, session.copy())
            refreshed = dict(reader.commit(session))["Set-Cookie"].partition(";")[0].partition("=")[2]
            facts.append((*known, codec_of(sessions).decode(refreshed)))
        assert facts[0] == facts[1]


def test_a_cookie_that_was_too_large_is_not_kept(sessions: SessionManager, decoded: list[str]) -> None:
    """Others are kept as if it had not been."""
    cookies = [cookie_of_another_process(sessions, user=n) for n in range(KEPT)]
    for n, cookie in enumerate(cookies):
        assert found_in(sessions, cookie) == {"user": n}
    for _ in range(3):
        with pytest.raises(CookieTooLarge):
            cookie_of(sessions, text=secrets.token_hex(3000))
    decoded.clear()
    assert [found_in(sessions, cookie)["user"] for cookie in cookies] == list(range(KEPT))
    assert decoded == []


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


def test_managers_keep_tokens_apart(sessions: SessionManager) -> None:
    cookie = cookie_of(sessions, user=1)
    assert found_in(sessions, cookie) == {"user": 1}
    for other in (SessionManager(OTHER_KEY), SessionManager(KEY, salt="another")):
        assert found_in(other, cookie) == {}


def test_a_kept_token_ends_when_its_time_is_over(sessions: SessionManager, clock: Any) -> None:
    cookie = cookie_of(sessions, user=1)
    assert found_in(sessions, cookie) == {"user": 1}
    clock.advance(31 * DAY)
    assert found_in(sessions, cookie) == {"user": 1}
    clock.advance(1)
    assert found_in(sessions, cookie) == {}


def test_a_kept_token_is_rejected_by_a_clock_that_was_set_back(sessions: SessionManager, clock: Any) -> None:
    cookie = cookie_of(sessions, user=1)
    assert found_in(sessions, cookie) == {"user": 1}
    clock.advance(-61)
    assert found_in(sessions, cookie) == {}


def test_nothing_is_kept_of_what_is_rejected(sessions: SessionManager, decoded: list[str]) -> None:
    """Neither is a rejected token accepted because it resembles one, nor does it take the place of one that is kept."""
    cookies = [cookie_of_another_process(sessions, user=n) for n in range(KEPT)]
    for cookie in cookies:
        found_in(sessions, cookie)
    name, _, token = cookies[0].partition("=")
    forged = [token[:n] + ("A" if token[n] != "A" else "B") + token[n + 1 :] for n in range(len(token))]
    foreign = cookie_of(SessionManager(OTHER_KEY), user=1).partition("=")[2]
    for value in [*forged, token + "=", token[:-1], foreign]:
        assert found_in(sessions, f"{name}={value}") == {}
    decoded.clear()
    assert [found_in(sessions, cookie)["user"] for cookie in cookies] == list(range(KEPT))
    assert decoded == []


def test_the_last_256_tokens_are_kept_and_no_more(sessions: SessionManager, decoded: list[str]) -> None:
    cookies = [cookie_of_another_process(sessions, user=n) for n in range(2 * KEPT)]
    for n, cookie in enumerate(cookies):
        assert found_in(sessions, cookie) == {"user": n}
    assert len(decoded) == len(cookies)
    for n, cookie in reversed([*enumerate(cookies)]):
        assert found_in(sessions, cookie) == {"user": n}
    assert len(decoded) == len(cookies) + KEPT


@pytest.mark.parametrize("encrypt", [False])
def test_a_token_that_holds_much_more_than_it_is_long_is_not_kept(
    sessions: SessionManager, decoded: list[str], encrypt: bool
) -> None:
    for length, times in ((LONGEST_KEPT - 100, 0), (LONGEST_KEPT, 3)):
        cookie = cookie_of(sessions, text="x" * length)
        assert [len(found_in(sessions, cookie)["text"]) for _ in range(3)] == [length] * 3
        assert len(decoded) == times


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
