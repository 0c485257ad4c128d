"""Every setting, checked when it is set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from numbers import Real
from typing import Any, Literal, NoReturn, TypedDict
from urllib.parse import quote

from session_mw.cookies import DOMAIN, MAX_COOKIE, NAME, PATH
from session_mw.exceptions import ConfigurationError, kind_of, type_name
from session_mw.protocols import STORE_METHODS, Store, is_store
from session_mw.secret_keys import has_bytes, key_bytes, warn_if_weak

# A browser caps a cookie's age at 400 days (RFC 6265bis); this bound only keeps dates printable.
MAX_LIFETIME = 1000 * 366 * 86400
MAX_PROOF = 3600
"""Seconds."""
_DEVICE_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


class SettingNames(TypedDict, total=False):
    """The settings as keyword arguments, for type checkers; :class:`Settings` says what they mean."""

    secret_key_fallbacks: Sequence[str | bytes]
    salt: str
    cookie_name: str
    cookie_domain: str | None
    cookie_path: str
    cookie_secure: bool | Literal["auto"]
    cookie_httponly: bool
    cookie_samesite: str | None
    cookie_partitioned: bool
    lifetime: timedelta | int
    absolute_lifetime: timedelta | int | None
    refresh_each_request: bool
    leeway: timedelta | int
    digest: str
    encrypt: bool
    store_encryption: bool
    store: Store | str | None
    revocations: Store | str | None
    revocations_max_age: timedelta | int
    device_bound: bool | Literal["report"]
    device_path: str
    device_proof_lifetime: timedelta | int


@dataclass(frozen=True)
class Settings:
    """What a manager is built from.

    Raises:
        ConfigurationError: A setting is wrong; the message names it, its value and the remedy.
    """

    secret_key: str | bytes | None = field(default=None, repr=False)
    """Signs the cookie. None without a store: a session that can only be read, as empty."""
    secret_key_fallbacks: Sequence[str | bytes] = field(default=(), repr=False)
    """Old keys, newest first; they only verify."""
    salt: str = "cookie-session"
    """Separates this cookie's tokens from those of another cookie with the same key."""
    cookie_name: str = "session"
    cookie_domain: str | None = None
    cookie_path: str = "/"
    cookie_secure: bool | Literal["auto"] = "auto"
    """"auto": over https, and always where a prefix, SameSite=None or Partitioned needs it."""
    cookie_httponly: bool = True
    cookie_samesite: str | None = "Lax"
    cookie_partitioned: bool = False
    lifetime: timedelta | int = timedelta(days=31)
    """Seconds or timedelta for which a session is valid after its last writing (cookie) or use (store)."""
    absolute_lifetime: timedelta | int | None = None
    """Seconds or timedelta for which a session is valid after its creation, whatever the refreshes."""
    refresh_each_request: bool = True
    """Send the cookie of a permanent session on every response."""
    leeway: timedelta | int = 60
    """Seconds or timedelta by which a timestamp may lie in the future."""
    digest: str = "sha1"
    """HMAC's hash: sha1 (Flask's), sha256 or sha512."""
    encrypt: bool = False
    """Encrypt the cookie (AES-256-GCM) instead of signing it only."""
    store_encryption: bool = False
    """Encrypt stored records under the secret key and the visitor's token."""
    store: Store | str | None = field(default=None, repr=False)
    """Where sessions live on the server, or its URL; None: in the cookie."""
    revocations: Store | str | None = field(default=None, repr=False)
    """Where it is remembered which sessions in cookies have ended, a store or its URL; None: nowhere."""
    revocations_max_age: timedelta | int = 60
    """Seconds or timedelta for which what is known of ended sessions holds while that store does not answer."""
    device_bound: bool | Literal["report"] = False
    """Bind sessions that are somebody's to the browser's device, where it can (DBSC); "report": log, refuse nothing."""
    device_path: str = "/.session-device"
    """Below which path browsers register devices and prove that they still are the ones."""
    device_proof_lifetime: timedelta | int = 600
    """Seconds or timedelta for which a proof holds, from a second to an hour."""

    def __reduce__(self) -> NoReturn:
        # A pickle would hold the keys.
        raise TypeError("settings cannot be pickled; build the manager in each process")

    def __post_init__(self) -> None:
        self._check_keys()
        self._check_types()
        self._check_cookie()
        if self.encrypt and self.store is not None:
            raise ConfigurationError(
                "encrypt=True is for sessions in the cookie; with a store, whose cookie is only a random id, "
                "store_encryption=True encrypts the records"
            )
        if self.encrypt and self.secret_key is None:
            raise ConfigurationError("encrypt=True needs a secret_key")
        if self.revocations is not None and self.store is not None:
            raise ConfigurationError(
                "revocations= is for sessions in cookies; those in a store end there anyway: leave revocations out"
            )
        if self.revocations is not None and self.secret_key is None:
            raise ConfigurationError("revocations= is for sessions in cookies, which need a secret_key")
        if self.store_encryption and (self.store is None or self.secret_key is None):
            raise ConfigurationError("store_encryption=True needs a store and a secret_key")
        # Each checks its own setting.
        _ = self.lifetime_seconds, self.absolute_seconds, self.leeway_seconds, self.max_age_seconds
        self._check_device()

    @property
    def lifetime_seconds(self) -> int:
        """``lifetime`` in whole seconds."""
        return _seconds("lifetime", self.lifetime)

    @property
    def absolute_seconds(self) -> int | None:
        """``absolute_lifetime`` in whole seconds, or None."""
        return None if self.absolute_lifetime is None else _seconds("absolute_lifetime", self.absolute_lifetime)

    @property
    def leeway_seconds(self) -> int:
        """``leeway`` in whole seconds."""
        return _seconds("leeway", self.leeway)

    @property
    def max_age_seconds(self) -> int:
        """``revocations_max_age`` in whole seconds."""
        return _seconds("revocations_max_age", self.revocations_max_age)

    @property
    def proof_seconds(self) -> int:
        """``device_proof_lifetime`` in whole seconds."""
        return _seconds("device_proof_lifetime", self.device_proof_lifetime, most=MAX_PROOF)

    @property
    def proof_cookie_name(self) -> str:
        """The name of the cookie beside a session that is bound to a device; its prefix is the session cookie's."""
        return f"{self.cookie_name}-proof"

    @property
    def uses_keys(self) -> bool:
        """Whether the secret keys sign or encrypt anything; a store's cookie holds only a random id."""
        return self.store is None or self.store_encryption or self.device_bound is not False

    def _check_keys(self) -> None:
        if isinstance(self.secret_key_fallbacks, (str, bytes)) or not isinstance(self.secret_key_fallbacks, Sequence):
            raise ConfigurationError("secret_key_fallbacks is a list of keys; write [key], also for a single one")
        keys = [("secret_key", self.secret_key)] if self.secret_key is not None else []
        keys += [("secret_key_fallbacks", key) for key in self.secret_key_fallbacks]
        for name, key in keys:
            data = key_bytes(name, key)
            if self.uses_keys:
                warn_if_weak(name, data)
        if self.secret_key is None and self.secret_key_fallbacks:
            raise ConfigurationError("secret_key_fallbacks without a secret_key: set the key that signs, too")

    def _check_types(self) -> None:
        for name in FLAGS:
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ConfigurationError(f"{name} is True or False, not {_shown(value)}")
        if not isinstance(self.salt, str) or not self.salt or not has_bytes(self.salt):
            raise ConfigurationError(f"salt is a non-empty str, not {self.salt!r}")
        if self.digest not in ("sha1", "sha256", "sha512"):
            raise ConfigurationError(f"digest is 'sha1', 'sha256' or 'sha512', not {self.digest!r}")
        for name, store in (("store", self.store), ("revocations", self.revocations)):
            if not (store is None or isinstance(store, str) or is_store(store)):
                # Not shown: a URL in the wrong type may hold a password.
                raise ConfigurationError(
                    f"{name} is a URL or an object with the methods {', '.join(STORE_METHODS)}, not {kind_of(store)}"
                )

    def _check_cookie(self) -> None:
        _match("cookie_name", self.cookie_name, NAME, "letters, digits and !#$%&'*+-.^_`|~ (RFC 6265)")
        if len(self.cookie_name) > MAX_COOKIE // 4:
            raise ConfigurationError(f"cookie_name has {len(self.cookie_name)} characters; leave room for the value")
        path, domain = self.cookie_path, self.cookie_domain
        _match("cookie_path", path, PATH, "'/' and then printable ASCII without space and ';'", normalized_path(path))
        if domain is not None:
            expected = "a host name such as 'example.com', or None"
            _match("cookie_domain", domain, DOMAIN, expected, normalized_domain(domain))
        if not isinstance(self.cookie_secure, bool) and self.cookie_secure != "auto":
            raise ConfigurationError(f"cookie_secure is True, False or 'auto', not {_shown(self.cookie_secure)}")
        if self.cookie_samesite not in ("Lax", "Strict", "None", None):
            raise ConfigurationError(
                f"cookie_samesite is 'Lax', 'Strict', 'None' or None to leave it out, not {self.cookie_samesite!r}"
            )
        self._check_prefix()

    def _check_prefix(self) -> None:
        """Check what browsers ask of a name's prefix (RFC 6265bis, 4.1.3), and of SameSite=None and Partitioned."""
        prefix = self.cookie_name.lower()
        if prefix.startswith("__host-") and (self.cookie_domain is not None or self.cookie_path != "/"):
            raise ConfigurationError(
                f"cookie_name {self.cookie_name!r}: browsers refuse the __Host- prefix with a Domain or with another "
                "Path than '/'; leave cookie_domain and cookie_path out, or choose another name"
            )
        if prefix.startswith(("__http-", "__host-http-")) and not self.cookie_httponly:
            raise ConfigurationError(f"cookie_name {self.cookie_name!r}: browsers refuse this prefix without HttpOnly")
        reason = None
        if prefix.startswith(("__host-", "__secure-", "__http-")):
            reason = f"a cookie named {self.cookie_name!r}"
        elif self.cookie_partitioned:
            reason = "Partitioned"
        elif self.cookie_samesite == "None":
            reason = "SameSite=None"
        if reason and not self.cookie_secure:
            raise ConfigurationError(f"cookie_secure=False: browsers refuse {reason} without Secure; leave it out")
        if reason:
            object.__setattr__(self, "cookie_secure", True)

    def _check_device(self) -> None:
        """Check what browsers ask of a session that they bind to the device (DBSC, W3C)."""
        if not isinstance(self.device_bound, bool) and self.device_bound != "report":
            raise ConfigurationError(f"device_bound is True, False or 'report', not {_shown(self.device_bound)}")
        _match("device_path", self.device_path, _DEVICE_PATH, "one or more of '/' and letters, digits and .-_~")
        if any(segment in (".", "..") for segment in self.device_path.split("/")):
            raise ConfigurationError(f"device_path {self.device_path!r}: browsers resolve '.' and '..' in a path")
        _ = self.proof_seconds
        if self.device_bound is False:
            return
        if self.secret_key is None:
            raise ConfigurationError(
                "device_bound needs a secret_key, with a store too: it signs what browsers are asked"
            )
        if self.cookie_name.lower().startswith("__host-http-"):
            raise ConfigurationError(
                f"device_bound: browsers bind no cookie named __Host-Http-...; choose another cookie_name than "
                f"{self.cookie_name!r}, '__Host-session' say"
            )
        if self.cookie_partitioned:
            raise ConfigurationError("device_bound: browsers bind no partitioned cookie; leave cookie_partitioned out")
        if self.cookie_secure is False:
            raise ConfigurationError("device_bound works over https only; leave cookie_secure=False out")


FLAGS = tuple(flag.name for flag in fields(Settings) if flag.type == "bool")


def normalized_domain(domain: Any) -> Any:
    """A cookie's domain as Werkzeug sends it: without a leading dot and a port, in ASCII (IDNA, RFC 3490).

    Returns:
        The value itself where the result would not be a domain.
    """
    if not isinstance(domain, str):
        return domain
    try:
        text = re.sub(r":[0-9]*\Z", "", domain).lstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        return domain
    return text if DOMAIN.fullmatch(text) else domain


def normalized_path(path: Any) -> Any:
    """A cookie's path as Werkzeug sends it: percent-encoded, except for what is percent-encoded already.

    Returns:
        The value itself where the result would not be a path.
    """
    if not isinstance(path, str):
        return path
    try:
        # The characters that a path segment holds unencoded (https://url.spec.whatwg.org/#path-percent-encode-set),
        # except for the semicolon, which would end the attribute.
        text = quote(path, safe="%!$&'()*+,/:=@")
    except UnicodeError:
        return path
    return text if PATH.fullmatch(text) else path


def _shown(value: object) -> str:
    # numpy 1 shows its booleans as True and False, so the message would not tell what is wrong.
    of_type = f" of type {type_name(value)}; write bool(value)"
    return f"{value!r}{of_type}" if type(value).__name__.rstrip("_") == "bool" else repr(value)


def _match(name: str, value: object, pattern: re.Pattern[str], expected: str, instead: object = None) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        hint = f"; write {instead!r}" if isinstance(instead, str) and instead != value else ""
        raise ConfigurationError(f"{name} is {expected}; {value!r} is not{hint}")


def _seconds(name: str, value: Any, most: int = MAX_LIFETIME) -> int:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    least = 0 if name == "leeway" else 1
    # Real, because numpy's whole numbers are not an int.
    is_number = isinstance(seconds, Real) and not isinstance(seconds, bool)
    if not is_number or not least <= seconds <= most:
        raise ConfigurationError(
            f"{name} is a timedelta or a number of seconds from {least} to {most}; {value!r} is not"
        )
    return int(seconds)
