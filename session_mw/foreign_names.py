"""Names that sessions of other libraries have, and what to write instead.

A program that was written for another library calls ``session.save()`` or reads ``session.session_key``. The
``AttributeError`` that it gets here says what to write instead.
"""

from __future__ import annotations

from typing import Any, NoReturn

_SAVED = (
    "changes are saved with the response, so there is nothing to call; session.modified = True has it saved as it is"
)
_LOADED = "the session is loaded at its first touch, so there is nothing to call"
_ENDED = "session.invalidate() empties the session and ends it, del session[key] takes one key out"
_RENEWED = "session.regenerate_id() keeps the data under a new id"
_ID = "session.id is the store's key for it, which is not what stands in the cookie"
_NEW = "session.new says whether the visitor came without a session that was accepted"
_WRITTEN = "session.modified says whether it was written to"
_LIFETIME = (
    "session.lifetime = timedelta(...) is how long this session is valid, and the setting lifetime how long all others "
    "are; session.permanent = True has the browser keep the cookie as long"
)
_CLOSES = "session.permanent is False where the cookie ends with the browser's run, and True where it has an Expires"
_USED = "sessions.sessions_of(principal) tells when stored sessions were last used; else keep a time of your own"
_OTHERS = (
    "sessions.sessions_of(principal) lists a user's stored sessions and sessions.end(id) ends one; none is opened by id"
)
_LOCKED = "there are no locks: parallel changes to different keys of a stored session are merged when they are saved"
_SWEPT = "stores remove what has expired by themselves or by the command: session-mw sweep URL"
_SETTING = "the cookie's attributes are settings, the same for all sessions: cookie_domain, cookie_path and others"
_FORMAT = "a session is always written as JSON by the manager; dict(session) is a plain copy of it"
_FLASH = "from session_mw.flash import flash, pop_flashes, peek_flashes; they take the session as their first argument"
_TOKEN = "from session_mw.csrf import csrf_token; csrf_token(session) makes a token for a page"  # noqa: S105  a sentence
_TEST = "a session that comes back is not new: set a key, and look at session.new in the next request"
_UNDONE = "session.modified = False has what was written until then not saved; the dict itself stays as it is"

_HINTS = {
    # Beaker
    "save": _SAVED,
    "persist": _SAVED,
    "load": _LOADED,
    "delete": _ENDED,
    "revert": _UNDONE,
    "has_key": "write: key in session",
    "get_by_id": _OTHERS,
    "lock": _LOCKED,
    "unlock": _LOCKED,
    "is_new": _NEW,
    "dirty": _WRITTEN,
    "last_accessed": _USED,
    "was_invalidated": "after session.invalidate() the session is empty, and stays so if nothing is written",
    "cookie_expires": _LIFETIME,
    "timeout": _LIFETIME,
    "domain": _SETTING,
    "path": _SETTING,
    "secure": _SETTING,
    "httponly": _SETTING,
    "samesite": _SETTING,
    # Django
    "session_key": _ID,
    "cycle_key": _RENEWED,
    "flush": _ENDED,
    "set_expiry": _LIFETIME,
    "get_expiry_age": _LIFETIME,
    "get_expiry_date": _LIFETIME,
    "get_session_cookie_age": _LIFETIME,
    "get_expire_at_browser_close": _CLOSES,
    "is_empty": "write: not session",
    "exists": _OTHERS,
    "create": "a session begins when it is first written to, so there is nothing to call",
    "clear_expired": _SWEPT,
    "encode": _FORMAT,
    "decode": _FORMAT,
    "serializer": _FORMAT,
    "set_test_cookie": _TEST,
    "test_cookie_worked": _TEST,
    "delete_test_cookie": _TEST,
    # Flask-Session, Flask-KVSession, Werkzeug's former sessions
    "sid": _ID,
    "regenerate": _RENEWED,
    "destroy": _ENDED,
    "should_save": _WRITTEN,
    "save_cookie": _SAVED,
    "serialize": _FORMAT,
    # Pyramid; session_mw.adapters.pyramid has them
    "changed": _SAVED,
    "flash": _FLASH,
    "pop_flash": _FLASH,
    "peek_flash": _FLASH,
    "get_csrf_token": _TOKEN,
    "new_csrf_token": _TOKEN,
    "renewed": _USED,
    # CherryPy, aiohttp-session, and names that one guesses
    "acquire_lock": _LOCKED,
    "release_lock": _LOCKED,
    "clean_up": _SWEPT,
    "identity": _ID,
    "set_new_identity": _RENEWED,
    "max_age": _LIFETIME,
    "session_id": _ID,
    "regenerate_key": _RENEWED,
    "rotate": _RENEWED,
    "kill": _ENDED,
    "expire": _ENDED,
    "expires": _LIFETIME,
    "commit": _SAVED,
}

# Django's sessions have each of these as a coroutine too, which begins with an "a".
_ALSO_ASYNCHRONOUS = frozenset(
    "clear_expired create cycle_key delete delete_test_cookie exists flush get_expire_at_browser_close".split()
    + "get_expiry_age get_expiry_date has_key load save set_expiry set_test_cookie test_cookie_worked".split()
)
_OF_A_DICT = frozenset("get items keys pop setdefault update values".split())


def hint_for(name: str) -> str | None:
    """What to write instead of a name that a session of another library has; None for any other name.

    Args:
        name: The attribute's name, as it was looked up on the session.

    Returns:
        Half a sentence, to stand after a colon; it holds nothing but names of this package and of Python.
    """
    if name == "aset":
        return "there are no coroutines here; write: session[key] = value"
    if name[:1] == "a" and name[1:] in _OF_A_DICT:
        return f"there are no coroutines here; write: session.{name[1:]}(...)"
    if name[:1] == "a" and name[1:] in _ALSO_ASYNCHRONOUS:
        return _HINTS[name[1:]]
    return _HINTS.get(name)


class _Hint:
    """An attribute that a session lacks: looking it up raises the error that says what to write instead.

    A ``__getattr__`` of the session could raise it too, but CPython looks up every attribute in a slower way on a
    class that has one.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, session: Any, kind: type | None = None) -> NoReturn:
        raise AttributeError(
            f"a session has no attribute {self._name!r}: {hint_for(self._name)}", name=self._name, obj=session
        )

    def __set__(self, session: Any, value: object) -> NoReturn:
        self.__get__(session)


class ForeignNames:
    """The names that sessions of other libraries have: each is an AttributeError that says what to write instead."""

    __slots__ = ()


for _name in (
    *_HINTS,
    "aset",
    *("a" + _name for _name in _OF_A_DICT),
    *("a" + _name for _name in _ALSO_ASYNCHRONOUS),
):
    setattr(ForeignNames, _name, _Hint(_name))
