"""The mapping that an application sees: a dict that loads itself and knows what was done to it."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar

from session_mw.caller import place_of_caller
from session_mw.exceptions import SessionUnavailable

logger = logging.getLogger("session_mw")

_Method = TypeVar("_Method", bound=Callable[..., Any])

_SCALARS = frozenset({str, int, float, bool, type(None)})

# C code looks into a dict without calling its methods. json.dumps then sees that it is not
# empty and asks for its items, which loads; orjson meets a key that is no str, and raises.
UNTOUCHED: dict[Any, None] = {object(): None}
"""What a session holds until it is loaded."""


def _reading(method: _Method) -> _Method:
    """Load first; what the method gives out may be changed in place by its caller."""

    @wraps(method)
    def read(self: Session, *args: Any) -> Any:
        if self._load is not None:
            self._open()
        self._exposed = True
        return method(self, *args)

    return read  # type: ignore[return-value]


def _writing(method: _Method) -> _Method:
    """Load first; calling the method is a change."""

    @wraps(method)
    def write(self: Session, /, *args: Any, **items: Any) -> Any:
        if self._load is not None:
            self._open()
        self._wrote()
        return method(self, *args, **items)

    return write  # type: ignore[return-value]


def _resizing(method: _Method) -> _Method:
    """Load first; it is a change if the method added or removed an item."""

    @wraps(method)
    def resize(self: Session, *args: Any) -> Any:
        if self._load is not None:
            self._open()
        self._exposed = True
        before = dict.__len__(self)
        result = method(self, *args)
        if dict.__len__(self) != before:
            self._wrote()
        return result

    return resize  # type: ignore[return-value]


class Session(dict[str, Any]):
    """A dict that survives between a visitor's requests.

    Nothing is read before the first touch. Reading in any way sets ``accessed``, writing in
    any way sets ``modified``, and changes inside its lists and dicts are found when it is
    committed. Copies and pickles are plain dicts.

    Attributes:
        accessed: Whether anything in it was asked for; looking at this is no touch.
    """

    accessed: bool = False

    # What a manager keeps here: class attributes are the defaults, so that a session which
    # nobody touches costs one object and the attributes that differ.
    _owner: object = None
    _load: Callable[[Session], None] | None = None
    _header: str = ""
    _https: bool = False
    _place: tuple[str, str] | None = None

    _modified: bool = False
    _dirty: bool = False
    _forced: bool = False
    _exposed: bool = False
    _ended: bool = False
    _renewed: bool = False
    _sent: bool = False
    _abandoned: bool = False
    _refresh_only: bool = False
    _fresh: bool = False

    _new: bool = True
    _conflict: bool = False
    _token: str = ""
    _key: str = ""
    _payload: bytes = b""
    _record: Any = None
    _created: int = 0
    _keeps_created: bool = False
    _principal: str | None = None
    _was_permanent: bool = False
    _dropped: bool = False

    def _open(self) -> None:
        load, self._load = self._load, None
        if load is None:
            return
        self.accessed = True
        dict.clear(self)
        try:
            load(self)
        except BaseException:
            self._load = load
            dict.update(self, UNTOUCHED)
            raise

    def _wrote(self) -> None:
        self._modified = self._dirty = True
        if self._sent:
            self._warn_of_late_change()

    def _warn_of_late_change(self) -> None:
        logger.warning(
            "the session was changed after the response's headers were sent, so no cookie can carry it: %s:%d. "
            "Change it before the first part of the body",
            *place_of_caller(),
        )

    def __getitem__(self, key: str) -> Any:
        if self._load is not None:
            self._open()
        value = dict.__getitem__(self, key)
        if type(value) not in _SCALARS:
            self._exposed = True
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``, or ``default``."""
        if self._load is not None:
            self._open()
        value = dict.get(self, key, default)
        if type(value) not in _SCALARS:
            self._exposed = True
        return value

    def __contains__(self, key: object) -> bool:
        if self._load is not None:
            self._open()
        return dict.__contains__(self, key)

    def __len__(self) -> int:
        if self._load is not None:
            self._open()
        return dict.__len__(self)

    def _plain(self) -> dict[str, Any]:
        # dict.copy would call the methods that a subclass has overridden.
        return dict(dict.items(self))

    __iter__ = _reading(dict.__iter__)
    __reversed__ = _reading(dict.__reversed__)
    __or__ = _reading(dict.__or__)
    __ror__ = _reading(dict.__ror__)
    __repr__ = _reading(dict.__repr__)
    keys = _reading(dict.keys)
    values = _reading(dict.values)
    items = _reading(dict.items)
    copy = _reading(_plain)
    fromkeys = dict.fromkeys

    # dict's own comparison would look into another session without calling its methods.
    def __eq__(self, other: object) -> bool:
        return self.copy() == other

    def __ne__(self, other: object) -> bool:
        return self.copy() != other

    def __copy__(self) -> dict[str, Any]:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy(self.copy(), memo)

    def __reduce_ex__(self, protocol: Any) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (self.copy(),)

    def __setitem__(self, key: str, value: Any) -> None:
        if self._load is not None:
            self._open()
        self._wrote()
        dict.__setitem__(self, key, value)

    def clear(self) -> None:
        """Empty the session and end it: what is written to it afterwards begins another one."""
        if self._load is not None:
            self._open()
        self._ended = True
        self._principal = None
        self._wrote()
        dict.clear(self)

    __delitem__ = _resizing(dict.__delitem__)
    pop = _resizing(dict.pop)
    popitem = _resizing(dict.popitem)
    setdefault = _resizing(dict.setdefault)
    update = _writing(dict.update)
    __ior__ = _writing(dict.__ior__)

    @property
    def modified(self) -> bool:
        """Whether anything was written; set it to True to have the session saved as it is."""
        return self._modified

    @modified.setter
    def modified(self, value: bool) -> None:
        self._modified = self._dirty = self._forced = bool(value)
        if value and self._sent:
            self._warn_of_late_change()

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
        """Whose session it is (a user's id, say), kept beside the data; None: nobody's."""
        len(self)
        return self._principal

    @principal.setter
    def principal(self, value: str | None) -> None:
        if value is not None and (not isinstance(value, str) or not value):
            raise TypeError(f"a principal is a non-empty str or None, not {value!r}; write str(user.id)")
        if value is not None and value.encode(errors="ignore").decode() != value:
            raise ValueError("a principal may not hold a lone surrogate, which has no bytes in UTF-8")
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
        dict.pop(self, "_csrf_token", None)

    def invalidate(self) -> None:
        """Empty the session and end it for good, also its absolute lifetime: to be called at log-out."""
        self.clear()
        self._created = int(time.time())


class NullSession(Session):
    """What a manager without a secret key and without a store gives: empty, and not to be written to."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise SessionUnavailable(
            "the session is unavailable because no secret key was set. Give SessionMiddleware(app, secret_key=...) "
            "a long random one (python -m session_mw keygen makes one), or a store"
        )

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse
    regenerate_id = invalidate = _wrote = _refuse
