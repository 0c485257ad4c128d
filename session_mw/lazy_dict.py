"""A dict that fills itself at the first touch, and knows what was done to it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from session_mw.caller import place_of_caller

logger = logging.getLogger("session_mw")

_Method = TypeVar("_Method", bound=Callable[..., Any])

_SCALARS = frozenset({str, int, float, bool, type(None)})

# C code looks into a dict without calling its methods. json.dumps then sees that it is not
# empty and asks for its items, which loads; orjson meets a key that is no str, and raises.
UNTOUCHED: dict[Any, None] = {object(): None}
"""What it holds until it is loaded."""


def _reading(method: _Method) -> _Method:
    """Load first; what the method gives out may be changed in place by its caller."""

    @wraps(method)
    def read(self: LazyDict, *args: Any) -> Any:
        if self._load is not None:
            self._open()
        self._exposed = True
        return method(self, *args)

    return read  # type: ignore[return-value]


def _writing(method: _Method) -> _Method:
    """Load first; calling the method is a change."""

    @wraps(method)
    def write(self: LazyDict, /, *args: Any, **items: Any) -> Any:
        if self._load is not None:
            self._open()
        self._wrote()
        return method(self, *args, **items)

    return write  # type: ignore[return-value]


def _resizing(method: _Method) -> _Method:
    """Load first; it is a change if the method added or removed an item."""

    @wraps(method)
    def resize(self: LazyDict, *args: Any) -> Any:
        if self._load is not None:
            self._open()
        self._exposed = True
        before = dict.__len__(self)
        result = method(self, *args)
        if dict.__len__(self) != before:
            self._wrote()
        return result

    return resize  # type: ignore[return-value]


class LazyDict(dict[str, Any]):
    """A dict in every way that Python code can tell; copies and pickles are plain dicts.

    To be inherited: the subclass fills the slots. A call of another ``__init__`` would be a
    twentieth of what a request without a session takes.

    Attributes:
        accessed: Whether anything in it was asked for; looking at this is no touch.
    """

    # In a subclass of dict a slot is written in a sixth of the time that an attribute takes.
    __slots__ = ("__dict__", "__weakref__", "_dirty", "_exposed", "_forced", "_load", "_modified", "_sent", "accessed")

    accessed: bool

    _load: Callable[[Any], None] | None
    """Fills it at the first touch, when it is empty; None: it was filled."""
    _modified: bool
    _dirty: bool
    """Whether it was written to since the last commit."""
    _forced: bool
    """Whether the application said so, which counts more than what is seen."""
    _exposed: bool
    """Whether something was given out that may be changed in place."""
    _sent: bool
    """Whether the response's headers are out."""

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
            "the session was changed after the response's headers were sent, so no cookie can carry it (one that is "
            "in a store already is saved at the body's end): %s:%d. Change it before the first part of the body",
            *place_of_caller(),
        )

    @property
    def modified(self) -> bool:
        """Whether anything was written; set it to True to have the session saved as it is."""
        return self._modified

    @modified.setter
    def modified(self, value: bool) -> None:
        self._modified = self._dirty = self._forced = bool(value)
        if value and self._sent:
            self._warn_of_late_change()

    # Reading

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
        if self._load is not None:
            self._open()
        self._wrote()
        dict.__setitem__(self, key, value)

    def clear(self) -> None:
        """Remove all items."""
        if self._load is not None:
            self._open()
        self._wrote()
        dict.clear(self)

    __delitem__ = _resizing(dict.__delitem__)
    pop = _resizing(dict.pop)
    popitem = _resizing(dict.popitem)
    setdefault = _resizing(dict.setdefault)
    update = _writing(dict.update)
    __ior__ = _writing(dict.__ior__)
