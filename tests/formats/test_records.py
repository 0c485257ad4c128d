"""What a store holds, readable and encrypted."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
from collections.abc import Callable

import pytest

pytest.importorskip("cryptography")

from hypothesis import given
from hypothesis import strategies as st

from session_mw.codecs.encrypted import EncryptedRecords
from session_mw.codecs.records import PlainRecords, Records
from session_mw.exceptions import BadToken
from support import encrypted_reference as reference

KEY = b"test-secret-key-0123456789abcdef"
OLD = b"an old key: 0123456789abcdef0123"
TOKEN = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
OTHER_TOKEN = "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
PAYLOAD = b'{"name":"Alice"}'
VECTORS = reference.vectors("record")

Make = Callable[..., Records]


def key_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


STORE_KEY = key_of(TOKEN)


def plain(name: str = "session", salt: str = "cookie-session") -> Records:
    return PlainRecords(name, salt)


def encrypted(name: str = "session", salt: str = "cookie-session") -> Records:
    return EncryptedRecords(KEY, cookie_name=name, salt=salt)


both = pytest.mark.parametrize("make", [plain, encrypted])


def assert_rejected(records: Records, data: bytes, token: str = TOKEN, key: str = STORE_KEY) -> None:
    with pytest.raises(BadToken) as caught:
        records.unseal(token, key, data)
    error = caught.value
    assert (type(error), error.reason, error.__cause__) == (BadToken, "bad_payload", None)


@both
@given(payload=st.binary(max_size=2000), token=st.text("abcXYZ019-_", min_size=43, max_size=43))
def test_a_sealed_record_comes_back(make: Make, payload: bytes, token: str) -> None:
    data = make().seal(token, key_of(token), payload)
    assert make().unseal(token, key_of(token), data) == payload


@both
def test_a_record_copied_under_another_key_is_rejected(make: Make) -> None:
    data = make().seal(TOKEN, STORE_KEY, PAYLOAD)
    assert_rejected(make(), data, OTHER_TOKEN, key_of(OTHER_TOKEN))
    assert_rejected(make(), data, TOKEN, key_of(OTHER_TOKEN))
    assert_rejected(make(), data, TOKEN, STORE_KEY.upper())


@both
@pytest.mark.parametrize(
    ("name", "salt"),
    [
        ("session2", "cookie-session"),
        ("session", "shop"),
        ("ession", "cookie-sessions"),
        ("cookie-session", "session"),
    ],
)
def test_a_record_of_another_application_is_rejected(make: Make, name: str, salt: str) -> None:
    assert_rejected(make(), make(name, salt).seal(TOKEN, STORE_KEY, PAYLOAD))
    assert_rejected(make(name, salt), make().seal(TOKEN, STORE_KEY, PAYLOAD))


def test_a_readable_record_is_not_taken_for_an_encrypted_one_nor_the_reverse() -> None:
    assert_rejected(encrypted(), plain().seal(TOKEN, STORE_KEY, PAYLOAD))
    assert_rejected(plain(), encrypted().seal(TOKEN, STORE_KEY, PAYLOAD))


@both
@pytest.mark.parametrize(
    "data", [b"", b"\0", b"P", b"E", b"{}", b'{"a":', b"ended", b"\x80\x04}.", b"P" * 99, b"E" * 99]
)
def test_a_record_that_something_else_wrote_is_rejected(make: Make, data: bytes) -> None:
    assert_rejected(make(), data)


@both
@given(data=st.binary(max_size=300))
def test_whatever_stands_in_the_store_is_rejected(make: Make, data: bytes) -> None:
    assert_rejected(make(), data)


@both
def test_a_record_cut_off_in_its_head_is_rejected(make: Make) -> None:
    data = make().seal(TOKEN, STORE_KEY, b"")
    for end in range(len(data)):
        assert_rejected(make(), data[:end])


def test_the_page_has_a_record() -> None:
    assert len(VECTORS) == 1


@pytest.mark.parametrize("vector", VECTORS)
def test_a_readable_record_is_as_the_page_says(vector: reference.Vector) -> None:
    records = PlainRecords(vector["cookie name"], vector["salt"])
    data = records.seal(vector["visitor's token"], vector["store key"], vector["payload"].encode())
    assert data == reference.make_plain_record(vector) == vector["plain record"].encode()


@pytest.mark.parametrize("vector", VECTORS)
def test_an_encrypted_record_is_as_the_page_says(vector: reference.Vector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda size: bytes.fromhex(vector["message salt"])[:size])
    records = EncryptedRecords(vector["secret key"].encode(), cookie_name=vector["cookie name"], salt=vector["salt"])
    data = records.seal(vector["visitor's token"], vector["store key"], vector["payload"].encode())
    assert data == reference.make_record(vector) == bytes.fromhex(vector["sealed record"])
    assert records.unseal(vector["visitor's token"], vector["store key"], data) == vector["payload"].encode()


@pytest.mark.parametrize("vector", VECTORS)
def test_keys_of_an_encrypted_record_are_derived_as_the_page_says(vector: reference.Vector) -> None:
    keys = reference.keys_of(reference.RECORD, vector)
    key, nonce = reference.record_key(keys, bytes.fromhex(vector["message salt"]), vector["visitor's token"])
    assert (keys.id.hex(), key.hex(), nonce.hex()) == (vector["key id"], vector["message key"], vector["nonce"])
    assert vector["store key"] == key_of(vector["visitor's token"])


def test_the_store_and_the_secret_key_reveal_nothing_without_the_visitors_token() -> None:
    data = encrypted().seal(TOKEN, STORE_KEY, PAYLOAD)
    assert b"Alice" not in data
    for guess in (OTHER_TOKEN, STORE_KEY, "", TOKEN[:-1], TOKEN + "\0"):
        assert_rejected(encrypted(), data, guess)


def test_the_token_opens_nothing_without_the_secret_key() -> None:
    other = EncryptedRecords(OLD, cookie_name="session")
    assert_rejected(other, encrypted().seal(TOKEN, STORE_KEY, PAYLOAD))


def test_an_encrypted_record_with_any_bit_flipped_is_rejected() -> None:
    data = encrypted().seal(TOKEN, STORE_KEY, b"{}")
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert_rejected(encrypted(), bytes(flipped))
    assert_rejected(encrypted(), data + b"\0")


def test_an_authentic_record_of_an_unknown_version_is_rejected() -> None:
    settings = {"secret key": KEY.decode(), "salt": "cookie-session", "cookie name": "session"}
    keys, bound = reference.keys_of(reference.RECORD, settings), reference.delimited(STORE_KEY.encode())
    known, unknown = (reference.seal(keys, version, b"{}", bound=bound, visitor=TOKEN) for version in (b"E", b"F"))
    assert encrypted().unseal(TOKEN, STORE_KEY, known) == b"{}"
    assert_rejected(encrypted(), unknown)


def test_no_two_encrypted_records_have_a_salt_in_common() -> None:
    assert len({encrypted().seal(TOKEN, STORE_KEY, b"{}")[5:21] for _ in range(300)}) == 300


def test_a_fallback_key_opens_a_record_and_its_age_can_be_seen() -> None:
    old = EncryptedRecords(OLD, cookie_name="session").seal(TOKEN, STORE_KEY, PAYLOAD)
    rotated = EncryptedRecords(KEY, [OLD], cookie_name="session")
    assert rotated.unseal(TOKEN, STORE_KEY, old) == PAYLOAD
    assert not rotated.is_current(old)
    assert rotated.is_current(rotated.seal(TOKEN, STORE_KEY, PAYLOAD))
    assert_rejected(encrypted(), old)


def test_a_key_can_be_known_before_it_seals_records() -> None:
    new = encrypted().seal(TOKEN, STORE_KEY, PAYLOAD)
    assert EncryptedRecords(OLD, [KEY], cookie_name="session").unseal(TOKEN, STORE_KEY, new) == PAYLOAD


def test_a_readable_record_is_always_current() -> None:
    assert plain().is_current(plain().seal(TOKEN, STORE_KEY, PAYLOAD))


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_encrypted_records_are_never_copied_or_pickled(copied: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="secret keys and are not pickled or copied"):
        copied(encrypted())


def test_no_key_is_in_a_repr() -> None:
    assert repr(encrypted()) == "EncryptedRecords()"
