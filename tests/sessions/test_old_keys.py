"""Sessions of a key in ``secret_key_fallbacks``: accepted, and written with the current one when they are sent."""

from __future__ import annotations

import pytest

from session_mw import SessionManager
from support.tokens import KEY, OTHER_KEY, read
from support.visitors import Client
from support.wsgi import VARY, added, guarded, page, visit

KINDS = {
    "signed": {},
    "encrypted": {"encrypt": True},
    "store_encryption": {"store_encryption": True},
}


@pytest.fixture(params=KINDS)
def rotated(request, store):
    """A client whose session was made with a key that is an old one now."""
    settings = dict(KINDS[request.param])
    if request.param == "store_encryption":
        settings["store"] = store
    if request.param != "signed":
        pytest.importorskip("cryptography")
    before = Client(SessionManager(OTHER_KEY, **settings))
    before.do(lambda s: s.update(a=1))
    return before, SessionManager(KEY, secret_key_fallbacks=[OTHER_KEY], **settings), SessionManager(KEY, **settings)


def test_a_session_of_an_old_key_is_accepted_and_sent_no_cookie_for_that_alone(rotated):
    before, both, _ = rotated
    answer = visit(guarded(page(dict), sessions=both), cookie=before.cookie)
    assert (answer.body, added(answer)) == (b"{'a': 1}", [VARY])


def test_a_session_of_an_old_key_that_is_written_is_one_of_the_current_key(rotated):
    before, both, current = rotated
    assert before.other(current).data() == {}
    client = before.other(both)
    client.do(lambda s: s.update(b=2))
    assert client.other(current).data() == {"a": 1, "b": 2}


@pytest.mark.parametrize("touch", [lambda s: None, len, lambda s: s.__setitem__("a", 1)])
@pytest.mark.parametrize("encrypt", [False, True])
def test_a_permanent_cookie_session_of_an_old_key_is_refreshed_with_the_current_one(encrypt, touch):
    before = Client(SessionManager(OTHER_KEY, encrypt=encrypt))
    before.do(lambda s: s.update(_permanent=True, a=1))
    both = SessionManager(KEY, secret_key_fallbacks=[OTHER_KEY], encrypt=encrypt)
    answer = visit(guarded(page(touch), sessions=both), cookie=before.cookie)
    assert read(answer.token, encrypt=encrypt) == {"_permanent": True, "a": 1}
