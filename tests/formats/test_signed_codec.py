"""Flask's token: its bytes, its strictness, its keys; beside itsdangerous."""

from __future__ import annotations

import contextlib
import hashlib
import re
import tracemalloc
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from session_mw.codecs.base64url import b64decode, b64encode
from session_mw.codecs.signed import PreparedSigner, SignedCodec
from session_mw.exceptions import BadToken
from session_mw.protocols import MAX_PAYLOAD
from session_mw.tagged_json import TaggedJSON

KEY = b"test-secret-key-0123456789abcdef"
OLD, OLDER = b"an-old-secret-key-0123456789abcd", b"an-older-secret-key-0123456789ab"
NOW = 1700000000
CODEC = SignedCodec(KEY)
SIGNER = PreparedSigner([KEY], "cookie-session", "sha1")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
AUTHENTIC = "eyJhIjoxfQ.ZVPxAA.9hkqH6PKzZpOGDGFMPKfySe7Tp8"
COMPRESSED = ".eJyrVqpQslJyHCZAqRYAnEY0-w.ZVPxAA.58xL0uLzJEUy_MwiXY-eBfhqLig"
payloads = st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode(errors="replace") * 3)


class Raw:
    """A serializer that leaves bytes as they are."""

    @staticmethod
    def dumps(payload: bytes) -> bytes:
        return payload

    loads = dumps


class Standing(URLSafeTimedSerializer):
    """itsdangerous at a time that stands still."""

    class default_signer(URLSafeTimedSerializer.default_signer):
        def get_timestamp(self) -> int:
            return NOW


def flasks(*keys: bytes, salt: str = "cookie-session", digest: str = "sha1") -> URLSafeTimedSerializer:
    options = {"key_derivation": "hmac", "digest_method": getattr(hashlib, digest)}
    return Standing([*keys], salt=salt, serializer=Raw, signer_kwargs=options)


def signed(value: str) -> str:
    return f"{value}.{SIGNER.get_signature(value).decode()}"


def rejected(token: str, codec: SignedCodec = CODEC) -> str:
    with pytest.raises(BadToken) as caught:
        codec.decode(token)
    assert str(caught.value) == f"the session token was refused: {caught.value.reason}"
    return caught.value.reason


# The bytes


@pytest.mark.parametrize(
    ("key", "data", "token"),
    [
        (KEY, {"a": 1}, AUTHENTIC),
        (
            KEY,
            {"user_id": 42, "name": "Zoë"},
            "eyJuYW1lIjoiWm9cdTAwZWIiLCJ1c2VyX2lkIjo0Mn0.ZVPxAA.bpYFzm1-pWHd7htM39WS20bCcrw",
        ),
        (KEY, {"_permanent": True}, "eyJfcGVybWFuZW50Ijp0cnVlfQ.ZVPxAA.LEWtzHkuCGew8JHsTNoRCuSvC8w"),
        (KEY, {"b": 1, "a": 2}, "eyJhIjoyLCJiIjoxfQ.ZVPxAA.okjnuoxMN7r4-DePEtB8OWyH3lg"),
        (b"dev", {}, "e30.ZVPxAA.G9CsbqNauYyuVcGETViEUblgw6A"),
        ("dev", {"a": 1}, "eyJhIjoxfQ.ZVPxAA.D3QXMI0ZQYNZDxORB__kVZyT7hk"),
    ],
)
def test_a_token_is_byte_for_byte_flasks(key, data, token):
    codec = SignedCodec(key)
    assert codec.encode(TaggedJSON().dumps(data), 0, NOW) == token
    payload, *facts = codec.decode(token)
    assert (TaggedJSON().loads(payload), facts) == (data, [NOW, None, True])


def test_a_compressed_token_of_flask_is_read_and_ours_holds_the_same():
    payload = TaggedJSON().dumps({"x": "A" * 200})
    assert CODEC.decode(COMPRESSED)[0] == payload
    assert CODEC.decode(CODEC.encode(payload, 0, NOW))[0] == payload


@pytest.mark.parametrize(
    "token", ["eyJhIjoxfQ.ZVPxAA.21SB160Pe7dlfOLWgOiMergPNVo", "e30.ZVPxAA.G9CsbqNauYyuVcGETViEUblgw6A"]
)
def test_a_token_of_another_salt_or_key_is_rejected(token):
    assert rejected(token) == "bad_signature"


@pytest.mark.parametrize("length", [0, 1, 2, 3, 50, 300, 3000, 4000, 100_000])
def test_a_payload_is_compressed_where_that_makes_it_shorter_by_two(length):
    for payload in (b"x" * length, bytes(range(256)) * (length // 256)):
        token = CODEC.encode(payload, 0, NOW) if payload else ""
        assert token.startswith(".") == (bool(payload) and len(zlib.compress(payload)) < len(payload) - 1)


@given(payloads.filter(bool), st.integers(min_value=1, max_value=2**40))
def test_what_is_encoded_is_decoded(payload, now):
    token = CODEC.encode(payload, 0, now)
    assert CODEC.shape.fullmatch(token)
    assert CODEC.decode(token)[:2] == (payload, now)
    assert CODEC.decode(CODEC.renew(token, now + 1))[:2] == (payload, now + 1)


# The window that the codec uses is smaller than zlib's: zlib's own answer is the measure.


def stream_of(payload: bytes) -> bytes:
    """The compressed payload in its token."""
    empty, body, *_ = CODEC.encode(payload, 0, NOW).split(".")
    assert not empty, "the payload was not compressed"
    return b64decode(body.encode())


@given(payloads)
def test_a_payload_is_compressed_to_a_zlib_stream_where_that_is_shorter(payload):
    assume(payload)
    token = CODEC.encode(payload, 0, NOW)
    if token.startswith("."):
        assert zlib.decompress(stream_of(payload)) == payload
        assert len(stream_of(payload)) < len(payload) - 1
    else:
        assert len(zlib.compress(payload)) + 2 >= len(payload) - 1
        assert b64decode(token.split(".")[0].encode()) == payload


def test_compressing_gives_what_zlib_gives_for_what_sessions_hold():
    for count in range(3, 90, 3):
        cart = [{"id": n * 7919, "name": f"item {n % 7}", "tags": ["new"] * (n % 3)} for n in range(count)]
        payload = TaggedJSON().dumps({"_permanent": True, "cart": cart, "user_id": 42})
        assert abs(len(stream_of(payload)) - len(zlib.compress(payload))) <= 2
        assert zlib.decompress(stream_of(payload)) == payload


@pytest.mark.parametrize("length", [2045, 2046, 2047, 2048, 3833, 3834, 3835, 4096, 8192, 100_000])
def test_compressing_is_right_on_both_sides_of_the_limit(length):
    for payload in (b"ab" * (length // 2), bytes(n * n % 251 for n in range(length))):
        assert zlib.decompress(stream_of(payload)) == payload


# Other spellings


@pytest.mark.parametrize("token", [AUTHENTIC, COMPRESSED])
def test_every_change_of_one_character_is_rejected(token):
    for position, was in enumerate(token):
        for other in ALPHABET + ".=+/ %\n\x00é":
            if other != was:
                assert rejected(token[:position] + other + token[position + 1 :]) in ("bad_signature", "malformed")


@pytest.mark.parametrize("token", [AUTHENTIC, COMPRESSED])
def test_every_insertion_and_deletion_is_rejected(token):
    for position in range(len(token) + 1):
        for extra in "A_.=+/ \n\x00é":
            rejected(token[:position] + extra + token[position:])
    for position in range(len(token)):
        rejected(token[:position] + token[position + 1 :])
        rejected(token[:position])
        rejected(token[position + 1 :])


def test_parts_in_another_order_or_number_are_rejected():
    payload, stamp, signature = AUTHENTIC.split(".")
    for parts in (
        [stamp, payload, signature],
        [payload, signature, stamp],
        [signature, stamp, payload],
        [payload, stamp],
        [payload, stamp, signature, signature],
        [payload, stamp, ""],
        ["", stamp, signature],
        [payload, "", signature],
    ):
        rejected(".".join(parts))


@given(st.text(alphabet=ALPHABET + ".=", max_size=60) | st.text(max_size=60))
def test_made_up_tokens_are_rejected(token):
    assert rejected(token) in ("bad_signature", "malformed")


def test_every_other_spelling_of_the_signature_is_rejected():
    value, _, signature = AUTHENTIC.rpartition(".")
    raw = b64decode(signature.encode())
    for last in ALPHABET:
        spelled = signature[:-1] + last
        if spelled != signature and urlsafe_b64decode_loose(spelled) == raw:
            rejected(f"{value}.{spelled}")
    for spelled in (f"{signature}=", f"{signature}==", f"{signature[:5]}\n{signature[5:]}", f" {signature}"):
        rejected(f"{value}.{spelled}")


def urlsafe_b64decode_loose(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize(
    "value",
    [
        *["eyJhIjoxfR.ZVPxAA", "eyJhIjoxfQ=.ZVPxAA", "eyJhIjoxfQ==.ZVPxAA", "eyJhIj oxfQ.ZVPxAA", "eyJhIjoxf.ZVPxAA"],
        *["eyJhIjoxfQ.ZVPxAB", "eyJhIjoxfQ.AGVT8QA", "eyJhIjoxfQ.AAAA", "eyJhIjoxfQ.A", "eyJhIjoxfQ.ZVPxA"],
        *["eyJhIjoxfQ.ZVPxAA==", "eyJhIjoxfQ.ZVPx AA", "eyJhIjoxfQ.+/8", ".ZVPxAA", "..ZVPxAA", "eyJhIjoxfQ."],
        *["eyJhIjoxfQ", "", ".", "eyJh.IjoxfQ.ZVPxAA", "..eyJhIjoxfQ.ZVPxAA", ".eyJhIjoxfQ.ZVPxAA", "é.ZVPxAA"],
    ],
)
def test_a_correctly_signed_value_that_is_not_canonical_is_rejected(value):
    assert rejected(signed(value)) in ("bad_payload", "malformed", "bad_signature")


@given(st.binary(min_size=1, max_size=40))
def test_of_all_spellings_of_a_correctly_signed_payload_one_is_accepted(payload):
    canonical = b64encode(payload)
    assert CODEC.decode(signed(f"{canonical}.ZVPxAA"))[0] == payload
    assume(len(canonical) % 4)
    for last in ALPHABET:
        if last != canonical[-1] and urlsafe_b64decode_loose(canonical[:-1] + last) == payload:
            assert rejected(signed(f"{canonical[:-1]}{last}.ZVPxAA")) == "bad_payload"


STREAM = zlib.compress(b'{"a":1}' * 20)


@pytest.mark.parametrize(
    "stream",
    [
        *[STREAM[:-1], STREAM[:-4], STREAM[:5], STREAM + b"\0", STREAM + STREAM, b"", b"\x78\x9c", b"garbage"],
        STREAM[:-1] + bytes([STREAM[-1] ^ 1]),
        zlib.compress(b'{"a":1}' * 20)[2:-4],
        zlib.compress(b"x" * (MAX_PAYLOAD + 1)),
        zlib.compress(b"x" * 3 * MAX_PAYLOAD),
    ],
)
def test_compressed_is_exactly_one_whole_zlib_stream_within_the_limit(stream):
    value = f".{b64encode(stream)}.ZVPxAA"
    assert rejected(signed(value)) in ("bad_payload", "malformed", "bad_signature")


def test_one_mebibyte_is_inflated():
    assert len(CODEC.decode(signed(f".{b64encode(zlib.compress(b'x' * MAX_PAYLOAD))}.ZVPxAA"))[0]) == MAX_PAYLOAD


def test_nothing_is_inflated_before_the_signature_was_found_good(monkeypatch):
    def unexpected(*_: object) -> None:
        raise AssertionError("the content of an unverified token was looked at")

    monkeypatch.setattr(zlib, "decompressobj", unexpected)
    with pytest.raises(AssertionError, match="was looked at"):
        CODEC.decode(COMPRESSED)
    assert rejected(COMPRESSED[:-1] + "A") == "bad_signature"


def test_nothing_is_decoded_before_the_signature_was_found_good():
    """What verifies copies the token twice; the bytes that stand in it are less than one more copy."""

    def copies(token: str) -> float:
        tracemalloc.start()
        try:
            with contextlib.suppress(BadToken):
                CODEC.decode(token)
            return tracemalloc.get_traced_memory()[1] / len(token)
        finally:
            tracemalloc.stop()

    token = signed("A" * 4 * 10**6 + ".ZVPxAA")
    assert copies(token[:-1] + ("A" if token[-1] != "A" else "Q")) < 2.1 < 2.7 < copies(token)


@pytest.mark.parametrize("stamp", [2**40, 2**48, 2**63, 2**64 - 1, 253402300800])
def test_a_timestamp_of_the_far_future_is_a_number_like_any_other(stamp):
    text = b64encode(stamp.to_bytes((stamp.bit_length() + 7) // 8, "big"))
    assert CODEC.decode(signed(f"eyJhIjoxfQ.{text}"))[1] == stamp


# Keys and digests


@pytest.mark.parametrize(("signer", "current"), [(KEY, True), (OLD, False), (OLDER, False)])
def test_old_keys_verify_and_the_current_key_signs(signer, current):
    codec = SignedCodec(KEY, [OLD, OLDER])
    token = SignedCodec(signer).encode(b"{}", 0, NOW)
    assert codec.decode(token)[3] is current
    assert codec.renew(token, NOW) == CODEC.encode(b"{}", 0, NOW) == codec.encode(b"{}", 0, NOW)


def test_a_key_that_was_taken_out_verifies_no_more():
    assert rejected(SignedCodec(OLD).encode(b"{}", 0, NOW), SignedCodec(KEY, [OLDER])) == "bad_signature"


@pytest.mark.parametrize(("digest", "length"), [("sha1", 27), ("sha256", 43), ("sha512", 86)])
def test_each_digest_has_signatures_of_its_length_and_reads_no_other(digest, length):
    codec = SignedCodec(KEY, digest=digest)
    token = codec.encode(b"{}", 0, NOW)
    assert len(token.rpartition(".")[2]) == length
    assert codec.decode(token)[0] == b"{}"
    for other in {"sha1", "sha256", "sha512"} - {digest}:
        assert rejected(token, SignedCodec(KEY, digest=other)) in ("bad_signature", "malformed")


def test_text_and_bytes_of_one_key_are_one_key():
    assert SignedCodec("schlüssel-0123456789").encode(b"{}", 0, NOW) == SignedCodec(
        "schlüssel-0123456789".encode()
    ).encode(b"{}", 0, NOW)


# Beside itsdangerous


@given(payloads, st.sampled_from(["sha1", "sha256", "sha512"]), st.sampled_from(["cookie-session", "other", "é"]))
def test_itsdangerous_reads_what_we_write_and_we_what_it_writes(payload, digest, salt):
    ours = SignedCodec(KEY, [OLD], salt=salt, digest=digest)
    theirs = flasks(OLD, KEY, salt=salt, digest=digest)
    assume(payload)
    assert theirs.loads(ours.encode(payload, 0, NOW)) == payload
    token = theirs.dumps(payload).decode()
    assert ours.decode(token) == (payload, NOW, None, True)
    if not token.startswith("."):
        assert ours.encode(payload, 0, NOW) == token


def test_lists_of_keys_run_in_opposite_orders():
    theirs = flasks(OLDER, OLD, KEY)
    ours = SignedCodec(KEY, [OLD, OLDER])
    assert theirs.dumps(b"{}").decode() == ours.encode(b"{}", 0, NOW)
    for key in (KEY, OLD, OLDER):
        token = flasks(key).dumps(b"{}").decode()
        assert theirs.loads(token) == ours.decode(token)[0] == b"{}"


@given(st.text(alphabet=ALPHABET + ".=", max_size=30))
def test_what_is_accepted_itsdangerous_accepts_too(body):
    token = signed(f"{body}.ZVPxAA")
    with contextlib.suppress(BadToken):
        assert CODEC.decode(token)[0] == flasks(KEY).loads(token)


def test_the_signer_is_one_of_itsdangerous():
    theirs = flasks(KEY).make_signer("cookie-session")
    value = b"eyJhIjoxfQ.ZVPxAA"
    assert SIGNER.get_signature(value) == theirs.get_signature(value)
    assert SIGNER.verify_signature(value, theirs.get_signature(value))
    assert SIGNER.verify_signature(value.decode(), theirs.get_signature(value).decode())
    assert not SIGNER.verify_signature(value, b"A" * 27)
    assert SIGNER.unsign(SIGNER.sign(value)) == value


# base64


@given(st.binary())
def test_base64_is_that_of_the_standard_library_without_padding(data):
    text = b64encode(data)
    assert text == urlsafe_b64encode(data).rstrip(b"=").decode()
    assert b64decode(text.encode()) == data


@given(st.text(alphabet=ALPHABET, max_size=9))
def test_base64_text_is_read_only_if_it_is_what_would_be_written(text):
    try:
        data = b64decode(text.encode())
    except ValueError:
        assert b64encode(urlsafe_b64decode_loose(text)) != text if len(text) % 4 != 1 else True
    else:
        assert b64encode(data) == text


def test_a_whole_token_has_the_shape_and_nothing_around_it_has():
    assert CODEC.shape.fullmatch(AUTHENTIC)
    assert CODEC.shape.fullmatch(COMPRESSED)
    around = [f"{AUTHENTIC}\n", f" {AUTHENTIC}", f'"{AUTHENTIC}"', f"{AUTHENTIC}=", AUTHENTIC[:-1], f".{COMPRESSED}"]
    for text in around:
        assert not re.fullmatch(CODEC.shape, text)
