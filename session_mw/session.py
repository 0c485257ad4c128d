"""The mapping that an application sees, with the facts that stand beside its data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from numbers import Real
from typing import Any, NoReturn

from session_mw.csrf import CSRF_KEY
from session_mw.exceptions import SessionUnavailable, kind_of
from session_mw.foreign_names import ForeignNames
from session_mw.lazy_dict import EXPOSED, OPEN, UNCHANGED, UNTOUCHED, LazyDict
from session_mw.secret_keys import has_bytes
from session_mw.state import (
    LABEL,
    LIFETIME,
    MAX_LABEL,
    MAX_OWN_LIFETIME,
    PRINCIPAL,
    SIGNER,
    Backend,
    NullBackend,
    SessionState,
)


def check_principal(value: object) -> None:
    """See that a value can be a principal.

    Raises:
        TypeError: It is not a str, or an empty one.
        ValueError: It has no bytes in UTF-8.
    """
    if not isinstance(value, str) or not value:
        raise TypeError(f"a principal is a non-empty str, not {value!r}; write str(user.id)")
    if not has_bytes(value):
        raise ValueError("a principal may not hold a lone surrogate, which has no bytes in UTF-8")


def _own_lifetime(value: object) -> int:
    seconds: Any = value.total_seconds() if isinstance(value, timedelta) else value
    # Real, because numpy's whole numbers are not an int.
    is_number = isinstance(seconds, Real) and not isinstance(seconds, bool)
    if not is_number:
        raise TypeError(f"lifetime is a timedelta, a number of seconds or None, not {kind_of(value)}")
    if not 1 <= seconds <= MAX_OWN_LIFETIME:
        raise ValueError(f"lifetime is from one second to 400 days; {value!r} is not")
    return int(seconds)


def _check_label(value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"a label is a str or None, not {kind_of(value)}")
    if not 1 <= len(value) <= MAX_LABEL or not has_bytes(value):
        raise ValueError(f"a label has 1 to {MAX_LABEL} characters and no lone surrogate; None takes it away")


def place_of(environ: Mapping[str, Any]) -> tuple[str, str]:
    """Host and path of a request, the path decoded."""
    host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
    return host, environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "") or "/"


_NOWHERE = NullBackend()


class Session(LazyDict, ForeignNames):
    """A dict that survives between a visitor's requests.

    Nothing is read before the first touch. Reading in any way sets ``accessed``, writing in
    any way sets ``modified``, and changes inside its lists and dicts are found when it is
    committed. Copies and pickles are plain dicts.

    Attributes:
        accessed: Whether anything in it was asked for; looking at this is not a touch.
    """

    __slots__ = ("_environ", "_header", "_https", "_refreshed")

    _state: SessionState | None
    _backend: Backend
    """Where it lives."""
    _header: str
    """The request's Cookie header; empty where our cookie's name is not in it."""
    _https: bool
    """Whether the request came over https."""
    _environ: Mapping[str, Any] | None
    """The request's environ, until the response is made: it may hold the session, and be a cycle with it."""
    _refreshed: bool
    """Whether this response sends the cookie, so that it need not be refreshed."""

    def __init__(self, data: Mapping[Any, Any] | Iterable[Any] = ()) -> None:
        dict.update(self, data)
        self._begin(_NOWHERE, "", False, None)
        self._state = SessionState()

    def _begin(self, backend: Backend, header: str, https: bool, environ: Mapping[str, Any] | None) -> None:
        """Begin a request, as what nobody has touched; the dict holds the placeholder."""
        self._backend = backend
        self._header = header
        self._https = https
        self._environ = environ
        self._changes = UNCHANGED
        self._phase = OPEN
        self._state = self._failure = None
        self.accessed = self._modified = self._refreshed = False

    def _reopen(self) -> None:
        """Forget all that was done to it."""
        dict.clear(self)
        dict.update(self, UNTOUCHED)
        self._begin(self._backend, self._header, self._https, self._environ)

    def _advance(self, phase: int) -> None:
        """Go on to a later phase of the response."""
        if phase > self._phase:
            self._phase = phase
            self._environ = None

    def _place(self) -> tuple[str, str]:
        """Host and path of the request."""
        return place_of(self._environ or {})

    def _blank(self) -> SessionState:
        return SessionState()

    def _touch(self) -> SessionState:
        """Load it, if it is not loaded yet, and say what is known beside the data."""
        state = self._state
        if state is None:
            state = self._open()
        return state

    def _discard(self) -> None:
        if self._state is None:
            self._changes = UNCHANGED
        else:
            # Lists and dicts that were handed out may still change.
            self._state.rebase(self)
            self._committed()

    def _committed(self) -> None:
        """What was written until now is saved, or dropped; lists and dicts that were handed out may still change."""
        self._changes = min(self._changes, EXPOSED)

    def _replace_data(self, data: dict[str, Any]) -> None:
        """Hold other data; other threads of the request find the dict empty at no moment."""
        for key in self._plain().keys() - data.keys():
            dict.pop(self, key, None)
        dict.update(self, data)

    def clear(self) -> None:
        """Empty the session and end it: what is written to it afterwards begins another one."""
        self._touch().end()
        super().clear()

    @property
    def permanent(self) -> bool:
        """Whether the cookie outlives the browser's run: Flask's ``permanent``, kept as ``"_permanent"``."""
        return self.get("_permanent") is True

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self["_permanent"] = bool(value)

    @property
    def new(self) -> bool:
        """Whether the visitor came without a session that was accepted."""
        return self._touch().new

    @property
    def created(self) -> int:
        """Unix time at which the session began; of a cookie session that does not keep it, at which it was signed."""
        return self._touch().created

    @property
    def id(self) -> str | None:
        """The session's name, safe to log: the store's key; for a cookie session, what ``revocations`` know it by.

        None for a cookie session without ``revocations``, before the first save, and from :meth:`regenerate_id`,
        :meth:`invalidate` or :meth:`clear` on until it is saved: the old id is about to end.
        """
        return self._touch().id

    @property
    def principal(self) -> str | None:
        """Whose session it is (a user's id, say), kept beside the data; None: nobody's.

        Raises:
            TypeError: Set to what is neither None nor a non-empty str.
            ValueError: Set to a str with a lone surrogate.
        """
        return self._touch().principal

    @principal.setter
    def principal(self, value: str | None) -> None:
        if value is not None:
            check_principal(value)
        state = self._touch()
        self._wrote()
        if value != state.principal:
            # The device is the former principal's.
            state.set_metadata(SIGNER, None)
        state.set_metadata(PRINCIPAL, value)

    @property
    def lifetime(self) -> timedelta | None:
        """The lifetime of its own that this session has, shorter or longer than the manager's; None: the manager's.

        Set it to a timedelta or to seconds, at most 400 days, which browsers keep a cookie at most (RFC 6265bis).
        It survives :meth:`regenerate_id`.

        Raises:
            TypeError: Set to what is not a timedelta, a number or None.
            ValueError: Set to less than a second, or to more than 400 days.
        """
        seconds = self._touch().lifetime
        return None if seconds is None else timedelta(seconds=seconds)

    @lifetime.setter
    def lifetime(self, value: timedelta | float | None) -> None:
        seconds = None if value is None else _own_lifetime(value)
        state = self._touch()
        self._wrote()
        state.set_metadata(LIFETIME, seconds)

    @property
    def label(self) -> str | None:
        """What a list of the user's sessions calls this one, "Firefox on Linux" say; None: nothing.

        It stands beside the data, and ``sessions_of`` shows it. At most 200 characters.

        Raises:
            TypeError: Set to what is neither None nor a str.
            ValueError: Set to an empty str, a longer one, or one with a lone surrogate.
        """
        return self._touch().label

    @label.setter
    def label(self, value: str | None) -> None:
        if value is not None:
            _check_label(value)
        state = self._touch()
        self._wrote()
        state.set_metadata(LABEL, value)

    @property
    def device_bound(self) -> bool:
        """Whether it is bound to a device's key, so that a copy of the cookie is of no use elsewhere."""
        return self._touch().device_bound

    def regenerate_id(self) -> None:
        """Keep the data and change the id: to be called at log-in, against session fixation.

        The CSRF secret goes, since an attacker may have planted the session it stands in.
        """
        self._touch().renew()
        self._wrote()
        dict.pop(self, CSRF_KEY, None)

    def invalidate(self) -> None:
        """Empty the session and end it for good, also its absolute lifetime: to be called at log-out."""
        self.clear()
        self._touch().begin_anew(int(time.time()))


class OpenedSession(Session):
    """What a manager gives, once it has called ``_begin``: making one runs no Python code."""

    __slots__ = ()

    # CPython takes as long to call an __init__ as for all the rest of an opening.
    __init__ = dict.__init__


OpenedSession.__name__ = OpenedSession.__qualname__ = Session.__name__
"""Errors of Python's own name the class, and readers of the documentation know no other."""


class NullSession(Session):
    """What a manager without a secret key and without a store gives: empty, and not to be written to."""

    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise SessionUnavailable(
            "the session is unavailable because no secret key was set (python -m session_mw keygen makes one): "
            "SessionMiddleware(app, secret_key=...), or in Flask app.config['SECRET_KEY']. Or give it a store"
        )

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse
    regenerate_id = invalidate = _wrote = _refuse
