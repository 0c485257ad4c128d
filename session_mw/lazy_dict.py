"""A dict that is loaded at its first touch, and knows what was done to it."""

from __future__ import annotations

import copy
import logging
import sys
import time
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any, Final, NoReturn, TypeVar

from session_mw.caller import place_of_caller
from session_mw.exceptions import StoreError

logger = logging.getLogger("session_mw")

_Method = TypeVar("_Method", bound=Callable[..., Any])

_SCALARS = frozenset({str, int, float, bool, type(None)})

# What was done to the data since the last commit. Each value includes those before it, so that "<" compares them.
UNCHANGED: Final = 0
EXPOSED: Final = 1
"""A value was handed out that its holder may change in place: a commit has to compare."""
WRITTEN: Final = 2
FORCED: Final = 3
"""The application said so (``modified = True``): it is saved though it may look the same."""

# How far the response is. A phase is never left for an earlier one.
OPEN: Final = 0
SENT: Final = 1
"""The response's headers are out: no cookie can reach the browser any more."""
OVER: Final = 2
"""The request has ended: the same environ may be served again, with another session."""


_NOT_LOADED: Final = "C code looked into a session that is not loaded yet; give it dict(session)"


class _Placeholder:
    """What C code neither writes nor copies: it raises a TypeError, as a key and as a value."""

    __slots__ = ()

    def _refuse(self) -> NoReturn:
        raise TypeError(_NOT_LOADED)

    __str__ = __json__ = _refuse

    def __repr__(self) -> str:
        return f"<{_NOT_LOADED}>"


class _Claim(str):
    """A str, since encoders can be told to skip other keys, that has no bytes in UTF-8 and equals no key."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


_PLACEHOLDER: Final = _Placeholder()
_CLAIM: Final = _Claim("\ud800")
UNTOUCHED: dict[Any, object] = {_PLACEHOLDER: _PLACEHOLDER, _CLAIM: _PLACEHOLDER}
"""What the dict holds until it is loaded.

C code looks into a dict without calling its methods. json.dumps then sees that the dict is not empty and asks for its
items, which loads; orjson, ujson, msgspec and rapidjson meet what they cannot write, and raise. None writes ``{}`` for
a session full of data. Whoever takes the claim out, which is atomic, loads; others wait.
"""
_NOT_EMPTY: dict[Any, object] = {_PLACEHOLDER: _PLACEHOLDER}
"""The same where nobody is to load any more."""
# Only now, since a dict that is filled from another one takes over the hashes; msgspec.convert asks for the key's.
_Placeholder.__hash__ = _Placeholder._refuse  # type: ignore[assignment]

_SECONDS_BETWEEN_LOOKS = 0.001
_LONGEST_WAIT = 30.0
"""Seconds. Every store answers or fails sooner."""


def _reading(method: _Method) -> _Method:
    """Load first; what the method hands out may be changed in place."""

    @wraps(method)
    def read(self: LazyDict, *args: Any) -> Any:
        if self._state is None:
            self._open()
        if not self._changes:
            self._changes = EXPOSED
        return method(self, *args)

    return read  # type: ignore[return-value]


def _writing(method: _Method) -> _Method:
    """Load first; calling the method is a change."""

    @wraps(method)
    def write(self: LazyDict, /, *args: Any, **items: Any) -> Any:
        if self._state is None:
            self._open()
        self._wrote()
        return method(self, *args, **items)

    return write  # type: ignore[return-value]


def _resizing(method: _Method) -> _Method:
    """Load first; it is a change if the method added or removed an item."""

    @wraps(method)
    def resize(self: LazyDict, *args: Any) -> Any:
        if self._state is None:
            self._open()
        if not self._changes:
            self._changes = EXPOSED
        before = dict.__len__(self)
        result = method(self, *args)
        if dict.__len__(self) != before:
            self._wrote()
        return result

    return resize  # type: ignore[return-value]


class LazyDict(dict[str, Any]):
    """A dict in every way that Python code can tell; copies and pickles are plain dicts.

    To be inherited. The subclass fills the slots, since a call of another ``__init__`` would be a
    twentieth of what a request without a session takes.

    Attributes:
        accessed: Whether anything in it was asked for; looking at this is not a touch.
    """

    # No __dict__: a misspelt attribute is an AttributeError, and a slot is written in a sixth of the time.
    __slots__ = (
        "__weakref__",
        "_backend",
        "_changes",
        "_failure",
        "_modified",
        "_phase",
        "_state",
        "accessed",
    )

    accessed: bool

    _backend: Any
    """Where it is loaded from; its ``load(self)`` gives the state and the data."""
    _state: Any
    """What is known beside the data; None until they are loaded, and exactly then the dict holds the placeholder."""
    _changes: int
    """``UNCHANGED``, ``EXPOSED``, ``WRITTEN`` or ``FORCED``, since the last commit."""
    _modified: bool
    """What :attr:`modified` says; it outlives a commit."""
    _phase: int
    """``OPEN``, ``SENT`` or ``OVER``."""
    _failure: StoreError | None
    """Why it could not be loaded."""

    def _blank(self) -> Any:
        """The state of a dict without data; to be overridden."""
        return object()

    def _open(self) -> Any:
        """Load, and return the state. Several threads or greenlets of one request wait for one load.

        A store that failed is not asked again in the same request: error reporters show a session once
        more for each frame of a traceback, and each look would wait for a dead server.

        Raises:
            StoreError: The store does not answer, or did not before.
        """
        try:
            # In here, since an exception that is set from outside may come as soon as the claim is taken.
            is_mine = dict.pop(self, _CLAIM, None)
            if is_mine:
                self.accessed = True
                state, data = self._backend.load(self)
                # In this order: a dict is filled in a third of the time while it is empty.
                dict.clear(self)
                dict.update(self, data)
                self._state = state
                return state
        except StoreError as error:
            self._failure = error
            # A filter that looked at it meanwhile has taken it away.
            dict.update(self, _NOT_EMPTY)
            raise
        except BaseException:
            # The request is given up (a time-out, say); another thread may still want to load.
            if self._state is None:
                dict.update(self, UNTOUCHED)
            raise
        return self._wait()

    def _wait(self) -> Any:
        """Wait for the thread that loads.

        It is asked again and again, since a lock in each session would make all requests pay for one
        that has several threads, and a lock for all sessions could be copied by a fork while it is held.

        Raises:
            StoreError: The thread that loads has failed, or does not come to an end.
        """
        ends = time.monotonic() + _LONGEST_WAIT
        while self._state is None:
            if self._failure is not None:
                raise StoreError(str(self._failure)) from self._failure.__cause__
            if self._is_loading_here():
                # A logging filter of the application looks at the session about which a line is being logged.
                dict.clear(self)
                return self._blank()
            if dict.__contains__(self, _CLAIM):
                return self._open()
            if time.monotonic() > ends:
                raise StoreError(f"another thread of the request did not load the session in {_LONGEST_WAIT:g} s")
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return self._state

    def _is_loading_here(self) -> bool:
        """Whether this very call comes out of the load: it would wait for itself.

        The call of :meth:`_open` that waits is among the frames too; that which loads holds the claim.
        """
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            if frame.f_code is LazyDict._open.__code__:
                held = frame.f_locals
                if held["self"] is self and held.get("is_mine"):
                    return True
            frame = frame.f_back
        return False

    def _wrote(self) -> None:
        self._modified = True
        if self._changes < WRITTEN:
            self._changes = WRITTEN
        if self._phase:
            self._warn_of_late_change()

    def _discard(self) -> None:
        """Do not save what was changed until now."""
        self._changes = UNCHANGED

    def _warn_of_late_change(self) -> None:
        logger.warning(
            "the session was changed after the response's headers were sent, so no cookie can carry it (one that is "
            "in a store already is saved at the body's end): %s:%d. Change it before the first part of the body",
            *place_of_caller(),
        )

    @property
    def modified(self) -> bool:
        """Whether anything was written.

        Set it to True to have the session saved as it is. Set it to False to have nothing saved of what was done
        until then, as in Flask: neither what was written or changed inside it, nor a log-out, nor a new id. The data
        can still be read.
        """
        return self._modified

    @modified.setter
    def modified(self, value: bool) -> None:
        self._modified = bool(value)
        if not value:
            self._discard()
            return
        self._changes = FORCED
        if self._phase:
            self._warn_of_late_change()

    # Reading

    def __getitem__(self, key: str) -> Any:
        if self._state is None:
            self._open()
        value = dict.__getitem__(self, key)
        if type(value) not in _SCALARS and not self._changes:
            self._changes = EXPOSED
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``, or ``default``."""
        if self._state is None:
            self._open()
        value = dict.get(self, key, default)
        if type(value) not in _SCALARS and not self._changes:
            self._changes = EXPOSED
        return value

    def __contains__(self, key: object) -> bool:
        if self._state is None:
            self._open()
        return dict.__contains__(self, key)

    def __len__(self) -> int:
        if self._state is None:
            self._open()
        return dict.__len__(self)

    def __repr__(self) -> str:
        try:
            if self._state is None:
                self._open()
        except StoreError as error:
            return f"<session that could not be loaded: {error}>"
        if not self._changes:
            self._changes = EXPOSED
        return dict.__repr__(self)

    def _plain(self) -> dict[str, Any]:
        # dict.copy would call the methods that a subclass has overridden.
        return dict(dict.items(self))

    __iter__ = _reading(dict.__iter__)
    __reversed__ = _reading(dict.__reversed__)
    __or__ = _reading(dict.__or__)
    __ror__ = _reading(dict.__ror__)
    keys = _reading(dict.keys)
    values = _reading(dict.values)
    items = _reading(dict.items)
    copy = _reading(_plain)
    fromkeys = dict.fromkeys

    # dict's own comparison would look into another one without calling its methods.
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

    # Writing

    def __setitem__(self, key: str, value: Any) -> None:
        if self._state is None:
            self._open()
        self._wrote()
        dict.__setitem__(self, key, value)

    def clear(self) -> None:
        """Remove all items."""
        if self._state is None:
            self._open()
        self._wrote()
        dict.clear(self)

    __delitem__ = _resizing(dict.__delitem__)
    pop = _resizing(dict.pop)
    popitem = _resizing(dict.popitem)
    setdefault = _resizing(dict.setdefault)
    update = _writing(dict.update)
    __ior__ = _writing(dict.__ior__)
