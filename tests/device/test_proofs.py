"""Proofs: published ones verify, and whatever is odd about one is a 4xx."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

pytest.importorskip("jwt")

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from session_mw import MemoryStore
from session_mw.device.keys import key_text, public_key
from session_mw.device.proofs import BadProof, read_refresh, read_registration
from support.device import REFRESH, REGISTER, BindingBrowser, Device, bound_site

BOTH = ("ES256", "RS256")


def b64(data: bytes | str | dict[str, Any]) -> str:
    if isinstance(data, dict):
        data = json.dumps(data)
    data = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# Published proofs (dbsc-toolkit for Node, Apache-2.0)

CHALLENGE = "KN3qw_pQxR8tY5uI8oP1aS2dF3gH4jK5lM6nO7pQ8rS"
JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "OiqsLo2Fgx8s1x5EI9bjUDi5QN9lg9_pM8VGYnvduP4",
    "y": "LItgwbWewmg0rrauKI1IX4tE2WzNnmB322E4UvfSPt8",
}
PAYLOAD = "eyJqdGkiOiJLTjNxd19wUXhSOHRZNXVJOG9QMWFTMmRGM2dINGpLNWxNNm5PN3BROHJTIn0"
REGISTRATION = (
    "eyJhbGciOiJFUzI1NiIsInR5cCI6ImRic2Mrand0IiwiandrIjp7Imt0eSI6IkVDIiwiY3J2IjoiUC0yNTYiLCJ4IjoiT2lxc0xvMkZneDhzMXg1"
    "RUk5YmpVRGk1UU45bGc5X3BNOFZHWW52ZHVQNCIsInkiOiJMSXRnd2JXZXdtZzBycmF1S0kxSVg0dEUyV3pObm1CMzIyRTRVdmZTUHQ4In19."
    f"{PAYLOAD}.6YjXpu8GV1Yjw8R5qB42lh_5HPj0USF7RBAmp1gJaKIondZ0rpSIzjVvAbbztFRTGWI0jPPheN2YqDZQ8J_heg"
)
PROOF = (
    f"eyJhbGciOiJFUzI1NiIsInR5cCI6ImRic2Mrand0In0.{PAYLOAD}"
    ".dZhwcoAWFE9jCoWAInYiaw9z_ZO_nJCfVv8JUGK_5xZybqIal0uWB8Svdid9A4eymcitK8amsuuhrh7t15lsew"
)


def test_the_published_proofs_of_another_implementation_verify():
    challenge, key = read_registration(REGISTRATION, ("ES256",))
    assert challenge == CHALLENGE
    assert key == key_text(JWK, "ES256")
    assert (len(key), key[0]) == (44, "A")
    assert read_refresh(PROOF, key) == CHALLENGE


@pytest.mark.parametrize("proof", [REGISTRATION, PROOF])
def test_a_published_proof_of_which_a_character_is_changed_does_not(proof):
    key = key_text(JWK, "ES256")
    read = (
        (lambda text: read_registration(text, BOTH)) if proof is REGISTRATION else lambda text: read_refresh(text, key)
    )
    # of the last character of each part two or four bits say nothing
    for place in range(0, len(proof) - 1, 3):
        for other in "Aa.":
            changed = proof[:place] + other + proof[place + 1 :]
            if changed != proof and changed.count(".") == 2 and ("." not in proof[place : place + 2]):
                with pytest.raises(BadProof):
                    read(changed)


# Keys


def rsa_jwk(modulus: int, **more: Any) -> dict[str, Any]:
    return {"kty": "RSA", "n": b64(modulus.to_bytes((modulus.bit_length() + 7) // 8, "big")), "e": "AQAB", **more}


def test_a_key_is_kept_as_text_and_read_again():
    for device in (Device(), Device("RS256")):
        text = key_text(device.jwk, device.algorithm)
        assert public_key(text).public_numbers() == device.key.public_key().public_numbers()


def test_points_with_leading_zeros_are_kept():
    zeros = 0
    for number in range(1, 1000):
        key = ec.derive_private_key(number, ec.SECP256R1())
        numbers = key.public_key().public_numbers()
        zeros += numbers.x < 1 << 248 or numbers.y < 1 << 248
        assert public_key(key_text(Device(key=key).jwk, "ES256")).public_numbers() == numbers
    assert zeros


MODULUS = 3**1292 | 1
"""Of 2048 bits."""


def bad_jwks(modulus: int = MODULUS) -> dict[str, tuple[str, Any]]:
    """JWKs that are no key, with the algorithm that a proof names."""
    good, point = Device().jwk, JWK
    other_curve = Device(key=ec.generate_private_key(ec.SECP384R1()))
    secp256k1 = Device(key=ec.generate_private_key(ec.SECP256K1()))
    return {
        "not a dict": ("ES256", "x"),
        "a list": ("ES256", [good]),
        "none": ("ES256", None),
        "empty": ("ES256", {}),
        "P-384": ("ES256", {**good, "crv": "P-384"}),
        "the point of P-384": ("ES256", {**other_curve.jwk, "crv": "P-256"}),
        "the point of secp256k1": ("ES256", {**secp256k1.jwk, "crv": "P-256"}),
        "no curve": ("ES256", {k: v for k, v in good.items() if k != "crv"}),
        "no x": ("ES256", {k: v for k, v in good.items() if k != "x"}),
        "no y": ("ES256", {k: v for k, v in good.items() if k != "y"}),
        "x is a number": ("ES256", {**good, "x": 5}),
        "x is too short": ("ES256", {**good, "x": good["x"][:-2]}),
        "x is too long": ("ES256", {**good, "x": b64(b"\0" * 33)}),
        "x has padding": ("ES256", {**good, "x": good["x"] + "="}),
        "x is not base64": ("ES256", {**good, "x": "é" * 43}),
        "the point is not on the curve": ("ES256", {**point, "y": point["x"]}),
        "the point at infinity": ("ES256", {**good, "x": b64(b"\0" * 32), "y": b64(b"\0" * 32)}),
        "x is beyond the field": ("ES256", {**good, "x": b64(b"\xff" * 32)}),
        "the private key with it": ("ES256", {**good, "d": good["x"]}),
        "a symmetric key": ("ES256", {"kty": "oct", "k": "AAAA"}),
        "Ed25519": ("ES256", {"kty": "OKP", "crv": "Ed25519", "x": good["x"]}),
        "an RSA key": ("ES256", rsa_jwk(modulus)),
        "a point": ("RS256", good),
        "1024 bits": ("RS256", rsa_jwk(modulus >> 1024 | 1)),
        "2040 bits": ("RS256", rsa_jwk(modulus >> 8 | 1)),
        "4104 bits": ("RS256", rsa_jwk(modulus << 2056 | 1)),
        "a megabit": ("RS256", rsa_jwk(1 << 16384 | 1)),
        "an even modulus": ("RS256", rsa_jwk(modulus & ~1)),
        "leading zeros": ("RS256", {**rsa_jwk(modulus), "n": b64(b"\0" + modulus.to_bytes(256, "big"))}),
        "the exponent 3": ("RS256", rsa_jwk(modulus, e="Aw")),
        "the exponent 1": ("RS256", rsa_jwk(modulus, e="AQ")),
        "a huge exponent": ("RS256", rsa_jwk(modulus, e=b64(b"\xff" * 256))),
        "no exponent": ("RS256", rsa_jwk(modulus, e=None)),
        "its primes with it": ("RS256", rsa_jwk(modulus, p="AQ", q="AQ", d="AQ")),
        "n is a number": ("RS256", {**rsa_jwk(modulus), "n": modulus}),
    }


@pytest.mark.parametrize("kind", bad_jwks())
def test_a_jwk_that_is_no_key_is_refused(kind):
    algorithm, jwk = bad_jwks()[kind]
    with pytest.raises((ValueError, TypeError)):
        key_text(jwk, algorithm)


# Malformed proofs, of a visitor who may register


class Bad(NamedTuple):
    proof: Callable[[Device, str], str]
    """Made of the device and the right challenge."""
    is_for_both: bool = True
    """Whether it is sent to both paths; False: only to register."""


def signed(device: Device, header: dict[str, Any] | str, payload: dict[str, Any] | bytes | str, cut: int = 0) -> str:
    """A JWT with any header and payload, signed by the device."""
    text = f"{b64(header)}.{b64(payload)}"
    key = device.key
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    else:
        r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{text}.{b64(signature[: len(signature) - cut])}"


class Known(Device):
    """A device whose key the server knows: its proofs do not bring it."""


def head(device: Device, **more: Any) -> dict[str, Any]:
    header = {"typ": "dbsc+jwt", "alg": "ES256", "jwk": ... if isinstance(device, Known) else device.jwk, **more}
    return {name: value for name, value in header.items() if value is not ...}


def with_header(**more: Any) -> Callable[[Device, str], str]:
    return lambda device, challenge: signed(device, head(device, **more), {"jti": challenge})


def with_payload(make: Callable[[str], Any]) -> Callable[[Device, str], str]:
    return lambda device, challenge: signed(device, head(device), make(challenge))


def hmac_of_the_public_key(device: Device, challenge: str) -> str:
    """The oldest attack on JWTs: the public key taken for a shared one."""
    import hmac

    text = f"{b64(head(device, alg='HS256'))}.{b64({'jti': challenge})}"
    return f"{text}.{b64(hmac.digest(key_text(device.jwk, 'ES256').encode(), text.encode(), 'sha256'))}"


def der_signature(device: Device, challenge: str) -> str:
    text = f"{b64(head(device))}.{b64({'jti': challenge})}"
    return f"{text}.{b64(device.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))}"


MALFORMED: dict[str, Bad] = {
    "nothing": Bad(lambda device, challenge: ""),
    "a word": Bad(lambda device, challenge: "proof"),
    "the bare challenge": Bad(lambda device, challenge: challenge),
    "two parts": Bad(lambda device, challenge: signed(device, head(device), {"jti": challenge}).rpartition(".")[0]),
    "four parts": Bad(lambda device, challenge: signed(device, head(device), {"jti": challenge}) + ".AAAA"),
    "an empty signature": Bad(lambda d, c: signed(d, head(d), {"jti": c}).rpartition(".")[0] + "."),
    "an empty payload": Bad(with_payload(lambda challenge: b"")),
    "a signature that is too short": Bad(lambda d, c: signed(d, head(d), {"jti": c}, cut=1)),
    "a signature of zeros": Bad(lambda d, c: f"{b64(head(d))}.{b64({'jti': c})}.{b64(bytes(64))}"),
    "a signature in DER": Bad(der_signature),
    "padding": Bad(lambda d, c: signed(d, head(d), {"jti": c}) + "=="),
    "base64 with + and /": Bad(lambda d, c: signed(d, head(d), {"jti": c}) + "+/"),
    "another key's signature": Bad(lambda d, c: signed(Device(), head(d), {"jti": c})),
    "letters beyond ASCII": Bad(lambda device, challenge: "é.é.é"),
    "controls": Bad(lambda device, challenge: "a.b\r\nX: y.c"),
    "five thousand characters": Bad(lambda d, c: signed(d, head(d, pad="x" * 4000), {"jti": c})),
    "two proofs": Bad(lambda d, c: ", ".join([signed(d, head(d), {"jti": c})] * 2)),
    "a byte sequence": Bad(lambda d, c: f":{signed(d, head(d), {'jti': c})}:"),
    "a quote that is open": Bad(lambda d, c: '"' + signed(d, head(d), {"jti": c})),
    "a header that is a list": Bad(lambda d, c: signed(d, "[1]", {"jti": c})),
    "a header that is no JSON": Bad(lambda d, c: signed(d, "{", {"jti": c})),
    "a header that is deep": Bad(lambda d, c: signed(d, '{"a":' + "[" * 900 + "]" * 900 + "}", {"jti": c})),
    "a header with a number of 2000 digits": Bad(lambda d, c: signed(d, '{"a":' + "9" * 2000 + "}", {"jti": c})),
    "no type": Bad(with_header(typ=...)),
    "the type JWT": Bad(with_header(typ="JWT")),
    "the type in capitals": Bad(with_header(typ="DBSC+JWT")),
    "a type that is a list": Bad(with_header(typ=["dbsc+jwt"])),
    "no algorithm": Bad(with_header(alg=...)),
    "the algorithm none": Bad(lambda d, c: f"{b64(head(d, alg='none'))}.{b64({'jti': c})}."),
    "the algorithm none, with a signature": Bad(with_header(alg="none")),
    "the algorithm None": Bad(with_header(alg="None")),
    "an algorithm that is a list": Bad(with_header(alg=["ES256"])),
    "an algorithm that is null": Bad(with_header(alg=None)),
    "ES384": Bad(with_header(alg="ES384")),
    "ES256K": Bad(with_header(alg="ES256K")),
    "EdDSA": Bad(with_header(alg="EdDSA")),
    "PS256": Bad(with_header(alg="PS256")),
    "RS256 with a point": Bad(with_header(alg="RS256")),
    "HS256 with the public key": Bad(hmac_of_the_public_key),
    "crit": Bad(with_header(crit=["exp"])),
    "crit that is empty": Bad(with_header(crit=[])),
    "b64": Bad(with_header(b64=False, crit=["b64"])),
    "jku": Bad(with_header(jku="https://attacker.example/keys")),
    "x5u": Bad(with_header(x5u="https://attacker.example/chain")),
    "x5c": Bad(with_header(x5c=["AAAA"])),
    "zip": Bad(with_header(zip="DEF")),
    "no key": Bad(with_header(jwk=...), is_for_both=False),
    "another key than that which signed": Bad(with_header(jwk=JWK)),
    "a payload that is a list": Bad(with_payload(lambda challenge: json.dumps([challenge]))),
    "a payload that is a text": Bad(with_payload(lambda challenge: json.dumps(challenge))),
    "a payload that is no JSON": Bad(with_payload(lambda challenge: b"\xff\xfe{")),
    "no challenge": Bad(with_payload(lambda challenge: {"nonce": challenge})),
    "a challenge that is null": Bad(with_payload(lambda challenge: {"jti": None})),
    "a challenge that is a number": Bad(with_payload(lambda challenge: {"jti": 5})),
    "a challenge that is a list": Bad(with_payload(lambda challenge: {"jti": [challenge]})),
    "a challenge that is empty": Bad(with_payload(lambda challenge: {"jti": ""})),
    "another challenge": Bad(with_payload(lambda challenge: {"jti": challenge[:-1] + "_"})),
    "a challenge and more": Bad(with_payload(lambda challenge: {"jti": challenge + "\0"})),
    "a challenge with a lone surrogate": Bad(with_payload(lambda challenge: b'{"jti": "\\ud800"}')),
    "a proof that is over": Bad(with_payload(lambda challenge: {"jti": challenge, "exp": 1})),
    "a proof that is not yet": Bad(with_payload(lambda challenge: {"jti": challenge, "nbf": 10**11})),
    "an end that is a text": Bad(with_payload(lambda challenge: {"jti": challenge, "exp": "soon"})),
    "an endless end": Bad(with_payload(lambda challenge: b'{"jti":"%b","exp":1e999}' % challenge.encode())),
}


@pytest.fixture(params=["cookie", "store"])
def bound(request: pytest.FixtureRequest) -> BindingBrowser:
    place = {"cookie": dict, "store": lambda: {"store": MemoryStore()}}[request.param]()
    return BindingBrowser(bound_site(**place)).bind()


def test_there_are_more_than_forty():
    assert len(MALFORMED) > 40


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_proof_registers_nothing(kind, bound, caplog):
    caplog.set_level(logging.DEBUG, "session_mw")
    browser = BindingBrowser(bound.app)
    browser.get("/login")
    path, challenge = browser.offer
    before = dict(browser.jar)
    answer = browser.post(path, secure_session_response=MALFORMED[kind].proof(browser.device, challenge))
    assert answer.status[0] == "4"
    assert (answer.cookies, browser.jar) == ([], before)
    assert max(record.levelno for record in caplog.records) == logging.INFO
    # It can still be bound.
    assert browser.register().status == "200 OK"


@pytest.mark.parametrize("kind", [kind for kind, bad in MALFORMED.items() if bad.is_for_both])
def test_a_malformed_proof_refreshes_nothing(kind, bound):
    proof = MALFORMED[kind].proof(Known(key=bound.device.key), bound.challenge)
    answer = bound.post(REFRESH, sec_secure_session_id=bound.identifier, secure_session_response=proof)
    assert answer.status[0] == "4"
    assert answer.cookies == []
    assert bound.refresh().status == "200 OK"


def test_a_proof_that_brings_a_key_refreshes_nothing(bound):
    for device in (bound.device, Device()):
        proof = device.proof(bound.challenge, brings_key=True)
        answer = bound.post(REFRESH, sec_secure_session_id=bound.identifier, secure_session_response=proof)
        assert answer.status == "400 Bad Request"


def test_members_that_the_draft_does_not_know_are_passed_over(bound):
    """It says what a header holds at least; and a flag of Chromium's adds the audience."""
    claims = {
        "jti": bound.challenge,
        "aud": "https://example.com/x",
        "iat": "1725579055",
        "sub": 5,
        "authorization": "a",
    }
    proof = bound.device.proof("", claims=claims, other="x")
    answer = bound.post(REFRESH, sec_secure_session_id=bound.identifier, secure_session_response=proof)
    assert answer.status == "200 OK"


@pytest.mark.parametrize("path", [REGISTER, REFRESH])
@settings(max_examples=150, deadline=None)
@given(
    text=st.text(st.characters(max_codepoint=255))
    | st.from_regex(r"[\w-]{1,60}\.[\w-]{1,60}\.[\w-]{0,60}", fullmatch=True)
)
def test_no_text_is_an_error_of_the_server(path, text):
    browser = SHARED[path]
    answer = browser.post(path, sec_secure_session_id=browser.identifier, secure_session_response=text)
    assert answer.status[0] == "4"


@settings(max_examples=150, deadline=None)
@given(
    header=st.dictionaries(
        st.sampled_from(["typ", "alg", "jwk", "kid", "crit"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.sampled_from(["dbsc+jwt", "ES256", "RS256"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e"]), inner)
            ),
            max_leaves=8,
        ),
    ),
    payload=st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)),
)
def test_no_json_is_an_error_of_the_server(header, payload):
    for header_ in (header, {**header, "typ": "dbsc+jwt", "alg": "ES256"}):
        proof = signed(SHARED[REFRESH].device, json.dumps(header_), json.dumps(payload))
        for path in (REGISTER, REFRESH):
            browser = SHARED[path]
            answer = browser.post(path, sec_secure_session_id=browser.identifier, secure_session_response=proof)
            assert answer.status[0] == "4"


class _Shared(dict):
    """A visitor for each path who may go there."""

    def __missing__(self, path: str) -> BindingBrowser:
        browser = self[path] = BindingBrowser(bound_site(store=MemoryStore()))
        browser.get("/login")
        if path == REFRESH:
            browser.register()
        return browser


SHARED = _Shared()
