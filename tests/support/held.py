"""What an object holds, directly or in what it holds: for tests that no key is shown, copied or kept."""

from __future__ import annotations

import gc
from collections import OrderedDict
from functools import partial
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any

_LOOKED_INTO = (list, tuple, dict, set, frozenset, OrderedDict, partial, MethodType, SimpleNamespace)


def parts_of(thing: object) -> list[Any]:
    """The objects of the package's classes that a thing holds; itself first."""
    return [part for part in _held(thing) if _is_ours(part)]


def bytes_in(thing: object) -> list[bytes]:
    """Every str and bytes that a thing holds."""
    texts = [part for part in _held(thing) if isinstance(part, (str, bytes, bytearray))]
    return [part.encode("utf-8", "surrogatepass") if isinstance(part, str) else bytes(part) for part in texts]


def _held(thing: object) -> list[Any]:
    found: dict[int, Any] = {}
    left = [thing]
    while left:
        one = left.pop()
        if id(one) in found:
            continue
        found[id(one)] = one
        if isinstance(one, FunctionType):
            # what a closure holds, not the module in which it stands
            left += [cell.cell_contents for cell in one.__closure__ or ()]
        elif _is_ours(one) or isinstance(one, _LOOKED_INTO):
            left += [part for part in gc.get_referents(one) if not isinstance(part, type)]
    return list(found.values())


def _is_ours(part: object) -> bool:
    return type(part).__module__.startswith("session_mw")
