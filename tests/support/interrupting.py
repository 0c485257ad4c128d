"""A call that is broken off at one of the points where Python lets an exception in from outside."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class BrokenOff(BaseException):
    """What a request-timeout tool, ``gevent.Timeout`` or ``Greenlet.kill`` raises in the middle of a call."""


def break_off(call: Callable[[], Any], at: int) -> bool:
    """Call, and raise :class:`BrokenOff` at the line of that number, counting all lines that run.

    Lines of finalizers are left alone, since Python only reports what is raised there, and those of imports.

    Returns:
        False if the call was over before.
    """
    lines = iter(range(at))

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line" and next(lines, None) is None and not _is_left_alone(frame):
            sys.settrace(None)
            raise BrokenOff
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except BrokenOff:
        return True
    finally:
        sys.settrace(before)
    return False


def break_off_at_a_call(call: Callable[[], Any], at: int) -> bool:
    """As :func:`break_off`, but only where CPython lets in what another thread sets (``PyThreadState_SetAsyncExc``).

    That is where a function of Python begins and as soon as one of C has returned, whose result is lost then.

    Returns:
        False if the call was over before.
    """
    moments = iter(range(at))

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event in ("call", "c_return") and next(moments, None) is None and not _is_left_alone(frame):
            sys.setprofile(None)
            raise BrokenOff

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    except BrokenOff:
        return True
    finally:
        sys.setprofile(before)
    return False


def everywhere(call: Callable[[], Any], step: int = 1) -> Iterator[int]:
    """Break the call off at its first line, then at a later one, and so on to its end.

    Yields:
        The number of the line, each time after the call was broken off.
    """
    at = 0
    while break_off(call, at):
        yield at
        at += step


def _is_left_alone(frame: FrameType | None) -> bool:
    """Whether it runs in a finalizer, or while a module is imported: that would leave CPython's import lock taken."""
    while frame is not None:
        if frame.f_code.co_name == "__del__" or "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False
