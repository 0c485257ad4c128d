"""The mapping that an application sees, with the facts that stand beside its data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from session_mw.csrf import CSRF_KEY
from session_mw.exceptions import SessionUnavailable
from session_mw.lazy_dict import LazyDict
from session_mw.secret_keys import has_bytes


def check_principal(value: object) -> None:
    """See that a value can be a principal.

    Raises:
        TypeError: It is no str, or an empty one.
        ValueError: It has no bytes in UTF-8.
    """
    if not isinstance(value, str) or not value:
        raise TypeError(f"a principal is a non-empty str, not {value!r}; write str(user.id)")
    if not has_bytes(value):
        raise ValueError("a principal may not hold a lone surrogate, which has no bytes in UTF-8")


class Session(LazyDict):
    """A dict that survives between a visitor's requests.

    Nothing is read before the first touch. Reading in any way sets ``accessed``, writing in
    any way sets ``modified``, and changes inside its lists and dicts are found when it is
    committed. Copies and pickles are plain dicts.

    Attributes:
        accessed: Whether anything in it was asked for; looking at this is no touch.
    """

    # What a manager keeps here: in slots what most requests need, as class attributes the
    # defaults of what few do.
    __slots__ = (
        "_created",
        "_ended",
        "_fresh",
        "_header",
        "_https",
        "_keeps_created",
        "_key",
        "_new",
        "_owner",
        "_payload",
        "_principal",
        "_record",
        "_refresh_only",
        "_renewed",
        "_token",
        "_was_permanent",
    )

    _place: tuple[str, str] | None = None
    _abandoned: bool = False
    _conflict: bool = False
    _dropped: bool = False

    def __init__(self, data: Mapping[Any, Any] | Iterable[Any] = ()) -> None:
        dict.update(self, data)
        self._begin(None, None, "", False)
        self._begin_new()

    def _begin(self, load: Callable[[Any], None] | None, owner: object, header: str, https: bool) -> None:
        """Begin a request.

        Args:
            load: Fills the dict at its first touch; None: nothing is to be loaded.
            owner: The manager that opened the session.
            header: The request's Cookie header.
            https: Whether the request came over https.
        """
        self._load = load
        self._owner = owner
        self._header = header
        self._https = https
        self.accessed = self._modified = self._dirty = self._forced = self._exposed = self._sent = False
        self._refresh_only = self._fresh = False

    def _begin_new(self) -> None:
        """Know of no saved session; what loads one calls this first."""
        self._new = True
        self._ended = self._renewed = self._keeps_created = self._was_permanent = False
        self._token = self._key = ""
        self._payload = b""
        self._created = 0
        self._principal: str | None = None
        self._record: Any = None

    def _begin_saved(
        self, token: str, payload: bytes, data: dict[str, Any], created: int, principal: str | None
    ) -> None:
        """Hold a saved session, after :meth:`_begin_new`."""
        dict.update(self, data)
        self._new = False
        self._token, self._payload = token, payload
        self._created, self._principal = created, principal

    def clear(self) -> None:
        """Empty the session and end it: what is written to it afterwards begins another one."""
        len(self)
        self._ended = True
        self._principal = None
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
        len(self)
        return self._new

    @property
    def created(self) -> int:
        """Unix time at which the session began; of a cookie session that does not keep it, at which it was signed."""
        len(self)
        return self._created

    @property
    def id(self) -> str | None:
        """The store's key for the session, safe to log; None for a cookie session and before the first save."""
        len(self)
        return self._key or None

    @property
    def principal(self) -> str | None:
        """Whose session it is (a user's id, say), kept beside the data; None: nobody's.

        Raises:
            TypeError: Set to what is neither None nor a non-empty str.
            ValueError: Set to a str with a lone surrogate.
        """
        len(self)
        return self._principal

    @principal.setter
    def principal(self, value: str | None) -> None:
        if value is not None:
            check_principal(value)
        len(self)
        self._wrote()
        self._principal = value

    def regenerate_id(self) -> None:
        """Keep the data and change the id: to be called at log-in, against session fixation.

        The CSRF secret goes, since an attacker may have planted the session it stands in.
        """
        len(self)
        self._renewed = True
        self._wrote()
        dict.pop(self, CSRF_KEY, None)

    def invalidate(self) -> None:
        """Empty the session and end it for good, also its absolute lifetime: to be called at log-out."""
        self.clear()
        self._created = int(time.time())


class OpenedSession(Session):
    """What a manager gives, once it has called ``_begin``: making one runs no Python code."""

    __slots__ = ()

    # CPython takes as long to call an __init__ as for all the rest of an opening.
    __init__ = dict.__init__


class NullSession(Session):
    """What a manager without a secret key and without a store gives: empty, and not to be written to."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise SessionUnavailable(
            "the session is unavailable because no secret key was set (python -m session_mw keygen makes one): "
            "SessionMiddleware(app, secret_key=...), or in Flask app.config['SECRET_KEY']. Or give it a store"
        )

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse
    regenerate_id = invalidate = _wrote = _refuse
