"""What is written of a session: its data, and beside them its metadata."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from session_mw.exceptions import BadToken, NotSerializable, item_path
from session_mw.protocols import Serializer
from session_mw.secret_keys import has_bytes
from session_mw.state import (
    COMPANION,
    CREATED,
    LABEL,
    LIFETIME,
    MAX_LABEL,
    MAX_OWN_LIFETIME,
    NO_METADATA,
    PRINCIPAL,
    SID,
    SIGNER,
    SINCE,
)

COMPANION_NAME = re.compile("[A-Za-z0-9_-]{22}")
"""What a companion is called: 16 bytes, as base64url."""

MAX_TIME = 10**12
"""Unix times are below; a record has 12 digits for one."""
# A name of 12 bytes; Unix time, or a point of P-256 (33 bytes) or the modulus of an RSA key of 2048 to 4096 bits.
_SIGNER = re.compile(r"[A-Za-z0-9_-]{16}(?:@[0-9]{1,12}|\.[A-Za-z0-9_-]{44,683}(?:\.[0-9]{1,12})?)?")


def _is_text(value: Any) -> bool:
    return type(value) is str and value != ""


def _is_time(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_TIME


def _is_label(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_LABEL and has_bytes(value)


def _is_principal(value: Any) -> bool:
    return type(value) is str and value != "" and has_bytes(value)


def _is_lifetime(value: Any) -> bool:
    return type(value) is int and 0 < value <= MAX_OWN_LIFETIME


def _is_companion(value: Any) -> bool:
    return type(value) is str and COMPANION_NAME.fullmatch(value) is not None


def _is_signer(value: Any) -> bool:
    return type(value) is str and _SIGNER.fullmatch(value) is not None


METADATA: Mapping[str, Callable[[Any], bool]] = {
    COMPANION: _is_companion,
    CREATED: _is_time,
    SIGNER: _is_signer,
    LABEL: _is_label,
    LIFETIME: _is_lifetime,
    PRINCIPAL: _is_principal,
    SID: _is_text,
    SINCE: _is_text,
}
"""What a session may keep beside its data: the key in the payload, hidden from the dict, and what a value has to be."""
_NAMES = frozenset(METADATA)


def pack(serializer: Serializer, data: dict[str, Any], metadata: Mapping[str, Any]) -> bytes:
    """The payload that holds a session.

    Raises:
        NotSerializable: A value cannot be written, or a key has a name that is reserved.
    """
    if not data.keys().isdisjoint(_NAMES):
        for name in data.keys() & _NAMES:
            raise NotSerializable(f"[{name!r}]", "the name is reserved for the session's own facts; use another")
    try:
        return serializer.dumps({**data, **metadata} if metadata else data)
    except NotSerializable as error:
        if metadata and not error.path:
            _check_keys(data, error)
        raise


def unpack(serializer: Serializer, payload: bytes) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Read a payload.

    Returns:
        The data as the application sees them, and the metadata.

    Raises:
        BadToken: ``bad_payload``: it is not a session's.
    """
    data = serializer.loads(payload)
    if data.keys().isdisjoint(_NAMES):
        return data, NO_METADATA
    metadata = {}
    for name in data.keys() & _NAMES:
        value = metadata[name] = data.pop(name)
        if not METADATA[name](value):
            raise BadToken("bad_payload")
    return data, metadata


def is_as_read(serializer: Serializer, read: bytes, data: dict[str, Any]) -> bool:
    """Whether the data are those in a payload, which Flask's JSON provider may have spelled otherwise."""
    # The texts tell 1 from True and 1.0, which are equal, and find NaN the same as NaN, which is not.
    return repr(unpack(serializer, read)[0]) == repr(data)


def _check_keys(data: Mapping[Any, Any], error: NotSerializable) -> None:
    """Name a key that is not a str, where it is what keeps the data from being written beside the metadata."""
    others = [key for key in data if not isinstance(key, str)]
    try:
        sorted(data)
    except TypeError:
        raise NotSerializable(item_path(others[0]), "its key is not a str; write str(key)") from error
