"""A second implementation of docs/encrypted-format.md, and that page's test vectors."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import zlib
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from support.markdown import DOCS, blocks_of

PAGE = DOCS / "encrypted-format.md"
COOKIE = b"session_mw cookie encryption"
RECORD = b"session_mw record encryption"
VALUE_COLUMN = 20

Vector = dict[str, str]


def vectors(kind: str) -> list[Vector]:
    """The vectors of a kind (``cookie`` or ``record``), by the names that stand on the page."""
    (block,) = blocks_of(PAGE, "text")
    parts = [part.splitlines() for part in block.text.strip().split("\n\n")]
    return [dict(_named(line) for line in lines[1:]) for lines in parts if lines[0] == kind]


def _named(line: str) -> tuple[str, str]:
    return line[:VALUE_COLUMN].strip(), line[VALUE_COLUMN:]


def delimited(*fields: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(field)) + field for field in fields)


class Keys(NamedTuple):
    """What the page's section "Keys" makes of a secret key."""

    context: bytes
    master: bytes
    id: bytes


def keys_of(purpose: bytes, vector: Vector) -> Keys:
    context = delimited(purpose, vector["salt"].encode(), vector["cookie name"].encode())
    output = HKDF(SHA512(), 68, None, context).derive(vector["secret key"].encode())
    return Keys(context, output[:64], output[64:])


def cookie_key(keys: Keys, message_salt: bytes) -> tuple[bytes, bytes]:
    derived = HKDFExpand(SHA512(), 44, message_salt).derive(keys.master)
    return derived[:32], derived[32:]


def record_key(keys: Keys, message_salt: bytes, token: str) -> tuple[bytes, bytes]:
    derived = HKDF(SHA512(), 44, keys.master, message_salt).derive(token.encode())
    return derived[:32], derived[32:]


def raw(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def seal(keys: Keys, version: bytes, plain: bytes, *, bound: bytes = b"", visitor: str | None = None) -> bytes:
    """A message of any version and content; with a visitor's token a record's, else a cookie's."""
    salt = os.urandom(16)
    key, nonce = cookie_key(keys, salt) if visitor is None else record_key(keys, salt, visitor)
    head = version + keys.id
    return head + salt + AESGCM(key).encrypt(nonce, plain, head + keys.context + bound)


def make_token(vector: Vector, body: bytes | None = None) -> str:
    """The token of a vector; ``body`` stands in place of the payload as its version writes it."""
    keys, salt, version = keys_of(COOKIE, vector), bytes.fromhex(vector["message salt"]), int(vector["version"])
    key, nonce = cookie_key(keys, salt)
    head = bytes([version]) + keys.id
    if body is None:
        body = vector["payload"].encode() if version == 1 else zlib.compress(vector["payload"].encode())
    plain = struct.pack(">II", int(vector["created"]), int(vector["written"])) + body
    return text(head + salt + AESGCM(key).encrypt(nonce, plain, head + keys.context))


def open_token(vector: Vector, token: str) -> bytes:
    """The plain text: two times and the payload."""
    sealed, keys = raw(token), keys_of(COOKIE, vector)
    key, nonce = cookie_key(keys, sealed[5:21])
    return AESGCM(key).decrypt(nonce, sealed[21:], sealed[:5] + keys.context)


def make_record(vector: Vector) -> bytes:
    keys, salt = keys_of(RECORD, vector), bytes.fromhex(vector["message salt"])
    key, nonce = record_key(keys, salt, vector["visitor's token"])
    head = b"E" + keys.id
    bound = keys.context + delimited(vector["store key"].encode())
    return head + salt + AESGCM(key).encrypt(nonce, vector["payload"].encode(), head + bound)


def make_plain_record(vector: Vector) -> bytes:
    context = delimited(b"session_mw record", vector["salt"].encode(), vector["cookie name"].encode())
    digest = hashlib.blake2b(context + vector["store key"].encode(), digest_size=16).digest()
    return b"P" + base64.b64encode(digest)[:22] + vector["payload"].encode()
