"""Encrypted cookies."""

from __future__ import annotations

import copy
import os
import pickle
import string
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("cryptography")

from hypothesis import given
from hypothesis import strategies as st

from session_mw.codecs.encrypted import EncryptedCodec
from session_mw.codecs.signed import SignedCodec
from session_mw.exceptions import BadToken
from support import encrypted_reference as reference
from support.held import bytes_in, parts_of

KEY = b"test-secret-key-0123456789abcdef"
OLD = b"an old key: 0123456789abcdef0123"
NOW = 1700000000
MIB = 2**20
ALPHABET = string.ascii_letters + string.digits + "-_"
FOREIGN = '=+/. \t\r\n\0\x7f\xff%"é٣\ud800'
COOKIES = reference.vectors("cookie")
times = st.integers(0, 2**32 - 1)


def make(key: bytes = KEY, *fallbacks: bytes, name: str = "session", salt: str = "cookie-session") -> EncryptedCodec:
    return EncryptedCodec(key, fallbacks, cookie_name=name, salt=salt)


CODEC = make()
TOKEN = CODEC.encode(b'{"a":1}', NOW, NOW)


def rejection(codec: EncryptedCodec, token: str) -> BadToken:
    with pytest.raises(BadToken) as caught:
        codec.decode(token)
    return caught.value


def assert_rejected(codec: EncryptedCodec, token: str) -> None:
    error = rejection(codec, token)
    seen = (type(error), str(error), error.reason, error.__cause__, error.__suppress_context__ or not error.__context__)
    assert seen == (BadToken, "the session token was refused: bad_signature", "bad_signature", None, True)


# Round trips and the format


@given(st.binary(max_size=3000), times, times, st.booleans())
def test_what_was_encrypted_comes_back(payload: bytes, created: int, now: int, compress: bool) -> None:
    codec = EncryptedCodec(KEY, cookie_name="session", compress=compress)
    token = codec.encode(payload, created, now)
    assert CODEC.decode(token) == (payload, now, created, True)
    assert codec.shape.fullmatch(token) or len(token) > 4096


@given(st.binary(max_size=200), times, times, times)
def test_a_renewed_token_keeps_its_payload_and_creation_time(payload: bytes, created: int, then: int, now: int) -> None:
    renewed = CODEC.renew(CODEC.encode(payload, created, then), now)
    assert CODEC.decode(renewed) == (payload, now, created, True)


@given(st.binary(min_size=1), st.text(string.printable), st.text(string.printable), st.binary(max_size=99), times)
def test_any_key_name_and_salt_work(key: bytes, name: str, salt: str, payload: bytes, now: int) -> None:
    token = make(key, name=name, salt=salt).encode(payload, now, now)
    assert make(KEY, key, name=name, salt=salt).decode(token)[0] == payload


def test_the_page_has_vectors() -> None:
    assert [vector["version"] for vector in COOKIES] == ["1", "1", "1", "1", "2"]


@pytest.mark.parametrize("vector", COOKIES)
def test_a_vector_of_the_page_opens(vector: reference.Vector) -> None:
    codec = make(vector["secret key"].encode(), name=vector["cookie name"], salt=vector["salt"])
    expected = (vector["payload"].encode(), int(vector["written"]), int(vector["created"]), True)
    assert codec.decode(vector["token"]) == expected


@pytest.mark.parametrize("vector", COOKIES)
def test_keys_of_a_vector_are_derived_as_the_page_says(vector: reference.Vector) -> None:
    keys = reference.keys_of(reference.COOKIE, vector)
    key, nonce = reference.cookie_key(keys, bytes.fromhex(vector["message salt"]))
    assert (keys.id.hex(), key.hex(), nonce.hex()) == (vector["key id"], vector["message key"], vector["nonce"])


@pytest.mark.parametrize("vector", [vector for vector in COOKIES if vector["version"] == "1"])
def test_a_vector_of_the_page_is_made_to_the_byte(vector: reference.Vector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda size: bytes.fromhex(vector["message salt"])[:size])
    codec = make(vector["secret key"].encode(), name=vector["cookie name"], salt=vector["salt"])
    token = codec.encode(vector["payload"].encode(), int(vector["created"]), int(vector["written"]))
    assert token == reference.make_token(vector) == vector["token"]


@given(st.binary(max_size=300), times, times)
def test_another_implementation_of_the_page_reads_our_tokens(payload: bytes, created: int, now: int) -> None:
    plain = reference.open_token(COOKIES[0], CODEC.encode(payload, created, now))
    assert plain == struct.pack(">II", created, now) + payload


def test_146_bytes_of_json_make_255_characters() -> None:
    assert len(CODEC.encode(b'{"name":"%s"}' % (b"x" * 135), NOW, NOW)) == 255


def test_the_times_and_the_content_cannot_be_seen_in_a_token() -> None:
    sealed = reference.raw(CODEC.encode(b'{"name":"Alice"}', NOW, NOW + 1))
    assert not any(part in sealed for part in (b"Alice", struct.pack(">I", NOW), struct.pack(">I", NOW + 1)))


def test_no_two_messages_have_a_salt_or_a_text_in_common() -> None:
    sealed = [reference.raw(CODEC.encode(b"{}", NOW, NOW)) for _ in range(500)]
    assert len({one[5:21] for one in sealed}) == len({one[21:] for one in sealed}) == 500


# Rejections


def changed(token: str, characters: str) -> Iterator[str]:
    for place, old in enumerate(token):
        yield from (token[:place] + new + token[place + 1 :] for new in characters if new != old)


def inserted(token: str, characters: str) -> Iterator[str]:
    places = range(len(token) + 1)
    return (token[:place] + new + token[place:] for place in places for new in characters)


@pytest.mark.parametrize("payload", [b"{}", b'{"a":1}', b'{"a":12}'], ids=len)
def test_a_token_with_any_character_changed_is_rejected(payload: bytes) -> None:
    token = CODEC.encode(payload, NOW, NOW)
    for forged in changed(token, ALPHABET + FOREIGN):
        assert_rejected(CODEC, forged)


@pytest.mark.parametrize("payload", [b"{}", b'{"a":1}', b'{"a":12}'], ids=len)
def test_a_token_with_any_character_inserted_is_rejected(payload: bytes) -> None:
    token = CODEC.encode(payload, NOW, NOW)
    for forged in inserted(token, ALPHABET + FOREIGN):
        assert_rejected(CODEC, forged)


@pytest.mark.parametrize("payload", [b"{}", b'{"a":1}', b'{"a":12}'], ids=len)
def test_a_token_with_any_part_missing_is_rejected(payload: bytes) -> None:
    token = CODEC.encode(payload, NOW, NOW)
    for start in range(len(token)):
        for end in range(start + 1, len(token) + 1):
            assert_rejected(CODEC, token[:start] + token[end:])


def test_a_token_with_any_bit_flipped_is_rejected() -> None:
    sealed = reference.raw(TOKEN)
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        assert_rejected(CODEC, reference.text(bytes(flipped)))


@given(st.text() | st.text(ALPHABET, max_size=4096) | st.binary(max_size=300).map(reference.text))
def test_whatever_a_client_makes_up_is_rejected(token: str) -> None:
    assert_rejected(CODEC, token)


@given(st.binary(max_size=300))
def test_a_made_up_message_with_our_key_id_is_rejected(rest: bytes) -> None:
    assert_rejected(CODEC, reference.text(reference.raw(TOKEN)[:5] + rest))


@pytest.mark.parametrize(
    "other",
    [
        make(OLD),
        make(KEY + b"\0"),
        make(KEY, name="session2"),
        make(KEY, name="Session"),
        make(KEY, salt="cookie-session2"),
        make(KEY, name="sessionx", salt="cookie-session"),
        make(KEY, name="ession", salt="cookie-sessions"),
        make(KEY, name="cookie-session", salt="session"),
    ],
)
def test_a_token_of_another_key_name_or_salt_is_rejected(other: EncryptedCodec) -> None:
    assert_rejected(other, TOKEN)
    assert_rejected(CODEC, other.encode(b"{}", NOW, NOW))


def test_a_key_id_put_before_another_keys_message_does_not_help() -> None:
    foreign = reference.raw(make(OLD).encode(b"{}", NOW, NOW))
    assert_rejected(CODEC, reference.text(reference.raw(TOKEN)[:5] + foreign[5:]))


def keys_of(purpose: bytes) -> reference.Keys:
    return reference.keys_of(purpose, {"secret key": KEY.decode(), "salt": "cookie-session", "cookie name": "session"})


def test_a_token_of_another_purpose_is_rejected() -> None:
    assert_rejected(CODEC, reference.text(reference.seal(keys_of(reference.RECORD), b"\x01", bytes(10))))


def test_an_authentic_token_of_an_unknown_version_is_rejected() -> None:
    keys = keys_of(reference.COOKIE)
    assert CODEC.decode(reference.text(reference.seal(keys, b"\x01", bytes(10))))[0] == b"\0\0"
    for version in range(256):
        if version not in (1, 2):
            assert_rejected(CODEC, reference.text(reference.seal(keys, bytes([version]), bytes(10))))


def test_a_token_that_is_only_signed_does_not_open_and_the_reverse() -> None:
    signed = SignedCodec(KEY)
    token = signed.encode(b'{"a":1}', NOW, NOW)
    assert_rejected(CODEC, token)
    assert not CODEC.shape.fullmatch(token)
    assert not signed.shape.fullmatch(TOKEN)
    with pytest.raises(BadToken):
        signed.decode(TOKEN)


def test_the_shape_has_every_token_and_no_stored_sessions_id() -> None:
    assert CODEC.shape.fullmatch(CODEC.encode(b"", NOW, NOW))
    assert CODEC.shape.fullmatch("A" * 4096)
    rejected = ["A" * 59, "A" * 4097, "A" * 43, TOKEN + "\n", TOKEN + "=", TOKEN[:-1] + "٣", TOKEN[:-1] + "é"]
    assert not any(CODEC.shape.fullmatch(value) for value in rejected)


# Keys


def test_a_fallback_opens_and_says_so() -> None:
    token = make(OLD).encode(b"{}", NOW, NOW)
    assert make(KEY, b"another key in between", OLD).decode(token) == (b"{}", NOW, NOW, False)


def test_a_key_can_be_known_before_it_is_used() -> None:
    before, between, after = make(OLD), make(OLD, KEY), make(KEY, OLD)
    old, new = between.encode(b"{}", NOW, NOW), after.encode(b"{}", NOW, NOW)
    assert before.decode(old)[3]
    assert after.decode(old) == (b"{}", NOW, NOW, False)
    assert between.decode(new) == (b"{}", NOW, NOW, False)
    assert_rejected(before, new)


def test_a_renewed_token_is_made_with_the_current_key() -> None:
    token = make(KEY, OLD).renew(make(OLD).encode(b"{}", NOW - 9, NOW - 5), NOW)
    assert make(KEY).decode(token) == (b"{}", NOW, NOW - 9, True)
    assert_rejected(make(OLD), token)


def test_the_current_key_among_the_fallbacks_is_still_the_current_one() -> None:
    assert make(KEY, OLD, KEY).decode(TOKEN)[3]


def test_a_dropped_key_opens_nothing() -> None:
    assert_rejected(CODEC, make(OLD).encode(b"{}", NOW, NOW))


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_codec_and_its_keyring_are_never_copied_or_pickled(copied: Callable[[object], object]) -> None:
    holders = [part for part in parts_of(CODEC) if not type(part).__name__.startswith("_")]
    assert len(holders) > 1
    for holder in holders:
        with pytest.raises(TypeError):
            copied(holder)
    with pytest.raises(TypeError, match="secret keys and is not pickled or copied"):
        copied(CODEC)


def test_no_key_is_in_a_repr_or_kept_as_it_was() -> None:
    assert repr(CODEC) == "EncryptedCodec(cookie_name='session', compress=False)"
    codec = make(KEY, OLD)
    shown = "".join(map(repr, parts_of(codec)))
    assert not any(key in text for key in (KEY, OLD) for text in (*bytes_in(codec), shown.encode()))


# Times


@pytest.mark.parametrize(("created", "now"), [(-1, 0), (0, -1), (2**32, 0), (0, 2**32)])
def test_a_time_that_the_format_cannot_hold_is_an_error_of_the_server(created: int, now: int) -> None:
    with pytest.raises(ValueError, match=f"1970 to 2106, not {created} and {now}; check the clock"):
        CODEC.encode(b"{}", created, now)


def test_the_first_and_the_last_time_are_kept() -> None:
    assert CODEC.decode(CODEC.encode(b"{}", 0, 2**32 - 1)) == (b"{}", 2**32 - 1, 0, True)


def test_the_format_has_a_place_for_the_creation_time() -> None:
    assert CODEC.carries_created


# Compression


def compressed_token(body: bytes) -> str:
    """An authentic token whose compressed payload is any bytes."""
    return reference.make_token(COOKIES[-1], body)


def deflated(payload: bytes, wbits: int) -> bytes:
    """The payload without a header, or with gzip's, which zlib reads when told to."""
    stream = zlib.compressobj(wbits=wbits)
    return stream.compress(payload) + stream.flush()


def test_a_payload_is_compressed_only_when_asked() -> None:
    payload = b'{"x":"%s"}' % (b"A" * 1000)
    compressing = EncryptedCodec(KEY, cookie_name="session", compress=True)
    assert len(CODEC.encode(payload, NOW, NOW)) > len(payload)
    assert len(compressing.encode(payload, NOW, NOW)) < 120


def test_a_payload_that_compression_makes_longer_stays_as_it_is() -> None:
    compressing = EncryptedCodec(KEY, cookie_name="session", compress=True)
    assert len(compressing.encode(b'{"a":1}', NOW, NOW)) == len(TOKEN)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not zlib",
        zlib.compress(b"{}")[:-1],
        zlib.compress(b"{}") + b"\0",
        zlib.compress(b"{}") * 2,
        deflated(b"{}", -15),
        deflated(b"{}", 31),
        zlib.compress(b"x" * (MIB + 1)),
        zlib.compress(b"x" * MIB) + b"x",
    ],
)
def test_an_authentic_token_that_is_not_one_whole_stream_is_bad(body: bytes) -> None:
    error = rejection(CODEC, compressed_token(body))
    assert (error.reason, error.__cause__) == ("bad_payload", None)


def test_exactly_one_mebibyte_inflates() -> None:
    assert CODEC.decode(compressed_token(zlib.compress(b"x" * MIB)))[0] == b"x" * MIB


def test_inflating_stops_at_the_limit() -> None:
    token = compressed_token(zlib.compress(b"x" * (5 * MIB // 2)))
    assert CODEC.shape.fullmatch(token)
    tracemalloc.start()
    try:
        assert rejection(CODEC, token).reason == "bad_payload"
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


# Threads


def test_threads_share_a_codec() -> None:
    def work(number: int) -> bool:
        payload = b"%d" % number
        return CODEC.decode(CODEC.encode(payload, number, number)) == (payload, number, number, True)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(2000)))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        # As in the second sub-interpreter of mod_wsgi, without a library of the system, and in a broken installation.
        ("raise ImportError('not in subinterpreters')", "ImportError: not in subinterpreters"),
        ("raise OSError('libssl.so.3: cannot open')", "OSError: libssl.so.3: cannot open"),
        ("import _no_such_backend", "ModuleNotFoundError: No module named '_no_such_backend'"),
        ("raise AttributeError('x')", "AttributeError: x"),
    ],
)
def test_a_cryptography_that_cannot_be_loaded_is_not_told_as_missing(tmp_path, code, words):
    (tmp_path / "cryptography").mkdir()
    (tmp_path / "cryptography" / "__init__.py").write_text(code)
    program = (
        "from session_mw import ConfigurationError, SessionManager\n"
        "try: SessionManager('a-key-for-the-tests-of-encryption', encrypt=True)\n"
        "except ConfigurationError as error: print(error)"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stdout == (f"encrypt=True: the package 'cryptography' is installed and cannot be loaded: {words}\n")
