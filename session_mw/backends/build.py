"""From checked settings to the parts that a manager is made of."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from session_mw.backends.cookie import CookieBackend
from session_mw.backends.kept_state import Guard
from session_mw.backends.lifetimes import Lifetimes
from session_mw.backends.revocable import RevocableBackend
from session_mw.backends.revocations.follower import Revocations
from session_mw.backends.store import StoreBackend
from session_mw.codecs.records import PlainRecords, Records, delimited
from session_mw.codecs.signed import DIGESTS, FLASK_SALT, SignedCodec
from session_mw.cookies import SessionCookie
from session_mw.exceptions import ConfigurationError, not_loaded
from session_mw.notices import Notices
from session_mw.protocols import Codec, Store
from session_mw.secret_keys import key_bytes
from session_mw.settings import Settings
from session_mw.state import Backend, NullBackend
from session_mw.tagged_json import TaggedJSON


def cookie_of(settings: Settings) -> SessionCookie:
    """The cookie that the settings describe."""
    return SessionCookie(
        settings.cookie_name,
        domain=settings.cookie_domain,
        path=settings.cookie_path,
        secure=settings.cookie_secure,
        httponly=settings.cookie_httponly,
        samesite=settings.cookie_samesite,
        partitioned=settings.cookie_partitioned,
    )


def guard_of(settings: Settings, cookie: SessionCookie, notices: Notices) -> Guard | None:
    """What binds sessions to devices, where that is set.

    Raises:
        ConfigurationError: A package is missing.
    """
    if not settings.device_bound:
        return None
    try:
        module = import_module("session_mw.device.guard")
    except Exception as error:
        package = "cryptography" if "cryptography" in (getattr(error, "name", None) or "") else "jwt"
        raise ConfigurationError(
            f"device_bound={settings.device_bound!r}: {not_loaded(error, package, 'bound')}"
        ) from error
    guard: Guard = module.DeviceGuard(settings, cookie, notices)
    return guard


def backend_of(
    settings: Settings,
    cookie: SessionCookie,
    store: Store | None,
    ended: Store | None,
    notices: Notices,
    guard: Guard | None,
) -> Backend:
    """Where sessions live: in the cookie, in the store, or nowhere without a key and a store.

    Args:
        store: Where they are, if they are not in the cookie.
        ended: Where it is remembered which have ended, if they are in the cookie.
        guard: What may reject authentic ones.
    """
    lifetimes = Lifetimes(settings.lifetime_seconds, settings.absolute_seconds, settings.leeway_seconds)
    refresh = settings.refresh_each_request
    if store is not None:
        return StoreBackend(
            store,
            records_of(settings, settings.store_encryption),
            TaggedJSON(),
            cookie,
            lifetimes,
            refresh,
            notices,
            endings_of(settings, store),
            guard,
        )
    if settings.secret_key is None:
        return NullBackend()
    parts = _codec(settings, _keys(settings)), TaggedJSON(), cookie, lifetimes, refresh, notices, guard
    if ended is None:
        return CookieBackend(*parts)
    return RevocableBackend(endings_of(settings, ended), *parts)


def codecs_of_other_settings(settings: Settings) -> list[tuple[str, Codec]]:
    """Codecs with the manager's keys that would read tokens which the manager rejects, each with words for it."""
    if settings.secret_key is None:
        return []
    current, *fallbacks = _keys(settings)
    salt, others = settings.salt, list[tuple[str, Codec]]()
    is_signed = settings.store is None and not settings.encrypt
    for digest in DIGESTS:
        if not (is_signed and digest == settings.digest):
            where = "" if is_signed else ", in sessions that are only signed"
            others.append((f"with digest={digest!r}{where}", SignedCodec(current, fallbacks, salt=salt, digest=digest)))
    if salt != FLASK_SALT:
        others.append((f"with the salt {FLASK_SALT!r}", SignedCodec(current, fallbacks, digest=settings.digest)))
    if not settings.encrypt:
        try:
            encrypted = _encryption("encrypt=True")
        except ConfigurationError:
            return others
        codec: Codec = encrypted.EncryptedCodec(current, fallbacks, cookie_name=settings.cookie_name, salt=salt)
        others.append(("with encrypt=True", codec))
    return others


def codecs_by_key(settings: Settings) -> list[Codec]:
    """A codec for each key of the settings alone, the current key's first: they tell which key opens a token."""
    return [_codec(settings, [key]) for key in _keys(settings)]


def records_by_key(settings: Settings) -> list[Records]:
    """The same for encrypted records; none where they are not encrypted."""
    return [_encrypted_records(settings, [key]) for key in _keys(settings)] if settings.store_encryption else []


def endings_of(settings: Settings, store: Store) -> Revocations:
    """What a store keeps of the endings of an application's sessions; no key is needed for them."""
    return Revocations(
        store,
        delimited(settings.cookie_name.encode(), settings.salt.encode()),
        idle=settings.lifetime_seconds,
        absolute=settings.absolute_seconds,
        leeway=settings.leeway_seconds,
        max_age=settings.max_age_seconds,
    )


def _codec(settings: Settings, keys: list[bytes]) -> Codec:
    current, *fallbacks = keys
    if not settings.encrypt:
        return SignedCodec(current, fallbacks, salt=settings.salt, digest=settings.digest)
    encrypted = _encryption("encrypt=True")
    codec: Codec = encrypted.EncryptedCodec(current, fallbacks, cookie_name=settings.cookie_name, salt=settings.salt)
    return codec


def records_of(settings: Settings, is_encrypted: bool) -> Records:
    """How the records of an application lie in a store.

    Raises:
        ConfigurationError: The package that encrypts cannot be loaded.
    """
    if is_encrypted:
        return _encrypted_records(settings, _keys(settings))
    return PlainRecords(settings.cookie_name, settings.salt)


def _encrypted_records(settings: Settings, keys: list[bytes]) -> Records:
    current, *fallbacks = keys
    encrypted = _encryption("store_encryption=True")
    records: Records = encrypted.EncryptedRecords(
        current, fallbacks, cookie_name=settings.cookie_name, salt=settings.salt
    )
    return records


def _keys(settings: Settings) -> list[bytes]:
    """The current key and then the fallbacks; none where there is no key."""
    keys = (settings.secret_key, *settings.secret_key_fallbacks)
    return [key_bytes("secret_key", key) for key in keys if key is not None]


def _encryption(setting: str) -> ModuleType:
    try:
        return import_module("session_mw.codecs.encrypted")
    except Exception as error:
        raise ConfigurationError(f"{setting}: {not_loaded(error, 'cryptography', 'encrypted')}") from error
