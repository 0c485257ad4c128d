"""AES-256-GCM under keys that are fresh for every message.

The only module that needs ``cryptography``; it is installed with
``pip install "session_mw[encrypted]"``. ``docs/encrypted-format.md`` has the bytes.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from session_mw.exceptions import BadToken

ID_SIZE = 4
SALT_SIZE = 16
HEAD_SIZE = 1 + ID_SIZE
TAG_SIZE = 16
_MASTER_SIZE = 64
_KEY_SIZE = 32
_NONCE_SIZE = 12


class Unsealed(NamedTuple):
    """What a sealed message held."""

    version: bytes
    """The first byte, which is authenticated like the rest."""
    content: bytes
    """What was sealed."""


class _Master:
    """What is derived from one secret key for one context: an id, and a keyed HMAC-SHA512.

    Key and id are separate output of HKDF (RFC 5869), so the id tells nothing of the key.
    """

    __slots__ = ("_keyed", "id")

    def __init__(self, secret_key: bytes, context: bytes) -> None:
        material = HKDF(SHA512(), _MASTER_SIZE + ID_SIZE, None, context).derive(secret_key)
        self.id = material[_MASTER_SIZE:]
        self._keyed = hmac.new(material[:_MASTER_SIZE], digestmod="sha512")

    def cipher(self, salt: bytes, visitor: bytes | None) -> tuple[AESGCM, bytes]:
        """The cipher and the nonce of one message: HKDF-Expand with its salt as the info.

        One block of SHA-512 holds both, so the expansion is a single HMAC.
        """
        expand = self._keyed.copy()
        if visitor is not None:
            # HKDF-Extract: nobody can predict its output without both the master key and the visitor's secret.
            expand.update(visitor)
            expand = hmac.new(expand.digest(), digestmod="sha512")
        expand.update(salt + b"\x01")
        block = expand.digest()
        return AESGCM(block[:_KEY_SIZE]), block[_KEY_SIZE : _KEY_SIZE + _NONCE_SIZE]


class Keyring:
    """Seals with the current key, opens with the current and with older ones.

    Args:
        secret_key: The key that seals.
        fallbacks: Keys that only open, newest first.
        context: What the messages are for, as :func:`.records.delimited` writes it. Keys
            are derived from it, so a message of one context never opens in another.
    """

    __slots__ = ("_context", "_current", "_masters")

    def __init__(self, secret_key: bytes, fallbacks: Sequence[bytes], context: bytes) -> None:
        masters = [_Master(key, context) for key in (secret_key, *fallbacks)]
        self._context = context
        self._current = masters[0]
        self._masters = {master.id: master for master in reversed(masters)}

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._masters)} keys>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a keyring holds secret keys and is not pickled or copied; build another one")

    def seal(self, version: bytes, content: bytes, *, bound: bytes = b"", visitor: bytes | None = None) -> bytes:
        """Encrypt ``content``.

        Args:
            version: One byte that stands in front, readable and authenticated.
            content: The bytes to hide.
            bound: What must be the same when it is opened; not kept in the message.
            visitor: A second secret, without which the secret key opens nothing.
        """
        head = version + self._current.id
        salt = os.urandom(SALT_SIZE)
        cipher, nonce = self._current.cipher(salt, visitor)
        return head + salt + cipher.encrypt(nonce, content, head + self._context + bound)

    def is_current(self, sealed: bytes) -> bool:
        """Whether a message that :meth:`open` accepted was sealed with the current key."""
        return sealed[1:HEAD_SIZE] == self._current.id

    def knows(self, sealed: bytes) -> bool:
        """Whether a message names one of the keys; :meth:`open` alone tells whether it is authentic."""
        return sealed[1:HEAD_SIZE] in self._masters

    def open(self, sealed: bytes, *, bound: bytes = b"", visitor: bytes | None = None) -> Unsealed:
        """Decrypt what :meth:`seal` made with the same ``bound`` and ``visitor``.

        Raises:
            BadToken: It is not authentic, with the reason ``bad_signature`` whatever is wrong.
        """
        head, salt = sealed[:HEAD_SIZE], sealed[HEAD_SIZE : HEAD_SIZE + SALT_SIZE]
        master = self._masters.get(head[1:])
        if master is None:
            raise BadToken("bad_signature")
        cipher, nonce = master.cipher(salt, visitor)
        try:
            content = cipher.decrypt(nonce, sealed[HEAD_SIZE + SALT_SIZE :], head + self._context + bound)
        except InvalidTag:
            raise BadToken("bad_signature") from None
        return Unsealed(head[:1], content)
