"""What LoginMiddleware is given, checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from session_mw.exceptions import ConfigurationError, kind_of
from session_mw.settings import Settings
from session_mw.state import MAX_OWN_LIFETIME

_URL = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class LoginSettings:
    """What a LoginMiddleware is built from.

    Raises:
        ConfigurationError: A setting is wrong; the message names it, its value and the remedy.
    """

    load_user: Callable[[str], Any]
    """Finds the user by the id; None where there is no such user any more."""
    login_url: str
    remember_lifetime: timedelta | float
    """A timedelta or seconds, at most 400 days."""
    remember_cookie_name: str
    max_sessions: int | None
    """How many sessions a user may have at once; None: any number."""
    protection: Literal["basic", "strong"] | None
    """What is done where a session comes with another User-Agent than that of the log-in."""
    remote_user: bool
    """Whether ``environ["REMOTE_USER"]`` is set."""

    def __post_init__(self) -> None:
        if not callable(self.load_user):
            raise ConfigurationError(f"load_user is a function of a user's id, not {kind_of(self.load_user)}")
        if not isinstance(self.login_url, str) or not _URL.fullmatch(self.login_url):
            raise ConfigurationError(
                f"login_url is a URL or a path such as '/login', printable ASCII without spaces; {self.login_url!r} is "
                "not"
            )
        if self.max_sessions is not None and (type(self.max_sessions) is not int or self.max_sessions < 1):
            raise ConfigurationError(f"max_sessions is a whole number from 1, or None; {self.max_sessions!r} is not")
        if self.protection not in (None, "basic", "strong"):
            raise ConfigurationError(f"protection is 'basic', 'strong' or None, not {self.protection!r}")
        if not isinstance(self.remote_user, bool):
            raise ConfigurationError(f"remote_user is True or False, not {self.remote_user!r}")
        _ = self.remember_seconds
        try:
            Settings(cookie_name=self.remember_cookie_name)
        except ConfigurationError as error:
            raise ConfigurationError(f"remember_cookie_name: {error}") from None

    @property
    def remember_seconds(self) -> int:
        """``remember_lifetime`` in whole seconds."""
        value: object = self.remember_lifetime
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 1 <= seconds <= MAX_OWN_LIFETIME:
            raise ConfigurationError(
                f"remember_lifetime is a timedelta or a number of seconds, from one second to 400 days; {value!r} is "
                "not"
            )
        return int(seconds)
